//! The node's persistence as a store that is served; one caller at a time.

// tidy: small because it is what a driver asks of this fake, and no more.

use std::collections::BTreeMap;

use plugpull_workloads::Txn;

use super::check::complaint;
use super::engine::AileeEngine;
use plugpull_driver::sdk::{Session, StoreError};

impl Session for AileeEngine {
    fn apply(&mut self, txn: &Txn) -> Result<(), StoreError> {
        AileeEngine::apply(self, txn);
        Ok(())
    }

    fn barrier(&mut self) -> Result<(), StoreError> {
        self.anchor()
    }

    fn get(&mut self, key: &str) -> Result<Option<String>, StoreError> {
        Ok(self.state.get(key).cloned())
    }

    fn read_all(&mut self) -> Result<BTreeMap<String, String>, StoreError> {
        Ok(self.state.clone())
    }

    fn check(&mut self) -> Result<Option<String>, StoreError> {
        complaint(self).map_err(|e| StoreError::Fail(e.to_string()))
    }
}
