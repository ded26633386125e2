//! A finding that is looked for: how much of what it lost another disk has lost, and which operations
//! brought that.
//!
//! Each name, length and sector had one value after the other. A disk that has an earlier one than the
//! finding's has lost more; one that has a later one has not lost all of it.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hasher};
use std::path::Path;

use plugpull_crashsim::fs::{Ino, Inode, Op, PAGE, ROOT, Record, Tree, apply};

use crate::difference::{Loss, Losses, UNIT, paths};

/// How much of what a finding lost is lost on another disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reached {
    /// Not all of it.
    No,
    /// All of it and nothing else.
    Same,
    /// All of it, and more. What the finding kept may be what it needs, so a target that survives this disk
    /// says nothing of the finding's.
    More,
}

/// What a name, length or sector was at some moment; none where there was no such file.
type Value = Option<u64>;

/// A finding that is looked for.
pub struct Sought {
    whole: Tree,
    losses: Vec<(Loss, Versions)>,
}

/// The values of one thing.
struct Versions {
    /// In order, each with the operation that brought it; none that two in a row share.
    all: Vec<(usize, Value)>,
    crashed: Value,
}

impl Sought {
    /// What these operations leave where nothing is lost, and the disk of the finding.
    pub fn new(records: &[Record], crashed: &Tree) -> Self {
        let whole = crate::tree_of(records);
        let losses = Losses::between(&whole, crashed);
        let mut histories: Vec<History> = losses
            .iter()
            .map(|loss| History::new(loss.clone(), &whole))
            .collect();
        let mut tree = Tree::new(0, 0, 0);
        for (at, record) in records.iter().enumerate() {
            apply(&mut tree, record);
            for history in &mut histories {
                history.note(at, record, &tree);
            }
        }
        let found = paths(crashed);
        let losses = histories.into_iter().map(|history| {
            let crashed = value(&history.loss, found.get(history.loss.path()).copied());
            (history.loss.clone(), history.versions(crashed))
        });
        Self {
            losses: losses.collect(),
            whole,
        }
    }

    /// The disk on which nothing is lost.
    pub fn whole(&self) -> &Tree {
        &self.whole
    }

    /// How much of what the finding lost this disk has lost.
    pub fn reached(&self, disk: &Tree) -> Reached {
        let there = paths(disk);
        let mut reached = Reached::Same;
        for (loss, versions) in &self.losses {
            let here = value(loss, there.get(loss.path()).copied());
            match versions.reached(here, matches!(loss, Loss::Sector(..))) {
                Reached::No => return Reached::No,
                Reached::More => reached = Reached::More,
                Reached::Same => {}
            }
        }
        let ours: BTreeSet<&Loss> = self.losses.iter().map(|(loss, _)| loss).collect();
        let lost = Losses::between(&self.whole, disk);
        match lost.iter().all(|loss| ours.contains(loss)) {
            true => reached,
            false => Reached::More,
        }
    }

    /// The operations that the finding lost, or part of them.
    pub(crate) fn lost_operations(&self) -> BTreeSet<usize> {
        let lost = self.losses.iter().flat_map(|(_, versions)| versions.lost());
        lost.collect()
    }

    /// The pages in which the finding lost bytes, by the operation that wrote them.
    pub(crate) fn lost_pages(&self, records: &[Record]) -> BTreeMap<usize, Vec<(Ino, u64)>> {
        let mut pages: BTreeMap<usize, Vec<(Ino, u64)>> = BTreeMap::new();
        for (loss, versions) in &self.losses {
            let Loss::Sector(_, at) = loss else { continue };
            for record in versions.lost() {
                let page = (records[record].op.ino(), at / PAGE as u64);
                let known = pages.entry(record).or_default();
                if !known.contains(&page) {
                    known.push(page);
                }
            }
        }
        pages
    }
}

impl Versions {
    fn found(&self) -> Option<usize> {
        self.all
            .iter()
            .rposition(|(_, value)| *value == self.crashed)
    }

    /// `reads_otherwise`: what this disk has, or the finding's, may be a value that it never had. Then the same is
    /// lost, and reads as something else. (A length that it never had is that of a torn write.)
    fn reached(&self, here: Value, reads_otherwise: bool) -> Reached {
        if here == self.crashed {
            return Reached::Same;
        }
        if self.all.last().is_none_or(|(_, whole)| *whole == here) {
            return Reached::No;
        }
        let first = self.all.iter().position(|(_, value)| *value == here);
        match (first, self.found()) {
            (Some(here), Some(found)) if here < found => Reached::More,
            (Some(_), Some(_)) => Reached::No,
            _ if reads_otherwise => Reached::Same,
            (Some(_), None) => Reached::More,
            (None, _) => Reached::No,
        }
    }

    /// The operations that brought what is lost.
    fn lost(&self) -> impl Iterator<Item = usize> + '_ {
        // What it never had is what some crash made of the last.
        let from = self
            .found()
            .map_or(self.all.len().saturating_sub(1), |at| at + 1);
        self.all[from..].iter().map(|(record, _)| *record)
    }
}

/// The values of one thing, as the operations are done.
struct History {
    loss: Loss,
    /// What the path leads to in the end. It may have been written under another name.
    last: Option<Ino>,
    /// The values at the path while it led elsewhere.
    place: Vec<(usize, Value)>,
    /// The values of what it leads to in the end.
    own: Vec<(usize, Value)>,
    /// What the path led to after the last operation.
    leads_to: Option<Ino>,
    /// The operation by which it came to lead to what it leads to in the end.
    arrived: usize,
}

impl History {
    fn new(loss: Loss, whole: &Tree) -> Self {
        let last = resolve(whole, loss.path());
        // A name is what the path has, wherever it leads.
        let last = last.filter(|_| !matches!(loss, Loss::Name(_)));
        Self {
            last,
            loss,
            place: vec![(0, None)],
            own: Vec::new(),
            leads_to: None,
            arrived: 0,
        }
    }

    fn note(&mut self, at: usize, record: &Record, tree: &Tree) {
        if is_of_names(&record.op) {
            let now = resolve(tree, self.loss.path());
            if now != self.leads_to && now == self.last {
                self.arrived = at;
            }
            let changed = now != self.leads_to;
            self.leads_to = now;
            if changed && (now != self.last || self.last.is_none()) {
                self.push_place(at, tree);
            }
        }
        if self.last.is_some_and(|last| record.op.ino() == last) && self.touches(record) {
            let inode = self.last.and_then(|last| tree.get(last).ok());
            push(&mut self.own, at, value(&self.loss, inode));
        } else if self.leads_to == Some(record.op.ino()) && self.touches(record) {
            self.push_place(at, tree);
        }
    }

    fn push_place(&mut self, at: usize, tree: &Tree) {
        let inode = self.leads_to.and_then(|ino| tree.get(ino).ok());
        push(&mut self.place, at, value(&self.loss, inode));
    }

    /// Whether the operation may change it.
    fn touches(&self, record: &Record) -> bool {
        match (&self.loss, &record.op) {
            (Loss::Sector(_, at), Op::Write { data, .. }) => {
                data.offset() < at + UNIT && *at < data.end()
            }
            (
                Loss::Sector(..) | Loss::Length(_),
                Op::Write { .. } | Op::Truncate { .. } | Op::Allocate { .. } | Op::Zero { .. },
            ) => true,
            (Loss::Attributes(_), Op::SetAttrs { .. } | Op::SetXattr { .. }) => true,
            (_, op) => matches!(op, Op::Create { .. }),
        }
    }

    /// What the path had before it came to lead where it leads now is older than what it has had since.
    fn versions(self, crashed: Value) -> Versions {
        let had = |versions: &[(usize, Value)]| versions.iter().any(|(_, had)| *had == crashed);
        let mut all = self.place;
        if had(&all) && !had(&self.own) {
            // The finding's disk still led elsewhere: what it lost is that it came to lead here.
            let whole = self.own.last().map(|(_, whole)| *whole);
            all.extend(whole.map(|whole| (self.arrived, whole)));
        } else {
            all.extend(self.own);
        }
        Versions { all, crashed }
    }
}

/// Whether the operation changes where paths lead.
fn is_of_names(op: &Op) -> bool {
    matches!(
        op,
        Op::Create { .. } | Op::Link { .. } | Op::Unlink { .. } | Op::Rename { .. }
    )
}

fn push(versions: &mut Vec<(usize, Value)>, at: usize, value: Value) {
    if versions.last().is_none_or(|(_, last)| *last != value) {
        versions.push((at, value));
    }
}

fn resolve(tree: &Tree, path: &Path) -> Option<Ino> {
    path.iter()
        .try_fold(ROOT, |ino, name| tree.lookup(ino, name).ok())
}

fn value(loss: &Loss, inode: Option<&Inode>) -> Value {
    let mut hasher = DefaultHasher::new();
    loss.hash_value(inode?, &mut hasher)
        .then(|| hasher.finish())
}

#[cfg(test)]
mod tests {
    use plugpull_crashsim::file::{File, SimDisk, Storage};

    use super::*;
    use crate::tree_of;

    type Call = fn(&SimDisk);

    /// The operations that these calls are.
    fn records(calls: &[Call]) -> Vec<Record> {
        let disk = SimDisk::new();
        for call in calls {
            call(&disk);
        }
        disk.take_log().records().to_vec()
    }

    fn disk(calls: &[Call]) -> Tree {
        tree_of(&records(calls))
    }

    const LOG: Call = |disk| {
        disk.create("log").unwrap().write_at(0, &[1; 600]).unwrap();
    };
    const SECOND: Call = |disk| disk.open("log").unwrap().write_at(600, &[2; 600]).unwrap();
    const THIRD: Call = |disk| disk.open("log").unwrap().write_at(1200, &[3; 600]).unwrap();
    const NAME: Call = |disk| drop(disk.create("name").unwrap());
    const OTHER: Call = |disk| disk.create("other").unwrap().write_at(0, &[4; 9]).unwrap();

    #[test]
    fn what_lost_the_same_lost_neither_less_nor_more() {
        let all = records(&[OTHER, LOG, SECOND, THIRD, NAME]);
        let found = disk(&[OTHER, LOG, SECOND, NAME]);
        let sought = Sought::new(&all, &found);
        assert_eq!(sought.reached(&found), Reached::Same);
        let same_bytes: Call = |disk| {
            LOG(disk);
            disk.open("log").unwrap().write_at(600, &[2; 600]).unwrap();
        };
        assert_eq!(
            sought.reached(&disk(&[NAME, same_bytes, OTHER])),
            Reached::Same
        );
        for more in [
            // Nothing is there.
            &[][..],
            // An earlier write to the same file is lost too, within a sector that is lost.
            &[OTHER, LOG, NAME],
            // Something that has no part in it is lost too.
            &[LOG, SECOND, NAME],
            &[OTHER, LOG, SECOND],
            &[OTHER, NAME],
        ] {
            assert_eq!(sought.reached(&disk(more)), Reached::More);
        }
        let torn: Call = |disk| disk.open("log").unwrap().set_len(1200).unwrap();
        for less in [
            &[OTHER, LOG, SECOND, THIRD, NAME][..],
            &[LOG, SECOND, THIRD],
            // The length alone is.
            &[OTHER, LOG, SECOND, THIRD, NAME, torn, |disk| {
                disk.open("log").unwrap().set_len(1800).unwrap();
            }],
        ] {
            assert_eq!(sought.reached(&disk(less)), Reached::No);
        }
    }

    #[test]
    fn a_later_value_than_the_findings_has_lost_less() {
        let sought = Sought::new(&records(&[OTHER, LOG, SECOND, THIRD]), &disk(&[OTHER, LOG]));
        assert_eq!(sought.reached(&disk(&[OTHER, LOG])), Reached::Same);
        assert_eq!(sought.reached(&disk(&[OTHER, LOG, SECOND])), Reached::No);
        assert_eq!(
            sought.reached(&disk(&[OTHER, LOG, SECOND, THIRD])),
            Reached::No
        );
        assert_eq!(sought.reached(&disk(&[OTHER])), Reached::More);
    }

    #[test]
    fn an_earlier_append_within_one_sector_is_more() {
        let first: Call = |disk| disk.create("log").unwrap().write_at(0, &[1; 20]).unwrap();
        let second: Call = |disk| disk.open("log").unwrap().write_at(20, &[2; 20]).unwrap();
        let third: Call = |disk| disk.open("log").unwrap().write_at(40, &[3; 20]).unwrap();
        let sought = Sought::new(&records(&[first, second, third]), &disk(&[first, second]));
        assert_eq!(sought.reached(&disk(&[first, second])), Reached::Same);
        assert_eq!(sought.reached(&disk(&[first])), Reached::More);
    }

    /// Junk in a sector that was being written: another disk shows the bytes of before.
    #[test]
    fn what_it_never_had_is_the_same_loss_that_reads_otherwise() {
        let over: Call = |disk| disk.open("log").unwrap().write_at(0, &[5; 600]).unwrap();
        let junk: Call = |disk| disk.open("log").unwrap().write_at(0, &[6; 600]).unwrap();
        let sought = Sought::new(&records(&[LOG, NAME, over]), &disk(&[LOG, NAME, junk]));
        assert_eq!(sought.reached(&disk(&[LOG, NAME])), Reached::Same);
        assert_eq!(sought.reached(&disk(&[LOG])), Reached::More);
        assert_eq!(sought.reached(&disk(&[LOG, NAME, over])), Reached::No);
    }

    /// Of a write in two pages the first is there, zeros, and the length goes as far.
    #[test]
    fn an_empty_file_lost_more_than_a_torn_one() {
        let write: Call = |disk| {
            let bytes = [[0; 4096], [1; 4096]].concat();
            disk.create("log").unwrap().write_at(0, &bytes).unwrap();
        };
        let torn: Call = |disk| disk.create("log").unwrap().write_at(0, &[0; 4096]).unwrap();
        let empty: Call = |disk| drop(disk.create("log").unwrap());
        let sought = Sought::new(&records(&[write]), &disk(&[torn]));
        assert_eq!(sought.reached(&disk(&[torn])), Reached::Same);
        assert_eq!(sought.reached(&disk(&[empty])), Reached::More);
        assert_eq!(sought.reached(&disk(&[write])), Reached::No);
        // The other way round less is lost.
        let sought = Sought::new(&records(&[write]), &disk(&[empty]));
        assert_eq!(sought.reached(&disk(&[torn])), Reached::No);
    }

    const NEW: Call = |disk| disk.create("new").unwrap().write_at(0, &[7; 900]).unwrap();
    const RENAME: Call = |disk| disk.rename("new", "log").unwrap();
    const EMPTIED: Call = |disk| disk.open("log").unwrap().set_len(0).unwrap();
    const NEW_EMPTY: Call = |disk| drop(disk.create("new").unwrap());

    #[test]
    fn the_content_of_a_renamed_file_is_lost_where_it_was_written() {
        let all = records(&[LOG, NEW, RENAME]);
        // The new file, empty.
        let empty = Sought::new(&all, &disk(&[LOG, NEW, RENAME, EMPTIED]));
        assert_eq!(empty.lost_operations(), [3].into(), "the write of new");
        assert_eq!(
            empty.reached(&disk(&[LOG, NEW_EMPTY, RENAME])),
            Reached::Same
        );
        assert_eq!(empty.reached(&disk(&[LOG, NEW, RENAME])), Reached::No);
        assert_eq!(empty.reached(&disk(&[LOG])), Reached::More, "the old one");
        let pages = empty.lost_pages(&all);
        assert_eq!(pages, [(3, vec![(all[3].op.ino(), 0)])].into());
        // The old file, and the new one under its first name.
        let old = Sought::new(&all, &disk(&[LOG, NEW]));
        assert_eq!(old.lost_operations(), [4].into(), "the rename");
        assert_eq!(old.reached(&disk(&[LOG, NEW])), Reached::Same);
        assert_eq!(old.reached(&disk(&[LOG])), Reached::No, "new is not there");
    }
}
