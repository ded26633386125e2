//! The lines of the driver protocol, version 1. `docs/driver-protocol.md` says what they mean.

use plugpull_workloads::Txn;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::borrow::Cow;

/// The version spoken here.
pub const PROTOCOL: u64 = 1;

/// The longest line that is read, in bytes.
pub(super) const MAX_LINE: u64 = 256 << 20;

/// A line from plugpull to the driver.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Request<'a> {
    /// Never used twice in a life of the driver.
    pub id: u64,
    /// Who asks; none for hello, which is about the driver itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client: Option<u32>,
    /// How long the answer is waited for.
    pub timeout_ms: u64,
    /// What is asked.
    #[serde(flatten)]
    pub call: Call<'a>,
}

/// What is asked of a driver.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "call", rename_all = "snake_case")]
pub enum Call<'a> {
    /// Who are you?
    Hello {
        /// The version of the protocol.
        protocol: u64,
    },
    /// A transaction.
    Apply {
        /// Its number in the history.
        txn: u64,
        /// It is to be rolled back at its end.
        abort: bool,
        /// Its writes, in order.
        writes: Vec<Write<'a>>,
    },
    /// Make durable what was acknowledged before.
    Barrier,
    /// One key's value.
    Get {
        /// The key.
        key: &'a str,
    },
    /// Everything.
    ReadAll,
    /// The target's own integrity check.
    Check,
    /// The last blocks of the chain that the target follows are replaced by others.
    Reorg {
        /// How many blocks, at least 1.
        depth: u32,
    },
}

/// One write: a value, or `delete`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Write<'a> {
    /// The key.
    pub key: &'a str,
    /// Its new value.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub put: Option<Cow<'a, str>>,
    /// It is removed.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub delete: bool,
}

impl<'a> Call<'a> {
    /// The call for a transaction.
    pub fn apply(txn: &'a Txn) -> Self {
        let writes = txn.ops.iter().map(|op| match &op.write {
            plugpull_workloads::Write::Put(value) => Write {
                key: &op.key,
                put: Some(value.text()),
                delete: false,
            },
            plugpull_workloads::Write::Delete => Write {
                key: &op.key,
                put: None,
                delete: true,
            },
        });
        Self::Apply {
            txn: txn.id,
            abort: txn.abort,
            writes: writes.collect(),
        }
    }
}

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Verdict {
    Ok,
    Fail,
    Info,
}

/// A line from the driver to plugpull.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub(super) struct Answer {
    /// The request's; none where the driver could not read one.
    pub(super) id: Option<u64>,
    pub(super) answer: Verdict,
    #[serde(default)]
    pub(super) text: String,
    #[serde(flatten)]
    pub(super) fields: Map<String, Value>,
}

impl Answer {
    /// Reads a line.
    pub(super) fn parse(line: &[u8]) -> Result<Self, String> {
        serde_json::from_slice(line).map_err(|error| {
            let text = String::from_utf8_lossy(line);
            let start: String = text.trim_end().chars().take(200).collect();
            format!("it wrote a line that is no answer ({error}): {start:?}")
        })
    }
}
