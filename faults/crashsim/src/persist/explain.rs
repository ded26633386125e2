//! Why something could be lost: which file has what, un-synced, and since when.

use std::collections::BTreeMap;
use std::sync::Arc;

use foldhash::{HashMap, HashMapExt};

use super::device::Device;
use super::model::{MetadataOrder, Model};
use super::update::{Durability, UpdateKind};
use super::window::Window;
use crate::fs::{Ino, Log, Op};

/// What one file or directory had un-synced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unsynced {
    /// The file, or for names the changed name; of a rename "old -> new".
    pub path: Arc<str>,
    /// Writes that no sync covered.
    pub writes: u64,
    /// Bytes of them.
    pub bytes: u64,
    /// Names (created, renamed, removed) that no sync covered.
    pub names: u64,
    /// What the last change of a name was: "name", "rename" or "removal of".
    pub change: &'static str,
    /// The last explicit change of its attributes that no sync covered: "chmod", "setxattr".
    pub attribute: Option<&'static str>,
    /// True when an fsync of any file would have made the names durable, and not only one of the
    /// directory.
    pub by_any_sync: bool,
    /// Number of the first of these operations on the trace's clock; of the first write, where
    /// there are writes.
    pub first: u64,
    /// Number of the last one, likewise.
    pub last: u64,
    /// The last completed sync of the file before, if there was one.
    pub last_sync: Option<u64>,
    /// A sync of it had failed, and the kernel gave its data up.
    pub sync_failed: bool,
}

impl Unsynced {
    /// In a sentence's words: "db-wal had 3 writes (12360 bytes, operations 225 to 229) and no
    /// fsync or fdatasync after operation 12".
    pub fn describe(&self) -> String {
        let range = if self.first == self.last {
            format!("operation {}", self.first)
        } else {
            format!("operations {} to {}", self.first, self.last)
        };
        if self.writes > 0 {
            let since = match (self.sync_failed, self.last_sync) {
                (true, _) => "whose fsync had failed".to_string(),
                (_, Some(sync)) => format!("and no fsync or fdatasync after operation {sync}"),
                (_, None) => "and never an fsync or fdatasync".to_string(),
            };
            let s = if self.writes == 1 { "" } else { "s" };
            let (n, bytes) = (self.writes, self.bytes);
            format!(
                "{} had {n} write{s} ({bytes} bytes, {range}) {since}",
                self.path
            )
        } else if self.names > 0 {
            let by = if self.by_any_sync {
                "any fsync after it".to_string()
            } else {
                format!("an fsync of {}", self.directories())
            };
            let (change, path) = (self.change, &self.path);
            format!("the {change} {path} ({range}) was not made durable by {by}")
        } else if let Some(call) = self.attribute {
            format!("{} had a {call} ({range}) and no fsync after it", self.path)
        } else {
            format!(
                "{} had changes of its size or space ({range}) and no fsync",
                self.path
            )
        }
    }

    /// The directories of the changed names, in words.
    fn directories(&self) -> String {
        let directory = |path: &str| match path.rsplit_once('/') {
            Some((directory, _)) => directory.to_string(),
            None => "the data directory".to_string(),
        };
        match self
            .path
            .split_once(" -> ")
            .filter(|_| self.change == "rename")
        {
            Some((from, to)) if directory(from) != directory(to) => {
                format!("{} and {}", directory(from), directory(to))
            }
            Some((_, to)) => directory(to),
            None => directory(&self.path),
        }
    }
}

/// What was un-synced at the end of `log`, of the operations with numbers below `before`:
/// a line a file, and one a rename, the one with the latest operation first.
pub fn unsynced(log: &Log, model: &dyn Model, before: u64) -> Vec<Unsynced> {
    let records = log.records();
    let window = Window::new(log, records.len(), model, Device::default());
    let mut updates = window.open.iter().peekable();
    let mut last_sync: HashMap<Ino, u64> = HashMap::new();
    let mut last_of_all: Option<u64> = None;
    // By file, not only by path: of two files that had the same name one after the other, the
    // first one's syncs say nothing of the second.
    let mut by_file: BTreeMap<(Arc<str>, Ino), Unsynced> = BTreeMap::new();
    for (index, record) in records
        .iter()
        .enumerate()
        .filter(|(_, record)| record.seq < before)
    {
        let ino = record.op.ino();
        match record.op {
            Op::Sync { .. } => drop(last_sync.insert(ino, record.seq)),
            Op::SyncAll { .. } => last_of_all = Some(record.seq),
            _ => {}
        }
        while let Some(update) = updates.next_if(|update| update.record == index) {
            // Times that the clock gave are lost without anybody's data being at stake.
            if update.durability == Durability::Durable || matches!(record.op, Op::Touch { .. }) {
                continue;
            }
            let entry = by_file
                .entry((record.path.clone(), ino))
                .or_insert_with(|| Unsynced {
                    path: record.path.clone(),
                    writes: 0,
                    bytes: 0,
                    names: 0,
                    change: "name",
                    attribute: None,
                    by_any_sync: model.metadata_order() == MetadataOrder::Journal,
                    first: record.seq,
                    last: record.seq,
                    last_sync: last_sync.get(&ino).copied().max(last_of_all),
                    sync_failed: false,
                });
            let is_write = matches!(update.kind, UpdateKind::Data { .. });
            if is_write && entry.writes == 0 {
                entry.first = record.seq;
            }
            if is_write || entry.writes == 0 {
                entry.last = record.seq;
            }
            entry.sync_failed |= update.durability == Durability::Abandoned;
            match (&update.kind, &record.op) {
                (UpdateKind::Data { .. }, Op::Write { data, .. }) => {
                    entry.writes += 1;
                    entry.bytes += data.len();
                }
                (UpdateKind::Name { .. }, op) => {
                    entry.names += 1;
                    entry.change = match op {
                        Op::Rename { .. } => "rename",
                        Op::Unlink { .. } => "removal of",
                        _ => "name",
                    };
                }
                (UpdateKind::Attrs { .. }, op) => entry.attribute = Some(op.name()),
                _ => {}
            }
        }
    }
    let mut all: Vec<Unsynced> = by_file.into_values().collect();
    all.sort_by_key(|one| std::cmp::Reverse((one.bytes, one.last)));
    all
}
