//! The order of the crash points of a log: those around rare kinds of operations first.
//!
//! A bug is mostly in what a target does now and then (a checkpoint, a rotation, a compaction), and that
//! is a few operations among thousands. So the operations take turns, the rarest first, and of one
//! operation its kinds of files: a rename that happened once has its turn before the second write.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ops::Range;

use plugpull_crashsim::fs::{Log, Op, PAGE, Record, WriteData};
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

use super::names::Names;

/// An operation, and on which side of it a point is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Name {
    /// How much it tells where it is as rare as others; the least first.
    rank: u8,
    op: &'static str,
    behind: bool,
}

/// An operation on a kind of file, by the number of its pattern.
type Kind = (Name, usize);

/// How much an operation tells. Changes of names and cuts can leave files empty, twice or nowhere; a point
/// tells most behind them, and before a sync, when nothing of it is durable.
fn rank(op: &Op, behind: bool) -> u8 {
    match op {
        Op::Write { data, .. } if is_over_pages(data) => side(4, behind),
        Op::Sync { .. } | Op::SyncAll { .. } | Op::CacheSettled => side(4, !behind),
        Op::Rename { .. } => side(0, behind),
        Op::Truncate { .. } | Op::Zero { .. } => side(1, behind),
        Op::Unlink { .. } => side(2, behind),
        Op::Create { .. } | Op::Link { .. } => side(3, behind),
        _ => COMMON,
    }
}

/// A write that reaches the disk as more than one page, so that any filesystem may leave a part of it.
fn is_over_pages(data: &WriteData) -> bool {
    data.offset() / PAGE as u64 != data.end().saturating_sub(1) / PAGE as u64
}

/// The name of an operation: a write over pages is another one than a write in a page.
fn name(op: &Op) -> &'static str {
    match op {
        Op::Write { data, .. } if is_over_pages(data) => "write over pages",
        op => op.name(),
    }
}

fn side(rank: u8, behind: bool) -> u8 {
    rank + if behind { 0 } else { OTHER_SIDE }
}

/// Those on the other side of an operation have their turn behind all of these.
const OTHER_SIDE: u8 = 5;
/// Of renames and cuts two kinds of files have their turn, of other operations one.
const TWICE: u8 = 2;
/// The rank of what tells little: one point of each kind comes early, the others last.
const COMMON: u8 = 2 * OTHER_SIDE;

/// The kinds of the operations of a part of a log, and how many there are of each.
struct Census<'a> {
    records: &'a [Record],
    names: Names,
    /// By path.
    patterns: HashMap<&'a str, usize>,
    numbers: HashMap<String, usize>,
    ops: HashMap<&'static str, usize>,
    kinds: HashMap<(&'static str, usize), usize>,
}

impl<'a> Census<'a> {
    fn of(log: &'a Log, part: &Range<usize>) -> Self {
        let records = log.records();
        let mut census = Self {
            records,
            names: Names::of(log),
            patterns: HashMap::new(),
            numbers: HashMap::new(),
            ops: HashMap::new(),
            kinds: HashMap::new(),
        };
        for record in &records[part.start.min(records.len())..part.end.min(records.len())] {
            let op = name(&record.op);
            let pattern = census.pattern(&record.path);
            *census.ops.entry(op).or_default() += 1;
            *census.kinds.entry((op, pattern)).or_default() += 1;
        }
        census
    }

    fn pattern(&mut self, path: &'a str) -> usize {
        let (names, numbers) = (&self.names, &mut self.numbers);
        *self.patterns.entry(path).or_insert_with(|| {
            let next = numbers.len();
            *numbers.entry(names.pattern(path)).or_insert(next)
        })
    }

    /// The kind of the record at this index, for a point on this side of it.
    fn kind(&mut self, index: usize, behind: bool) -> Kind {
        let record = &self.records[index];
        let name = Name {
            rank: rank(&record.op, behind),
            op: name(&record.op),
            behind,
        };
        (name, self.pattern(&record.path))
    }

    /// How many operations of this name there are, behind on which side a point tells more.
    fn rarity(&self, name: Name) -> (u8, usize, Name) {
        let count = self.ops.get(name.op).copied().unwrap_or_default();
        (name.rank / OTHER_SIDE, count, name)
    }

    fn rarest(&self, kinds: impl IntoIterator<Item = Kind>) -> Option<Kind> {
        kinds
            .into_iter()
            .min_by_key(|(name, pattern)| (self.rarity(*name), *pattern))
    }

    /// What a point is near to: what was done before it, or what comes next.
    fn near(&mut self, point: usize) -> Option<Kind> {
        let behind = point.checked_sub(1).map(|index| self.kind(index, true));
        let next = (point < self.records.len()).then(|| self.kind(point, false));
        // Of what tells little a point is near to that behind which it is.
        let next = next.filter(|(name, _)| name.rank < COMMON || behind.is_none());
        self.rarest(behind.into_iter().chain(next))
    }

    /// The rarest of what was done in these records.
    fn among(&mut self, records: Range<usize>) -> Option<Kind> {
        let mut rarest = None;
        for index in records {
            let kind = self.kind(index, true);
            rarest = self.rarest(rarest.into_iter().chain([kind]));
        }
        rarest
    }

    /// The points of all kinds in turn, the rarest kind first; and those that come last.
    fn in_turn(
        &self,
        points: impl IntoIterator<Item = (Option<Kind>, usize)>,
        rng: &mut ChaCha8Rng,
    ) -> [Vec<usize>; 2] {
        let mut late = Vec::new();
        let mut by_op: BTreeMap<_, BTreeMap<_, Vec<usize>>> = BTreeMap::new();
        for (kind, point) in points {
            let Some((name, pattern)) = kind else {
                late.push(point);
                continue;
            };
            let count = self.kinds.get(&(name.op, pattern)).copied();
            let kinds = by_op.entry(self.rarity(name)).or_default();
            kinds
                .entry((count.unwrap_or_default(), pattern))
                .or_default()
                .push(point);
        }
        let mut rare = Vec::new();
        for ((_, _, name), mut kinds) in by_op {
            kinds.values_mut().for_each(|points| points.shuffle(rng));
            let keep = match name.rank {
                COMMON.. => kinds.len(),
                _ => usize::MAX,
            };
            let mut points = take_turns(kinds.into_values().map(|points| (points, 1)));
            late.extend(points.split_off(keep.min(points.len())));
            rare.push((points, 1 + usize::from(name.rank < TWICE)));
        }
        late.shuffle(rng);
        [take_turns(rare), late]
    }
}

/// The points near to what ranks before `end`, those of the commonest kind first: what a target does again and
/// again is mostly how it commits.
fn common(points: &[(Option<Kind>, usize)], end: u8, rng: &mut ChaCha8Rng) -> Vec<usize> {
    let mut kinds: BTreeMap<Kind, Vec<usize>> = BTreeMap::new();
    for (kind, point) in points {
        if let Some(kind) = kind.filter(|(name, _)| name.rank < end) {
            kinds.entry(kind).or_default().push(*point);
        }
    }
    let commonest = kinds.iter().max_by_key(|(_, points)| points.len());
    let commonest = commonest.map(|(kind, _)| *kind);
    let mut first = commonest
        .and_then(|kind| kinds.remove(&kind))
        .unwrap_or_default();
    let mut others: Vec<usize> = kinds.into_values().flatten().collect();
    first.shuffle(rng);
    others.shuffle(rng);
    first.extend(others);
    first
}

/// So many of each in turn, in their order.
fn take_turns(lists: impl IntoIterator<Item = (Vec<usize>, usize)>) -> Vec<usize> {
    let lists = lists.into_iter();
    let mut lists: Vec<_> = lists.map(|(list, many)| (list.into_iter(), many)).collect();
    let mut all = Vec::new();
    loop {
        let before = all.len();
        for (list, many) in &mut lists {
            all.extend(list.take(*many));
        }
        if all.len() == before {
            return all;
        }
    }
}

/// The points of a part of a log, the most telling first. One at an ack (a rare and a common one in turn), one
/// near to what is rare and one near to what is common take turns, so that none waits for the others where there
/// are many of them. An ack counts by the rarest of what was done for it. In a seeded order within each kind: points next to each
/// other show much the same.
pub(super) fn in_order(log: &Log, part: Range<usize>, seed: u64) -> Vec<usize> {
    let mut acks: Vec<usize> = log.marks().iter().map(|mark| mark.seq as usize).collect();
    acks.dedup();
    let mut census = Census::of(log, &part);
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let (mut at_acks, mut others) = (Vec::new(), Vec::new());
    for point in part.clone() {
        match acks.binary_search(&point) {
            Ok(nth) => {
                let from = nth.checked_sub(1).map_or(0, |before| acks[before]);
                at_acks.push((census.among(from.max(part.start)..point), point));
            }
            Err(_) => others.push((census.near(point), point)),
        }
    }
    let common_acks = common(&at_acks, u8::MAX, &mut rng);
    let [rare_acks, late_acks] = census.in_turn(at_acks, &mut rng);
    let near_common = common(&others, OTHER_SIDE, &mut rng);
    let [rare, late] = census.in_turn(others, &mut rng);
    let one_each = |lists: Vec<Vec<usize>>| take_turns(lists.into_iter().map(|points| (points, 1)));
    // What every ack shows is shown by the first point.
    let mut all: Vec<usize> = common_acks.first().copied().into_iter().collect();
    let at_acks = one_each(vec![rare_acks, common_acks]);
    all.extend(one_each(vec![at_acks, rare, near_common]));
    all.extend(late_acks.into_iter().chain(late));
    let mut seen = HashSet::new();
    all.retain(|point| seen.insert(*point));
    all
}

#[cfg(test)]
mod tests {
    use plugpull_crashsim::file::{File as _, SimDisk, Storage as _};

    use super::*;

    /// Sixty commits, an ack behind each, and one switch of a file after the twentieth: a rename, or where
    /// `cuts` a truncation.
    fn one_switch(cuts: bool) -> Log {
        let disk = SimDisk::new();
        let log = disk.create("log").expect("a file");
        for n in 0..60 {
            log.write_at(n * 10, b"0123456789").expect("a write");
            if n == 20 && cuts {
                log.set_len(5).expect("a cut");
            } else if n == 20 {
                disk.rename("log", "old").expect("a rename");
            }
            log.sync_data().expect("a sync");
            disk.ack(n);
        }
        disk.take_log()
    }

    #[test]
    fn what_happened_once_comes_first() {
        for cuts in [false, true] {
            let log = one_switch(cuts);
            let is_switch =
                |record: &Record| matches!(record.op, Op::Rename { .. } | Op::Truncate { .. });
            let switch = log.records().iter().position(is_switch).expect("a switch") + 1;
            let end = log.records().len() + 1;
            for seed in 0..20 {
                let points = in_order(&log, 0..end, seed);
                // The ack that followed it, and the point behind it.
                assert_eq!(
                    points[1..3],
                    [switch + 1, switch],
                    "cuts {cuts}, seed {seed}"
                );
                let mut all = points;
                all.sort_unstable();
                assert!(all.into_iter().eq(0..end), "each point once");
            }
        }
    }

    #[test]
    fn lists_take_turns() {
        let taken = |first: &[usize], many, second: &[usize]| {
            take_turns([(first.to_vec(), many), (second.to_vec(), 1)])
        };
        assert_eq!(taken(&[1], 1, &[2, 3, 4]), [1, 2, 3, 4]);
        assert_eq!(taken(&[1, 2, 3], 1, &[9]), [1, 9, 2, 3]);
        assert_eq!(taken(&[1, 2, 3], 2, &[9]), [1, 2, 9, 3]);
        assert!(taken(&[], 1, &[]).is_empty());
    }
}
