//! Promises: what a target documents, per class of failure, as data.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A class of failure, as documents speak of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum FailureClass {
    /// The process dies (SIGKILL, abort), the machine does not.
    ProcessCrash,
    /// The machine loses power or its kernel panics: what was not synced may be gone.
    PowerLoss,
    /// An orderly stop (SIGTERM).
    CleanStop,
    /// No space is left (ENOSPC).
    DiskFull,
    /// The device fails a write, a read or a sync (EIO).
    IoError,
    /// A sync fails, the kernel gives up the pages that it could not write, and later the power
    /// goes: the device broke its word first (Rebello et al., "Can Applications Recover from fsync
    /// Failures?", USENIX ATC 2020).
    SyncFailure,
    /// What was written is not what is read: bad sectors, flipped bits.
    Corruption,
    /// The process or its storage stands still for a while.
    Stall,
    /// The kernel kills the process for its memory.
    OutOfMemory,
}

impl FailureClass {
    /// With its article, as a sentence has it.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::ProcessCrash => "a process crash",
            Self::PowerLoss => "a power loss",
            Self::CleanStop => "a clean stop",
            Self::DiskFull => "a full disk",
            Self::IoError => "an I/O error",
            Self::SyncFailure => "a failed sync",
            Self::Corruption => "corruption at rest",
            Self::Stall => "a stall",
            Self::OutOfMemory => "an OOM kill",
        }
    }
}

/// How far an acknowledged transaction is safe.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Durability {
    /// From the ack on.
    AtAck,
    /// From the ack on, but for the last N transactions committed before the crash: safe is what
    /// N acknowledged transactions certainly followed, called for after its ack.
    AllButLast(u32),
    /// From the next acknowledged barrier (anchor, flush, checkpoint) on.
    AtBarrier,
    /// From this many milliseconds after the ack on.
    WithinMs(u64),
}

/// One thing a target promises.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Guarantee {
    /// Acknowledged transactions survive.
    Durable(Durability),
    /// A transaction is there whole or not at all.
    Atomic,
    /// What survives is a prefix of the history: if a transaction is there, so is every one
    /// that was acknowledged before it was invoked.
    Prefix,
    /// It opens again, its own integrity check passes, and it serves only data that was written
    /// and not aborted.
    Consistent,
    /// The log of events that it keeps tells of every acknowledged transaction and of no other,
    /// each whole and in the order of commits, and comes to the state that it serves.
    EventLog,
    /// The versions of a key are 1, 2, 3, ..., and each reads as it was written.
    Versions,
    /// Damage is either harmless or refused with a clear error: never served as data.
    Detects,
    /// It answers correctly within this many milliseconds of being started.
    RecoversWithinMs(u64),
}

/// A guarantee, the failures it is given for, and the document it comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Promise {
    /// The failures it covers.
    pub classes: Vec<FailureClass>,
    /// What is guaranteed.
    pub guarantee: Guarantee,
    /// In the document's words, or close to them.
    pub words: String,
    /// The document: a title with section, or an address.
    pub source: String,
    /// True when the user demanded it (`--promise`) and the target never promised it.
    #[serde(default)]
    pub demanded: bool,
}

impl Promise {
    /// How long a recovery takes at most, where it says so.
    pub fn recovery_bound(&self) -> Option<Duration> {
        match self.guarantee {
            Guarantee::RecoversWithinMs(ms) => Some(Duration::from_millis(ms)),
            _ => None,
        }
    }
}
