//! What one trial showed of the target, as the run file and the report have it.

use std::collections::BTreeMap;

use plugpull_workloads::{FailureClass, Finding, Observation, Promise, Verdict};
use serde::{Deserialize, Deserializer, Serialize};

use crate::evidence::Evidence;

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
pub(crate) fn current_fault<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
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
    /// True when the fault had an effect and the restart after it was observed.
    pub(crate) fn is_measured(&self) -> bool {
        let without = [
            Verdict::NotMeasured,
            Verdict::NotApplicable,
            Verdict::HarnessError,
        ];
        self.hit && !without.contains(&self.verdict)
    }

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
