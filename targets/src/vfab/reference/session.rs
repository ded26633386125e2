//! The jobs as a store that is served.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use parking_lot::Mutex;
use plugpull_workloads::Txn;

use super::super::{INSPECTOR, paper};
use super::engine::Engine;
use super::planted::Planted;
use crate::inspect::Request;
use crate::wire::{Session, Store, StoreError};

/// The open workspace; one plotter, so one job at a time.
#[derive(Clone)]
pub(super) struct JobStore {
    engine: Arc<Mutex<Engine>>,
}

impl JobStore {
    /// Opens the workspace in `folder`, or makes it. An error says what is damaged.
    pub(super) fn open(folder: &Path, defect: Option<Planted>) -> Result<Self, String> {
        let engine = Engine::open(folder, defect).map_err(|e| e.to_string())?;
        Ok(Self {
            engine: Arc::new(Mutex::new(engine)),
        })
    }
}

impl Store for JobStore {
    fn session(&self) -> Result<Box<dyn Session>, StoreError> {
        Ok(Box::new(self.clone()))
    }
}

impl Session for JobStore {
    fn apply(&mut self, txn: &Txn) -> Result<(), StoreError> {
        self.engine.lock().commit(txn)
    }

    fn barrier(&mut self) -> Result<(), StoreError> {
        // A job is on the disk when it is answered.
        Ok(())
    }

    fn get(&mut self, key: &str) -> Result<Option<String>, StoreError> {
        Ok(self.engine.lock().state.get(key).cloned())
    }

    fn read_all(&mut self) -> Result<BTreeMap<String, String>, StoreError> {
        Ok(self.engine.lock().state.clone())
    }

    fn check(&mut self) -> Result<Option<String>, StoreError> {
        let engine = self.engine.lock();
        Ok(complaint(&engine.folder))
    }
}

/// What does not hold in the files at rest, by the parser alone; none when all does.
pub(super) fn complaint(folder: &Path) -> Option<String> {
    let inspected = (INSPECTOR.inspect)(&Request {
        path: folder.to_owned(),
        ..Request::default()
    });
    match inspected {
        Err(e) => Some(e.to_string()),
        Ok(found) => match found.damage.first() {
            Some(spot) => Some(format!("{}: {}: {}", spot.kind, spot.file, spot.what)),
            None => paper::complaint(folder, &folder.join("workspace/jobs")),
        },
    }
}
