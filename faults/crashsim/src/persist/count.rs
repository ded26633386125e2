//! How many states are possible at a crash point.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::apply::{Keep, sectors};
use super::legalize::Rules;
use super::update::{Durability, Journal, Update, UpdateKind, write_of};
use crate::fs::Ino;

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
    // Sectors that are written as one, by the first of them; and how often each was written.
    let mut first: HashMap<(Ino, u64), u64> = HashMap::new();
    let mut fixed: HashSet<(Ino, u64)> = HashSet::new();
    let writes: Vec<_> = rules
        .pending()
        .filter_map(|update| Some((update, write_of(rules.records, update)?)))
        .collect();
    let root = |first: &HashMap<(Ino, u64), u64>, ino: Ino, mut sector: u64| {
        while let Some(next) = first.get(&(ino, sector)).filter(|next| **next != sector) {
            sector = *next;
        }
        sector
    };
    // Of a page that is written whole, a later write brings along all earlier ones.
    let mut whole: HashMap<(Ino, u64), u64> = HashMap::new();
    for (update, (ino, data)) in &writes {
        for sector in sectors(data, rules.device.sector) {
            let page = rules.page_of(sector);
            if rules.whole_page(update, page) {
                whole.entry((*ino, page)).or_insert(sector);
            }
        }
    }
    for (update, (ino, data)) in &writes {
        for unit in rules.units(update, data) {
            let into = root(&first, *ino, unit.start);
            for sector in unit {
                let page = whole.get(&(*ino, rules.page_of(sector)));
                for other in page.into_iter().copied().chain([sector]) {
                    let (from, into) = (root(&first, *ino, other), root(&first, *ino, into));
                    first.insert((*ino, from.max(into)), from.min(into));
                }
            }
        }
    }
    let mut times: BTreeMap<(Ino, u64), u128> = BTreeMap::new();
    for (update, (ino, data)) in &writes {
        let roots: HashSet<u64> = sectors(data, rules.device.sector)
            .map(|sector| root(&first, *ino, sector))
            .collect();
        for sector in roots {
            *times.entry((*ino, sector)).or_default() += 1;
            // What a length or a name needs whole, and what was given up, is not free.
            if tied.contains(&update.id) || update.durability == Durability::Abandoned {
                fixed.insert((*ino, sector));
            }
        }
    }
    let free = times.iter().filter(|(sector, _)| !fixed.contains(sector));
    let data = free.fold(1_u128, |product, (_, times)| {
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
