//! The store itself: transactions, the state, the events.

use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::log::{Log, LoggedWrite, Reading, Record};
use super::snapshot::{KeyState, Name, Snapshot};
use plugpull_driver_statehouse::Mutant;

const LOG: &str = "events";
/// A snapshot is made after so many commits.
const SNAPSHOT_EVERY: u64 = 16;
/// How long recovery takes with [`Mutant::SlowRecovery`].
const SLOW: Duration = Duration::from_millis(1200);

/// A write that waits for its commit: the key, and its value or none for a delete.
pub(super) type Staged = (Name, Option<String>);

struct Open {
    writes: Vec<Staged>,
    until: Instant,
}

/// The store.
pub(super) struct StatehouseEngine {
    directory: PathBuf,
    mutant: Option<Mutant>,
    log: Log,
    /// Every transaction, in order.
    pub(super) events: Vec<Record>,
    /// Every key that ever was, at its last version.
    pub(super) state: BTreeMap<Name, KeyState>,
    open: HashMap<String, Open>,
    /// The timestamp of the last commit.
    ts: u64,
    /// The same when it was opened: names of transactions begin with it, so that none is used twice.
    opened_at: u64,
    begun: u64,
    /// Why no more commits are taken.
    refuses: Option<String>,
}

impl StatehouseEngine {
    /// Opens the store in `directory`, or makes it. An error says what is damaged.
    pub(super) fn open(directory: &Path, mutant: Option<Mutant>) -> io::Result<Self> {
        fs::create_dir_all(directory)?;
        let lenient = mutant == Some(Mutant::DamageAccepted);
        let snapshot = Snapshot::read(directory, lenient)?;
        let reading = Reading {
            lenient,
            keep_tail: mutant == Some(Mutant::TornTailKept),
        };
        let (log, events) = Log::open(&directory.join(LOG), reading)?;
        // The names of the log and of the directory itself.
        File::open(directory)?.sync_all()?;
        File::open(
            directory
                .parent()
                .filter(|p| !p.as_os_str().is_empty())
                .unwrap_or(Path::new(".")),
        )?
        .sync_all()?;
        let last = events.last().map_or(0, |record| record.ts);
        let dropped = mutant == Some(Mutant::LogDroppedAtSnapshot);
        if last < snapshot.through && !lenient && !dropped {
            return Err(io::Error::new(
                ErrorKind::InvalidData,
                format!(
                    "Corruption: the log ends at {last}, before the snapshot's {}",
                    snapshot.through
                ),
            ));
        }
        if mutant == Some(Mutant::SlowRecovery) && !events.is_empty() {
            std::thread::sleep(SLOW);
        }
        let mut engine = Self {
            directory: directory.to_owned(),
            mutant,
            log,
            state: BTreeMap::new(),
            open: HashMap::new(),
            ts: last.max(snapshot.through),
            opened_at: last.max(snapshot.through),
            begun: 0,
            refuses: None,
            events: Vec::new(),
        };
        for key in snapshot.keys {
            engine.state.insert(key.name.clone(), key);
        }
        for record in &events {
            if record.ts > snapshot.through {
                engine.apply(record, true);
            }
        }
        engine.events = events;
        if engine.has(Mutant::TimestampsRestart) {
            engine.ts = 0;
        }
        if engine.has(Mutant::VersionsRestart) {
            engine.state.values_mut().for_each(|key| key.version = 0);
        }
        Ok(engine)
    }

    fn has(&self, mutant: Mutant) -> bool {
        self.mutant == Some(mutant)
    }

    fn apply(&mut self, record: &Record, recovering: bool) {
        for write in &record.writes {
            if recovering && write.value.is_none() && self.has(Mutant::DeletesNotReplayed) {
                continue;
            }
            let name = (
                write.namespace.clone(),
                write.agent.clone(),
                write.key.clone(),
            );
            let key = KeyState {
                name: name.clone(),
                value: write.value.clone(),
                version: write.version,
                ts: record.ts,
            };
            self.state.insert(name, key);
        }
    }

    /// Begins a transaction, and names it.
    pub(super) fn begin(&mut self, timeout: Duration) -> String {
        self.begun += 1;
        let name = format!("{}-{}", self.opened_at, self.begun);
        let now = Instant::now();
        self.open.retain(|_, open| open.until > now);
        let open = Open {
            writes: Vec::new(),
            until: now + timeout,
        };
        self.open.insert(name.clone(), open);
        name
    }

    /// Adds a write to a transaction. Of two writes to a key the last one counts.
    pub(super) fn stage(&mut self, txn: &str, write: Staged) -> Result<(), String> {
        let open = self.open.get_mut(txn).ok_or_else(|| unknown(txn))?;
        open.writes.retain(|(name, _)| *name != write.0);
        open.writes.push(write);
        Ok(())
    }

    /// Gives a transaction up.
    pub(super) fn abort(&mut self, txn: &str) -> Result<(), String> {
        let open = self.open.remove(txn).ok_or_else(|| unknown(txn))?;
        if self.has(Mutant::AbortLogged) {
            let record = self.record(txn, open.writes);
            self.log
                .append(&record)
                .and_then(|()| self.log.sync())
                .map_err(|e| e.to_string())?;
            self.ts = record.ts;
            self.events.push(record);
        }
        Ok(())
    }

    /// Commits a transaction: it is on the disk when this returns its timestamp. After an error it
    /// certainly did not happen, unless the error says that nobody knows.
    pub(super) fn commit(&mut self, txn: &str) -> Result<u64, String> {
        let open = self.open.remove(txn).ok_or_else(|| unknown(txn))?;
        if open.until <= Instant::now() {
            return Err(format!("transaction {txn} has expired"));
        }
        if let Some(why) = &self.refuses {
            return Err(why.clone());
        }
        let record = self.record(txn, open.writes);
        match self.store(&record) {
            Ok(()) => {}
            Err(e) if e.kind() == ErrorKind::StorageFull => {
                if self.has(Mutant::FullForGood) {
                    self.refuses = Some("the disk was full".into());
                }
                if !self.has(Mutant::FullDiskAcked) {
                    return Err(format!("Write failed: {e}"));
                }
            }
            Err(e) => return Err(format!("Write failed: {e}")),
        }
        self.ts = record.ts;
        self.apply(&record, false);
        self.events.push(record);
        self.snapshot();
        Ok(self.ts)
    }

    /// What the log will say of a transaction that is committed now.
    fn record(&self, txn: &str, writes: Vec<Staged>) -> Record {
        let writes = writes.into_iter().map(|(name, value)| LoggedWrite {
            version: self.state.get(&name).map_or(0, |key| key.version) + 1,
            namespace: name.0,
            agent: name.1,
            key: name.2,
            value,
        });
        Record {
            txn: txn.to_owned(),
            ts: self.ts + 1,
            writes: writes.collect(),
        }
    }

    /// Puts a record on the disk.
    fn store(&mut self, record: &Record) -> io::Result<()> {
        if self.has(Mutant::CommitInParts) {
            for write in &record.writes {
                let part = Record {
                    writes: vec![write.clone()],
                    ..record.clone()
                };
                self.log.append(&part)?;
                self.synced()?;
            }
            return Ok(());
        }
        if self.has(Mutant::AckBeforeSync) {
            self.synced()?;
            return self.log.append(record);
        }
        self.log.append(record)?;
        self.synced()
    }

    /// Syncs the log. Whether the last record is on the disk after an error nobody can tell, and
    /// what is appended behind it might outlive it.
    fn synced(&mut self) -> io::Result<()> {
        self.log.sync().inspect_err(|e| {
            self.refuses = Some(format!(
                "a sync of the log failed ({e}): start again to find out what is on the disk"
            ));
        })
    }

    /// Makes a snapshot when it is time. One that fails is no loss: the log has everything.
    fn snapshot(&mut self) {
        // A snapshot would bring back what the log never got.
        let heals = self.has(Mutant::FullDiskAcked);
        if heals || !self.ts.is_multiple_of(SNAPSHOT_EVERY) {
            return;
        }
        let gap = u64::from(self.has(Mutant::SnapshotGap));
        let snapshot = Snapshot {
            through: self.ts + gap,
            keys: self.state.values().cloned().collect(),
        };
        let written = snapshot.write(&self.directory).is_ok();
        if written && self.has(Mutant::LogDroppedAtSnapshot) && self.log.begin_again().is_ok() {
            self.events.clear();
        }
    }

    /// The write that made this version of a key, with its timestamp.
    pub(super) fn at_version(&self, name: &Name, version: u64) -> Option<(&LoggedWrite, u64)> {
        let of = |write: &&LoggedWrite| {
            (&write.namespace, &write.agent, &write.key) == (&name.0, &name.1, &name.2)
        };
        self.events.iter().rev().find_map(|record| {
            let mut writes = record.writes.iter().filter(of);
            let write = writes.find(|write| write.version == version)?;
            Some((write, record.ts))
        })
    }
}

fn unknown(txn: &str) -> String {
    format!("transaction {txn} is not known: it was ended, has expired, or never began")
}
