//! The readers, by what they read.

pub(crate) mod disk;
pub(crate) mod driver;
pub(crate) mod report;
pub(crate) mod stored;
pub(crate) mod text;
