//! The log as a store that is served.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use parking_lot::Mutex;
use plugpull_workloads::Txn;

use super::super::guide_folder::complaint;
use super::super::settings::Settings;
use super::engine::Engine;
use crate::wire::{Session, Store, StoreError};

/// The open log; one transaction at a time.
#[derive(Clone)]
pub(super) struct LogStore {
    engine: Arc<Mutex<Engine>>,
}

impl LogStore {
    /// Opens the log in `folder`, or makes it. An error says what is damaged.
    pub(super) fn open(folder: &Path, settings: Settings) -> Result<Self, String> {
        let engine = Engine::open(folder, settings)?;
        Ok(Self {
            engine: Arc::new(Mutex::new(engine)),
        })
    }
}

impl Store for LogStore {
    fn session(&self) -> Result<Box<dyn Session>, StoreError> {
        Ok(Box::new(self.clone()))
    }
}

impl Session for LogStore {
    fn apply(&mut self, txn: &Txn) -> Result<(), StoreError> {
        self.engine.lock().commit(txn)
    }

    fn barrier(&mut self) -> Result<(), StoreError> {
        // Every transaction was synced before it was answered.
        Ok(())
    }

    fn get(&mut self, key: &str) -> Result<Option<String>, StoreError> {
        Ok(self.engine.lock().state.get(key).cloned())
    }

    fn read_all(&mut self) -> Result<BTreeMap<String, String>, StoreError> {
        Ok(self.engine.lock().state.clone())
    }

    fn check(&mut self) -> Result<Option<String>, StoreError> {
        Ok(complaint(&self.engine.lock().folder))
    }
}
