//! The event log: what a target that keeps its past says of it.

// tidy: small because it is a data format of its own.

use serde::{Deserialize, Serialize};

/// All that a target tells of the transactions that it committed, beside the state that it serves.
/// Deletes count as writes without a value.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct EventLog {
    /// The log, as one or several streams, each in the order in which the target tells it. A
    /// transaction whose keys belong to several streams has an event of the same name in each.
    pub streams: Vec<Vec<Event>>,
    /// The keys that the target serves, with the version and the position it gives them.
    pub state: Vec<LoggedKey>,
    /// Older versions of keys, as the target gives them when asked for each that the log names;
    /// empty where it was not asked.
    pub past: Vec<LoggedKey>,
}

/// One transaction, or its part in one stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// The target's own name for the transaction.
    pub name: String,
    /// Its place in the order of commits, by the target's own count.
    pub position: u64,
    /// What it wrote.
    pub ops: Vec<EventOp>,
}

/// One write of an event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventOp {
    /// The key.
    pub key: String,
    /// Its new value; none where it was deleted.
    pub value: Option<String>,
    /// Which version of the key this is, by the target's own count.
    pub version: u64,
}

/// A key at one of its versions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoggedKey {
    /// The key.
    pub key: String,
    /// Its value; none where it is deleted.
    pub value: Option<String>,
    /// The version.
    pub version: u64,
    /// The position of the transaction that wrote it.
    pub position: u64,
}
