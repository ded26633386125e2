//! What the report of a shard has besides that of a whole run: all that `merge` needs to put the
//! shards together as if there had been one machine.

use serde::{Deserialize, Serialize};

use crate::rows::Rows;
use crate::trial::ReportedFinding;

/// One part of a run or an exploration that was split by `--shard K/N`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Shard {
    /// Which shard it is, from 1.
    pub number: u64,
    /// Of how many.
    pub of: u64,
    /// The digest of the trace that was explored; left out for a run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace: Option<String>,
    /// The options that decide what is tried, in words: the same for all shards that belong
    /// together.
    pub options: String,
    /// The faults of all shards together, in the order in which they were planned.
    #[serde(deserialize_with = "crate::trial::current_faults")]
    pub faults: Vec<String>,
    /// Of an exploration: where each trial belongs.
    #[serde(default, rename = "cases", skip_serializing_if = "Rows::is_empty")]
    pub trials: Rows<ShardTrial>,
    /// Of an exploration: what was minimised, each for a trial.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[serde(rename = "told")] // tidy: word because the JSON of 0.1 has it
    pub minimised: Vec<MinimisedFinding>,
}

impl Shard {
    /// `2/4`.
    pub fn name(&self) -> String {
        format!("{}/{}", self.number, self.of)
    }
}

/// A trial of an exploration, as the order of all shards sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ShardTrial {
    /// The trial's number in this report.
    pub trial: u64,
    /// The place of its state in the order of the whole exploration; for a crash during recovery,
    /// that of the state which was recovered from.
    pub position: u64,
    /// How many recoveries deep it is: 0 in the recorded run.
    pub depth: u32,
    /// Of a trial with findings: what was missing, without numbers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub signs: Vec<String>,
    /// For each of its findings what it was minimised to, as an index of [`Shard::minimised`]; null
    /// where it was not, because another trial that lacks the same was.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[serde(rename = "told")] // tidy: word because the JSON of 0.1 has it
    pub minimised: Vec<Option<u64>>,
}

/// A finding of one trial, minimised. Not all of these are findings of the shard's report: which
/// become findings of the merged one depends on what the other shards met before.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct MinimisedFinding {
    /// How much the state lacks: missing changes, then the place of the crash.
    pub size: (u64, u64),
    /// The finding; its evidence has the cause.
    pub finding: ReportedFinding,
}
