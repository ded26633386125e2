//! SyncChanges of syncs that may make a finding go: a sync that is added behind what was lost, at each place
//! where the target does the same, or an existing one that is moved there.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use plugpull_crashsim::fs::{Ino, Log, NewSync, Op, ROOT, Record, SyncEdits};
use plugpull_crashsim::persist::LostUpdate;
use plugpull_workloads::{Entry, Outcome};

use super::super::names::Names;
use super::super::trace::Trace;

/// A change of syncs, and what it is meant for.
#[derive(Clone)]
pub(super) struct Change {
    /// In words.
    pub(super) words: String,
    pub(super) edits: SyncEdits,
    /// The records of the kind that was lost, anywhere in the log, and syncs that are removed.
    pub(super) places: BTreeSet<usize>,
}

impl Change {
    /// How many syncs there are more.
    fn price(&self) -> (i64, usize) {
        let (added, removed) = (self.edits.added_count(), self.edits.removed_count());
        (added as i64 - removed as i64, added)
    }
}

/// What is synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Synced {
    /// The file itself.
    File,
    /// The directory, or the two, of its name.
    Directory,
}

/// Where a sync is added.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Where {
    /// Behind the last operation of the kind before each ack.
    BeforeAck,
    /// Behind each run of operations of the kind.
    EachRun,
    /// Behind each operation of the kind.
    EachTime,
}

/// The number of a kind of operations: the same call on files of one pattern.
type OperationKind = usize;

/// A sync that is added for all operations of a kind: what changes are made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Part {
    kind: OperationKind,
    synced: Synced,
    at: Where,
}

impl Part {
    /// The same behind fewer operations, where there is such a thing.
    pub(super) fn weaker(self) -> Option<Self> {
        let at = match self.at {
            Where::EachTime => Where::EachRun,
            Where::EachRun => Where::BeforeAck,
            Where::BeforeAck => return None,
        };
        Some(Self { at, ..self })
    }
}

/// Makes changes for what a crash lost.
pub(super) struct SyncChanges<'a> {
    /// Stands before the number of an operation.
    whose: &'static str,
    trace: &'a Trace,
    log: &'a Log,
    /// By file or directory: its path, as the log names it last.
    paths: BTreeMap<Ino, String>,
    /// The kinds of the log's operations, and of each record the number of its own.
    kinds: Vec<(&'static str, String)>,
    of_record: Vec<OperationKind>,
}

impl<'a> SyncChanges<'a> {
    /// For a run whose operations are called so.
    pub(super) fn of(trace: &'a Trace, whose: &'static str) -> Self {
        let log = &trace.log;
        let names = Names::of(log);
        let mut paths = BTreeMap::from([(ROOT, String::new())]);
        let mut by_path: HashMap<(&'static str, &str), OperationKind> = HashMap::new();
        let mut numbers: BTreeMap<(&'static str, String), OperationKind> = BTreeMap::new();
        let mut of_record = Vec::with_capacity(log.records().len());
        for record in log.records() {
            let path = record.path.rsplit(" -> ").next().unwrap_or_default();
            if !matches!(record.op, Op::SyncAll { .. } | Op::SyncAllFailed) && !record.op.is_note()
            {
                paths
                    .entry(record.op.ino())
                    .or_insert_with(|| path.to_owned());
            }
            // Thousands of operations are on the same few files.
            let own = by_path.entry((record.op.name(), &record.path));
            let kind = *own.or_insert_with(|| {
                let next = numbers.len();
                let kind = (record.op.name(), names.pattern(&record.path));
                *numbers.entry(kind).or_insert(next)
            });
            of_record.push(kind);
        }
        let mut kinds = vec![("", String::new()); numbers.len()];
        for (kind, number) in numbers {
            kinds[number] = kind;
        }
        Self {
            whose,
            trace,
            log,
            paths,
            kinds,
            of_record,
        }
    }

    /// The kinds of what was lost, each with the first operation of it that was.
    fn kinds_of(&self, lost: &[LostUpdate]) -> BTreeMap<OperationKind, usize> {
        let mut kinds = BTreeMap::new();
        for one in lost {
            let seq = one.seq as usize;
            if let Some(kind) = self.of_record.get(seq) {
                let first = kinds.entry(*kind).or_insert(seq);
                *first = seq.min(*first);
            }
        }
        kinds
    }

    /// The changes worth trying that are made of one part, or of one for each kind, the cheapest first. What
    /// was lost must be durable before what `before` says.
    pub(super) fn for_loss(&self, lost: &[LostUpdate], before: Option<&str>) -> Vec<Change> {
        let kinds = self.kinds_of(lost);
        let mut all: Vec<Change> = Vec::new();
        let mut together: [Vec<Part>; 2] = Default::default();
        for (kind, own) in &kinds {
            for (nth, at) in [Where::BeforeAck, Where::EachRun].into_iter().enumerate() {
                for synced in [Synced::Directory, Synced::File] {
                    let part = Part {
                        kind: *kind,
                        synced,
                        at,
                    };
                    if let Some(change) = self.change(part, *own, before) {
                        let is_name = is_name(&self.log.records()[*own].op);
                        if synced == Synced::Directory || !is_name {
                            together[nth].push(part);
                        }
                        all.extend(self.moved(&change));
                        all.push(change);
                    }
                    all.extend(self.acknowledged_later(part, *own));
                }
            }
        }
        if kinds.len() > 1 {
            all.extend(
                together
                    .iter()
                    .map(|parts| self.joined(parts, lost, before)),
            );
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

    /// Everything at once: each file and each directory is synced behind each operation on it.
    pub(super) fn top(&self) -> Change {
        let mut edits = SyncEdits::default();
        for (index, record) in self.log.records().iter().enumerate() {
            if record.op.is_note() || matches!(record.op, Op::Sync { .. } | Op::SyncFailed { .. }) {
                continue;
            }
            for synced in [Synced::File, Synced::Directory] {
                for sync in self.syncs(record, synced) {
                    edits.add_behind(index, sync);
                }
            }
        }
        Change {
            words: "every file and directory synced behind each operation".into(),
            edits,
            places: BTreeSet::new(),
        }
    }

    /// What syncs the operations of these kinds, behind each run of them.
    pub(super) fn parts_for(&self, lost: &[LostUpdate]) -> BTreeSet<Part> {
        let kinds = self.kinds_of(lost).into_keys();
        kinds
            .flat_map(|kind| self.parts(kind, Where::EachRun))
            .collect()
    }

    /// The same behind each operation.
    pub(super) fn parts_each_time(&self, lost: &[LostUpdate]) -> BTreeSet<Part> {
        let kinds = self.kinds_of(lost).into_keys();
        kinds
            .flat_map(|kind| self.parts(kind, Where::EachTime))
            .collect()
    }

    /// What syncs every kind of operation, behind each one.
    pub(super) fn all_parts(&self) -> BTreeSet<Part> {
        let kinds = 0..self.kinds.len();
        kinds
            .flat_map(|kind| self.parts(kind, Where::EachTime))
            .collect()
    }

    fn parts(&self, kind: OperationKind, at: Where) -> impl Iterator<Item = Part> {
        let first = self.of_record.iter().position(|one| *one == kind);
        let record = first.map(|first| &self.log.records()[first]);
        let record = record.filter(|record| {
            !record.op.is_note() && !matches!(record.op, Op::Sync { .. } | Op::SyncFailed { .. })
        });
        let all = [Synced::File, Synced::Directory].into_iter();
        let some = all.filter(move |synced| {
            record.is_some_and(|record| !self.syncs(record, *synced).is_empty())
        });
        some.map(move |synced| Part { kind, synced, at })
    }

    /// Several parts as one change. The operations that `lost` has are named in its words, of other kinds the
    /// first.
    pub(super) fn joined<'p>(
        &self,
        parts: impl IntoIterator<Item = &'p Part>,
        lost: &[LostUpdate],
        before: Option<&str>,
    ) -> Change {
        let named = self.kinds_of(lost);
        let mut all = Change {
            words: String::new(),
            edits: SyncEdits::default(),
            places: BTreeSet::new(),
        };
        for part in parts {
            let first = || self.of_record.iter().position(|one| *one == part.kind);
            let Some(own) = named.get(&part.kind).copied().or_else(first) else {
                continue;
            };
            let before = before.filter(|_| named.contains_key(&part.kind));
            if let Some(change) = self.change(*part, own, before) {
                if !all.words.is_empty() {
                    all.words.push_str("; and ");
                }
                all.words.push_str(&change.words);
                all.edits.extend(&change.edits);
                all.places.extend(change.places);
            }
        }
        all
    }

    /// The operations of the kinds of those that were lost, anywhere in the log.
    pub(super) fn places_of(&self, lost: &[LostUpdate]) -> BTreeSet<usize> {
        let kinds = self.kinds_of(lost);
        let all = self.of_record.iter().enumerate();
        let of_kind = all.filter(|(_, kind)| kinds.contains_key(kind));
        of_kind.map(|(index, _)| index).collect()
    }

    fn of_kind(&self, kind: OperationKind) -> BTreeSet<usize> {
        let all = self.of_record.iter().enumerate();
        let own = all.filter(|(_, one)| **one == kind);
        own.map(|(index, _)| index).collect()
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

    /// Adds a sync for all operations of a kind, of which one is named.
    fn change(&self, part: Part, own: usize, before: Option<&str>) -> Option<Change> {
        let records = self.log.records();
        let Part { kind, synced, at } = part;
        let places = self.of_kind(kind);
        let mut edits = SyncEdits::default();
        let mut add = |index: usize, of: usize| {
            for sync in self.syncs(&records[of], synced) {
                if self.next_of(index, &sync, at).is_none() {
                    edits.add_behind(index, sync);
                }
            }
        };
        match at {
            Where::EachTime => places.iter().for_each(|place| add(*place, *place)),
            Where::EachRun => {
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
                    let before = places.range(from..from.max(mark.seq as usize));
                    // Of each file or directory the last.
                    let mut last: BTreeMap<Vec<NewSync>, usize> = BTreeMap::new();
                    for place in before {
                        last.insert(self.syncs(&records[*place], synced), *place);
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
        let count = edits.added().map(|(index, _)| index);
        let more = likewise(count.collect::<BTreeSet<_>>().len());
        let (call, path) = (self.kinds[kind].0, &records[own].path);
        let after = format!("after {call} {path} ({}operation {own})", self.whose);
        let words = match (at, before) {
            (Where::EachTime, _) => format!("{what} {after}{more}"),
            (Where::EachRun, _) => format!("{what} {after}{more}"),
            (Where::BeforeAck, Some(before)) => {
                format!("{what} {after} and before {before}{more}")
            }
            (Where::BeforeAck, None) => format!("{what} {after}, the last before an ack{more}"),
        };
        (!edits.is_empty()).then_some(Change {
            words,
            edits,
            places,
        })
    }

    /// What was acknowledged before the sync of it, acknowledged behind that: no sync more. The client must
    /// have done nothing between.
    fn acknowledged_later(&self, part: Part, own: usize) -> Option<Change> {
        let records = self.log.records();
        let places = self.of_kind(part.kind);
        let mut edits = SyncEdits::default();
        let mut named = None;
        let mut marks = self.log.marks().iter().map(|mark| mark.seq).peekable();
        let mut from = 0;
        while let Some(ack) = marks.next() {
            let next = marks.peek().copied();
            if next == Some(ack) {
                continue;
            }
            // What was done between two acks.
            let last = places.range(from..from.max(ack as usize)).next_back();
            from = from.max(ack as usize);
            let Some(last) = last else {
                continue;
            };
            for sync in self.syncs(&records[*last], part.synced) {
                let later = self.later_of(*last, &sync).filter(|later| {
                    let later = *later as u64;
                    later >= ack
                        && next.is_none_or(|next| later < next)
                        && !self.is_called_between(ack, later)
                });
                if let Some(later) = later {
                    edits.acknowledge_behind(ack, later);
                    if *last == own || named.is_none() {
                        named = Some((sync, later));
                    }
                }
            }
        }
        let (sync, later) = named?;
        let of = match part.synced {
            Synced::File => shown(std::slice::from_ref(&sync)),
            Synced::Directory => directories(std::slice::from_ref(&sync)),
        };
        let words = format!(
            "the ack behind the {} of {of} ({}operation {later}), which comes anyway{}",
            records[later].op.name(),
            self.whose,
            likewise(edits.acks().count())
        );
        Some(Change {
            words,
            edits,
            places,
        })
    }

    /// True where whom this ack went to called again before the record at index `end` was over.
    fn is_called_between(&self, ack: u64, end: u64) -> bool {
        let calls = &self.trace.about.history.entries;
        let acked = calls.iter().filter(|call| {
            let done = call.done.as_ref();
            done.is_some_and(|(at, outcome)| at.seq == ack && matches!(outcome, Outcome::Ok))
        });
        let clients: BTreeSet<u32> = acked.map(|call| call.client).collect();
        let again = |call: &&Entry| call.invoked.seq >= ack && call.invoked.seq <= end;
        let mut again = calls.iter().filter(again);
        again.any(|call| clients.contains(&call.client))
    }

    /// The same, without the syncs that then have nothing to do: nothing of their file or directory happened
    /// between them and the new one.
    pub(super) fn moved(&self, change: &Change) -> Option<Change> {
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
                "{}, instead of the {} of {}operation {first}{}",
                change.words,
                records[first].op.name(),
                self.whose,
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
        let quiet = between
            .iter()
            .all(|record| record.op.is_note() || record.op.is_sync());
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
            if acked || record.op.is_sync() {
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

/// At how many more places than one.
fn likewise(places: usize) -> String {
    match places {
        0 | 1 => String::new(),
        2 => ", and likewise at 1 more place".to_owned(),
        all => format!(", and likewise at {} more places", all - 1),
    }
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
