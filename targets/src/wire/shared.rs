//! A store for one caller at a time, shared by all connections.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;
use plugpull_workloads::Txn;

use super::{Session, Store, StoreError};

/// Lets the connections take turns, a call each.
pub(crate) struct Shared<S>(Arc<Mutex<S>>);

impl<S> Shared<S> {
    /// Shares an open store.
    pub(crate) fn new(store: S) -> Self {
        Self(Arc::new(Mutex::new(store)))
    }
}

impl<S: Session + 'static> Store for Shared<S> {
    fn session(&self) -> Result<Box<dyn Session>, StoreError> {
        Ok(Box::new(Self(self.0.clone())))
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
}
