//! The report: what a run found, as data. Its JSON form is versioned (docs/report.md).

use std::collections::BTreeMap;
use std::time::Duration;

use plugpull_workloads::{FindingKind, Verdict};
use serde::{Deserialize, Serialize};

use crate::coverage::Coverage;
use crate::growth::Growth;
use crate::rows::Rows;
use crate::run_file::record::EndReason;
use crate::shard::Shard;
use crate::sync_audit::SyncAudit;
use crate::times::Recovery;
use crate::trial::{ReportedFinding, TargetInfo, Trial};

/// The version of the JSON form. Fields may be added within a version; none changes its meaning.
pub const SCHEMA: &str = "plugpull.report/1";

/// One kind of damage that no promise forbids, under one fault, with its worst case.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct NotPromised {
    /// What kind.
    pub kind: FindingKind,
    /// The fault's name.
    #[serde(deserialize_with = "crate::trial::current_fault")]
    pub fault: String,
    /// How many trials showed it.
    pub trials: u64,
    /// The worst of them: in how many transactions, keys or values it showed.
    pub worst: u64,
    /// That trial's number.
    pub trial: u64,
    /// What was seen in it, in words.
    pub sentence: String,
}

/// All trials of one fault.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct FaultRow {
    /// The fault's name.
    #[serde(deserialize_with = "crate::trial::current_fault")]
    pub fault: String,
    /// Trials tried.
    pub trials: u64,
    /// Trials in which the fault had an effect.
    #[serde(rename = "bit")]
    pub hit: u64,
    /// The worst verdict of its trials, leaving aside those that were not measured; `not
    /// measured` when all were.
    pub verdict: Verdict,
    /// How many trials ended with each verdict.
    pub verdicts: BTreeMap<Verdict, u64>,
    /// How fast the target came back.
    pub recovery: Recovery,
    /// Why its verdict is `detected`, `no promise`, `not measured` or `harness error`, where it is.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub why: String,
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Ended {
    /// Why.
    pub reason: EndReason,
    /// The signal or the option that ended it, or why plugpull failed; left out where that says no
    /// more.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub why: String,
}

/// What a run found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Report {
    /// [`SCHEMA`].
    pub schema: String,
    /// plugpull's version.
    pub plugpull: String,
    /// The verdict of the run.
    pub verdict: Verdict,
    /// The seed of everything that plugpull decided.
    pub seed: u64,
    /// How many trials were made.
    pub trials: u64,
    /// Grouped by kind and fault, worst first.
    pub findings: Vec<ReportedFinding>,
    /// What was seen that a perfect store would not have shown and that no promise forbids; left out
    /// where nothing was.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub observed: Vec<NotPromised>,
    /// What was tested.
    pub target: TargetInfo,
    /// A row per fault.
    pub faults: Vec<FaultRow>,
    /// Recovery over all trials, without faults that stall.
    pub recovery: Recovery,
    /// The bound that recovery was judged against, in microseconds, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recovery_bound_us: Option<u64>,
    /// What was noticed of the target, or of the user's check of it, before the first trial, a sentence
    /// each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// What the result supposes that no machine is known to do, a sentence each; left out where nothing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub assumed: Vec<String>,
    /// How long the run took, in microseconds.
    pub took_us: u64,
    /// True when a fault that was not measured was allowed (`--allow-not-measured`).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub allow_not_measured: bool,
    /// True when the user or the budget ended it before every fault was tried.
    pub interrupted: bool,
    /// How the run ended. Left out by older versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<Ended>,
    /// How much of what could have happened was tried; of an exploration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub coverage: Option<Coverage>,
    /// How recovery time grows with what was written; of a run that measured that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub growth: Option<Growth>,
    /// Which syncs of the recorded run are needed; where that was audited.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sync_audit: Option<SyncAudit>,
    /// How many reports this one was merged from. Left out where it is one run's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub merged: Option<u64>,
    /// Which part of the work this is, where it was split by `--shard`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shard: Option<Box<Shard>>,
    /// Every trial, in order.
    pub trial_log: Rows<Trial>,
}

/// What is known of a run before its first trial.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// plugpull's version.
    pub plugpull: String,
    /// What is tested.
    pub target: TargetInfo,
    /// The seed of everything that plugpull decides.
    pub seed: u64,
    /// The names of the faults that will be tried, in order ([`Trial::fault`], not its spec).
    pub faults: Vec<String>,
    /// Names of faults that were asked for and that this machine cannot inject, with the reason.
    /// Each becomes a row that is `not measured`.
    pub unavailable: Vec<(String, String)>,
    /// Names of faults that cannot happen to this target, or not on this machine, with the reason.
    /// Each becomes a row that is `not applicable`.
    pub not_applicable: Vec<(String, String)>,
    /// A fault that was not measured does not keep the run from being a `pass`.
    pub allow_not_measured: bool,
    /// What is supposed that no machine is known to do, a sentence each.
    pub assumed: Vec<String>,
    /// The bound that recovery is judged against.
    pub recovery_bound: Option<Duration>,
}
