//! What a person or a machine reads of a run: pure functions from the run file to the report, and
//! from the report to its forms.
//!
//! A command emits [`Record`]s. [`RunLog`] appends each to the run file as it happens, folds it into
//! what the report says ([`Fold`]) and hands it to the live reporters ([`Progress`]). At the end, or
//! from the file alone ([`load_run`]), there is a [`Report`]: [`TableReporter`] shows it, and
//! [`FileReporter`] writes it in a [`Form`]. [`exit_code`] is the shortest report of all.
//! [`compare`] holds two reports against each other, [`merge`] makes one of several.

mod builder;
mod card;
mod cause;
mod compare;
mod conclusion;
mod counts;
mod coverage;
mod diagnosis;
mod evidence;
mod facts;
mod file;
mod fold;
mod github;
mod growth;
mod html;
mod identity;
mod json;
mod junit;
mod labels;
mod layout;
mod made_by;
mod makers;
mod mann_whitney;
mod markdown;
mod merge;
mod merge_shards;
mod mergeable;
mod progress;
mod promise_results;
mod render_coverage;
mod render_diff;
mod render_finding;
mod render_follow_ups;
mod render_growth;
mod render_sync_audit;
mod report;
mod reporter;
mod rows;
mod run_file;
mod sarif;
mod shard;
mod smallest;
mod sorted_trials;
mod spool;
mod style;
mod sync_audit;
mod table;
mod times;
mod trial;

pub use builder::ReportBuilder;
pub use card::{Card, CardLine, finding_name};
pub use cause::{EARLY, FailingState, KnownCause, START, is_of_names, place_sign, said_sign};
pub use compare::{
    CompareError, Comparison, LEAST_TRIALS, RecoveryChange, SIGNIFICANCE, Trend, compare,
};
pub use coverage::{
    Coverage, Decided, FollowUpCoverage, LeftOut, ModelCoverage, PointCoverage, RecoveryCoverage,
};
pub use diagnosis::{Diagnosis, MissingSync, Property, VerifiedFix};
pub use evidence::{
    CallOutcome, ClientCall, CrashedFile, Damage, Evidence, Fate, StepKind, TimelineStep, Tries,
};
pub use fold::{Fold, exit_code, gravest_first};
pub use github::annotations;
pub use growth::{
    Growth, GrowthFit, GrowthSample, GrowthShape, GrowthSize, LEAST_GROWTH, LEAST_RANGE,
    LEAST_REPEATS, LEAST_SIZES, SizeUnit,
};
pub use html::html;
pub use json::{ReportError, json, load, load_header, load_run, save};
pub use junit::junit;
pub use labels::{duration_words, guarantee_words, kind_words, verdict_words};
pub use made_by::{CodeKind, CodePlace, MadeBy};
pub use markdown::markdown;
pub use merge::merge;
pub use sarif::sarif;
pub use sync_audit::{AuditedSite, SyncAudit, SyncCost, SyncNeed, TogetherRemovable};

pub use labels::SHOWN_FINDINGS;
pub use mergeable::MergeError;
pub use progress::Progress;
pub use render_diff::render_comparison;
pub use report::{Ended, FaultRow, NotPromised, Plan, Report, SCHEMA};
pub use reporter::{FileReporter, Form, Reporter, StdoutReporter};
pub use rows::Rows;
pub use run_file::log::RunLog;
pub use run_file::reader::{LONGEST_LINE, Lines, Parsed, Source, parse};
pub use run_file::record::{
    Emit, End, EndReason, ExploredTrial, FindingRecord, GrowthPlan, Header, Line, NotMeasured,
    ProgressMark, RUN_SCHEMA, Record, Recording, RunCommand, TrialRecord, TrialStarted,
};
pub use run_file::recorded::RecordedRun;
pub use run_file::writer::RunFile;
pub use shard::{MinimisedFinding, Shard, ShardTrial};
pub use smallest::SmallestWorkload;
pub use style::Look;
pub use table::{TableReporter, render};
pub use times::Recovery;
pub use trial::{ReportedFinding, TargetInfo, Trial};
