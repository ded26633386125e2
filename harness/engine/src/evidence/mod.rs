//! What a crash looked like, for people: the operations and acks before it with what became of each,
//! and the files that it left with what is missing in them. Explorations and live trials share it.

mod clients;
mod files;
mod made_by;
mod steps;

pub use clients::clients;
pub use files::files;
pub use made_by::made_by;
pub use steps::{Span, steps, synced_by};
