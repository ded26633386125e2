//! What a person or a machine reads of a run, all fed by one event stream.

mod event;
mod report;

pub use event::{Event, Reporter};
pub use report::{FaultRow, Recovery, Report, ReportedFinding, SCHEMA, TargetInfo, Trial};
