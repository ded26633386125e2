//! The report: what a run found, as data. Its JSON form is versioned (docs/report.md).

use std::collections::BTreeMap;
use std::time::Duration;

use plugpull_workloads::{FailureClass, Finding, FindingKind, Observation, Promise, Verdict};
use serde::{Deserialize, Deserializer, Serialize};

use crate::coverage::Coverage;
use crate::evidence::Evidence;
use crate::growth::Growth;
use crate::rows::Rows;
use crate::run_file::record::EndReason;
use crate::shard::Shard;

/// The version of the JSON form. Fields may be added within a version; none changes its meaning.
pub const SCHEMA: &str = "plugpull.report/1";

/// Names that faults have in reports of version 0.1, with those that they have now: so that such a
/// report is compared and merged with a new one.
const FORMER_FAULTS: [(&str, &str); 2] = [
    ("eio-sync-kept", "eio-sync-dirty"),
    ("bad-sector-for-ever", "bad-sector-permanent"),
];

fn renamed(name: String) -> String {
    let mut former = FORMER_FAULTS.iter();
    match former.find(|(former, _)| *former == name) {
        Some((_, current)) => (*current).to_owned(),
        None => name,
    }
}

/// Reads the name of a fault; a former name becomes the present one.
fn current_fault<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    String::deserialize(from).map(renamed)
}

/// Reads names of faults, as [`current_fault`] does.
pub(crate) fn current_faults<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<String>, D::Error> {
    let names = Vec::<String>::deserialize(from)?;
    Ok(names.into_iter().map(renamed).collect())
}

/// What was tested.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct TargetInfo {
    /// Its name on the command line.
    pub name: String,
    /// Its version and settings in words.
    pub version: String,
    /// What was set by `--set`.
    pub settings: BTreeMap<String, String>,
    /// What it was held to.
    pub promises: Vec<Promise>,
}

/// One trial.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Trial {
    /// Its number in the run, from 1.
    pub number: u64,
    /// The fault's name.
    #[serde(deserialize_with = "current_fault")]
    pub fault: String,
    /// The fault with its trigger, as `--fault` takes it.
    pub spec: String,
    /// The seed that repeats it (`--seed S --trial N` or an artifact).
    pub seed: u64,
    /// The class of failure whose promises were judged.
    pub class: FailureClass,
    /// True when the fault had an effect on the target.
    #[serde(rename = "bit")]
    pub hit: bool,
    /// What the fault did, in words; or why it did nothing.
    pub what: String,
    /// Transactions acknowledged before the crash.
    pub acked: u64,
    /// Storage operations recorded.
    pub operations: u64,
    /// The verdict.
    pub verdict: Verdict,
    /// For `detected`, `not measured` and `harness error`: why.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub why: String,
    /// What was seen that no promise forbids; left out where nothing was.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub observed: Vec<Observation>,
    /// Microseconds from spawn to the first correct answer, for each restart in the trial.
    pub recovery_us: Vec<u64>,
    /// How long the trial took, in microseconds.
    pub took_us: u64,
    /// Its findings.
    pub findings: Vec<ReportedFinding>,
}

impl Trial {
    /// A trial of which nothing is known yet: a harness error, unless something better is said.
    pub fn begun(number: u64, fault: &str, spec: String, seed: u64, class: FailureClass) -> Self {
        Self {
            number,
            fault: fault.to_owned(),
            spec,
            seed,
            class,
            hit: false,
            what: String::new(),
            acked: 0,
            operations: 0,
            verdict: Verdict::HarnessError,
            why: String::new(),
            observed: Vec::new(),
            recovery_us: Vec::new(),
            took_us: 0,
            findings: Vec::new(),
        }
    }
}

/// A finding with what a reader needs to look into it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ReportedFinding {
    /// What was broken.
    #[serde(flatten)]
    pub finding: Finding,
    /// The trial that found it.
    pub trial: u64,
    /// How many trials of the run showed the same kind under the same fault.
    pub count: u64,
    /// The command that repeats the trial.
    pub repeat: String,
    /// The end of what the target wrote to standard output and standard error, per life.
    pub output: Vec<String>,
    /// What is known of the crash that showed it. Left out where nothing more is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evidence: Option<Box<Evidence>>,
}

/// One kind of damage that no promise forbids, under one fault, with its worst case.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct NotPromised {
    /// What kind.
    pub kind: FindingKind,
    /// The fault's name.
    #[serde(deserialize_with = "current_fault")]
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

/// Recovery times, in microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Recovery {
    /// How many restarts were timed.
    pub count: u64,
    /// Median.
    pub p50_us: u64,
    /// 99th percentile (the largest when fewer than 100).
    pub p99_us: u64,
    /// Largest.
    pub max_us: u64,
}

/// All trials of one fault.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct FaultRow {
    /// The fault's name.
    #[serde(deserialize_with = "current_fault")]
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
    /// The bound that recovery is judged against.
    pub recovery_bound: Option<Duration>,
}
