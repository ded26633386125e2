//! The lines of the driver protocol, versions 1 and 2. `docs/driver-protocol.md` says what they
//! mean.

use std::borrow::Cow;
use std::collections::BTreeMap;

use plugpull_workloads::{Op, Txn};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::Action;

/// The version spoken here. It is a draft: fields may change until a release says otherwise.
pub const PROTOCOL: u64 = 2;

/// The oldest version that is still spoken with.
pub const OLDEST: u64 = 1;

/// The longest line that is read, in bytes.
pub const MAX_LINE: u64 = 256 << 20;

/// The variable that names the data directory to a driver.
pub const DATA_VARIABLE: &str = "PLUGPULL_DATA_DIR";

/// A line from plugpull to the driver.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request<'a> {
    /// Never used twice in a life of the driver.
    pub id: u64,
    /// Which client it comes from; none for what is about the driver itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client: Option<u32>,
    /// How long the answer is waited for.
    pub timeout_ms: u64,
    /// What the driver shall do.
    #[serde(flatten)]
    pub call: Call<'a>,
}

/// What a driver shall do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "call", rename_all = "snake_case")]
pub enum Call<'a> {
    /// Says what it is, without a data directory. Since version 2.
    Describe {
        /// The version of the protocol.
        protocol: u64,
    },
    /// Says how the daemon is started that is the target. Since version 2.
    Launch,
    /// Opens the store, or waits until the daemon is ready.
    Hello {
        /// The version of the protocol.
        protocol: u64,
    },
    /// Does a transaction.
    Apply {
        /// Its number in the history.
        txn: u64,
        /// It is to be rolled back at its end.
        abort: bool,
        /// Its writes, in order.
        writes: Vec<Write<'a>>,
    },
    /// Makes durable what was acknowledged before.
    Barrier,
    /// Reads one key's value.
    Get {
        /// The key.
        key: Cow<'a, str>,
    },
    /// Reads everything.
    ReadAll,
    /// Runs the target's own integrity check; with IDs, that of an opaque workload.
    Check {
        /// The IDs that were acknowledged, in the order of their acks. Since version 2, for an
        /// opaque workload only.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        acked: Option<Cow<'a, [String]>>,
    },
    /// Reads the target's event log. Since version 2.
    EventLog,
    /// Begins an opaque workload. Its [`Event`]s come before the answer, which comes when the
    /// workload has no more to do. Since version 2.
    Work {
        /// Counts the workload's starts in one trial, from 1.
        life: u64,
    },
    /// Does one of the driver's actions. Since version 2.
    Act {
        /// The action's name.
        action: Cow<'a, str>,
        /// The number that it takes.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        amount: Option<u32>,
        /// The same, for a driver that calls it depth and knows no amount.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        depth: Option<u32>,
    },
    /// Replaces the last blocks of the chain that the target follows by others. Version 1 alone.
    Reorg {
        /// How many blocks, at least 1.
        depth: u32,
    },
}

/// One write: a value, or `delete`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Write<'a> {
    /// The key.
    pub key: Cow<'a, str>,
    /// Its new value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub put: Option<Cow<'a, str>>,
    /// It is removed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub delete: bool,
}

impl<'a> Call<'a> {
    /// The call for an action of a driver that speaks this version, with the least number that it
    /// takes where none is given.
    pub(crate) fn act(action: &'a Action, amount: Option<u32>, protocol: u64) -> Self {
        let amount = amount.or_else(|| action.takes().map(|takes| takes.least));
        if protocol == OLDEST {
            // Version 1 knows one action, and calls it by its name.
            let depth = amount.unwrap_or(1);
            return Self::Reorg { depth };
        }
        Self::Act {
            action: Cow::Borrowed(&action.name),
            amount,
            depth: amount.filter(|_| action.depth),
        }
    }

    /// The call for a transaction.
    pub fn apply(txn: &'a Txn) -> Self {
        let writes = txn.ops.iter().map(|op| match &op.write {
            plugpull_workloads::Write::Put(value) => Write {
                key: Cow::Borrowed(&op.key),
                put: Some(value.text()),
                delete: false,
            },
            plugpull_workloads::Write::Delete => Write {
                key: Cow::Borrowed(&op.key),
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

/// The transaction that a call to apply means.
pub fn txn(id: u64, client: u32, abort: bool, writes: Vec<Write<'_>>) -> Txn {
    let ops = writes.into_iter().map(|write| Op {
        key: write.key.into_owned(),
        write: match write.put {
            Some(value) => plugpull_workloads::Write::Put(value.into_owned().into()),
            None => plugpull_workloads::Write::Delete,
        },
    });
    Txn {
        id,
        client,
        ops: ops.collect(),
        abort,
    }
}

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// It is done.
    Ok,
    /// It certainly had no effect.
    Fail,
    /// Nobody knows whether it had an effect.
    Info,
    /// The same, and the client has lost its connection: it will not be used again. Since
    /// version 2.
    Gone,
}

/// A line from the driver to plugpull that ends a request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Answer {
    /// The request's; none where the driver could not read one.
    pub id: Option<u64>,
    /// How it ended.
    pub answer: Verdict,
    /// Why, where it is not `ok`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub text: String,
    /// What the call returns.
    #[serde(flatten)]
    pub fields: Map<String, Value>,
}

impl Answer {
    /// Reads a line.
    ///
    /// # Errors
    /// Why it is no answer, with how it begins.
    pub fn parse(line: &[u8]) -> Result<Self, String> {
        serde_json::from_slice(line).map_err(|error| not_an_answer(&error, line))
    }
}

/// Why a line is no answer, with how it begins.
pub(crate) fn not_an_answer(why: &impl std::fmt::Display, line: &[u8]) -> String {
    let text = String::from_utf8_lossy(line);
    let start: String = text.trim_end().chars().take(200).collect();
    format!("it wrote a line that is no answer ({why}): {start:?}")
}

/// What happens in an opaque workload: a line from the driver with the id of the request `work`,
/// and no answer yet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// The request's.
    pub id: u64,
    /// What happened.
    pub event: EventKind,
    /// The ID that it is about; none for a barrier.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub item: Option<String>,
}

/// What can happen in an opaque workload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EventKind {
    /// The ID is going to be written.
    Try,
    /// The ID is durable.
    Ack,
    /// The ID was certainly not written.
    Fail,
    /// Nobody knows whether the ID was written.
    Info,
    /// Every ID that was acknowledged so far is durable.
    Barrier,
}

/// How the daemon is started that is the target: the answer to `launch`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LaunchAnswer {
    /// The program: an absolute path, or a name that is looked for beside plugpull, then on PATH.
    pub program: String,
    /// Its arguments, without argument zero.
    #[serde(default)]
    pub args: Vec<String>,
    /// Variables added to a minimal environment.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    /// Its working directory; the data directory when none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cwd: Option<String>,
    /// A text: the driver is asked for nothing before the daemon printed a line with it on standard
    /// output.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ready_line: Option<String>,
    /// A text: once the driver said hello, a line of the daemon's with it is waited for, for a second
    /// at most. By then every refusal is printed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settled_line: Option<String>,
    /// Texts: a daemon that prints a line with one of them before it is up refuses to start, whatever
    /// it answers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub refusal_lines: Vec<String>,
}

/// The answer to the check of an opaque workload. Each text may be empty.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct OpaqueCheck {
    /// Why the target does not open, if it does not; then nothing else is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
    /// How long, in milliseconds, the target gave no answer, where that is all that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub silent_ms: Option<u64>,
    /// IDs that are gone, with why that is known.
    pub lost: BTreeMap<String, String>,
    /// IDs that are there in part.
    pub torn: BTreeMap<String, String>,
    /// What else is wrong.
    pub corrupt: Vec<String>,
    /// What the check printed, for people.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub output: String,
}
