//! What a person or a machine reads of a run, all fed by one event stream.
//!
//! The runner emits [`Event`]s. [`ReportBuilder`] turns the trials into a [`Report`]; the
//! reporters show it: [`Progress`] while the run lasts, [`TableReporter`] at its end, and
//! [`FileReporter`] as a file in one of the forms [`json`], [`junit`], [`markdown`] and [`html`].
//! [`exit_code`] is the shortest report of all. [`compare`] holds two reports against each other,
//! [`merge`] makes one of several.

mod cases;
mod compare;
mod comparison;
mod coverage;
mod covered;
mod event;
mod evidence;
mod file;
mod github;
mod grown;
mod growth;
mod html;
mod identity;
mod json;
mod junit;
mod look;
mod mann_whitney;
mod markdown;
mod merge;
mod paint;
mod progress;
mod report;
mod shard;
mod shards;
mod stdout;
mod summary;
mod table;
mod told;
mod words;

pub use compare::{
    CompareError, Comparison, LEAST_GROWTH, LEAST_TRIALS, RecoveryChange, SIGNIFICANCE, Trend,
    compare,
};
pub use comparison::render_comparison;
pub use coverage::{Coverage, ModelCoverage, PointCoverage, RecoveryCoverage};
pub use event::{Event, Reporter};
pub use evidence::{CrashedFile, Damage, Evidence, Fate, StepKind, TimelineStep};
pub use file::{FileReporter, Form};
pub use github::annotations;
pub use growth::{
    Growth, GrowthFit, GrowthSample, GrowthShape, GrowthSize, LEAST_RANGE, LEAST_REPEATS,
    LEAST_SIZES, SizeUnit,
};
pub use html::html;
pub use json::{ReportError, json, load, save};
pub use junit::junit;
pub use look::Look;
pub use markdown::markdown;
pub use merge::{MergeError, merge};
pub use progress::Progress;
pub use report::{FaultRow, Recovery, Report, ReportedFinding, SCHEMA, TargetInfo, Trial};
pub use shard::{Shard, ShardCase, ShardTold};
pub use shards::counts_to;
pub use stdout::StdoutReporter;
pub use summary::{Plan, ReportBuilder, exit_code, gravest_first};
pub use table::{SHOWN_FINDINGS, TableReporter, render};
pub use words::{class_words, duration_words, guarantee_words, kind_words, verdict_words};
