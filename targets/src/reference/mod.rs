//! The reference store: small, sound, and with defects that can be switched on one at a time, so
//! that it can be shown that plugpull finds each of them and has nothing to say otherwise.
//!
//! # The files
//!
//! In the data folder, N counting up from 1:
//!
//! - `snapshot-N`: everything the store held when `log-N` was begun. There is none for N = 1.
//! - `log-N`: every transaction since, one record each, each in blocks of its own.
//! - `lock`: locked by the process that has the folder open.
//!
//! The snapshot with the highest N rules: its log is replayed on top of it, and all files with a
//! lower N are leftovers. A new snapshot is written to `snapshot-N.tmp`, synced, renamed, and its
//! name synced with the folder; then `log-N` is made, synced, and its name synced; only then are
//! transactions acknowledged from it.
//!
//! # Promises
//!
//! - A transaction is acknowledged after its record was written and synced. One writer works at a
//!   time, so at most one record is not yet synced: the last one. It is whole, or it is no record.
//! - A bad record with a good one behind it was synced, so it is damage, and the store refuses to
//!   start. A bad record with nothing good behind it is what a power cut leaves of a transaction
//!   that was not acknowledged, and is dropped. So a damaged last record is dropped too: the one
//!   transaction that damage can cost without being refused. Records never share a block of
//!   4 KiB, so damage within one block is damage to one record.
//! - The last record is written and synced once more at the start, because a record that was read
//!   from the page cache need not be on the disk, if its sync had failed.
//! - Without space a transaction fails, the log is cut back, and reads go on. After a failed sync,
//!   or a failed write, nothing in the log's tail can be trusted: the state as acknowledged is
//!   written to a new snapshot with a new log, and only when that is durable is the transaction
//!   said to have failed, and the next one taken.

mod folder;
mod lock;
mod log;
mod planted;
mod promises;
mod record;
mod recovery;
mod settings;
mod snapshot;
mod store;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::time::Instant;

use plugpull_workloads::Promise;

use crate::wire::start_worker;
use crate::{Host, Running, StartError, Target, UsageError};

pub use planted::{DEFECTS, Planted};
pub use recovery::RecoveryError;
pub use settings::{SETTINGS, Settings};
pub use store::ReferenceStore;

/// Its name on the command line.
pub const NAME: &str = "reference";
/// What it is, in one line.
pub const ABOUT: &str = "a small store of plugpull's own, with defects to switch on";

/// The reference store with its settings.
pub struct Reference {
    settings: Settings,
    given: Vec<String>,
}

impl Reference {
    /// The reference store with these settings, each of which is checked.
    pub fn new(values: &BTreeMap<String, String>) -> Result<Self, UsageError> {
        Ok(Self {
            settings: Settings::parse(values)?,
            given: values
                .iter()
                .map(|(name, value)| format!("{name}={value}"))
                .collect(),
        })
    }
}

impl Target for Reference {
    fn name(&self) -> &str {
        NAME
    }

    fn version(&self) -> String {
        format!(
            "reference store {}, snapshot_every={}, defect={}",
            env!("CARGO_PKG_VERSION"),
            self.settings.snapshot_every,
            self.settings.planted.map_or("none", Planted::name),
        )
    }

    fn promises(&self) -> Vec<Promise> {
        // A defect changes what the store does, never what it promises.
        promises::all()
    }

    fn snapshots(&self) -> Option<fn(&str) -> bool> {
        Some(folder::is_snapshot)
    }

    fn start<'host>(
        &self,
        host: &'host dyn Host,
        deadline: Instant,
    ) -> Result<Box<dyn Running + 'host>, StartError> {
        Ok(Box::new(start_worker(host, NAME, &self.given, deadline)?))
    }
}
