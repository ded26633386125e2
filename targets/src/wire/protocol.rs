//! The lines of the protocol.

use std::borrow::Cow;
use std::collections::BTreeMap;

use plugpull_workloads::Txn;
use serde::{Deserialize, Serialize};

/// The word before the port in the line that says that the worker takes connections.
pub const READY: &str = "ready";

/// The longest request line the worker reads, in bytes. A transaction of many values of 1 MiB,
/// each byte escaped, stays far below it.
pub const MAX_LINE: u64 = 256 << 20;

/// What a client asks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "call", rename_all = "snake_case")]
pub enum Request<'a> {
    /// Apply a transaction; answered by [`Answer::Ok`].
    Apply {
        /// The transaction.
        txn: Cow<'a, Txn>,
    },
    /// Make durable what was acknowledged before; answered by [`Answer::Ok`].
    Barrier,
    /// Read one key; answered by [`Answer::Value`].
    Get {
        /// The key.
        key: Cow<'a, str>,
    },
    /// Read everything; answered by [`Answer::Values`].
    ReadAll,
    /// Check the store's own integrity; answered by [`Answer::Checked`].
    Check,
}

/// What the worker answers. Any request may be answered by `Fail` or `Info`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "snake_case")]
pub enum Answer {
    /// It is done.
    Ok,
    /// It certainly had no effect.
    Fail {
        /// What the store said.
        text: String,
    },
    /// Nobody knows whether it had an effect.
    Info {
        /// What the store said.
        text: String,
    },
    /// The value of a key, none where the key is not there.
    Value {
        /// The value.
        value: Option<String>,
    },
    /// Everything the store holds.
    Values {
        /// By key.
        values: BTreeMap<String, String>,
    },
    /// What the integrity check says; none when all is sound.
    Checked {
        /// The complaint.
        complaint: Option<String>,
    },
}
