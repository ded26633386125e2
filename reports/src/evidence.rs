//! What is known of the crash behind a finding: the operations before it with what became of each,
//! and what of the files was missing afterwards.

use serde::{Deserialize, Serialize};

use crate::diagnosis::Diagnosis;
use crate::made_by::MadeBy;
use crate::smallest::SmallestWorkload;

/// The crash that showed a finding.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Evidence {
    /// What is missing or where it died, without numbers, so that the same bug has the same cause
    /// in every run: `write log-#`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cause: Vec<String>,
    /// The persistence models that allow the state of the disk.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub models: Vec<String>,
    /// How many storage operations had happened at the crash.
    #[serde(default)]
    pub point: u64,
    /// The file that `plugpull replay` takes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact: Option<String>,
    /// How often the finding was seen again before it was reported; left out where it was not tried.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tries: Option<Tries>,
    /// The operations and acks before the crash, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub timeline: Vec<TimelineStep>,
    /// What the clients had called for before the first crash, in the order of the calls: the last ones.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub clients: Vec<ClientCall>,
    /// The files of the crashed data directory, by path. Where there were very many, those that are
    /// damaged and some of the others.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<CrashedFile>,
    /// What the fault itself damaged on the disk besides, in words: flipped bits, bad sectors.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub damaged: String,
    /// Why there is neither a time line nor a list of files, in words.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub unrecorded: String,
    /// How many more files there were.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub files_left_out: u64,
    /// Why the finding is possible and what makes it go; left out where it does not come from unsynced data,
    /// or nobody looked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub diagnosis: Option<Diagnosis>,
    /// The smallest workload that was seen to show it; left out where nobody looked, or none smaller does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub smallest: Option<Box<SmallestWorkload>>,
}

/// How often a finding of a live fault was seen again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Tries {
    /// How often the same trial, made again, showed it.
    pub repeated: u64,
    /// How often it was made again.
    pub tries: u64,
    /// How often the target showed it when it was started again on the disk that the crash left.
    pub replayed: u64,
    /// How often it was started there.
    pub replays: u64,
}

impl Tries {
    /// "repeats in 2 of 3 tries; seen in 3 of 3 restarts on the disk that the crash left".
    pub fn describe(&self) -> String {
        let mut text = match self.tries {
            0 => "not tried again: the budget was over".to_string(),
            1 => format!("repeats in {} of 1 try", self.repeated),
            n => format!("repeats in {} of {n} tries", self.repeated),
        };
        if self.replays > 0 {
            text.push_str(&format!(
                "; seen in {} of {} restarts on the disk that the crash left",
                self.replayed, self.replays
            ));
        }
        text
    }
}

/// One thing that happened before a crash.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct TimelineStep {
    /// The operation's number in the trace; of an ack, how many operations came before it.
    pub seq: u64,
    /// Microseconds since the trace began.
    pub micros: u64,
    /// What kind of thing it was.
    #[serde(default)]
    pub kind: StepKind,
    /// In words: `write 4096 at 8192`, `fsync`, `ack of transaction 17`.
    pub what: String,
    /// The file or name; empty for an ack.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub path: String,
    /// What became of it.
    #[serde(default)]
    pub fate: Fate,
    /// Who made it, where stacks were recorded (`--stacks`): of an update that was lost, and of the last
    /// sync of its file before the crash.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub made_by: Option<Box<MadeBy>>,
}

/// A transaction that a client called for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ClientCall {
    /// Who called.
    pub client: u32,
    /// The transaction, or the ID that a workload of the user's own writes.
    pub what: String,
    /// How many operations had happened when it was called for.
    pub began: u64,
    /// When, in microseconds since the trace began.
    #[serde(default)]
    pub began_us: u64,
    /// How many operations had happened when its outcome was known; left out where it was in flight.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<u64>,
    /// When, likewise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_us: Option<u64>,
    /// What came of it.
    #[serde(default)]
    pub outcome: CallOutcome,
    /// True where it is the ack of the finding, whose data is gone.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub lost: bool,
}

/// What had come of a call when the crash happened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum CallOutcome {
    /// Nothing yet.
    #[default]
    InFlight,
    /// It was acknowledged.
    Acknowledged,
    /// Its client rolled it back.
    RolledBack,
    /// It was refused.
    Refused,
    /// An answer that leaves it open.
    Unknown,
}

impl CallOutcome {
    /// As people read it.
    pub fn label(self) -> &'static str {
        match self {
            CallOutcome::InFlight => "in flight",
            CallOutcome::Acknowledged => "acknowledged",
            CallOutcome::RolledBack => "rolled back",
            CallOutcome::Refused => "refused",
            CallOutcome::Unknown => "outcome unknown",
        }
    }
}

/// What kind of thing happened.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum StepKind {
    /// Bytes were written.
    Write,
    /// A file or directory was synced.
    Sync,
    /// A name was made, moved or removed.
    Name,
    /// The target acknowledged a transaction.
    Ack,
    /// An earlier crash: what follows is a restart. The last crash is the end of the time line.
    Crash,
    /// Anything else: a length, space, attributes.
    #[default]
    Other,
}

/// What became of an operation.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum Fate {
    /// It is on disk.
    #[serde(rename = "on disk")]
    OnDisk,
    /// It did not reach the disk.
    #[serde(rename = "lost")]
    Lost,
    /// Some of its sectors did.
    #[serde(rename = "torn")]
    Torn,
    /// It did not happen: a sync that would have prevented what was found.
    #[serde(rename = "missing")]
    Missing,
    /// It changes nothing on disk itself: a sync, an ack.
    #[default]
    #[serde(rename = "")]
    None,
}

impl Fate {
    /// As people and the JSON report say it.
    pub fn label(self) -> &'static str {
        match self {
            Fate::OnDisk => "on disk",
            Fate::Lost => "lost",
            Fate::Torn => "torn",
            Fate::Missing => "missing",
            Fate::None => "",
        }
    }
}

/// A file of a crashed data directory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct CrashedFile {
    /// Its path in the data directory.
    pub path: String,
    /// Its size after the crash, in bytes.
    pub size: u64,
    /// True when it is not there although it had been made (its name was lost).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub missing: bool,
    /// What of it was written and is not there, in order of offset.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub damage: Vec<Damage>,
}

/// A range of a file that did not reach the disk whole.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Damage {
    /// The first byte.
    pub offset: u64,
    /// How many bytes; they may lie behind the end of the file.
    pub len: u64,
    /// `lost` or `torn`.
    pub fate: Fate,
    /// The first bytes of the range as they were written, in hexadecimal; left out where they are not kept.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub expected: String,
    /// The same bytes as the crash left them; fewer where the file ends before.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub found: String,
}

impl Damage {
    /// A range of which the bytes are not kept.
    pub fn new(offset: u64, len: u64, fate: Fate) -> Self {
        Self {
            offset,
            len,
            fate,
            ..Self::default()
        }
    }
}

#[allow(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde hands the field by reference"
)]
fn is_zero(number: &u64) -> bool {
    *number == 0
}
