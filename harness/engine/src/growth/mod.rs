//! Recovery time against log size: the log is grown by the workload, the plug is pulled, and the
//! time back is taken, at several sizes in turn.

mod measure;
mod sample;
mod sizes;

pub use measure::{GrowthRun, GrowthSpec};
pub use sample::{CrashKind, SampleSpec, pilot, sample, unit};
pub use sizes::{Round, chosen, fitting};
