//! Facts: the history and the state read back, laid out so that the rules can ask quickly.

use std::collections::{BTreeMap, HashMap, HashSet};

use crate::{Call, History, Op, Outcome, Stamp, Txn, Write};

/// What is known of a transaction's effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// It was acknowledged.
    Acked,
    /// Nobody knows: no answer, or one that leaves it open.
    Open,
    /// The client rolled it back, or was about to: nothing of it may show.
    Aborted,
    /// It certainly did not happen: nothing of it may show.
    Failed,
}

impl Fate {
    /// Whether its data may be in the state.
    pub(super) fn may_show(self) -> bool {
        matches!(self, Self::Acked | Self::Open)
    }
}

/// A transaction and what came of it.
pub(super) struct Fact<'a> {
    pub(super) txn: &'a Txn,
    /// Its place among the history's entries: the program order within one client.
    pub(super) entry: usize,
    pub(super) invoked: Stamp,
    pub(super) fate: Fate,
    /// When it was acknowledged; none unless [`Fate::Acked`].
    pub(super) ack: Option<Stamp>,
    /// The index in [`Facts::keys`] of the key of each of its ops.
    pub(super) keys: Vec<usize>,
}

/// One op of one transaction, by index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// Index in [`Facts::txns`].
    pub(super) txn: usize,
    /// Index in the transaction's ops.
    pub(super) op: usize,
}

/// What the state shows of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shown {
    /// The key is not there.
    Absent,
    /// The value that this op put, of a transaction that may show.
    Written(Place),
    /// A value that must not be there (see [`Facts::strange`]).
    Strange,
}

/// A key that some transaction writes.
pub(super) struct KeyFacts<'a> {
    pub(super) name: &'a str,
    /// Every op on it, of any fate, in the order of invocation.
    pub(super) writers: Vec<Place>,
    pub(super) shown: Shown,
}

/// A value in the state that must not be there.
pub(super) struct Strange<'a> {
    pub(super) key: &'a str,
    pub(super) found: &'a str,
    pub(super) origin: Origin,
}

/// Where a strange value comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// An op of an aborted or failed transaction put it.
    Forbidden(Place),
    /// It was written, but to another key.
    OtherKey(Place),
    /// No op carries it.
    NoWrite,
    /// Nothing ever wrote to this key.
    UnknownKey,
}

/// The words of a text, without what stands between them.
fn tokens(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !is_word(c))
        .filter(|one| !one.is_empty())
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// True when a text has this name, and not as a part of a longer one.
fn names(text: &str, name: &str) -> bool {
    let mut from = 0;
    while let Some(at) = text[from..].find(name).map(|at| from + at) {
        let end = at + name.len();
        let before = text[..at].chars().next_back();
        let after = text[end..].chars().next();
        if !before.is_some_and(is_word) && !after.is_some_and(is_word) {
            return !name.is_empty();
        }
        from = at + text[at..].chars().next().map_or(1, char::len_utf8);
    }
    false
}

/// The history and the state read back.
pub(super) struct Facts<'a> {
    /// Every transaction in the order of invocation.
    pub(super) txns: Vec<Fact<'a>>,
    /// Every key that a transaction writes, in the order of first use.
    pub(super) keys: Vec<KeyFacts<'a>>,
    /// The values that must not be there, by key.
    pub(super) strange: Vec<Strange<'a>>,
    /// True where keys are IDs and values stand for nothing: see [`crate::Observed::ids`].
    pub(super) ids: bool,
}

impl<'a> Facts<'a> {
    pub(super) fn new(
        history: &'a History,
        state: &'a BTreeMap<String, String>,
        ids: bool,
    ) -> Self {
        let mut facts = Self {
            txns: Vec::new(),
            keys: Vec::new(),
            strange: Vec::new(),
            ids,
        };
        let mut index: HashMap<&str, usize> = HashMap::new();
        for (entry, e) in history.entries.iter().enumerate() {
            let Call::Txn(txn) = &e.call else { continue };
            let (fate, ack) = match &e.done {
                _ if txn.abort => (Fate::Aborted, None),
                Some((at, Outcome::Ok)) => (Fate::Acked, Some(*at)),
                Some((_, Outcome::Fail(_))) => (Fate::Failed, None),
                Some((_, Outcome::Info(_))) | None => (Fate::Open, None),
            };
            let number = facts.txns.len();
            let mut keys = Vec::with_capacity(txn.ops.len());
            for (op, o) in txn.ops.iter().enumerate() {
                let key = *index.entry(&o.key).or_insert_with(|| {
                    let writers = Vec::new();
                    facts.keys.push(KeyFacts {
                        name: &o.key,
                        writers,
                        shown: Shown::Absent,
                    });
                    facts.keys.len() - 1
                });
                facts.keys[key].writers.push(Place { txn: number, op });
                keys.push(key);
            }
            facts.txns.push(Fact {
                txn,
                entry,
                invoked: e.invoked,
                fate,
                ack,
                keys,
            });
        }
        facts.look_at(&index, state);
        facts
    }

    /// Finds out what the state shows of each key.
    fn look_at(&mut self, index: &HashMap<&str, usize>, state: &'a BTreeMap<String, String>) {
        let mut unexplained = Vec::new();
        for (name, found) in state {
            let Some(&key) = index.get(name.as_str()) else {
                self.strange.push(Strange {
                    key: name,
                    found,
                    origin: Origin::UnknownKey,
                });
                continue;
            };
            // The last writer first: it is the likeliest.
            let writer =
                self.keys[key].writers.iter().rev().copied().find(
                    |place| matches!(self.write(*place), Write::Put(value) if value.is(found)),
                );
            match writer {
                Some(place) if self.txns[place.txn].fate.may_show() => {
                    self.keys[key].shown = Shown::Written(place);
                }
                Some(place) => {
                    self.keys[key].shown = Shown::Strange;
                    let origin = Origin::Forbidden(place);
                    self.strange.push(Strange {
                        key: name,
                        found,
                        origin,
                    });
                }
                None => {
                    self.keys[key].shown = Shown::Strange;
                    unexplained.push((name, found));
                }
            }
        }
        for (key, found) in unexplained {
            let elsewhere = self.writer_of(found);
            let origin = elsewhere.map_or(Origin::NoWrite, Origin::OtherKey);
            self.strange.push(Strange { key, found, origin });
        }
    }

    /// The keys that a text names: by themselves, or by a transaction (`t17`) that writes them.
    pub(super) fn named_in(&self, text: &str) -> HashSet<usize> {
        let tokens: HashSet<&str> = tokens(text).collect();
        let keys = self.keys.iter().enumerate();
        let mut named: HashSet<usize> = keys
            .filter(|(_, key)| names(text, key.name))
            .map(|(index, _)| index)
            .collect();
        for fact in &self.txns {
            if tokens.contains(format!("t{}", fact.txn.id).as_str()) {
                named.extend(&fact.keys);
            }
        }
        named
    }

    /// Puts keys aside: what the state shows of them proves nothing.
    pub(super) fn put_aside(&mut self, keys: &HashSet<usize>) {
        for key in keys {
            self.keys[*key].shown = Shown::Strange;
        }
    }

    /// The op that writes this value.
    fn writer_of(&self, found: &str) -> Option<Place> {
        self.txns.iter().enumerate().find_map(|(txn, fact)| {
            let of = |op: &Op| matches!(&op.write, Write::Put(value) if value.is(found));
            let op = fact.txn.ops.iter().position(of)?;
            Some(Place { txn, op })
        })
    }

    /// What the op at `place` writes.
    pub(super) fn write(&self, place: Place) -> &'a Write {
        &self.txns[place.txn].txn.ops[place.op].write
    }

    /// Whether transaction `a` certainly took effect, if at all, before transaction `b`: it was
    /// acknowledged before `b` was invoked. Equal stamps decide nothing, except within a client,
    /// which has one call under way at most. A transaction that was never acknowledged may take
    /// effect at any time after its invocation, so it is before nothing.
    pub(super) fn before(&self, a: usize, b: usize) -> bool {
        let (first, second) = (&self.txns[a], &self.txns[b]);
        first.ack.is_some_and(|ack| {
            ack < second.invoked
                || (first.txn.client == second.txn.client && first.entry < second.entry)
        })
    }

    /// The transaction with this id.
    pub(super) fn by_id(&self, id: crate::TxnId) -> Option<usize> {
        self.txns.iter().position(|fact| fact.txn.id == id)
    }
}
