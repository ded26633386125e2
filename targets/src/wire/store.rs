//! What an embedded store offers to the server.

use std::collections::BTreeMap;

use plugpull_workloads::Txn;
use thiserror::Error;

/// Why a store did not do as asked.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum StoreError {
    /// It certainly had no effect.
    #[error("{0}")]
    Fail(String),
    /// Nobody knows whether it had an effect.
    #[error("{0}")]
    Info(String),
}

/// An open store, shared by all connections.
pub trait Store: Send + Sync {
    /// What one connection works through.
    fn session(&self) -> Result<Box<dyn Session>, StoreError>;
}

/// One connection's handle to a store. The calls mean what those of [`Client`](crate::Client) mean.
pub trait Session: Send {
    /// Applies a transaction, or rolls it back at its end when `txn.abort`.
    fn apply(&mut self, txn: &Txn) -> Result<(), StoreError>;
    /// Makes durable what was acknowledged before.
    fn barrier(&mut self) -> Result<(), StoreError>;
    /// The value of one key.
    fn get(&mut self, key: &str) -> Result<Option<String>, StoreError>;
    /// Everything the store holds. Bytes that are no UTF-8 come as U+FFFD.
    fn read_all(&mut self) -> Result<BTreeMap<String, String>, StoreError>;
    /// The store's own integrity check: none when sound, else what it says.
    fn check(&mut self) -> Result<Option<String>, StoreError>;
}
