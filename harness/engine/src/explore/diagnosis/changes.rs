//! SyncChanges of syncs that may make a finding go: a sync that is added behind what was lost, at each place
//! where the target does the same, or an existing one that is moved there.

use std::collections::{BTreeMap, BTreeSet};

use plugpull_crashsim::fs::{Ino, Log, NewSync, Op, ROOT, Record, SyncEdits};
use plugpull_crashsim::persist::LostUpdate;

use super::super::names::Names;

/// A change of syncs, and what it is meant for.
pub(super) struct Change {
    /// In words.
    pub(super) words: String,
    pub(super) edits: SyncEdits,
    /// The records of the kind that was lost, anywhere in the log, and syncs that are removed.
    pub(super) places: BTreeSet<usize>,
}

impl Change {
    /// True when another one changes nothing more.
    pub(super) fn has(&self, other: &Self) -> bool {
        both(self, other).edits == self.edits
    }

    /// How many syncs there are more.
    fn price(&self) -> (i64, usize) {
        let (added, removed) = (self.edits.added_count(), self.edits.removed_count());
        (added as i64 - removed as i64, added)
    }
}

/// What is synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Synced {
    /// The file itself.
    File,
    /// The directory, or the two, of its name.
    Directory,
}

/// Where a sync is added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Where {
    /// Behind the last operation of the kind before each ack.
    BeforeAck,
    /// Behind each operation of the kind, or each run of such operations.
    EachTime,
}

/// Makes changes for what a crash lost.
pub(super) struct SyncChanges<'a> {
    log: &'a Log,
    names: &'a Names,
    /// By file or directory: its path, as the log names it last.
    paths: BTreeMap<Ino, String>,
}

impl<'a> SyncChanges<'a> {
    pub(super) fn of(log: &'a Log, names: &'a Names) -> Self {
        let mut paths = BTreeMap::from([(ROOT, String::new())]);
        for record in log.records() {
            let path = record.path.rsplit(" -> ").next().unwrap_or_default();
            if !matches!(record.op, Op::SyncAll { .. } | Op::SyncAllFailed) && !record.op.is_note()
            {
                paths
                    .entry(record.op.ino())
                    .or_insert_with(|| path.to_owned());
            }
        }
        Self { log, names, paths }
    }

    /// The changes worth trying, the cheapest first.
    pub(super) fn for_loss(&self, lost: &[LostUpdate]) -> Vec<Change> {
        let records = self.log.records();
        let seqs: BTreeSet<usize> = lost.iter().map(|one| one.seq as usize).collect();
        let kinds: BTreeMap<(&str, String), usize> = seqs
            .into_iter()
            .filter_map(|seq| Some((self.kind(records.get(seq)?), seq)))
            .rev()
            .collect();
        let mut all: Vec<Change> = Vec::new();
        let mut together: [Vec<Change>; 2] = Default::default();
        for (kind, seq) in &kinds {
            for at in [Where::BeforeAck, Where::EachTime] {
                for synced in [Synced::Directory, Synced::File] {
                    if let Some(change) = self.change((kind, *seq), synced, at) {
                        let best = synced == Synced::Directory || !is_name(&records[*seq].op);
                        if best {
                            together[at as usize].extend(self.change((kind, *seq), synced, at));
                        }
                        all.extend(self.moved(&change));
                        all.push(change);
                    }
                }
            }
        }
        if kinds.len() > 1 {
            all.extend(together.into_iter().filter_map(joined));
        }
        all.sort_by_key(Change::price);
        let mut known: Vec<SyncEdits> = Vec::new();
        all.retain(|change| {
            let new = !change.edits.is_empty() && !known.contains(&change.edits);
            known.push(change.edits.clone());
            new
        });
        all
    }

    /// The operations of the kinds of those that were lost, anywhere in the log.
    pub(super) fn places_of(&self, lost: &[LostUpdate]) -> BTreeSet<usize> {
        let records = self.log.records();
        let kinds = lost.iter().filter_map(|one| records.get(one.seq as usize));
        let kinds: BTreeSet<(&str, String)> = kinds.map(|record| self.kind(record)).collect();
        let is_one = |index: &usize| kinds.contains(&self.kind(&records[*index]));
        (0..records.len()).filter(is_one).collect()
    }

    fn kind(&self, record: &Record) -> (&'static str, String) {
        (record.op.name(), self.names.pattern(&record.path))
    }

    /// What is synced of an operation; none where that is nothing of its kind.
    fn syncs(&self, record: &Record, synced: Synced) -> Vec<NewSync> {
        let of = |ino: Ino, dir: bool| NewSync {
            ino,
            dir,
            data_only: false,
            path: self.paths.get(&ino).map_or("", String::as_str).into(),
        };
        match (&record.op, synced) {
            (
                Op::Create { parent, .. } | Op::Link { parent, .. } | Op::Unlink { parent, .. },
                Synced::Directory,
            ) => {
                vec![of(*parent, true)]
            }
            (Op::Rename { from, to, .. }, Synced::Directory) if from.0 == to.0 => {
                vec![of(to.0, true)]
            }
            (Op::Rename { from, to, .. }, Synced::Directory) => {
                vec![of(to.0, true), of(from.0, true)]
            }
            (_, Synced::Directory) => Vec::new(),
            (Op::Unlink { .. } | Op::SyncAll { .. } | Op::SyncAllFailed, Synced::File) => {
                Vec::new()
            }
            (Op::Create { node, .. }, Synced::File) => match node {
                plugpull_crashsim::fs::NewNode::File => vec![of(record.op.ino(), false)],
                _ => Vec::new(),
            },
            (op, Synced::File) => vec![of(op.ino(), false)],
        }
    }

    /// Adds a sync for all operations of a kind.
    fn change(
        &self,
        (kind, own): (&(&str, String), usize),
        synced: Synced,
        at: Where,
    ) -> Option<Change> {
        let records = self.log.records();
        let places: BTreeSet<usize> = (0..records.len())
            .filter(|index| {
                let record = &records[*index];
                record.op.name() == kind.0 && self.names.pattern(&record.path) == kind.1
            })
            .collect();
        let mut edits = SyncEdits::default();
        let mut add = |index: usize, of: usize| {
            for sync in self.syncs(&records[of], synced) {
                if self.next_of(index, &sync, at).is_none() {
                    edits.add_behind(index, sync);
                }
            }
        };
        match at {
            Where::EachTime => {
                // Each run once, however long it is.
                let mut end = None;
                for place in &places {
                    if end.is_none_or(|end| end < *place) {
                        let last = self.run_end(*place);
                        add(last, *place);
                        end = Some(last);
                    }
                }
            }
            Where::BeforeAck => {
                let mut from = 0;
                for mark in self.log.marks() {
                    let before: Vec<usize> =
                        places.range(from..mark.seq as usize).copied().collect();
                    // Of each file or directory the last.
                    let mut last: BTreeMap<Vec<NewSync>, usize> = BTreeMap::new();
                    for place in before {
                        last.insert(self.syncs(&records[place], synced), place);
                    }
                    for place in last.into_values() {
                        add(self.run_end(place), place);
                    }
                    from = from.max(mark.seq as usize);
                }
            }
        }
        let what = match synced {
            Synced::File => format!("fsync of {}", shown(&self.syncs(&records[own], synced))),
            Synced::Directory => format!(
                "fsync of {}",
                directories(&self.syncs(&records[own], synced))
            ),
        };
        let more = match edits
            .added()
            .map(|(index, _)| index)
            .collect::<BTreeSet<_>>()
            .len()
        {
            0 | 1 => String::new(),
            2 => ", and likewise at 1 more place".to_owned(),
            all => format!(", and likewise at {} more places", all - 1),
        };
        let after = format!("{} {} (operation {own})", kind.0, records[own].path);
        let words = match at {
            Where::EachTime => format!("{what} after {after}{more}"),
            Where::BeforeAck => format!("{what} after {after} and before the ack{more}"),
        };
        (!edits.is_empty()).then_some(Change {
            words,
            edits,
            places,
        })
    }

    /// The same, without the syncs that then have nothing to do: nothing of their file or directory happened
    /// between them and the new one.
    fn moved(&self, change: &Change) -> Option<Change> {
        let records = self.log.records();
        let idle: BTreeSet<usize> = change
            .edits
            .added()
            .filter_map(|(index, sync)| self.later_of(index, sync))
            .collect();
        let first = *idle.first()?;
        let mut edits = change.edits.clone();
        idle.iter().for_each(|index| edits.remove(*index));
        Some(Change {
            words: format!(
                "{}, instead of the {} of operation {first}{}",
                change.words,
                records[first].op.name(),
                match idle.len() {
                    1 => String::new(),
                    all => format!(" (and {} more)", all - 1),
                }
            ),
            edits,
            places: change.places.iter().copied().chain(idle).collect(),
        })
    }

    /// The sync of the same file or directory that comes next, with nothing of it before.
    fn later_of(&self, index: usize, sync: &NewSync) -> Option<usize> {
        let records = self.log.records();
        let own = |record: &Record| match &record.op {
            Op::Create { parent, .. } | Op::Link { parent, .. } | Op::Unlink { parent, .. } => {
                *parent == sync.ino
            }
            Op::Rename { from, to, .. } => [from.0, to.0].contains(&sync.ino),
            op => op.ino() == sync.ino && !op.is_note(),
        };
        let next = (index + 1..records.len()).find(|index| own(&records[*index]))?;
        matches!(records[next].op, Op::Sync { .. }).then_some(next)
    }

    /// The same, where it comes early enough: before the ack, or before anything else is done.
    fn next_of(&self, index: usize, sync: &NewSync, at: Where) -> Option<usize> {
        let next = self.later_of(index, sync)?;
        let marks = self.log.marks();
        let acked = marks
            .iter()
            .any(|mark| mark.seq > index as u64 && mark.seq <= next as u64);
        let between = &self.log.records()[index + 1..next];
        let quiet = between.iter().all(|record| {
            record.op.is_note() || matches!(record.op, Op::Sync { .. } | Op::SyncAll { .. })
        });
        (!acked && (at == Where::BeforeAck || quiet)).then_some(next)
    }

    /// The last of the operations of one kind on one file that follow each other, with no ack between.
    fn run_end(&self, index: usize) -> usize {
        let records = self.log.records();
        let home = |record: &Record| match &record.op {
            Op::Create { parent, .. } | Op::Link { parent, .. } | Op::Unlink { parent, .. } => {
                (*parent, true)
            }
            Op::Rename { to, .. } => (to.0, true),
            op => (op.ino(), false),
        };
        let own = &records[index];
        let mut end = index;
        for (next, record) in records.iter().enumerate().skip(index + 1) {
            let acked = self
                .log
                .marks()
                .binary_search_by_key(&(next as u64), |mark| mark.seq)
                .is_ok();
            if acked || matches!(record.op, Op::Sync { .. } | Op::SyncAll { .. }) {
                break;
            }
            if record.op.is_note() {
                continue;
            }
            if home(record) != home(own)
                || record.op.name() != own.op.name()
                || record.pid != own.pid
            {
                break;
            }
            end = next;
        }
        end
    }
}

fn is_name(op: &Op) -> bool {
    matches!(
        op,
        Op::Create { .. } | Op::Link { .. } | Op::Unlink { .. } | Op::Rename { .. }
    )
}

/// Two changes at once.
pub(super) fn both(one: &Change, other: &Change) -> Change {
    let mut edits = one.edits.clone();
    for (index, sync) in other.edits.added() {
        edits.add_behind(index, sync.clone());
    }
    other.edits.removed().for_each(|index| edits.remove(index));
    Change {
        words: format!("{}; and {}", one.words, other.words),
        edits,
        places: one.places.union(&other.places).copied().collect(),
    }
}

/// Several changes at once.
fn joined(all: Vec<Change>) -> Option<Change> {
    let several = all.len() > 1;
    let whole = all.into_iter().reduce(|one, other| both(&one, &other));
    whole.filter(|_| several)
}

fn shown(syncs: &[NewSync]) -> String {
    let paths: Vec<&str> = syncs.iter().map(|one| &*one.path).collect();
    paths.join(" and ")
}

fn directories(syncs: &[NewSync]) -> String {
    let name = |sync: &NewSync| match sync.path.is_empty() {
        true => "the data directory".to_owned(),
        false => format!("the directory {}", sync.path),
    };
    syncs.iter().map(name).collect::<Vec<_>>().join(" and ")
}
