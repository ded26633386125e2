//! The log that is open: appending transactions, rotating, and what happens when the disk fails it.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use plugpull_workloads::{Op, Txn, Write};

use super::record;
use super::recovery::{Recovered, recover};
use plugpull_driver::sdk::StoreError;
use plugpull_driver_interstice::Mutant;
use plugpull_driver_interstice::Settings;
use plugpull_driver_interstice::guide_log_files::{ACTIVE, path};

/// The log with the state that it comes to.
pub(super) struct IntersticeEngine {
    pub(super) directory: PathBuf,
    settings: Settings,
    /// What was acknowledged.
    pub(super) state: BTreeMap<String, String>,
    /// None while a rotation is half done.
    log: Option<File>,
    /// In bytes: how far the log holds whole transactions.
    length: u64,
    /// Something that is no transaction may lie behind them.
    dirty: bool,
    clock: u64,
    next: u64,
    /// Only with ack-before-sync: something acknowledged waits for its sync.
    unsynced: bool,
}

impl IntersticeEngine {
    /// Opens the log in `directory`, or makes it. An error says what is damaged.
    pub(super) fn open(directory: &Path, settings: Settings) -> Result<Self, String> {
        let Recovered {
            state,
            log,
            length,
            clock,
            next,
        } = recover(directory, &settings)?;
        Ok(Self {
            directory: directory.to_owned(),
            settings,
            state,
            log: Some(log),
            length,
            // Where there was no space to cut the end off, it is still there.
            dirty: !settings.has(Mutant::TornTailKept),
            clock,
            next,
            unsynced: false,
        })
    }

    /// Applies a transaction; it is on the disk when this returns.
    pub(super) fn commit(&mut self, txn: &Txn) -> Result<(), StoreError> {
        // Nothing is written before the end of a transaction, so there is nothing to roll back.
        if txn.abort || txn.ops.is_empty() {
            return Ok(());
        }
        self.mend()
            .map_err(|e| StoreError::Fail(format!("the log cannot be written: {e}")))?;
        if self.unsynced {
            self.log()?.sync_all().map_err(|e| failed(&e))?;
            self.unsynced = false;
        }
        let time = self.clock + 1;
        let mut records: Vec<Vec<u8>> = txn
            .ops
            .iter()
            .filter(|op| {
                // MUTANT deletes-not-logged.
                op.write != Write::Delete || !self.settings.has(Mutant::DeletesNotLogged)
            })
            .filter_map(|op| record::change(op, self.state.get(&op.key).map(String::as_str), time))
            .collect();
        records.push(record::commit(records.len(), time));
        let mut end = self.length;
        // MUTANT commit-in-parts: an append for each record.
        let parts = if self.settings.has(Mutant::CommitInParts) {
            records
        } else {
            vec![records.concat()]
        };
        for part in parts {
            self.dirty = true;
            match self.append(&part, end) {
                Ok(()) => {}
                // MUTANT full-disk-acked.
                Err(e)
                    if e.kind() == ErrorKind::StorageFull
                        && self.settings.has(Mutant::FullDiskAcked) =>
                {
                    self.apply(&txn.ops);
                    return Ok(());
                }
                // It may be in the log or not: cut off, it certainly is not.
                Err(e) => {
                    return Err(match self.mend() {
                        Ok(()) => failed(&e),
                        Err(not) => {
                            StoreError::Info(format!("{e}; nor can it be taken back: {not}"))
                        }
                    });
                }
            }
            end += part.len() as u64;
        }
        self.dirty = false;
        self.length = end;
        self.clock = time;
        self.apply(&txn.ops);
        if self.length >= self.settings.rotate_bytes {
            #[expect(
                clippy::let_underscore_must_use,
                reason = "what failed is tried again before the next append; the transaction is safe"
            )]
            let _ = self.rotate();
        }
        Ok(())
    }

    fn log(&self) -> Result<&File, StoreError> {
        let none = || StoreError::Fail("there is no log".into());
        self.log.as_ref().ok_or_else(none)
    }

    fn append(&mut self, bytes: &[u8], at: u64) -> io::Result<()> {
        let Some(log) = &self.log else {
            return Err(ErrorKind::NotFound.into());
        };
        log.write_all_at(bytes, at)?;
        // MUTANT ack-before-sync.
        if self.settings.has(Mutant::AckBeforeSync) {
            self.unsynced = true;
            return Ok(());
        }
        log.sync_data()
    }

    fn apply(&mut self, ops: &[Op]) {
        for op in ops {
            match &op.write {
                Write::Put(value) => {
                    self.state.insert(op.key.clone(), value.text().into_owned());
                }
                Write::Delete => drop(self.state.remove(&op.key)),
            }
        }
    }

    /// Makes sure that there is a log, and nothing behind its whole transactions.
    fn mend(&mut self) -> io::Result<()> {
        if self.log.is_none() {
            self.begin()?;
        }
        if let (true, Some(log)) = (self.dirty, &self.log) {
            log.set_len(self.length)?;
            log.sync_all()?;
            self.dirty = false;
        }
        Ok(())
    }

    /// Gives the log its number and begins a new one.
    fn rotate(&mut self) -> io::Result<()> {
        let mut number = self.next;
        if number >= self.settings.rotated_logs {
            // MUTANT rotation-overwrites.
            if !self.settings.has(Mutant::RotationOverwrites) {
                return Ok(());
            }
            number = self.settings.rotated_logs - 1;
        }
        if self.unsynced {
            self.log.as_ref().map_or(Ok(()), File::sync_all)?;
            self.unsynced = false;
        }
        fs::rename(self.directory.join(ACTIVE), path(&self.directory, number))?;
        self.next = number + 1;
        self.log = None;
        self.begin()
    }

    /// Makes a new log; its name is on the disk when this returns, and that of the last one.
    fn begin(&mut self) -> io::Result<()> {
        // MUTANT rotation-not-synced.
        let synced = !self.settings.has(Mutant::RotationNotSynced);
        let sync = || File::open(&self.directory)?.sync_all();
        if synced {
            sync()?;
        }
        let log = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .open(self.directory.join(ACTIVE))?;
        if synced {
            sync()?;
        }
        (self.log, self.length, self.dirty) = (Some(log), 0, false);
        Ok(())
    }
}

fn failed(error: &io::Error) -> StoreError {
    StoreError::Fail(format!("not in the log: {error}"))
}
