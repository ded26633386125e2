//! What a crash looked like, for people: the operations and acks before it with what became of each,
//! and the files that it left with what is missing in them. Explorations and live trials share it.

mod files;
mod steps;

pub(crate) use files::files;
pub(crate) use steps::{Span, steps};
