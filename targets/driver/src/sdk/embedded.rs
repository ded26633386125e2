//! Stores in the driver's own process: nothing there waits for a network, so no call needs a
//! deadline.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use parking_lot::Mutex;
use plugpull_workloads::Txn;
use thiserror::Error;

use super::Store;
use crate::{Client, ClientError};

/// Why a store did not do what it should.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum StoreError {
    /// It certainly had no effect.
    #[error("{0}")]
    Fail(String),
    /// Nobody knows whether it had an effect.
    #[error("{0}")]
    Info(String),
}

impl From<StoreError> for ClientError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Fail(text) => Self::Fail(text),
            StoreError::Info(text) => Self::Info(text),
        }
    }
}

/// One client's handle to a store in this process. The calls mean what those of [`Client`] mean.
pub trait Session: Send {
    /// Applies a transaction, or rolls it back at its end when `txn.abort`.
    fn apply(&mut self, txn: &Txn) -> Result<(), StoreError>;
    /// Makes durable what was acknowledged before.
    fn barrier(&mut self) -> Result<(), StoreError>;
    /// The value of one key.
    fn get(&mut self, key: &str) -> Result<Option<String>, StoreError>;
    /// Everything the store holds. Bytes that are no UTF-8 come as U+FFFD.
    fn read_all(&mut self) -> Result<BTreeMap<String, String>, StoreError>;
    /// The store's own integrity check: none when sound, else its complaint.
    fn check(&mut self) -> Result<Option<String>, StoreError>;
    /// Does an action that is done while the store is up; see [`OfferedAction`](super::OfferedAction).
    fn act(&mut self, action: &str, amount: Option<u32>) -> Result<(), StoreError> {
        let _ = amount;
        Err(StoreError::Fail(format!("there is no action {action}")))
    }
}

/// A session as a client.
pub struct Embedded<S>(pub S);

impl<S: Session> Client for Embedded<S> {
    fn apply(&mut self, txn: &Txn, _deadline: Instant) -> Result<(), ClientError> {
        Ok(self.0.apply(txn)?)
    }

    fn barrier(&mut self, _deadline: Instant) -> Result<(), ClientError> {
        Ok(self.0.barrier()?)
    }

    fn get(&mut self, key: &str, _deadline: Instant) -> Result<Option<String>, ClientError> {
        Ok(self.0.get(key)?)
    }

    fn read_all(&mut self, _deadline: Instant) -> Result<BTreeMap<String, String>, ClientError> {
        Ok(self.0.read_all()?)
    }

    fn check(&mut self, _deadline: Instant) -> Result<Option<String>, ClientError> {
        Ok(self.0.check()?)
    }

    fn act(
        &mut self,
        action: &str,
        amount: Option<u32>,
        _deadline: Instant,
    ) -> Result<(), ClientError> {
        Ok(self.0.act(action, amount)?)
    }
}

/// A store for one client at a time, shared by all: a call each.
pub struct Shared<S>(Arc<Mutex<S>>);

impl<S> Shared<S> {
    /// Shares an open store.
    pub fn new(store: S) -> Self {
        Self(Arc::new(Mutex::new(store)))
    }
}

impl<S: Session + 'static> Store for Shared<S> {
    fn connect(&self, _client: u32, _deadline: Instant) -> Result<Box<dyn Client>, ClientError> {
        Ok(Box::new(Embedded(Self(Arc::clone(&self.0)))))
    }
}

impl<S: Session> Session for Shared<S> {
    fn apply(&mut self, txn: &Txn) -> Result<(), StoreError> {
        self.0.lock().apply(txn)
    }

    fn barrier(&mut self) -> Result<(), StoreError> {
        self.0.lock().barrier()
    }

    fn get(&mut self, key: &str) -> Result<Option<String>, StoreError> {
        self.0.lock().get(key)
    }

    fn read_all(&mut self) -> Result<BTreeMap<String, String>, StoreError> {
        self.0.lock().read_all()
    }

    fn check(&mut self) -> Result<Option<String>, StoreError> {
        self.0.lock().check()
    }

    fn act(&mut self, action: &str, amount: Option<u32>) -> Result<(), StoreError> {
        self.0.lock().act(action, amount)
    }
}
