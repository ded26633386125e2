//! The node's persistence as a store that is served.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use parking_lot::Mutex;
use plugpull_workloads::Txn;

use super::check::complaint;
use super::engine::Engine;
use super::planted::Planted;
use crate::wire::{Session, Store, StoreError};

/// The open node; one caller at a time.
#[derive(Clone)]
pub(super) struct NodeStore {
    engine: Arc<Mutex<Engine>>,
}

impl NodeStore {
    /// Opens the node's files in `folder`, or makes them. An error says what is damaged.
    pub(super) fn open(folder: &Path, defect: Option<Planted>) -> Result<Self, String> {
        let engine = Engine::open(folder, defect).map_err(|e| e.to_string())?;
        Ok(Self {
            engine: Arc::new(Mutex::new(engine)),
        })
    }
}

impl Store for NodeStore {
    fn session(&self) -> Result<Box<dyn Session>, StoreError> {
        Ok(Box::new(self.clone()))
    }
}

impl Session for NodeStore {
    fn apply(&mut self, txn: &Txn) -> Result<(), StoreError> {
        self.engine.lock().apply(txn);
        Ok(())
    }

    fn barrier(&mut self) -> Result<(), StoreError> {
        self.engine.lock().anchor()
    }

    fn get(&mut self, key: &str) -> Result<Option<String>, StoreError> {
        Ok(self.engine.lock().state.get(key).cloned())
    }

    fn read_all(&mut self) -> Result<BTreeMap<String, String>, StoreError> {
        Ok(self.engine.lock().state.clone())
    }

    fn check(&mut self) -> Result<Option<String>, StoreError> {
        let engine = self.engine.lock();
        complaint(&engine).map_err(|e| StoreError::Fail(e.to_string()))
    }
}
