//! Loss sets, and which of them are worth trying at a crash point.

use std::collections::{BTreeMap, BTreeSet};

use foldhash::{HashSet, HashSetExt};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::apply::{beside, sectors};
use super::legalize::Rules;
use super::tears::{behind, by_role, tears};
use super::update::{LossSet, Update, UpdateKind, write_of};
use crate::fs::{Op, PAGE};

/// The most pending updates that are left out one by one, and the most prefixes, at one point.
const SINGLES: usize = 48;
/// Tears that come before single updates.
const EARLY_TEARS: usize = 3;

fn without(lost: impl IntoIterator<Item = usize>) -> LossSet {
    LossSet {
        lost: lost.into_iter().collect(),
        ..LossSet::default()
    }
}

/// Choices that differ, up to a number of them. Where thousands of updates are pending a loss set is
/// as many numbers, so none is made that is not wanted.
struct Distinct {
    all: Vec<LossSet>,
    seen: HashSet<LossSet>,
    limit: usize,
}

impl Distinct {
    fn add(&mut self, make: impl FnOnce() -> LossSet) {
        self.extend(|| [make()]);
    }

    fn extend<I: IntoIterator<Item = LossSet>>(&mut self, make: impl FnOnce() -> I) {
        if self.all.len() >= self.limit {
            return;
        }
        for losses in make() {
            if self.seen.insert(losses.clone()) {
                self.all.push(losses);
            }
            if self.all.len() >= self.limit {
                return;
            }
        }
    }
}

/// The first `limit` of the loss sets worth trying here, the most telling first: all there, nothing there,
/// names without data, a write torn with what came later, lengths without data (zeros), data without names,
/// data without any metadata, some more [`tears`], each single update missing (one of each role before a
/// second), the other tears, each prefix, and `subsets` seeded ones. Different loss sets can still give
/// equal states.
pub(super) fn likely(
    rules: &Rules<'_, '_>,
    subsets: usize,
    seed: u64,
    limit: usize,
) -> Vec<LossSet> {
    let updates = telling(rules);
    let pending: Vec<usize> = updates.iter().map(|update| update.id).collect();
    let of = |lost: fn(&UpdateKind<'_>) -> bool| {
        without(
            updates
                .iter()
                .filter(|update| lost(&update.kind))
                .map(|update| update.id),
        )
    };
    let mut sets = Distinct {
        all: Vec::new(),
        seen: HashSet::new(),
        limit,
    };
    let by_role = by_role(rules, &updates);
    let mut tears = tears(rules, &updates, &by_role, seed);
    sets.add(LossSet::default);
    sets.add(|| without(pending.iter().copied()));
    sets.add(|| of(|kind| kind.is_content()));
    sets.extend(|| tears.next());
    sets.add(|| of(|kind| !kind.is_metadata()));
    sets.extend(|| spoiled_last(rules, &updates));
    sets.add(|| of(|kind| matches!(kind, UpdateKind::Name { .. })));
    sets.add(|| of(|kind| kind.is_metadata()));
    sets.extend(|| tears.by_ref().take(EARLY_TEARS));
    for update in by_role.iter().take(SINGLES) {
        sets.add(|| without([update.id]));
    }
    sets.extend(|| tears);
    let from = pending.len().saturating_sub(SINGLES);
    for prefix in (from..pending.len()).rev() {
        sets.add(|| without(pending[prefix..].iter().copied()));
    }
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    for _ in 0..if pending.len() > 2 { subsets } else { 0 } {
        sets.add(|| {
            let chance = [0.15, 0.5, 0.85][rng.random_range(0..3)];
            let lost = pending.iter().copied().filter(|_| rng.random_bool(chance));
            without(lost.collect::<Vec<_>>())
        });
    }
    sets.all
}

/// Every pair of pending updates missing together, the latest first. There are as many as the
/// square of the pending updates, so this is an iterator that may be left at any time.
pub(super) fn pairs(rules: &Rules<'_, '_>) -> impl Iterator<Item = LossSet> + use<> {
    let pending: Vec<usize> = telling(rules)
        .iter()
        .rev()
        .map(|update| update.id)
        .collect();
    (1..pending.len()).flat_map(move |earlier| {
        let pending = pending.clone();
        (0..earlier)
            .rev()
            .map(move |later| without([pending[later], pending[earlier]]))
    })
}

/// How many pending updates [`likely`] leaves out one by one and as prefixes, because there are more
/// than it tries.
pub(super) fn beyond(rules: &Rules<'_, '_>) -> usize {
    telling(rules).len().saturating_sub(SINGLES)
}

/// How many [`pairs`] there are.
pub(super) fn pair_count(rules: &Rules<'_, '_>) -> usize {
    let pending = telling(rules).len();
    pending * pending.saturating_sub(1) / 2
}

/// The pending updates that a loss set is about. Times that the clock gave change no verdict: they
/// are lost along with nothing else.
fn telling<'r, 'a>(rules: &'r Rules<'_, 'a>) -> Vec<&'r Update<'a>> {
    let telling =
        |update: &&Update<'a>| !matches!(rules.records[update.record].op, Op::Touch { .. });
    rules.pending().filter(telling).collect()
}

/// The write of this record, ended early at a page boundary: after its first page, about the middle
/// and before its last. None where it lies within one page.
pub(super) fn cut_short(rules: &Rules<'_, '_>, record: usize) -> Vec<LossSet> {
    let mut of_record = rules.pending().filter(|update| update.record == record);
    let Some((update, data)) =
        of_record.find_map(|update| Some((update, write_of(rules.records, update)?.1)))
    else {
        return Vec::new();
    };
    let page = PAGE as u64;
    let first = (data.offset() / page + 1) * page;
    let last = (data.end() - 1) / page * page;
    if first > last {
        return Vec::new();
    }
    let middle = (first + last) / 2 / page * page;
    let ends = BTreeSet::from([first, middle, last]);
    let sector = rules.device.sector;
    let cut = |end: u64| {
        let kept = sectors(data, sector).map(|at| at * sector < end);
        LossSet {
            torn: BTreeMap::from([(update.id, kept.collect())]),
            ..LossSet::default()
        }
    };
    ends.into_iter().map(cut).collect()
}

/// The last pending write that fills a sector in part, with junk left beside it.
fn spoiled_last(rules: &Rules<'_, '_>, updates: &[&Update<'_>]) -> Option<LossSet> {
    if rules.device.powersafe_overwrite {
        return None;
    }
    let last = updates.iter().rev().find(|update| {
        write_of(rules.records, update)
            .is_some_and(|(_, data)| beside(data, rules.device.sector).next().is_some())
    })?;
    Some(LossSet {
        lost: behind(updates, last),
        spoiled: BTreeSet::from([last.id]),
        ..LossSet::default()
    })
}
