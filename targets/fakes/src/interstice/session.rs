//! The log as a store that is served; one transaction at a time.

// tidy: small because it is what a driver asks of this fake, and no more.

use std::collections::BTreeMap;

use plugpull_workloads::Txn;

use super::engine::IntersticeEngine;
use plugpull_driver::sdk::{Session, StoreError};
use plugpull_driver_interstice::guide_log_files::complaint;

impl Session for IntersticeEngine {
    fn apply(&mut self, txn: &Txn) -> Result<(), StoreError> {
        IntersticeEngine::commit(self, txn)
    }

    fn barrier(&mut self) -> Result<(), StoreError> {
        // Every transaction was synced before it was answered.
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
