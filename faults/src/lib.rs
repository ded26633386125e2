//! How storage and processes fail.
#![allow(missing_docs)]

pub mod crashfs;
pub mod inject;
pub mod persist;
