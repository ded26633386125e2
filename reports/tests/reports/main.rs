//! The reports as their readers see them.

#![allow(clippy::unwrap_used, reason = "a test may fail by panic")]

mod explored;
mod json;
mod made_up;
mod summary;
mod table;
