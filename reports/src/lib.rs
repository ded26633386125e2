//! What a person or a machine reads of a run, all fed by one event stream.
//!
//! The runner emits [`Event`]s. [`ReportBuilder`] turns the trials into a [`Report`]; the
//! reporters show it: [`Progress`] while the run lasts, [`TableReporter`] at its end,
//! [`JsonReporter`] as a file. [`exit_code`] is the shortest report of all.

mod event;
mod json;
mod look;
mod paint;
mod progress;
mod report;
mod summary;
mod table;
mod told;
mod words;

pub use event::{Event, Reporter};
pub use json::{JsonReporter, ReportError, load, save};
pub use look::Look;
pub use progress::Progress;
pub use report::{FaultRow, Recovery, Report, ReportedFinding, SCHEMA, TargetInfo, Trial};
pub use summary::{Plan, ReportBuilder, exit_code};
pub use table::{SHOWN_FINDINGS, TableReporter, render};
pub use words::{class_words, duration_words, guarantee_words, kind_words, verdict_words};
