//! A log as it would be if the program synced otherwise: some syncs are not called, others are.
//!
//! All other operations stay as they were recorded, and in their order: what a program does because a sync
//! succeeded it does here too. A sync that is left out means the deleted call, so what the sync itself had
//! the kernel write back stays in the log as a write and is pending.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::log::{Log, Mark, Op, Record};
use super::node::Ino;

/// A sync that the program did not call.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NewSync {
    /// The file or directory.
    pub ino: Ino,
    /// True for a directory.
    pub dir: bool,
    /// True for fdatasync.
    pub data_only: bool,
    /// Its path, for people.
    pub path: Arc<str>,
}

/// Which syncs a log has less, and which it has more. Records are named by their index in the log that is
/// changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SyncEdits {
    /// Syncs that are not called.
    removed: BTreeSet<usize>,
    /// Syncs that are called right behind a record, in this order, by the thread that made that record.
    added: BTreeMap<usize, Vec<NewSync>>,
    /// By crash point at which something was acknowledged: the later one at which it is.
    acks: BTreeMap<u64, u64>,
}

/// A log that was changed, and what became of the places of the one before.
pub struct EditedLog {
    /// The changed log, numbered from 0 without gaps.
    pub log: Log,
    /// By index of a record of the changed log: that of the one before; none for a new sync.
    origins: Vec<Option<usize>>,
    /// By crash point of the log before: the one of the changed log. New syncs behind the record before it
    /// have been called there.
    points: Vec<usize>,
    acks: BTreeMap<u64, u64>,
}

impl SyncEdits {
    /// The sync at this index is not called.
    pub fn remove(&mut self, index: usize) {
        self.removed.insert(index);
    }

    /// A sync is called right behind the record of this index, behind those that were added there before.
    /// The same one is called once.
    pub fn add_behind(&mut self, index: usize, sync: NewSync) {
        let here = self.added.entry(index).or_default();
        if !here.contains(&sync) {
            here.push(sync);
        }
    }

    /// What was acknowledged at this crash point is acknowledged behind this later record.
    pub fn acknowledge_behind(&mut self, point: u64, index: usize) {
        let at = self.acks.entry(point).or_default();
        *at = (*at).max(index as u64 + 1);
    }

    /// The crash points at which something was acknowledged, each with the later one at which it is.
    pub fn acks(&self) -> impl Iterator<Item = (u64, u64)> {
        self.acks.iter().map(|(from, to)| (*from, *to))
    }

    /// Does all that the other ones do as well.
    pub fn extend(&mut self, other: &Self) {
        for (index, sync) in other.added() {
            self.add_behind(index, sync.clone());
        }
        self.removed.extend(&other.removed);
        for (point, to) in other.acks() {
            let at = self.acks.entry(point).or_default();
            *at = (*at).max(to);
        }
    }

    /// The first record that is not as it was, or behind which something is changed.
    pub fn first(&self) -> Option<usize> {
        let first = [self.removed.first(), self.added.keys().next()];
        first.into_iter().flatten().min().copied()
    }

    /// True when nothing is changed.
    pub fn is_empty(&self) -> bool {
        self.removed.is_empty() && self.added.is_empty() && self.acks.is_empty()
    }

    /// How many syncs are added.
    pub fn added_count(&self) -> usize {
        self.added.values().map(Vec::len).sum()
    }

    /// How many are removed.
    pub fn removed_count(&self) -> usize {
        self.removed.len()
    }

    /// The records behind which syncs are added, with these.
    pub fn added(&self) -> impl Iterator<Item = (usize, &NewSync)> {
        let all = self.added.iter();
        all.flat_map(|(index, syncs)| syncs.iter().map(|sync| (*index, sync)))
    }

    /// The indices of the syncs that are removed.
    pub fn removed(&self) -> impl Iterator<Item = usize> {
        self.removed.iter().copied()
    }

    /// The changed log. An ack that came behind a record comes behind the syncs that were added there.
    ///
    /// # Panics
    /// When a record that is to be removed is no sync, or a log without it is named; when the log does not
    /// begin with record 0.
    pub fn apply(&self, log: &Log) -> EditedLog {
        assert_eq!(log.first_seq(), 0, "a log without its beginning");
        let records = log.records();
        let last = self.removed.last().max(self.added.keys().next_back());
        assert!(
            last.is_none_or(|last| *last < records.len()),
            "an edit behind the log's end: {last:?} of {}",
            records.len()
        );
        let mut edited: Vec<Record> = Vec::with_capacity(records.len() + self.added_count());
        let mut origins = Vec::with_capacity(edited.capacity());
        let mut points = Vec::with_capacity(records.len() + 1);
        points.push(0);
        for (index, record) in records.iter().enumerate() {
            let mut push = |op: Op, path: &Arc<str>, origin| {
                edited.push(Record {
                    seq: edited.len() as u64,
                    path: path.clone(),
                    op,
                    ..*record
                });
                origins.push(origin);
            };
            if self.removed.contains(&index) {
                assert!(
                    record.op.is_sync(),
                    "{} is no sync: {index}",
                    record.op.name()
                );
            } else {
                push(record.op.clone(), &record.path, Some(index));
            }
            for sync in self.added.get(&index).into_iter().flatten() {
                let op = Op::Sync {
                    ino: sync.ino,
                    data_only: sync.data_only,
                    dir: sync.dir,
                };
                push(op, &sync.path, None);
            }
            points.push(edited.len());
        }
        let acked = |mark: &Mark| self.acks.get(&mark.seq).copied().unwrap_or(mark.seq);
        let marks = log.marks().iter().map(|mark| Mark {
            seq: points[acked(mark) as usize] as u64,
            ..*mark
        });
        let mut marks: Vec<Mark> = marks.collect();
        marks.sort_by_key(|mark| mark.seq);
        EditedLog {
            log: Log::of(log.base().clone(), edited, marks),
            origins,
            points,
            acks: self.acks.clone(),
        }
    }
}

impl EditedLog {
    /// A crash point of the log before, in the changed log: behind the syncs that were added there. What lies
    /// behind the end of the log before lies as far behind that of the changed one.
    pub fn point(&self, before: u64) -> u64 {
        let end = self.points.len() as u64 - 1;
        let behind = before.saturating_sub(end);
        self.points[before.min(end) as usize] as u64 + behind
    }

    /// The crash point of the changed log at which is acknowledged what was at this one before.
    pub fn acked(&self, before: u64) -> u64 {
        self.point(self.acks.get(&before).copied().unwrap_or(before))
    }

    /// The index that a record of the changed log had before; none for a new sync.
    pub fn origin(&self, index: usize) -> Option<usize> {
        self.origins.get(index).copied().flatten()
    }

    /// The crash point of the log before at which this one of the changed log lies: what had happened here
    /// had happened there, but for syncs.
    pub fn point_before(&self, point: u64) -> u64 {
        self.points.partition_point(|at| (*at as u64) <= point) as u64 - 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::file::{File, SimDisk, Storage};
    use crate::fs::ROOT;

    /// Two writes, each with its sync and its ack.
    fn log() -> Log {
        let disk = SimDisk::new();
        let file = disk.create("f").unwrap();
        for (at, id) in [(0, 1), (4, 2)] {
            file.write_at(at, b"four").unwrap();
            file.sync_all().unwrap();
            disk.ack(id);
        }
        disk.take_log()
    }

    fn names(log: &Log) -> Vec<&'static str> {
        log.records().iter().map(|one| one.op.name()).collect()
    }

    #[test]
    fn acks_come_behind_the_syncs_that_are_added_before_them() {
        let log = log();
        let syncs: Vec<usize> = (0..log.records().len())
            .filter(|index| log.records()[*index].op.name() == "fsync")
            .collect();
        let mut edits = SyncEdits::default();
        edits.remove(syncs[0]);
        let directory = NewSync {
            ino: ROOT,
            dir: true,
            data_only: false,
            path: "".into(),
        };
        edits.add_behind(syncs[1], directory.clone());
        edits.add_behind(syncs[1], directory);
        let edited = edits.apply(&log);
        assert_eq!((edits.added_count(), edits.removed_count()), (1, 1));
        assert_eq!(
            names(&edited.log),
            ["create", "write", "write", "fsync", "fsync(dir)"]
        );
        let marks: Vec<u64> = edited.log.marks().iter().map(|mark| mark.seq).collect();
        assert_eq!(marks, [2, 5]);
        assert_eq!(edited.origin(2), Some(3));
        assert_eq!(edited.origin(4), None);
        // Before and behind the sync that is gone is one place.
        assert_eq!([2, 3, 5].map(|point| edited.point(point)), [2, 2, 5]);
        assert_eq!(edited.point(99), 99);
        assert_eq!(
            [2, 3, 4, 5].map(|point| edited.point_before(point)),
            [3, 4, 4, 5]
        );
    }

    #[test]
    fn an_ack_is_moved_and_all_else_stays() {
        let log = log();
        let before: Vec<u64> = log.marks().iter().map(|mark| mark.seq).collect();
        assert_eq!(before, [3, 5]);
        let mut edits = SyncEdits::default();
        edits.acknowledge_behind(3, 4);
        assert!(!edits.is_empty());
        let mut both = SyncEdits::default();
        both.extend(&edits);
        assert_eq!(both, edits);
        let edited = edits.apply(&log);
        assert_eq!(names(&edited.log), names(&log));
        let marks: Vec<u64> = edited.log.marks().iter().map(|mark| mark.seq).collect();
        assert_eq!(marks, [5, 5]);
        assert_eq!([3, 5].map(|point| edited.acked(point)), [5, 5]);
        assert_eq!(edited.point(3), 3);
    }

    #[test]
    fn nothing_changed_is_the_same_log() {
        let log = log();
        let edited = SyncEdits::default().apply(&log);
        assert_eq!(names(&edited.log), names(&log));
        assert_eq!(edited.log.marks(), log.marks());
        let end = log.records().len() as u64;
        assert!((0..=end).all(|at| edited.point(at) == at && edited.point_before(at) == at));
    }

    #[test]
    #[should_panic(expected = "is no sync")]
    fn what_is_no_sync_is_not_removed() {
        let mut edits = SyncEdits::default();
        edits.remove(1);
        edits.apply(&log());
    }

    #[test]
    #[should_panic(expected = "an edit behind the log's end")]
    fn an_edit_behind_the_end() {
        let mut edits = SyncEdits::default();
        edits.remove(99);
        edits.apply(&log());
    }
}
