//! How storage and processes fail.

pub mod capability;
pub mod crashfs;
pub mod fault;
pub mod inject;
pub mod kinds;
pub mod persist;
pub mod pin;
pub mod sandbox;
pub mod trace;
pub mod trigger;
