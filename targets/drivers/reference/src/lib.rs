//! The reference store: small, sound, and with mutants that can be switched on one at a time, so
//! that it can be shown that plugpull finds each of them and has nothing to say otherwise.
//!
//! # The files
//!
//! In the data directory, N counting up from 1:
//!
//! - `snapshot-N`: everything the store held when `log-N` was begun. There is none for N = 1.
//! - `log-N`: every transaction since, one record each, each in blocks of its own.
//! - `lock`: locked by the process that has the directory open.
//!
//! The snapshot with the highest N rules: its log is replayed on top of it, and all files with a
//! lower N are leftovers. A new snapshot is written to `snapshot-N.tmp`, synced, renamed, and its
//! name synced with the directory; then `log-N` is made, synced, and its name synced; only then are
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
//!   reported as failed, and the next one taken.

mod compact;
mod directory;
mod error;
mod lock;
mod log;
mod mutant;
mod record;
mod recovery;
mod settings;
mod snapshot;
mod store;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::time::Instant;

use plugpull_catalog::promises_of;
use plugpull_driver::sdk::{
    Driver, FORK_EXIT, FORK_PROCESS, OfferedAction, Place, Store, System, described, note,
};
use plugpull_driver::{Capability, Description, Shape, UsageError, resolved};

pub use error::RecoveryError;
pub use mutant::{MUTANTS, Mutation};
pub use settings::{SETTINGS, Settings};
pub use store::ReferenceStore;

/// Its name on the command line.
pub const NAME: &str = "reference";

/// The reference store, as a system that a driver speaks for.
pub const SYSTEM: System = System {
    name: NAME,
    about: "a small store of plugpull's own, with mutants to switch on",
    settings: SETTINGS,
    mutants: MUTANTS,
    open: |values| Ok(Box::new(ReferenceDriver::new(values)?)),
    inspect: None,
};

/// What it can do besides transactions, while it is up.
const ACTIONS: &[OfferedAction<ReferenceStore>] = &[compact::COMPACT];

/// The reference store with its settings.
struct ReferenceDriver {
    settings: Settings,
}

impl ReferenceDriver {
    fn new(values: &BTreeMap<String, String>) -> Result<Self, UsageError> {
        Ok(Self {
            settings: Settings::parse(values)?,
        })
    }
}

impl Driver for ReferenceDriver {
    fn describe(&self) -> Description {
        let able = [
            Capability::Abort,
            Capability::Barrier,
            Capability::Check,
            Capability::Delete,
        ];
        Description {
            version: format!(
                "reference store {}, snapshot_every={}, defect={}",
                env!("CARGO_PKG_VERSION"),
                self.settings.snapshot_every,
                self.settings.mutation.map_or("none", Mutation::name),
            ),
            shapes: vec![Shape::KeyValue.word().into()],
            capabilities: able.map(|one| one.word().to_owned()).into(),
            actions: described(ACTIONS),
            fork: [FORK_PROCESS, FORK_EXIT].map(String::from).into(),
            snapshots: vec!["snapshot-#".into()],
            // A mutant changes what the store does, never what it promises.
            promises: promises_of(NAME, &resolved(SETTINGS, &BTreeMap::new())),
            ..Description::default()
        }
    }

    fn open(&self, place: &Place, _deadline: Instant) -> Result<Box<dyn Store>, String> {
        let store = ReferenceStore::open(&place.data, self.settings);
        let store = store.map_err(|error| error.to_string())?;
        store.notice().into_iter().for_each(note);
        Ok(Box::new(store))
    }
}
