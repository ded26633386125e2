//! The puzzle: the units that may be in a state, and those that must.
//!
//! # What is legal
//!
//! A *unit* is what takes effect at once: a whole transaction where the target is atomic, one op
//! of it where it is not. A state is legal when there are a set of units and an order of them so
//! that
//!
//! - applying them in that order to an empty store gives the state, strange values aside;
//! - only transactions that were acknowledged or left open are in the set, and all units of those
//!   that durability requires;
//! - a unit of a transaction that was acknowledged before another was invoked comes first;
//! - with the prefix guarantee: if a unit is in the set, so is every unit of each transaction
//!   that was acknowledged before that unit's transaction was invoked.

use super::facts::{Facts, Place, Shown};
use crate::Write;

/// What takes effect at once.
pub(super) struct Unit {
    /// Its transaction.
    pub(super) txn: usize,
    /// Its ops, as indices in the transaction's.
    ops: std::ops::Range<usize>,
}

/// The units that write to one key.
#[derive(Default)]
pub(super) struct KeyUnits {
    pub(super) puts: Vec<usize>,
    pub(super) deletes: Vec<usize>,
    /// The deletes that may be in the set: none of their own unit's ops is missing. The latest
    /// acknowledged first; those never acknowledged before all others.
    possible: Vec<usize>,
}

/// Why an op that must show in the state does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Instead {
    /// Its key still holds the value of an op that came before it.
    Older(Place),
    /// Its key is not there, and nothing can have deleted it.
    Absent,
    /// Its key holds a value that must not be there.
    Strange,
}

/// The facts of a trial, as units and constraints.
pub(super) struct Puzzle<'f, 'h> {
    pub(super) facts: &'f Facts<'h>,
    pub(super) units: Vec<Unit>,
    /// The units of each transaction; empty when it must not show.
    pub(super) of_txn: Vec<std::ops::Range<usize>>,
    atomic: bool,
    prefix: bool,
    pub(super) keys: Vec<KeyUnits>,
    /// Units that must be in the set.
    pub(super) required: Vec<bool>,
}

impl<'f, 'h> Puzzle<'f, 'h> {
    /// The puzzle of these facts. `required` tells of each transaction whether it must be there.
    pub(super) fn new(
        facts: &'f Facts<'h>,
        atomic: bool,
        prefix: bool,
        required: impl Fn(usize) -> bool,
    ) -> Self {
        let mut units = Vec::new();
        let mut of_txn = Vec::with_capacity(facts.txns.len());
        for (txn, fact) in facts.txns.iter().enumerate() {
            let first = units.len();
            let ops = fact.keys.len();
            if fact.fate.may_show() {
                if atomic {
                    units.push(Unit { txn, ops: 0..ops });
                } else {
                    units.extend((0..ops).map(|op| Unit {
                        txn,
                        ops: op..op + 1,
                    }));
                }
            }
            of_txn.push(first..units.len());
        }
        let mut keys: Vec<KeyUnits> = facts.keys.iter().map(|_| KeyUnits::default()).collect();
        for (number, unit) in units.iter().enumerate() {
            for op in unit.ops.clone() {
                let place = Place { txn: unit.txn, op };
                let key = &mut keys[facts.txns[unit.txn].keys[op]];
                match facts.write(place) {
                    Write::Put(_) => key.puts.push(number),
                    Write::Delete => key.deletes.push(number),
                }
            }
        }
        for key in &mut keys {
            key.possible.clone_from(&key.deletes);
            key.possible.sort_by_key(|unit| {
                let ack = facts.txns[units[*unit].txn].ack;
                std::cmp::Reverse((ack.is_none(), ack))
            });
        }
        let mut puzzle = Self {
            facts,
            required: vec![false; units.len()],
            units,
            of_txn,
            atomic,
            prefix,
            keys,
        };
        puzzle.exclude();
        puzzle.require(required);
        puzzle
    }

    /// Drops the deletes that are not possible. Each may leave a missing key without its delete,
    /// and so make others impossible. A few rounds are enough to explain what is missing; what
    /// they leave, the search rules out.
    fn exclude(&mut self) {
        for _ in 0..4 {
            let possible: Vec<bool> = (0..self.units.len())
                .map(|unit| self.misses(unit).next().is_none())
                .collect();
            let mut dropped = 0;
            for key in &mut self.keys {
                dropped += key
                    .possible
                    .extract_if(.., |delete| !possible[*delete])
                    .count();
            }
            if dropped == 0 {
                break;
            }
        }
    }

    fn require(&mut self, by_promise: impl Fn(usize) -> bool) {
        let mut required = vec![false; self.units.len()];
        for txn in (0..self.of_txn.len()).filter(|txn| by_promise(*txn)) {
            required[self.of_txn[txn].clone()].fill(true);
        }
        for key in &self.facts.keys {
            if let Shown::Written(place) = key.shown {
                required[self.unit(place)] = true;
            }
        }
        self.add_earlier(&mut required);
        self.required = required;
    }

    /// With the prefix guarantee: adds what was acknowledged before anything in the set was
    /// invoked.
    pub(super) fn add_earlier(&self, set: &mut [bool]) {
        if !self.prefix {
            return;
        }
        // The transaction in the set that was invoked last asks for the most. Equal stamps are
        // distinguished within a client only, so that its own earlier ones are asked for too.
        let included: Vec<usize> = (0..self.of_txn.len())
            .filter(|txn| self.of_txn[*txn].clone().any(|unit| set[unit]))
            .collect();
        let Some(last) = included
            .iter()
            .copied()
            .max_by_key(|t| self.facts.txns[*t].invoked)
        else {
            return;
        };
        let mut last_of_client = std::collections::HashMap::new();
        for txn in included {
            last_of_client.insert(self.facts.txns[txn].txn.client, txn);
        }
        for txn in 0..self.of_txn.len() {
            let own = last_of_client.get(&self.facts.txns[txn].txn.client);
            if self.facts.before(txn, last) || own.is_some_and(|own| self.facts.before(txn, *own)) {
                set[self.of_txn[txn].clone()].fill(true);
            }
        }
    }

    /// The unit that an op of a transaction that may show belongs to.
    pub(super) fn unit(&self, place: Place) -> usize {
        let units = &self.of_txn[place.txn];
        if self.atomic {
            units.start
        } else {
            units.start + place.op
        }
    }

    /// The units of a transaction.
    pub(super) fn units_of(&self, txn: usize) -> std::ops::Range<usize> {
        self.of_txn[txn].clone()
    }

    /// The ops of a unit, as places.
    pub(super) fn ops(&self, unit: usize) -> impl Iterator<Item = Place> + use<> {
        let txn = self.units[unit].txn;
        self.units[unit]
            .ops
            .clone()
            .map(move |op| Place { txn, op })
    }

    pub(super) fn before(&self, a: usize, b: usize) -> bool {
        self.facts.before(self.units[a].txn, self.units[b].txn)
    }

    /// The key of an op, as an index.
    pub(super) fn key(&self, place: Place) -> usize {
        self.facts.txns[place.txn].keys[place.op]
    }

    /// Whether the state shows the value that this op put.
    pub(super) fn shows(&self, place: Place) -> bool {
        self.facts.keys[self.key(place)].shown == Shown::Written(place)
    }

    /// The ops of a unit that would have to show, were it in the set, and do not.
    pub(super) fn misses(&self, unit: usize) -> impl Iterator<Item = (Place, Instead)> {
        self.ops(unit)
            .filter_map(move |place| Some((place, self.miss(unit, place)?)))
    }

    fn miss(&self, unit: usize, place: Place) -> Option<Instead> {
        let key = self.key(place);
        match self.facts.keys[key].shown {
            Shown::Written(shown) if shown.txn == place.txn => None,
            Shown::Written(shown) => self
                .facts
                .before(shown.txn, place.txn)
                .then_some(Instead::Older(shown)),
            Shown::Absent => {
                let deletable = self.facts.write(place) == &Write::Delete
                    || self.deletes_after(key, unit).next().is_some();
                (!deletable).then_some(Instead::Absent)
            }
            Shown::Strange => None,
        }
    }

    /// The possible deletes of a key that may come after `unit`.
    pub(super) fn deletes_after(&self, key: usize, unit: usize) -> impl Iterator<Item = usize> {
        let invoked = self.facts.txns[self.units[unit].txn].invoked;
        self.keys[key]
            .possible
            .iter()
            .copied()
            // They are sorted by ack: once one was acknowledged before, so were all others.
            .take_while(move |d| {
                self.facts.txns[self.units[*d].txn]
                    .ack
                    .is_none_or(|a| a >= invoked)
            })
            .filter(move |d| *d != unit && !self.before(*d, unit))
    }
}
