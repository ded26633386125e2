//! A simulated disk: what a filesystem holds, what was done to it, and what it may hold after
//! losing power.

pub mod fs;
pub mod persist;
pub mod trace;
