//! Served values: data that must not be there, whatever happened to the rest.

use super::Trouble;
use super::facts::{Fact, Facts, Fate, Origin, Place, Strange};
use super::labels::{self, count};
use super::promised::Promised;
use crate::{FindingKind, FindingPart, PartKind, Value, Write};

/// The strange values of the state, one trouble per cause.
pub(super) fn strange_values(facts: &Facts<'_>, promised: &Promised) -> Vec<Trouble> {
    let mut groups: Vec<(Cause, Vec<&Strange<'_>>)> = Vec::new();
    for strange in &facts.strange {
        let cause = Cause::of(facts, strange);
        match groups.iter_mut().find(|(c, _)| *c == cause) {
            Some((_, members)) => members.push(strange),
            None => groups.push((cause, vec![strange])),
        }
    }
    groups
        .iter()
        .map(|(cause, members)| trouble(facts, promised, *cause, members[0], members.len()))
        .collect()
}

/// What strange values have in common.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Cause {
    Aborted,
    Failed,
    UnknownKey,
    Wrong,
}

impl Cause {
    fn of(facts: &Facts<'_>, strange: &Strange<'_>) -> Self {
        match strange.origin {
            Origin::Forbidden(place) if facts.txns[place.txn].fate == Fate::Aborted => {
                Self::Aborted
            }
            Origin::Forbidden(_) => Self::Failed,
            Origin::UnknownKey => Self::UnknownKey,
            Origin::OtherKey(_) | Origin::NoWrite => Self::Wrong,
        }
    }
}

/// The trouble of `n` strange values with one cause.
fn trouble(
    facts: &Facts<'_>,
    promised: &Promised,
    cause: Cause,
    first: &Strange<'_>,
    n: usize,
) -> Trouble {
    let (txn, why) = origin(facts, first);
    let (kind, brief, many) = match cause {
        Cause::Aborted => (
            FindingKind::Phantom,
            format!("served {} of aborted transactions", count(n, "value")),
            format!("{n} keys hold values of transactions that were rolled back"),
        ),
        Cause::Failed => (
            FindingKind::Phantom,
            format!("served {} of refused transactions", count(n, "value")),
            format!("{n} keys hold values of transactions that were refused"),
        ),
        Cause::UnknownKey => (
            FindingKind::Phantom,
            format!("served {} that nobody wrote", count(n, "key")),
            format!("{n} keys are there that nobody ever wrote"),
        ),
        Cause::Wrong => (
            FindingKind::WrongValue,
            format!("served {}", count(n, "wrong value")),
            format!("{n} keys hold values that nobody wrote to them"),
        ),
    };
    let one = format!(
        "key {} holds {}, {why}",
        labels::message(first.key),
        labels::value(first.found)
    );
    Trouble {
        promise: promised.broken_by(kind).cloned(),
        kind,
        parts: [
            FindingPart::new(
                PartKind::Subject,
                format!("key {}", labels::message(first.key)),
            ),
            FindingPart::new(
                PartKind::ReadBack,
                format!("{}, {why}", labels::value(first.found)),
            ),
        ]
        .into_iter()
        .chain(labels::in_all(n, &many))
        .collect(),
        sentence: labels::first_of(n, one, &many),
        brief,
        txn: txn.map(|txn| facts.txns[txn].txn.id),
        key: Some(first.key.to_owned()),
        ack: txn.and_then(|txn| facts.txns[txn].ack),
        count: n,
    }
}

/// The transaction that a strange value points at, and what is wrong with it, as a clause.
fn origin(facts: &Facts<'_>, strange: &Strange<'_>) -> (Option<usize>, String) {
    match strange.origin {
        Origin::Forbidden(place) => {
            let fact = &facts.txns[place.txn];
            let why = format!("the value of {}, {}", labels::txn(fact), labels::fate(fact));
            (Some(place.txn), why)
        }
        Origin::UnknownKey => (None, "but nobody ever wrote that key".into()),
        Origin::OtherKey(place) => {
            let fact = &facts.txns[place.txn];
            let key = &fact.txn.ops[place.op].key;
            (
                Some(place.txn),
                format!("which {} wrote to key {key}", labels::txn(fact)),
            )
        }
        Origin::NoWrite => claimed(facts, strange).unwrap_or_else(|| {
            let txn = last_writer(facts, strange.key);
            (txn, "which no write of the trial carries".into())
        }),
    }
}

/// The transaction that a value claims to come from, and how it differs from what that wrote.
fn claimed(facts: &Facts<'_>, strange: &Strange<'_>) -> Option<(Option<usize>, String)> {
    let (id, op) = Value::claimed(strange.found)?;
    let txn = facts.by_id(id)?;
    let Write::Put(written) = &facts.txns[txn].txn.ops.get(op)?.write else {
        return None;
    };
    Some((
        Some(txn),
        differs(&facts.txns[txn], &written.text(), strange.found),
    ))
}

/// How a value differs from what the transaction wrote that it claims to come from.
fn differs(fact: &Fact<'_>, written: &str, found: &str) -> String {
    let same = written
        .bytes()
        .zip(found.bytes())
        .take_while(|(a, b)| a == b)
        .count();
    let (txn, whole) = (labels::txn(fact), written.len());
    if same == found.len() {
        format!("which is only the first {same} of the {whole} bytes that {txn} wrote")
    } else if same == whole {
        format!("which goes on after the {whole} bytes that {txn} wrote")
    } else {
        format!("which differs from the {whole} bytes that {txn} wrote from byte {same} on")
    }
}

/// The transaction whose value the key should most likely hold.
fn last_writer(facts: &Facts<'_>, key: &str) -> Option<usize> {
    let writers = &facts.keys.iter().find(|k| k.name == key)?.writers;
    let put = |place: &&Place| {
        facts.txns[place.txn].fate == Fate::Acked && matches!(facts.write(**place), Write::Put(_))
    };
    writers.iter().rev().find(put).map(|place| place.txn)
}
