//! The legal losses of whole updates at a crash point, as implications.
//!
//! Every rule of [`Rules`] says of whole updates: where these are lost, that one is. Such rules (Horn
//! clauses; A. Horn, "On sentences which are true of direct unions of algebras", 1951) have for each choice
//! of updates a smallest legal set that contains it, so whether a legal set loses these and keeps those is
//! found by following the rules, and no search can miss one. A loss set that tears a write is not among
//! them.

mod implications;

use std::collections::{BTreeMap, BTreeSet};

use bit_set::BitSet;

use self::implications::implications;
use super::count::Possible;
use super::legalize::Rules;
use super::update::LossSet;

/// How often a search compares sets with classes before it gives up.
const EFFORT: usize = 40_000_000;

/// The legal losses of whole updates at one crash point.
pub struct WholeLosses {
    /// The numbers of the open updates, in order; the rules name them by their places here.
    ids: Vec<usize>,
    /// Those that cannot be lost.
    fixed: BitSet,
    /// What is lost with each.
    with: Vec<Vec<usize>>,
    /// Where all of the first are lost, the second is.
    with_all: Vec<(Vec<usize>, usize)>,
}

/// Loss sets of whole updates that differ in nothing which was read.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct LossClass {
    /// The updates on which what was read depends, lost in all of them.
    pub lost: BTreeSet<usize>,
    /// Those on which it depends, kept in all of them.
    pub kept: BTreeSet<usize>,
}

/// Classes of loss sets that come one after the other, and the search for what lies outside of them. It goes
/// on where it was: where nothing was left, nothing comes with more classes.
pub struct Classes {
    /// What each loses and keeps.
    all: Vec<(BitSet, BitSet)>,
    /// The parts that are left to search: in each the smallest legal set that loses what it must, and what all
    /// of it keeps.
    open: Vec<(BitSet, BitSet)>,
    /// How often sets are still compared with classes.
    effort: usize,
}

impl Classes {
    /// One more, of these losses.
    pub fn push(&mut self, whole: &WholeLosses, class: &LossClass) {
        let kept = class
            .kept
            .iter()
            .filter_map(|id| whole.place(*id))
            .collect();
        // Where something durable is lost there is no set.
        let lost = whole.places(&class.lost);
        self.all.extend(lost.map(|lost| (lost, kept)));
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.all.len()
    }
}

/// What lies outside of some classes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outside {
    /// This legal loss set.
    Lies(LossSet),
    /// Nothing: each legal loss set is in one of them.
    Nothing,
    /// The search was given up.
    Unknown,
}

impl WholeLosses {
    pub(super) fn of(rules: &Rules<'_, '_>) -> Self {
        implications(rules)
    }

    /// The updates that may be lost.
    pub fn pending(&self) -> impl Iterator<Item = usize> {
        let free = |(at, id): (usize, &usize)| (!self.fixed.contains(at)).then_some(*id);
        self.ids.iter().enumerate().filter_map(free)
    }

    /// True when exactly these, each whole, can be missing.
    pub fn is_legal(&self, lost: &BTreeSet<usize>) -> bool {
        let Some(lost) = self.places(lost) else {
            return false;
        };
        let kept = BitSet::default();
        self.smallest(&lost, &kept).is_some_and(|all| all == lost)
    }

    /// The smallest legal loss set in which these are missing and those are not; none where there is
    /// none at all.
    pub fn with(&self, lost: &BTreeSet<usize>, kept: &BTreeSet<usize>) -> Option<LossSet> {
        let lost = self.places(lost)?;
        // What is durable is kept anyway.
        let kept = kept.iter().filter_map(|id| self.place(*id)).collect();
        Some(self.loss_set(&self.smallest(&lost, &kept)?))
    }

    /// How many there are, of a class or of all. Updates that nothing ties are counted apart and multiplied:
    /// exact where no tied ones have more than `limit`, else at least so many.
    pub fn count(&self, class: Option<&LossClass>, limit: u128) -> Possible {
        let ids = |of: fn(&LossClass) -> &BTreeSet<usize>| {
            let ids = class.into_iter().flat_map(of);
            ids.filter_map(|id| self.place(*id)).collect::<BitSet>()
        };
        let (lost, kept) = (ids(|class| &class.lost), ids(|class| &class.kept));
        let mut all = Possible::ONE;
        let Some(lost) = self.smallest(&lost, &kept) else {
            return Possible { states: 0, ..all };
        };
        for tied in self.tied() {
            let counted = self.count_tied(&tied, &lost, &kept, limit);
            let product = all.states.checked_mul(counted.states);
            all = Possible {
                states: product.unwrap_or(u128::MAX),
                exact: all.exact && counted.exact && product.is_some(),
            };
        }
        all
    }

    /// How many ways there are for updates that are tied to no others.
    fn count_tied(&self, tied: &[usize], lost: &BitSet, kept: &BitSet, limit: u128) -> Possible {
        let mut states = 0;
        // Each set is met once: of an update that is decided, one branch loses it and the other keeps it.
        let mut open = vec![(0, lost.clone(), kept.clone())];
        while let Some((from, lost, mut kept)) = open.pop() {
            let decided =
                |at: usize| self.fixed.contains(at) || lost.contains(at) || kept.contains(at);
            let Some(next) = (from..tied.len()).find(|n| !decided(tied[*n])) else {
                states += 1;
                if states >= limit {
                    let exact = open.is_empty();
                    return Possible { states, exact };
                }
                continue;
            };
            let mut with = lost.clone();
            with.insert(tied[next]);
            if let Some(with) = self.smallest(&with, &kept) {
                open.push((next + 1, with, kept.clone()));
            }
            kept.insert(tied[next]);
            open.push((next + 1, lost, kept));
        }
        Possible {
            states,
            exact: true,
        }
    }

    /// The updates in parts that no rule ties to each other.
    fn tied(&self) -> Vec<Vec<usize>> {
        // Each with one that it is tied to, at last the first of them all.
        let mut to: Vec<usize> = (0..self.ids.len()).collect();
        fn first(to: &[usize], mut at: usize) -> usize {
            while to[at] != at {
                at = to[at];
            }
            at
        }
        let singles = self.with.iter().enumerate();
        let singles = singles.flat_map(|(at, with)| with.iter().map(move |with| (at, *with)));
        let together = self.with_all.iter();
        let together = together.flat_map(|(of, with)| of.iter().map(move |at| (*at, *with)));
        for (one, other) in singles.chain(together) {
            let (one, other) = (first(&to, one), first(&to, other));
            to[one.max(other)] = one.min(other);
        }
        let mut parts: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for at in 0..self.ids.len() {
            parts.entry(first(&to, at)).or_default().push(at);
        }
        parts.into_values().collect()
    }

    /// No classes yet: all of the legal loss sets are outside of them.
    pub fn classes(&self) -> Classes {
        Classes {
            all: Vec::new(),
            open: vec![(BitSet::default(), BitSet::default())],
            effort: EFFORT,
        }
    }

    /// A legal loss set in none of these classes.
    pub fn outside(&self, classes: &mut Classes) -> Outside {
        while let Some((lost, kept)) = classes.open.pop() {
            let Some(effort) = classes.effort.checked_sub(1 + classes.all.len()) else {
                classes.open.push((lost, kept));
                return Outside::Unknown;
            };
            classes.effort = effort;
            // The class that leaves the least to look at.
            let has =
                |class: &&(BitSet, BitSet)| class.0.is_subset(&lost) && class.1.is_disjoint(&lost);
            let left = |class: &&(BitSet, BitSet)| class.1.difference(&kept).count();
            let Some((_, keeps)) = classes.all.iter().filter(has).min_by_key(left) else {
                let found = self.loss_set(&lost);
                classes.open.push((lost, kept));
                return Outside::Lies(found);
            };
            // Whatever is outside of it loses something that it keeps: the first of these, or keeps the first
            // and loses the second, and so on.
            let mut kept = kept;
            let mut next = Vec::new();
            for more in keeps {
                if kept.contains(more) {
                    continue;
                }
                let mut with = lost.clone();
                with.insert(more);
                let with = self.smallest(&with, &kept);
                next.extend(with.map(|with| (with, kept.clone())));
                kept.insert(more);
            }
            classes.open.extend(next.into_iter().rev());
        }
        Outside::Nothing
    }

    /// What is lost where these are; none where that is something which cannot be, or is to be kept.
    fn smallest(&self, lost: &BitSet, kept: &BitSet) -> Option<BitSet> {
        let mut all = lost.clone();
        let mut new: Vec<usize> = lost.iter().collect();
        loop {
            while let Some(at) = new.pop() {
                if self.fixed.contains(at) || kept.contains(at) {
                    return None;
                }
                new.extend(
                    self.with[at]
                        .iter()
                        .copied()
                        .filter(|with| all.insert(*with)),
                );
            }
            for (of, with) in &self.with_all {
                if of.iter().all(|at| all.contains(*at)) && all.insert(*with) {
                    new.push(*with);
                }
            }
            if new.is_empty() {
                return Some(all);
            }
        }
    }

    fn place(&self, id: usize) -> Option<usize> {
        self.ids.binary_search(&id).ok()
    }

    /// None where one of them is durable.
    fn places(&self, ids: &BTreeSet<usize>) -> Option<BitSet> {
        ids.iter().map(|id| self.place(*id)).collect()
    }

    fn loss_set(&self, lost: &BitSet) -> LossSet {
        LossSet {
            lost: lost.iter().map(|at| self.ids[at]).collect(),
            ..LossSet::default()
        }
    }
}
