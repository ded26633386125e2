//! Transactions: what a client asks a target to do, all or nothing.

// tidy: small because generator, drivers and checks share these types.

use serde::{Deserialize, Serialize};

use crate::{Text, TxnId};

/// What happens to one key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Write {
    /// The key gets this value, which no other write of the history carries.
    Put(Text),
    /// The key is removed.
    Delete,
}

/// One write to one key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Op {
    /// The key: printable, no white space.
    pub key: String,
    /// What happens to it.
    pub write: Write,
}

/// Several writes that happen together or not at all. A key occurs at most once in `ops`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Txn {
    /// Its name in the history.
    pub id: TxnId,
    /// The client that asks for it.
    pub client: u32,
    /// Its writes, in order.
    pub ops: Vec<Op>,
    /// True when the client rolls it back at the end: it must leave nothing behind.
    pub abort: bool,
}
