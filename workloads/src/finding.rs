//! Findings: promises that were broken, and the verdict of a trial.

use serde::{Deserialize, Serialize};

use crate::{FollowUp, Promise, Stamp, TxnId};

/// What kind of promise-breaking was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum FindingKind {
    /// An acknowledged transaction is gone.
    LostAck,
    /// Part of a transaction is there and part is not.
    TornTransaction,
    /// A key whose deletion was acknowledged is back.
    Resurrected,
    /// Data of a transaction that was aborted or certainly failed, or a key never written.
    Phantom,
    /// A value that no write of the history carries: silent corruption.
    WrongValue,
    /// A later transaction is there, an earlier acknowledged one is not.
    PrefixHole,
    /// The values read back cannot come from any order of the transactions.
    Inconsistent,
    /// An acknowledged transaction is not in the log of events that the target keeps.
    MissingEvent,
    /// The log has an event of a transaction that was aborted or certainly failed, or of none.
    StrayEvent,
    /// The log is not in the order of commits, or gives two of them the same place.
    EventOrder,
    /// The state is not what the log comes to when it is read from the beginning.
    StateNotReplayed,
    /// The versions of a key are not 1, 2, 3, ..., or one of them does not read as it was written.
    VersionGap,
    /// The target's own integrity check fails, or it cannot read its own data.
    Unreadable,
    /// The target does not start again.
    WillNotStart,
    /// It neither starts nor stops, nor makes progress.
    Hung,
    /// It came back, but later than its bound.
    TooSlow,
    /// A second restart shows other data than the first.
    NotRepeatable,
    /// After the trouble was over (space freed, device healthy) it still refuses to work.
    StaysDown,
}

/// A broken promise.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Finding {
    /// What kind.
    pub kind: FindingKind,
    /// In plain words: what was lost, which ack it was, and as far as known why.
    pub sentence: String,
    /// The promise that was broken.
    pub promise: Promise,
    /// The fault of the trial, as given on the command line. Filled in by the harness.
    #[serde(default)]
    pub fault: String,
    /// The transaction, where it is about one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub txn: Option<TxnId>,
    /// The key, where it is about one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// The ack whose data is gone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ack: Option<Stamp>,
    /// What was done after the first recovery, where that alone shows it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub follow_up: Option<FollowUp>,
    /// The same as [`sentence`](Self::sentence), part by part, for a card. Reports of version 0.1 have none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parts: Vec<FindingPart>,
}

/// A part of what is known of a finding.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct FindingPart {
    /// What it says.
    pub kind: PartKind,
    /// In plain words, without full stop.
    pub text: String,
}

impl FindingPart {
    /// A part with this text.
    pub fn new(kind: PartKind, text: impl Into<String>) -> Self {
        Self {
            kind,
            text: text.into(),
        }
    }
}

/// What a part of a finding says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum PartKind {
    /// What it is about: a transaction and its ack, or what the target does.
    Subject,
    /// What was done between the crash that is judged and what was seen.
    Before,
    /// An update that the disk lost, and the sync that is missing.
    Lost,
    /// Where the crash was.
    Crash,
    /// What was not synced when the transaction was acknowledged.
    NotSynced,
    /// What was read back, and what was written.
    ReadBack,
    /// How many more there are of the same kind.
    InAll,
    /// What a check said.
    Check,
    /// What else is known.
    #[serde(other)]
    Note,
}

/// The verdict of a trial. The order is that of gravity: a run's verdict is its worst trial's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// What was done cannot happen to this target, or not on this machine: nothing was judged, and
    /// nothing is missing.
    NotApplicable,
    /// Every promise held.
    Pass,
    /// The data is damaged, and the target said so: right where the damage is real.
    Detected,
    /// The target promises nothing for what was done to it, so nothing was judged.
    NoPromise,
    /// The fault never bit, or the workload never acked: nothing is known.
    NotMeasured,
    /// plugpull itself failed.
    HarnessError,
    /// A promise was broken.
    Broken,
}
