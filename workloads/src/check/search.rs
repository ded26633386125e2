//! The search: whether some set and order of a puzzle's units gives the state.
//!
//! Every value names its write, so a key that is there names its last writer, and all its other
//! writers in the set come before that. A key that is not there needs a delete after every put.
//! More units in the set are only ever more constraints, so it is kept as small as it can be, and
//! what is left is whether the constraints have a cycle ([`Constraints`]). Only a missing key that
//! several deletes may explain leaves a choice; choices are searched, within limits.

use std::collections::HashMap;
use std::ops::Range;

use super::constraints::Constraints;
use super::facts::Shown;
use super::puzzle::Puzzle;
use crate::Stamp;

/// How much work the search for an order may do, in units looked at. Choices are rare: they need
/// several deletes of one missing key under way at the same time.
const WORK_LIMIT: usize = 20_000_000;

/// Whether a state is legal.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Legality {
    /// Some order gives it.
    Legal,
    /// No order gives it.
    Illegal(Contradiction),
    /// The search was given up.
    Undecided,
}

/// Why no order gives a state.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Contradiction {
    /// Each of these units must be before the next, and the last before the first.
    Cycle(Vec<usize>),
    /// This key is not there, this unit put it, and no delete can have come after.
    NoDelete {
        /// The key.
        key: usize,
        /// The unit.
        put: usize,
    },
}

impl Puzzle<'_, '_> {
    /// Whether some set and order of units gives the state.
    pub(super) fn solve(&self) -> Legality {
        let mut work = WORK_LIMIT;
        self.search(&mut Vec::new(), &mut work)
    }

    /// Solves the puzzle with these deletes chosen to be the last write to their keys.
    fn search(&self, chosen: &mut Vec<(usize, usize)>, work: &mut usize) -> Legality {
        let given = chosen.len();
        let result = self.search_on(chosen, work);
        chosen.truncate(given);
        result
    }

    fn search_on(&self, chosen: &mut Vec<(usize, usize)>, work: &mut usize) -> Legality {
        let (set, choice) = loop {
            match work.checked_sub(self.units.len() + 1) {
                Some(rest) => *work = rest,
                None => return Legality::Undecided,
            }
            let mut set = self.required.clone();
            for (_, delete) in chosen.iter() {
                set[*delete] = true;
            }
            self.add_earlier(&mut set);
            let forced = chosen.len();
            let mut choice: Option<(usize, Vec<usize>)> = None;
            for key in 0..self.keys.len() {
                if chosen.iter().any(|(k, _)| *k == key) {
                    continue;
                }
                match self.last_deletes(key, &set) {
                    Deletes::NotNeeded => {}
                    Deletes::None(put) => {
                        return Legality::Illegal(Contradiction::NoDelete { key, put });
                    }
                    Deletes::Candidates(candidates) => match candidates[..] {
                        [only] => chosen.push((key, only)),
                        _ => {
                            if choice
                                .as_ref()
                                .is_none_or(|(_, c)| candidates.len() < c.len())
                            {
                                choice = Some((key, candidates));
                            }
                        }
                    },
                }
            }
            if chosen.len() == forced {
                break (set, choice);
            }
        };
        if let Some(cycle) = self.constraints(&set, chosen).cycle() {
            return Legality::Illegal(Contradiction::Cycle(cycle));
        }
        let Some((key, candidates)) = choice else {
            return Legality::Legal;
        };
        let mut result = Legality::Undecided;
        for delete in candidates {
            chosen.push((key, delete));
            result = self.search(chosen, work);
            chosen.pop();
            if !matches!(result, Legality::Illegal(_)) {
                break;
            }
        }
        result
    }

    /// The deletes that may be the last write to a key, given the set.
    fn last_deletes(&self, key: usize, set: &[bool]) -> Deletes {
        if self.facts.keys[key].shown != Shown::Absent {
            return Deletes::NotNeeded;
        }
        let puts: Vec<usize> = self.keys[key]
            .puts
            .iter()
            .copied()
            .filter(|u| set[*u])
            .collect();
        let invoked = |unit: &usize| self.facts.txns[self.units[*unit].txn].invoked;
        let Some(last) = puts.iter().copied().max_by_key(invoked) else {
            return Deletes::NotNeeded;
        };
        let mut candidates = Vec::new();
        for delete in self.deletes_after(key, last) {
            if set[delete] && puts.iter().all(|put| self.before(*put, delete)) {
                return Deletes::NotNeeded;
            }
            candidates.push(delete);
        }
        if candidates.is_empty() {
            return Deletes::None(last);
        }
        // Those in the set already come first: they add the least.
        candidates.sort_by_key(|delete| !set[*delete]);
        Deletes::Candidates(candidates)
    }

    /// The constraints among the units of the set.
    fn constraints(&self, set: &[bool], chosen: &[(usize, usize)]) -> Constraints {
        let mut constraints = Constraints::new(self.units.len());
        let mut times: Vec<(usize, Stamp, Option<Stamp>)> = Vec::new();
        // The last acknowledged transaction of each client, for equal stamps.
        let mut last_of_client = HashMap::new();
        for (txn, units) in self.of_txn.iter().enumerate() {
            let fact = &self.facts.txns[txn];
            let units = units.clone().filter(|unit| set[*unit]);
            times.extend(units.clone().map(|unit| (unit, fact.invoked, fact.ack)));
            if let Some((earlier, ack)) = last_of_client.get(&fact.txn.client)
                && *ack >= fact.invoked
            {
                let earlier: &Range<usize> = earlier;
                for first in earlier.clone().filter(|unit| set[*unit]) {
                    units
                        .clone()
                        .for_each(|second| constraints.before(first, second));
                }
            }
            if let Some(ack) = fact.ack
                && units.clone().next().is_some()
            {
                last_of_client.insert(fact.txn.client, (self.of_txn[txn].clone(), ack));
            }
        }
        constraints.real_time(&times);
        for (key, units) in self.keys.iter().enumerate() {
            if let Shown::Written(place) = self.facts.keys[key].shown {
                let last = self.unit(place);
                let others = units.puts.iter().chain(&units.deletes);
                for unit in others.filter(|unit| set[**unit] && **unit != last) {
                    constraints.before(*unit, last);
                }
            }
        }
        for (key, delete) in chosen {
            for put in self.keys[*key].puts.iter().filter(|put| set[**put]) {
                constraints.before(*put, *delete);
            }
        }
        constraints
    }
}

/// What may be the last write to a key.
enum Deletes {
    /// No delete has to be chosen.
    NotNeeded,
    /// One is needed after this put, and none is possible.
    None(usize),
    /// One of these.
    Candidates(Vec<usize>),
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use super::*;
    use crate::check::facts::Facts;
    use crate::{Call, Entry, History, Op, Txn, Write};

    #[test]
    fn a_search_beyond_its_limit_is_undecided_and_not_legal() {
        let write = Write::Put("t1.0.x".into());
        let txn = Txn {
            id: 1,
            client: 0,
            ops: vec![Op {
                key: "a".into(),
                write,
            }],
            abort: false,
        };
        let call = Call::Txn(Arc::new(txn));
        let invoked = Stamp::default();
        let history = History {
            entries: vec![Entry {
                client: 0,
                call,
                invoked,
                done: None,
            }],
        };
        let state = BTreeMap::new();
        let facts = Facts::new(&history, &state, false);
        let puzzle = Puzzle::new(&facts, true, false, |_| false);
        assert_eq!(puzzle.search(&mut Vec::new(), &mut 0), Legality::Undecided);
        assert_eq!(puzzle.search(&mut Vec::new(), &mut 100), Legality::Legal);
    }
}
