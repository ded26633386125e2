//! The jobs as a store that is served. There is one plotter, so one job at a time.

use std::collections::BTreeMap;
use std::path::Path;

use plugpull_workloads::Txn;

use super::super::{INSPECTOR, paper};
use super::engine::Engine;
use crate::inspect::Request;
use crate::wire::{Session, StoreError};

impl Session for Engine {
    fn apply(&mut self, txn: &Txn) -> Result<(), StoreError> {
        Engine::commit(self, txn)
    }

    fn barrier(&mut self) -> Result<(), StoreError> {
        // A job is on the disk when it is answered.
        Ok(())
    }

    fn get(&mut self, key: &str) -> Result<Option<String>, StoreError> {
        Ok(self.state.get(key).cloned())
    }

    fn read_all(&mut self) -> Result<BTreeMap<String, String>, StoreError> {
        Ok(self.state.clone())
    }

    fn check(&mut self) -> Result<Option<String>, StoreError> {
        Ok(complaint(&self.folder))
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
