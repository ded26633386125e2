//! The jobs as a store that is served. There is one plotter, so one job at a time.

// tidy: small because it is what a driver asks of this fake, and no more.

use std::collections::BTreeMap;
use std::path::Path;

use plugpull_workloads::Txn;

use super::engine::VfabEngine;
use plugpull_driver::sdk::{Session, StoreError};
use plugpull_driver_vfab::{INSPECTOR, paper};
use plugpull_inspect::Request;

impl Session for VfabEngine {
    fn apply(&mut self, txn: &Txn) -> Result<(), StoreError> {
        VfabEngine::commit(self, txn)
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
        Ok(complaint(&self.directory))
    }
}

/// What does not hold in the files at rest, by the parser alone; none when all does.
pub(super) fn complaint(directory: &Path) -> Option<String> {
    let inspected = (INSPECTOR.inspect)(&Request {
        path: directory.to_owned(),
        ..Request::default()
    });
    match inspected {
        Err(e) => Some(e.to_string()),
        Ok(found) => match found.damage.first() {
            Some(spot) => Some(format!("{}: {}: {}", spot.kind, spot.file, spot.what)),
            None => paper::complaint(directory, &directory.join("workspace/jobs")),
        },
    }
}
