//! Why something could be lost: which file has what, un-synced, and since when.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::plan::{Fate, Model, Plan, StepKind};
use crate::crashfs::{Op, Record};

/// What one file or folder had un-synced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unsynced {
    /// The file, or for names the changed name.
    pub path: Arc<str>,
    /// Writes that no sync covered.
    pub writes: u64,
    /// Bytes of them.
    pub bytes: u64,
    /// Names (created, renamed, removed) that no sync covered.
    pub names: u64,
    /// Number of the first such operation on the trace's clock.
    pub first: u64,
    /// Number of the last one.
    pub last: u64,
    /// The last completed sync of the file before, if there was one.
    pub last_sync: Option<u64>,
    /// A sync of it had failed, and the kernel gave its data up.
    pub sync_failed: bool,
}

impl Unsynced {
    /// In a sentence's words: "db-wal had 3 writes (12360 bytes, operations 225 to 229) and no
    /// fsync or fdatasync since operation 12".
    pub fn words(&self) -> String {
        let range = if self.first == self.last {
            format!("operation {}", self.first)
        } else {
            format!("operations {} to {}", self.first, self.last)
        };
        let plural = |n: u64| if n == 1 { "" } else { "s" };
        if self.writes > 0 {
            let since = match (self.sync_failed, self.last_sync) {
                (true, _) => "whose fsync had failed".to_string(),
                (_, Some(sync)) => format!("and no fsync or fdatasync after operation {sync}"),
                (_, None) => "and never an fsync or fdatasync".to_string(),
            };
            let (n, s) = (self.writes, plural(self.writes));
            format!(
                "{} had {n} write{s} ({} bytes, {range}) {since}",
                self.path, self.bytes
            )
        } else if self.names > 0 {
            let folder = match self.path.rsplit_once('/') {
                Some((folder, _)) => folder,
                None => "the data folder",
            };
            format!(
                "the name {} ({range}) was not made durable by an fsync of {folder}",
                self.path
            )
        } else {
            format!(
                "{} had changes of size or attributes ({range}) and no fsync",
                self.path
            )
        }
    }
}

/// What was un-synced at the end of `records`, of the operations with numbers below `before`:
/// a line a file, the one with the latest operation first.
pub fn unsynced(records: &[Record], model: &dyn Model, before: u64) -> Vec<Unsynced> {
    let plan = Plan::new(model, records);
    let mut by_path: BTreeMap<Arc<str>, Unsynced> = BTreeMap::new();
    for step in &plan.steps {
        let record = &records[step.record];
        // Times and permissions are lost without anybody's data being at stake.
        let trivial = matches!(step.kind, StepKind::Attrs { .. });
        if step.fate == Fate::Durable || record.seq >= before || trivial {
            continue;
        }
        let entry = by_path
            .entry(record.path.clone())
            .or_insert_with(|| Unsynced {
                path: record.path.clone(),
                writes: 0,
                bytes: 0,
                names: 0,
                first: record.seq,
                last: record.seq,
                last_sync: last_sync(records, &record.path, record.seq),
                sync_failed: false,
            });
        entry.last = record.seq;
        entry.sync_failed |= step.fate == Fate::Abandoned;
        match (&step.kind, &record.op) {
            (StepKind::Data { .. }, Op::Write { data, .. }) => {
                entry.writes += 1;
                entry.bytes += data.len();
            }
            (StepKind::Name { .. }, _) => entry.names += 1,
            _ => {}
        }
    }
    let mut all: Vec<Unsynced> = by_path.into_values().collect();
    all.sort_by_key(|one| std::cmp::Reverse(one.last));
    all
}

fn last_sync(records: &[Record], path: &str, before: u64) -> Option<u64> {
    records
        .iter()
        .rev()
        .filter(|record| record.seq < before && &*record.path == path)
        .find(|record| matches!(record.op, Op::Sync { .. }))
        .map(|record| record.seq)
}
