//! The running store: commits, snapshots, and what it does when the disk fails it.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use parking_lot::{Mutex, RwLock};
use plugpull_workloads::{Op, Txn, Write};

use super::directory::Directory;
use super::error::RecoveryError;
use super::lock::Lock;
use super::log::{self, Log, no_space};
use super::mutant::Mutation;
use super::record::encode;
use super::recovery::{read, recover, replay};
use super::settings::Settings;
use super::snapshot::{self, NotWritten};
use plugpull_driver::sdk::{Embedded, Session, Store, StoreError, act};
use plugpull_driver::{Client, ClientError};

/// An open reference store.
#[derive(Clone)]
pub struct ReferenceStore {
    inner: Arc<Inner>,
}

struct Inner {
    directory: Directory,
    settings: Settings,
    /// What was acknowledged. Written by the writer alone; readers never wait for the disk.
    map: RwLock<BTreeMap<String, String>>,
    writer: Mutex<Writer>,
    notice: Option<String>,
    _lock: Lock,
}

/// What only the one who commits may touch.
struct Writer {
    /// None when it cannot be trusted any more: then a new snapshot with a new log comes first.
    log: Option<Log>,
    /// The highest number that a snapshot or log was ever begun with.
    number: u64,
    next_seq: u64,
    /// How many records are in the log.
    records: u64,
    /// Only with ack-before-fsync: an acknowledged record waits for its sync.
    unsynced: bool,
}

impl ReferenceStore {
    /// Opens the store in `directory`, or makes it.
    pub fn open(directory: &Path, settings: Settings) -> Result<Self, RecoveryError> {
        let directory = Directory::new(directory);
        let lock = Lock::take(&directory, &settings)?;
        let recovered = recover(&directory, &settings)?;
        let writer = Writer {
            log: recovered.log,
            number: recovered.number,
            next_seq: recovered.next_seq,
            records: recovered.records,
            unsynced: false,
        };
        Ok(Self {
            inner: Arc::new(Inner {
                directory,
                settings,
                map: RwLock::new(recovered.map),
                writer: Mutex::new(writer),
                notice: recovered.notice,
                _lock: lock,
            }),
        })
    }

    /// What its start has to tell: that a torn tail was dropped, and where.
    pub fn notice(&self) -> Option<&str> {
        self.inner.notice.as_deref()
    }

    /// Puts a new snapshot in the place of the log, however long that is.
    pub(super) fn compact(&self) -> Result<(), StoreError> {
        let mut writer = self.inner.writer.lock();
        self.inner.mend(&mut writer)?;
        // DEFECT compact-removes-first.
        if self.inner.settings.has(Mutation::CompactRemovesFirst) {
            self.inner.directory.clean(writer.number + 1);
        }
        self.inner.rotate(&mut writer).map_err(|not| {
            let why = format!("the log could not be replaced: {}", not.error);
            match not.in_doubt {
                true => StoreError::Info(why),
                false => StoreError::Fail(why),
            }
        })
    }

    /// Has the next records written to this file, for tests of what a failing one does.
    #[cfg(test)]
    pub(super) fn log_into(&self, path: &Path) {
        let mut writer = self.inner.writer.lock();
        if let Some(log) = &writer.log {
            let (number, end) = (log.number(), log.end());
            writer.log = Log::open(path, number, end).ok();
        }
    }
}

impl Inner {
    fn commit(&self, txn: &Txn) -> Result<(), StoreError> {
        // Nothing is written before the end of a transaction, so there is nothing to roll back.
        if txn.abort || txn.ops.is_empty() {
            return Ok(());
        }
        let mut writer = self.writer.lock();
        self.mend(&mut writer)?;
        if writer.unsynced {
            self.sync(&mut writer)?;
            writer.unsynced = false;
        }
        let logged = self.append(&mut writer, &txn.ops)?;
        // DEFECT ack-before-fsync: the sync comes with the next commit.
        if self.settings.has(Mutation::AckBeforeFsync) {
            writer.unsynced = true;
        } else if logged {
            self.sync(&mut writer)?;
        }
        replay(&mut self.map.write(), &txn.ops);
        if writer.records >= self.settings.snapshot_every
            && let Err(not) = self.rotate(&mut writer)
            && !not.in_doubt
        {
            // The old log serves on; the next try comes when as much was written again.
            writer.records = 0;
        }
        Ok(())
    }

    /// Logs the writes, as one record. Returns whether there is anything to sync.
    fn append(&self, writer: &mut Writer, ops: &[Op]) -> Result<bool, StoreError> {
        let logged: Vec<Op> = ops
            .iter()
            // DEFECT delete-not-logged.
            .filter(|op| {
                !(op.write == Write::Delete && self.settings.has(Mutation::DeleteNotLogged))
            })
            .cloned()
            .collect();
        if logged.is_empty() {
            return Ok(false);
        }
        // DEFECT non-atomic-commit: a record for each write.
        let size = if self.settings.has(Mutation::NonAtomicCommit) {
            1
        } else {
            logged.len()
        };
        for part in logged.chunks(size) {
            let Some(log) = &mut writer.log else {
                return Err(no_log());
            };
            match log.append(&encode(log.number(), writer.next_seq, part)) {
                Ok(()) => {
                    writer.next_seq += 1;
                    writer.records += 1;
                }
                // DEFECT enospc-acked: goes on as if it had been logged.
                Err(e) if no_space(&e) && self.settings.has(Mutation::EnospcAcked) => {
                    return Ok(false);
                }
                Err(e) if no_space(&e) => {
                    return Err(StoreError::Fail(format!("no space in the log: {e}")));
                }
                Err(e) => return Err(self.doubt(writer, "write to", &e)),
            }
        }
        Ok(true)
    }

    fn sync(&self, writer: &mut Writer) -> Result<(), StoreError> {
        // DEFECT no-fsync.
        if self.settings.has(Mutation::NoFsync) {
            return Ok(());
        }
        let Some(log) = &writer.log else {
            return Err(no_log());
        };
        match log.sync() {
            Ok(()) => Ok(()),
            // DEFECT eio-ignored.
            Err(_) if self.settings.has(Mutation::EioIgnored) => Ok(()),
            Err(e) => Err(self.doubt(writer, "sync", &e)),
        }
    }

    /// After a failed write or sync of the log: its tail may hold the transaction or not, now and
    /// after the next crash. Only a durable snapshot of what was acknowledged settles that it does
    /// not; until there is one, nobody knows.
    fn doubt(&self, writer: &mut Writer, what: &str, error: &io::Error) -> StoreError {
        writer.log = None;
        match self.rotate(writer) {
            Ok(()) => StoreError::Fail(format!(
                "cannot {what} the log: {error}; went on with a new log, without the transaction"
            )),
            Err(not) => StoreError::Info(format!(
                "cannot {what} the log: {error}; nor make a new one: {}",
                not.error
            )),
        }
    }

    /// Makes sure that there is a log to be trusted.
    fn mend(&self, writer: &mut Writer) -> Result<(), StoreError> {
        if writer.log.is_some() {
            return Ok(());
        }
        self.rotate(writer).map_err(|not| {
            StoreError::Fail(format!(
                "there is no log, nor can one be made: {}",
                not.error
            ))
        })
    }

    /// A new snapshot of what was acknowledged, with a new log. When this fails with the new
    /// snapshot in doubt, the old log must not be written to any more: after a crash the new
    /// snapshot may rule, and nobody would look at the old log.
    fn rotate(&self, writer: &mut Writer) -> Result<(), NotWritten> {
        writer.number += 1;
        let number = writer.number;
        // DEFECT rename-without-fsync.
        let content_first = !self.settings.has(Mutation::RenameWithoutFsync);
        let written = snapshot::write(
            &self.directory,
            number,
            writer.next_seq,
            &self.map.read(),
            content_first,
        );
        // DEFECT no-dir-fsync.
        let name_durable = !self.settings.has(Mutation::NoDirFsync);
        let made = written.and_then(|()| {
            Log::create(&self.directory, number, name_durable).map_err(|error| NotWritten {
                error,
                in_doubt: true,
            })
        });
        match made {
            Ok(log) => {
                writer.log = Some(log);
                writer.records = 0;
                writer.unsynced = false;
                self.directory.clean(number);
                Ok(())
            }
            Err(not) => {
                if not.in_doubt {
                    writer.log = None;
                }
                Err(not)
            }
        }
    }

    /// Reads the files again and checks every checksum and sequence number.
    fn check(&self) -> Result<Option<String>, StoreError> {
        let mut writer = self.writer.lock();
        self.mend(&mut writer)?;
        let Some(log) = &writer.log else {
            return Err(no_log());
        };
        Ok(self.verify(log, &writer).err())
    }

    fn verify(&self, log: &Log, writer: &Writer) -> Result<(), String> {
        let unfit = |e: RecoveryError| e.to_string();
        let number = log.number();
        let first = if number == 1 {
            1
        } else {
            let path = self.directory.snapshot(number);
            let (_, first) =
                snapshot::decode(&read(&path).map_err(unfit)?, &path, number).map_err(unfit)?;
            first
        };
        let path = self.directory.log(number);
        let bytes = read(&path).map_err(unfit)?;
        let checked = !self.settings.has(Mutation::NoChecksum);
        let found = log::scan(&bytes, &path, number, first, checked).map_err(unfit)?;
        let next = first + found.records.len() as u64;
        if found.end != log.end() || next != writer.next_seq {
            return Err(format!(
                "{} ends at offset {} before record {next}, where {} before record {} is right",
                path.display(),
                found.end,
                log.end(),
                writer.next_seq,
            ));
        }
        Ok(())
    }
}

fn no_log() -> StoreError {
    StoreError::Fail("there is no log to write to".into())
}

impl Store for ReferenceStore {
    fn connect(&self, _client: u32, _deadline: Instant) -> Result<Box<dyn Client>, ClientError> {
        Ok(Box::new(Embedded(self.clone())))
    }
}

impl Session for ReferenceStore {
    fn apply(&mut self, txn: &Txn) -> Result<(), StoreError> {
        self.inner.commit(txn)
    }

    fn barrier(&mut self) -> Result<(), StoreError> {
        let mut writer = self.inner.writer.lock();
        self.inner.mend(&mut writer)?;
        self.inner.sync(&mut writer)?;
        writer.unsynced = false;
        Ok(())
    }

    fn get(&mut self, key: &str) -> Result<Option<String>, StoreError> {
        Ok(self.inner.map.read().get(key).cloned())
    }

    fn read_all(&mut self) -> Result<BTreeMap<String, String>, StoreError> {
        Ok(self.inner.map.read().clone())
    }

    fn check(&mut self) -> Result<Option<String>, StoreError> {
        self.inner.check()
    }

    fn act(&mut self, action: &str, amount: Option<u32>) -> Result<(), StoreError> {
        act(super::ACTIONS, self, action, amount)
    }
}
