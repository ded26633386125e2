//! How much of what could have happened an exploration tried.

use serde::{Deserialize, Serialize};

/// What an exploration covered of its trace.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Coverage {
    /// Storage operations in the trace.
    pub operations: u64,
    /// Those of them after the last ack of a workload that came to its own end; left out where it was
    /// ended at an ack.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after_last_ack: Option<u64>,
    /// Transactions that were acknowledged in it.
    pub acked: u64,
    /// Crash points: one before each operation, and one behind the last.
    pub points: u64,
    /// Contents of the disk that were tried. Equal contents are tried once, whatever point and
    /// model they belong to.
    pub tried: u64,
    /// True when every state was tried.
    #[serde(default)]
    pub complete: bool,
    /// What was covered of recoveries that were crashed in turn; left out where none was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recoveries: Option<RecoveryCoverage>,
    /// For each persistence model.
    #[serde(default)]
    pub models: Vec<ModelCoverage>,
    /// The crash points that were looked at, in order of the trace.
    #[serde(default)]
    pub at: Vec<PointCoverage>,
}

/// What was covered under one persistence model.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ModelCoverage {
    /// The model's name.
    pub model: String,
    /// Crash points that were looked at.
    pub points: u64,
    /// States that the model allows at the points that were looked at; left out when they were
    /// not counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub possible: Option<u64>,
    /// True when there are at least so many, and nobody counted how many more.
    #[serde(default)]
    pub at_least: bool,
    /// States that were made.
    pub made: u64,
    /// States among them whose content was new.
    pub distinct: u64,
    /// States that were judged: their content was tried.
    pub judged: u64,
    /// States that broke a promise.
    pub failed: u64,
    /// States that were tried and of which nothing is known: nothing had been acknowledged before the
    /// crash, nothing could be read back, or plugpull failed. They are not among those judged.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub not_measured: u64,
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// What was covered of crashes during recovery.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct RecoveryCoverage {
    /// Recoveries that changed the disk, among the states tried.
    pub seen: u64,
    /// Those that were crashed in turn.
    pub crashed: u64,
    /// New contents of the disk that this gave.
    pub distinct: u64,
}

/// What was tried at one crash point, under all models.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct PointCoverage {
    /// How many operations had happened.
    pub point: u64,
    /// States judged here.
    pub tried: u64,
    /// States here that broke a promise.
    pub failed: u64,
}
