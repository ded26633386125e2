//! A small store with a log, snapshots and a file that names the generation in force; and the ways
//! in which it can be wrong.
//!
//! Generation N is `snap-N`, the state when it began, and `log-N`, what was committed since. `CURRENT`
//! says which is in force. A commit appends to the log and syncs it. A checkpoint writes the next
//! generation, syncs it and its names, and replaces `CURRENT` by a rename. A start reads the
//! generation in force, cuts a torn tail off its log, and removes what belongs to no generation.

use std::collections::BTreeMap;

use plugpull_workloads::{Txn, Write};

use super::files::Files;

/// Something that the store does wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Mutant {
    /// A commit does not sync its log.
    NoLogSync,
    /// A commit syncs the snapshot and not the log.
    WrongFileSynced,
    /// Every second commit alone is synced.
    EverySecondSync,
    /// A commit is acknowledged before it is synced.
    AckBeforeSync,
    /// A commit is acknowledged before it is written.
    AckBeforeWrite,
    /// The directory is not synced after `CURRENT` was replaced.
    NoDirectorySync,
    /// `CURRENT.tmp` is renamed before its content is synced.
    RenameWithoutSync,
    /// `CURRENT` is truncated and written in place.
    TruncateBeforeWrite,
    /// `CURRENT` names a snapshot that is synced only afterwards.
    CurrentBeforeSnapshot,
    /// The old generation is removed before `CURRENT` names the new one.
    UnlinkBeforeSwitch,
    /// A snapshot lacks the last commit, which no log has.
    StaleSnapshot,
    /// Deletes are not in the log.
    DeletesNotLogged,
    /// Transactions that were rolled back are in the log as well.
    AbortedLogged,
    /// A record that the end of the file cuts off is applied as far as it goes.
    TornRecordBelieved,
    /// Nobody looks at the checksum of a record.
    NoChecksum,
    /// The newest snapshot is taken, whether `CURRENT` names it or not, whole or not.
    OrphanBelieved,
    /// The oldest generation is taken that is still there.
    OldestBelieved,
    /// A log with a torn tail is thrown away whole.
    RecoveryDeletes,
    /// Recovery writes the log's state over the snapshot, in place.
    RecoveryInPlace,
    /// Recovery cuts the last whole record off as well, once it has applied it.
    RecoveryNotIdempotent,
    /// A torn tail stays, and what is committed later lies behind it.
    TornTailKept,
    /// A start on a log with a torn tail is refused.
    RefusesTornTail,
    /// A start with an empty log never ends.
    HangsOnEmptyLog,
    /// A clean close writes a snapshot without its last key.
    CloseForgets,
    /// Recovery empties the log that it has read; what was in it is on the disk again with the next commit or
    /// at the close.
    RecoveryForgetsLog,
    /// A mark follows each commit before its ack; where the mark of the last record is not there recovery cuts
    /// that off, once it has applied it.
    RecoveryCutsUnmarked,
    /// Recovery saves what was in the log in a snapshot that it does not sync before `CURRENT` names it.
    RecoverySavesUnsynced,
    /// A copy of the log, which nobody syncs, is read in place of a log with a torn tail.
    TornTailFromCopy,
}

impl Mutant {
    /// All of them.
    pub(crate) const ALL: [Mutant; 23] = [
        Mutant::NoLogSync,
        Mutant::WrongFileSynced,
        Mutant::EverySecondSync,
        Mutant::AckBeforeSync,
        Mutant::AckBeforeWrite,
        Mutant::NoDirectorySync,
        Mutant::RenameWithoutSync,
        Mutant::TruncateBeforeWrite,
        Mutant::CurrentBeforeSnapshot,
        Mutant::UnlinkBeforeSwitch,
        Mutant::StaleSnapshot,
        Mutant::DeletesNotLogged,
        Mutant::AbortedLogged,
        Mutant::TornRecordBelieved,
        Mutant::NoChecksum,
        Mutant::OrphanBelieved,
        Mutant::OldestBelieved,
        Mutant::RecoveryDeletes,
        Mutant::RecoveryInPlace,
        Mutant::RecoveryNotIdempotent,
        Mutant::TornTailKept,
        Mutant::RefusesTornTail,
        Mutant::HangsOnEmptyLog,
    ];

    /// Those that no first read-back shows.
    pub(crate) const SHOWN_LATER: [Mutant; 2] = [Mutant::CloseForgets, Mutant::RecoveryForgetsLog];
}

/// What is wrong with a store: nothing, one thing or two.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Mutants([Option<Mutant>; 2]);

impl Mutants {
    fn has(self, mutant: Mutant) -> bool {
        self.0.contains(&Some(mutant))
    }
}

impl From<Option<Mutant>> for Mutants {
    fn from(one: Option<Mutant>) -> Self {
        Self([one, None])
    }
}

impl From<[Mutant; 2]> for Mutants {
    fn from(two: [Mutant; 2]) -> Self {
        Self(two.map(Some))
    }
}

/// Why a start did not come to its end.
#[derive(Debug)]
pub(crate) enum NoStart {
    /// It said this and ended.
    Refused(String),
    /// It never ended.
    Hung,
}

/// How a commit ends early, as when the process is killed in it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum CutOff {
    /// It does not.
    Never,
    /// After half of a record was written.
    InRecord,
}

type Contents = BTreeMap<String, String>;

/// Bytes of a record before its content: length and checksum.
const HEAD: usize = 8;
const DELETED: u32 = u32::MAX;

/// A store that was started.
pub(crate) struct Store {
    files: Files,
    mutants: Mutants,
    state: Contents,
    generation: u64,
    commits: u64,
    /// The state before the last commit.
    before: Contents,
    /// No file has what recovery read.
    unsaved: bool,
}

impl Store {
    /// Starts it on whatever the disk holds.
    pub(crate) fn open(files: Files, mutants: Mutants) -> Result<Self, Box<(NoStart, Files)>> {
        let mut store = Self {
            files,
            mutants,
            state: Contents::new(),
            generation: 0,
            commits: 0,
            before: Contents::new(),
            unsaved: false,
        };
        match store.recover() {
            Ok(()) => Ok(store),
            Err(why) => Err(Box::new((why, store.files))),
        }
    }

    /// What it holds.
    pub(crate) fn state(&self) -> &Contents {
        &self.state
    }

    /// The disk, with all that was done to it.
    pub(crate) fn into_files(self) -> Files {
        self.files
    }

    /// Its disk.
    pub(crate) fn files(&mut self) -> &mut Files {
        &mut self.files
    }

    fn is(&self, mutant: Mutant) -> bool {
        self.mutants.has(mutant)
    }

    fn log(&self) -> String {
        format!("log-{}", self.generation)
    }

    fn recover(&mut self) -> Result<(), NoStart> {
        let named = self.files.read("CURRENT");
        let Some(named) = named else {
            // Nothing was ever acknowledged: it begins again.
            self.clean_up(None);
            self.checkpoint();
            return Ok(());
        };
        let named = checked(&named).and_then(|text| std::str::from_utf8(text).ok()?.parse().ok());
        self.generation = named.ok_or_else(|| NoStart::Refused("CURRENT is damaged".into()))?;
        let names = self.files.names();
        let snapshots = names.iter().filter_map(|name| number(name, "snap-"));
        let other = match self.is(Mutant::OrphanBelieved) {
            true => snapshots.max(),
            false if self.is(Mutant::OldestBelieved) => snapshots.min(),
            false => None,
        };
        self.generation = other.unwrap_or(self.generation);
        let snapshot = self.files.read(&format!("snap-{}", self.generation));
        let snapshot = snapshot.unwrap_or_default();
        let content = checked(&snapshot);
        if content.is_none() && !self.is(Mutant::OrphanBelieved) {
            return Err(NoStart::Refused("the snapshot is damaged".into()));
        }
        apply(&mut self.state, content.unwrap_or_default());
        let log = self.files.read(&self.log()).unwrap_or_default();
        let began = self.state.clone();
        let (whole, last) = self.replay(&log);
        if log.len() > whole && self.is(Mutant::TornTailFromCopy) {
            let copy = self.files.read(&self.copy()).unwrap_or_default();
            self.state = began;
            let (whole, _) = self.replay(&copy);
            self.files.truncate(&self.log(), 0);
            self.files.append(&self.log(), &copy[..whole]);
            self.files.sync(&self.log());
            self.clean_up(Some(self.generation));
            return Ok(());
        }
        if log.is_empty() && self.is(Mutant::HangsOnEmptyLog) {
            return Err(NoStart::Hung);
        }
        self.cut_tail(&log, whole, last)?;
        self.clean_up(Some(self.generation));
        Ok(())
    }

    /// Applies the records of a log. Where the last whole one ends, and where it begins.
    fn replay(&mut self, log: &[u8]) -> (usize, usize) {
        let (mut at, mut last) = (0, 0);
        while let Some(head) = log.get(at..at + HEAD) {
            let number = |from: usize| {
                head[from..from + 4]
                    .iter()
                    .rev()
                    .fold(0, |sum, byte| sum << 8 | u32::from(*byte))
            };
            let (len, sum) = (number(0) as usize, number(4));
            let content = log.get(at + HEAD..at + HEAD + len);
            match content {
                _ if len == 0 => break,
                Some(content) if self.is(Mutant::NoChecksum) || sum == checksum(content) => {
                    apply(&mut self.state, content);
                }
                None if self.is(Mutant::TornRecordBelieved) => {
                    apply(&mut self.state, &log[at + HEAD..]);
                    break;
                }
                _ => break,
            }
            last = at;
            at += HEAD + len;
        }
        (at, last)
    }

    /// Cuts off what is behind the last whole record.
    fn cut_tail(&mut self, log: &[u8], whole: usize, last: usize) -> Result<(), NoStart> {
        let name = self.log();
        let torn = log.len() > whole;
        if torn && self.is(Mutant::RefusesTornTail) {
            return Err(NoStart::Refused("the log is torn".into()));
        }
        if torn && self.is(Mutant::RecoveryDeletes) {
            self.files.unlink(&name);
            self.files.create(&name);
            self.files.sync_directory();
        } else if torn && !self.is(Mutant::TornTailKept) {
            self.files.truncate(&name, whole as u64);
            self.files.sync(&name);
        }
        if whole > 0 && self.is(Mutant::RecoveryInPlace) {
            let snapshot = format!("snap-{}", self.generation);
            self.files.truncate(&snapshot, 0);
            self.files
                .append(&snapshot, &with_checksum(&listed(&self.state)));
            self.files.sync(&snapshot);
            self.files.truncate(&name, 0);
            self.files.sync(&name);
        }
        if whole > 0 && self.is(Mutant::RecoveryNotIdempotent) {
            self.files.truncate(&name, last as u64);
            self.files.sync(&name);
        }
        if self.is(Mutant::RecoveryCutsUnmarked) && self.marked() < whole as u32 {
            self.files.truncate(&name, last as u64);
            self.files.sync(&name);
        }
        if whole > 0 && self.is(Mutant::RecoverySavesUnsynced) {
            self.save(false);
        }
        if whole > 0 && self.is(Mutant::RecoveryForgetsLog) {
            self.files.truncate(&name, 0);
            self.files.sync(&name);
            self.unsaved = true;
        }
        Ok(())
    }

    fn copy(&self) -> String {
        format!("copy-{}", self.generation)
    }

    /// Copies what the log got since the last time.
    fn copy_log(&mut self) {
        let (copy, log) = (
            self.copy(),
            self.files.read(&self.log()).unwrap_or_default(),
        );
        let has = self.files.read(&copy).map(|copy| copy.len());
        if has.is_none() {
            self.files.create(&copy);
        }
        if let Some(rest) = log
            .get(has.unwrap_or_default()..)
            .filter(|rest| !rest.is_empty())
        {
            self.files.append(&copy, rest);
        }
    }

    fn mark(&self) -> String {
        format!("mark-{}", self.generation)
    }

    /// How many bytes of the log have a mark behind them.
    fn marked(&mut self) -> u32 {
        let marks = self.files.read(&self.mark()).unwrap_or_default();
        let last = marks.last_chunk::<4>();
        last.map_or(0, |last| u32::from_le_bytes(*last))
    }

    /// Marks all of the log.
    fn mark_all(&mut self) {
        let (mark, log) = (self.mark(), self.files.read(&self.log()));
        if self.files.read(&mark).is_none() {
            self.files.create(&mark);
        }
        let all = log.map_or(0, |log| log.len() as u32);
        self.files.append(&mark, &all.to_le_bytes());
    }

    /// Ends in order: the next start finds all in a snapshot.
    pub(crate) fn end_in_order(&mut self) {
        if self.is(Mutant::CloseForgets) {
            self.state.pop_last();
        }
        self.checkpoint();
    }

    /// Removes what belongs to no generation that counts.
    fn clean_up(&mut self, keep: Option<u64>) {
        let belongs = |name: &str| {
            let of = ["snap-", "log-", "mark-", "copy-"];
            let of = of.iter().find_map(|before| number(name, before));
            name == "CURRENT" || of.is_some() && of == keep
        };
        let names = self.files.names();
        let stray: Vec<&String> = names.iter().filter(|name| !belongs(name)).collect();
        for name in &stray {
            self.files.unlink(name);
        }
        if !stray.is_empty() {
            self.files.sync_directory();
        }
    }

    /// Commits transactions together, and calls `ack` when they are safe. Nothing is acknowledged
    /// where it is cut off.
    pub(crate) fn commit(&mut self, txns: &[&Txn], cut_off: CutOff, ack: impl FnOnce(&mut Files)) {
        if std::mem::take(&mut self.unsaved) {
            self.checkpoint();
        }
        let log = self.log();
        // A mutant may have taken a generation that has none.
        if self.files.read(&log).is_none() {
            self.files.create(&log);
        }
        self.before = self.state.clone();
        let mut ack = Some(ack);
        let mut acknowledge = |files: &mut Files| ack.take().into_iter().for_each(|ack| ack(files));
        if self.is(Mutant::AckBeforeWrite) {
            acknowledge(&mut self.files);
        }
        let aborted_too = self.is(Mutant::AbortedLogged);
        for txn in txns.iter().filter(|txn| !txn.abort || aborted_too) {
            let all = self.content(txn, true);
            let record = self.content(txn, !self.is(Mutant::DeletesNotLogged));
            if !record.is_empty() {
                let sum = checksum(&record);
                let head = [(record.len() as u32).to_le_bytes(), sum.to_le_bytes()].concat();
                self.files.append(&log, &head);
                if cut_off == CutOff::InRecord {
                    return self.files.append(&log, &record[..record.len() / 2]);
                }
                self.files.append(&log, &record);
            }
            if !txn.abort {
                apply(&mut self.state, &all);
            }
        }
        self.commits += 1;
        if self.is(Mutant::AckBeforeSync) {
            acknowledge(&mut self.files);
        }
        let left_out = self.is(Mutant::EverySecondSync) && self.commits % 2 == 1;
        if self.is(Mutant::WrongFileSynced) {
            self.files.sync(&format!("snap-{}", self.generation));
        } else if !left_out && !self.is(Mutant::NoLogSync) {
            self.files.sync(&log);
        }
        if self.is(Mutant::RecoveryCutsUnmarked) {
            self.mark_all();
        }
        if self.is(Mutant::TornTailFromCopy) {
            self.copy_log();
        }
        acknowledge(&mut self.files);
    }

    fn content(&self, txn: &Txn, deletes: bool) -> Vec<u8> {
        let mut content = Vec::new();
        for op in &txn.ops {
            match &op.write {
                Write::Put(value) => put(&mut content, &op.key, Some(&value.text())),
                Write::Delete if deletes => put(&mut content, &op.key, None),
                Write::Delete => {}
            }
        }
        content
    }

    /// Begins the next generation.
    pub(crate) fn checkpoint(&mut self) {
        self.save(true);
    }

    fn save(&mut self, synced: bool) {
        let old = self.generation;
        self.generation += 1;
        let snapshot = format!("snap-{}", self.generation);
        let stale = self.is(Mutant::StaleSnapshot);
        let state = if stale { &self.before } else { &self.state };
        let content = with_checksum(&listed(state));
        let late = self.is(Mutant::CurrentBeforeSnapshot);
        self.files.create(&snapshot);
        self.files.append(&snapshot, &content);
        if !late && synced {
            self.files.sync(&snapshot);
        }
        self.files.create(&self.log());
        self.files.sync_directory();
        if self.is(Mutant::UnlinkBeforeSwitch) {
            self.remove(old);
            self.files.sync_directory();
        }
        self.switch();
        if late {
            self.files.sync(&snapshot);
        }
        self.remove(old);
    }

    /// Makes `CURRENT` name the generation.
    fn switch(&mut self) {
        let name = with_checksum(self.generation.to_string().as_bytes());
        if self.is(Mutant::TruncateBeforeWrite) {
            match self.files.read("CURRENT") {
                Some(_) => self.files.truncate("CURRENT", 0),
                None => self.files.create("CURRENT"),
            }
            self.files.append("CURRENT", &name);
            self.files.sync("CURRENT");
            self.files.sync_directory();
            return;
        }
        self.files.create("CURRENT.tmp");
        self.files.append("CURRENT.tmp", &name);
        if !self.is(Mutant::RenameWithoutSync) {
            self.files.sync("CURRENT.tmp");
        }
        self.files.rename("CURRENT.tmp", "CURRENT");
        if !self.is(Mutant::NoDirectorySync) {
            self.files.sync_directory();
        }
    }

    fn remove(&mut self, generation: u64) {
        for name in [format!("snap-{generation}"), format!("log-{generation}")] {
            if self.files.read(&name).is_some() {
                self.files.unlink(&name);
            }
        }
    }
}

fn number(name: &str, prefix: &str) -> Option<u64> {
    name.strip_prefix(prefix)?.parse().ok()
}

fn checksum(content: &[u8]) -> u32 {
    let mix = |sum: u32, byte: &u8| (sum ^ u32::from(*byte)).wrapping_mul(0x0100_0193);
    content.iter().fold(0x811C_9DC5, mix)
}

fn with_checksum(content: &[u8]) -> Vec<u8> {
    [content, &checksum(content).to_le_bytes()].concat()
}

/// A file's content, if its checksum is right.
fn checked(file: &[u8]) -> Option<&[u8]> {
    let (content, sum) = file.split_last_chunk::<4>()?;
    (checksum(content) == u32::from_le_bytes(*sum)).then_some(content)
}

fn put(content: &mut Vec<u8>, key: &str, value: Option<&str>) {
    let len = value.map_or(DELETED, |value| value.len() as u32);
    content.push(key.len() as u8);
    content.extend(len.to_le_bytes());
    content.extend(key.as_bytes());
    content.extend(value.unwrap_or_default().as_bytes());
}

fn listed(state: &Contents) -> Vec<u8> {
    let mut content = Vec::new();
    for (key, value) in state {
        put(&mut content, key, Some(value));
    }
    content
}

/// Applies the writes in it, as far as they are whole.
fn apply(state: &mut Contents, mut content: &[u8]) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    while let Some((head, rest)) = content.split_first_chunk::<5>() {
        let len = u32::from_le_bytes([head[1], head[2], head[3], head[4]]);
        let value_len = if len == DELETED { 0 } else { len as usize };
        let Some((key, rest)) = rest.split_at_checked(head[0] as usize) else {
            return;
        };
        let Some((value, rest)) = rest.split_at_checked(value_len) else {
            return;
        };
        if len == DELETED {
            state.remove(&text(key));
        } else {
            state.insert(text(key), text(value));
        }
        content = rest;
    }
}
