//! How many states are possible at a crash point.

use std::ops::Range;

use foldhash::{HashSet, HashSetExt};

use super::apply::{Keep, sectors};
use super::legalize::Rules;
use super::update::{Durability, Journal, Update, UpdateKind, write_of};
use crate::fs::{Ino, WriteData};

/// Up to so many independent yes and no every combination is looked at.
const EXACT_BITS: usize = 8;

/// How many states are possible: legal loss sets of what is on disk. Two loss sets can still give
/// equal content, as when the same bytes are written twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Possible {
    /// The number, or a number that it is not below; `u128::MAX` also stands for more.
    pub states: u128,
    /// True when it is exactly that number.
    pub exact: bool,
}

impl Possible {
    /// Nothing can be lost.
    pub const ONE: Possible = Possible {
        states: 1,
        exact: true,
    };
}

/// How many states are possible here: exact where few updates are pending, "at least" otherwise.
pub(super) fn possible(rules: &Rules<'_, '_>) -> Possible {
    let bits = rules
        .pending()
        .map(|update| match write_of(rules.records, update) {
            Some((_, data)) => {
                rules.units(update, data).len() + usize::from(!rules.device.powersafe_overwrite)
            }
            None => 1,
        });
    if bits.sum::<usize>() <= EXACT_BITS {
        Possible {
            states: every_legal(rules).len() as u128,
            exact: true,
        }
    } else {
        Possible {
            states: at_least(rules),
            exact: false,
        }
    }
}

/// Every legal loss set. As many as two to the power of what is pending: for few updates only.
pub(super) fn every_legal(rules: &Rules<'_, '_>) -> HashSet<Vec<Keep>> {
    let options: Vec<Vec<Keep>> = rules
        .open
        .iter()
        .map(|update| options(rules, update))
        .collect();
    let mut all = HashSet::new();
    let mut at = vec![0; options.len()];
    loop {
        let mut keeps: Vec<Keep> = options
            .iter()
            .zip(&at)
            .map(|(options, at)| options[*at].clone())
            .collect();
        rules.legalize(&mut keeps);
        all.insert(keeps);
        // Counts on, as a number with a digit an update.
        let Some(digit) = (0..at.len()).find(|n| at[*n] + 1 < options[*n].len()) else {
            return all;
        };
        at[..digit].fill(0);
        at[digit] += 1;
    }
}

fn options(rules: &Rules<'_, '_>, update: &Update<'_>) -> Vec<Keep> {
    if update.durability == Durability::Durable {
        return vec![Keep::All];
    }
    let Some((_, data)) = write_of(rules.records, update) else {
        return vec![Keep::All, Keep::None];
    };
    let units = rules.units(update, data);
    let mut options = vec![Keep::All, Keep::None];
    if !rules.device.powersafe_overwrite {
        options.push(Keep::Spoiled);
    }
    for bits in 1..(1_u64 << units.len()) - 1 {
        let kept = units.iter().enumerate();
        let kept = kept.flat_map(|(n, unit)| unit.clone().map(move |_| bits >> n & 1 == 1));
        options.push(Keep::Sectors(kept.collect()));
    }
    options
}

/// A number that the number of states is not below.
///
/// With all metadata there, each sector of a file shows how many of the pending writes to it
/// it has: sectors are independent of each other, unless they are written as one. Without any
/// data, metadata that is ordered has as many states as it has changes.
fn at_least(rules: &Rules<'_, '_>) -> u128 {
    if rules.device.sequential {
        // Every prefix.
        let content = rules.pending().filter(|update| update.kind.is_content());
        return content.count() as u128 + 1;
    }
    let tied: HashSet<usize> = rules
        .pending()
        .flat_map(|update| update.needs.iter().copied())
        .collect();
    let writes: Vec<_> = rules
        .pending()
        .filter_map(|update| Some((update, write_of(rules.records, update)?)))
        .collect();
    let mut written = Written::of(rules, &writes);
    // Of a page that is written whole, a later write brings along all earlier ones.
    let mut whole: Vec<Option<usize>> = vec![None; written.sectors.len()];
    for (update, (ino, data)) in &writes {
        for at in written.places(rules, *ino, data) {
            if rules.whole_page(update, written.page(rules, at)) {
                whole[written.page_at[at]].get_or_insert(at);
            }
        }
    }
    for (update, (ino, data)) in &writes {
        let places = written.places(rules, *ino, data);
        let first_sector = sectors(data, rules.device.sector).start;
        for unit in rules.units(update, data) {
            let place = |sector: u64| places.start + (sector - first_sector) as usize;
            for at in place(unit.start)..place(unit.end) {
                if let Some(page) = whole[written.page_at[at]] {
                    written.unite(page, place(unit.start));
                }
                written.unite(at, place(unit.start));
            }
        }
    }
    let mut times = vec![0_u128; written.sectors.len()];
    let mut fixed = vec![false; written.sectors.len()];
    for (update, (ino, data)) in &writes {
        let mut roots: Vec<usize> = written
            .places(rules, *ino, data)
            .map(|at| written.root(at))
            .collect();
        roots.sort_unstable();
        roots.dedup();
        // What a length or a name needs whole, and what was given up, is not free.
        let held = tied.contains(&update.id) || update.durability == Durability::Abandoned;
        for root in roots {
            times[root] += 1;
            fixed[root] |= held;
        }
    }
    let free = times.iter().zip(&fixed).filter(|(_, fixed)| !**fixed);
    let data = free.fold(1_u128, |product, (times, _)| {
        product.saturating_mul(times + 1)
    });
    let ordered = rules
        .pending()
        .filter(|update| update.journal == Journal::AtOnce);
    let mut groups: Vec<usize> = ordered
        .filter(|update| !matches!(update.kind, UpdateKind::Data { .. }))
        .map(|s| s.group)
        .collect();
    groups.dedup();
    data.saturating_add(groups.len() as u128)
}

/// The sectors that pending writes touch, and which of them are written as one.
struct Written {
    /// In order, each once. A sector's place in here is its name below.
    sectors: Vec<(Ino, u64)>,
    /// By sector, the first one in its page.
    page_at: Vec<usize>,
    /// By sector, an earlier one that is written with it, or itself.
    before: Vec<usize>,
}

impl Written {
    fn of(rules: &Rules<'_, '_>, writes: &[(&Update<'_>, (Ino, &WriteData))]) -> Self {
        let mut all: Vec<(Ino, u64)> = writes
            .iter()
            .flat_map(|(_, (ino, data))| {
                sectors(data, rules.device.sector).map(move |sector| (*ino, sector))
            })
            .collect();
        all.sort_unstable();
        all.dedup();
        let page = |(ino, sector): (Ino, u64)| (ino, rules.page_of(sector));
        let mut page_at: Vec<usize> = Vec::with_capacity(all.len());
        for at in 0..all.len() {
            let same = at > 0 && page(all[at]) == page(all[at - 1]);
            page_at.push(if same { page_at[at - 1] } else { at });
        }
        Self {
            before: (0..all.len()).collect(),
            page_at,
            sectors: all,
        }
    }

    /// The sectors of one of the writes: they are neighbours.
    fn places(&self, rules: &Rules<'_, '_>, ino: Ino, data: &WriteData) -> Range<usize> {
        let range = sectors(data, rules.device.sector);
        let first = (self.sectors).partition_point(|sector| *sector < (ino, range.start));
        first..first + (range.end - range.start) as usize
    }

    fn page(&self, rules: &Rules<'_, '_>, at: usize) -> u64 {
        rules.page_of(self.sectors[at].1)
    }

    /// The first of those that a sector is written with.
    fn root(&mut self, mut at: usize) -> usize {
        while self.before[at] != at {
            self.before[at] = self.before[self.before[at]];
            at = self.before[at];
        }
        at
    }

    /// Notes that two sectors are written as one.
    fn unite(&mut self, one: usize, other: usize) {
        let (one, other) = (self.root(one), self.root(other));
        self.before[one.max(other)] = one.min(other);
    }
}
