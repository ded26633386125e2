//! Losses: transactions that must be there and are not, wholly or in part.

use std::collections::HashSet;

use super::facts::{Facts, Origin, Place, Shown};
use super::promised::Promised;
use super::puzzle::{Instead, Puzzle};
use super::search::Contradiction;
use super::{Trouble, labels};
use crate::{FindingKind, FindingPart, PartKind, Promise, Write};

/// A transaction that must be there, and what is missing of it.
struct Loss {
    txn: usize,
    kind: FindingKind,
    /// The promise it breaks, as an index in [`Promised::promises`].
    promise: Option<usize>,
    /// The first of its ops that do not show, and what is there instead.
    missing: (Place, Instead),
    /// One of its ops that shows.
    shown: Option<Place>,
}

/// The losses that the state proves, one trouble per kind and promise. `required` tells of each
/// transaction the promise (an index in [`Promised::promises`]) that requires it.
/// `named` are the keys that the target itself called damaged: what is missing of them is no loss.
pub(super) fn losses(
    puzzle: &Puzzle<'_, '_>,
    promised: &Promised,
    required: &[Option<usize>],
    named: &HashSet<usize>,
) -> Vec<Trouble> {
    let mut explained = keys_with_another_cause(puzzle.facts, promised);
    explained.extend(named);
    let mut groups: Vec<Vec<Loss>> = Vec::new();
    for (txn, required) in required.iter().enumerate() {
        let Some(loss) = loss(puzzle, promised, txn, *required, &explained) else {
            continue;
        };
        let same = |g: &&mut Vec<Loss>| g[0].kind == loss.kind && g[0].promise == loss.promise;
        match groups.iter_mut().find(same) {
            Some(group) => group.push(loss),
            None => groups.push(vec![loss]),
        }
    }
    groups
        .iter()
        .map(|group| trouble(puzzle, promised, group))
        .collect()
}

/// Keys that strange values already explain: their own, and those that a transaction wrote which
/// shows though it must not. Without a promise about served values nothing else tells of them.
fn keys_with_another_cause(facts: &Facts<'_>, promised: &Promised) -> HashSet<usize> {
    let mut keys = HashSet::new();
    if !promised.serves_only_written() {
        return keys;
    }
    for strange in &facts.strange {
        if let Origin::Forbidden(place) = strange.origin {
            keys.extend(&facts.txns[place.txn].keys);
        }
    }
    keys.extend((0..facts.keys.len()).filter(|key| facts.keys[*key].shown == Shown::Strange));
    keys
}

fn loss(
    puzzle: &Puzzle<'_, '_>,
    promised: &Promised,
    txn: usize,
    required: Option<usize>,
    explained: &HashSet<usize>,
) -> Option<Loss> {
    let facts = puzzle.facts;
    let units = || puzzle.units_of(txn).filter(|unit| puzzle.required[*unit]);
    let mut missing: Vec<(Place, Instead)> = units()
        .flat_map(|unit| puzzle.misses(unit))
        .filter(|(place, _)| !explained.contains(&puzzle.key(*place)))
        .collect();
    if required.is_some() {
        // Only where nothing is promised about served values: a strange one has replaced what
        // the target was required to keep.
        missing.extend(
            units()
                .flat_map(|unit| puzzle.ops(unit))
                .filter_map(|place| {
                    let key = puzzle.key(place);
                    (facts.keys[key].shown == Shown::Strange && !explained.contains(&key))
                        .then_some((place, Instead::Strange))
                }),
        );
    }
    let first = *missing.first()?;
    let shown = units()
        .flat_map(|unit| puzzle.ops(unit))
        .find(|place| puzzle.shows(*place));
    let index = |kind| {
        let broken = promised.broken_by(kind)?;
        promised.promises.iter().position(|p| p == broken)
    };
    let torn = index(FindingKind::TornTransaction).filter(|_| shown.is_some());
    let only_deletes = missing
        .iter()
        .all(|(place, _)| facts.write(*place) == &Write::Delete);
    let (kind, promise) = match (required, torn) {
        (Some(promise), _) if only_deletes => (FindingKind::Resurrected, Some(promise)),
        (_, Some(torn)) => (FindingKind::TornTransaction, Some(torn)),
        (Some(promise), None) => (FindingKind::LostAck, Some(promise)),
        (None, None) => (FindingKind::PrefixHole, index(FindingKind::PrefixHole)),
    };
    Some(Loss {
        txn,
        kind,
        promise,
        missing: first,
        shown,
    })
}

fn trouble(puzzle: &Puzzle<'_, '_>, promised: &Promised, group: &[Loss]) -> Trouble {
    let facts = puzzle.facts;
    let n = group.len();
    // The earliest ack; those without one are known by their place in the history.
    let first = group.iter().min_by_key(|loss| {
        facts.txns[loss.txn]
            .ack
            .unwrap_or(facts.txns[loss.txn].invoked)
    });
    let first = first.unwrap_or(&group[0]);
    let fact = &facts.txns[first.txn];
    let key = facts.keys[puzzle.key(first.missing.0)].name;
    let txn = match facts.ids {
        true => labels::id(key),
        false => labels::txn(fact),
    };
    let fate = labels::fate(fact);
    let detail = missing(puzzle, first.missing);
    let shows = first.shown.filter(|_| !facts.ids);
    let shows = shows.map(|place| format!("key {} shows it", facts.keys[puzzle.key(place)].name));
    let but = match (&shows, &detail) {
        (Some(shows), Some(detail)) => format!(": {shows}, but {detail}"),
        (None, Some(detail)) => format!(": {detail}"),
        _ => String::new(),
    };
    let (one, many, brief) = match first.kind {
        FindingKind::Resurrected => (
            format!("{txn} was {fate}, and its delete is undone{but}"),
            format!("the deletes of {n} acknowledged transactions are undone"),
            format!("{} undone", labels::count(n, "acknowledged delete")),
        ),
        FindingKind::TornTransaction => (
            match facts.ids {
                true => format!("{txn}, {fate}, is there in part only"),
                false => format!("{txn}, {fate}, is torn{but}"),
            },
            format!("{n} transactions are torn"),
            labels::count(n, "torn transaction"),
        ),
        FindingKind::PrefixHole => (
            match later(puzzle, first.txn) {
                Some(later) => format!(
                    "{} is there, but {txn}, {fate} before that was invoked, is gone{but}",
                    named(facts, later)
                ),
                None => format!("{txn}, {fate}, is gone and later ones are not{but}"),
            },
            format!("{n} transactions are gone while later ones are there"),
            labels::count(n, "hole"),
        ),
        _ => (
            match first.shown {
                Some(_) => format!("{txn} was {fate}, and part of it is gone{but}"),
                None => format!("{txn} was {fate} and is gone{but}"),
            },
            format!("{n} acknowledged transactions are gone"),
            format!("{} gone", labels::count(n, "acknowledged transaction")),
        ),
    };
    let parts = [labels::subject(&txn, fact)];
    let read_back = read_back(puzzle, first, shows, detail).into_iter();
    Trouble {
        kind: first.kind,
        promise: first.promise.map(|index| promised.promises[index].clone()),
        parts: (parts
            .into_iter()
            .chain(read_back)
            .chain(labels::in_all(n, &many)))
        .collect(),
        sentence: labels::first_of(n, one, &many),
        brief,
        txn: Some(fact.txn.id),
        key: Some(key.to_owned()),
        ack: fact.ack,
        count: n,
    }
}

/// What was read back of a loss, a line each.
fn read_back(
    puzzle: &Puzzle<'_, '_>,
    loss: &Loss,
    shows: Option<String>,
    detail: Option<String>,
) -> Vec<FindingPart> {
    let facts = puzzle.facts;
    let of_ids = || match (loss.kind, loss.shown) {
        (FindingKind::TornTransaction, _) | (_, Some(_)) => "part of it is gone",
        _ => "it is gone",
    };
    let mut lines: Vec<String> = shows.into_iter().collect();
    lines.push(detail.unwrap_or_else(|| of_ids().into()));
    if loss.kind == FindingKind::PrefixHole
        && let Some(later) = later(puzzle, loss.txn)
    {
        lines.push(format!(
            "{}, which began after that ack, is there",
            named(facts, later)
        ));
    }
    let parts = lines.into_iter();
    parts
        .map(|line| FindingPart::new(PartKind::ReadBack, line))
        .collect()
}

/// A transaction by its name, or by the ID that it writes.
fn named(facts: &Facts<'_>, txn: usize) -> String {
    let fact = &facts.txns[txn];
    match fact.txn.ops.first() {
        Some(op) if facts.ids => labels::id(&op.key),
        _ => labels::txn(fact),
    }
}

/// What is there instead of an op: "key c0.k3 still holds 't12.0.x' of t12, not 't17.1.y'".
/// Of an ID nobody knows more than that it is not there.
fn missing(puzzle: &Puzzle<'_, '_>, (place, instead): (Place, Instead)) -> Option<String> {
    let facts = puzzle.facts;
    if facts.ids {
        return None;
    }
    let id = facts.txns[place.txn].txn.id;
    let key = facts.keys[puzzle.key(place)].name;
    let wanted = match facts.write(place) {
        Write::Put(value) => format!("where t{id} wrote {}", labels::value(&value.text())),
        Write::Delete => format!("though t{id} deleted it"),
    };
    Some(match instead {
        Instead::Older(older) => {
            let held = match facts.write(older) {
                Write::Put(value) => labels::value(&value.text()),
                Write::Delete => "nothing".into(),
            };
            let older = facts.txns[older.txn].txn.id;
            format!("key {key} still holds the value of t{older}, {held}, {wanted}")
        }
        Instead::Absent => format!("key {key} is not there, {wanted}"),
        Instead::Strange => format!("key {key} holds a value that nobody wrote to it, {wanted}"),
    })
}

/// A transaction that shows in the state and was invoked after `txn` was acknowledged.
fn later(puzzle: &Puzzle<'_, '_>, txn: usize) -> Option<usize> {
    let facts = puzzle.facts;
    let shown = facts.keys.iter().filter_map(|key| match key.shown {
        Shown::Written(place) => Some(place.txn),
        Shown::Absent | Shown::Strange => None,
    });
    shown
        .filter(|later| facts.before(txn, *later))
        .min_by_key(|later| facts.txns[*later].invoked)
}

/// The trouble of a state that no order gives though every transaction in it looks whole.
pub(super) fn contradiction(
    puzzle: &Puzzle<'_, '_>,
    promise: Option<Promise>,
    contradiction: &Contradiction,
) -> Trouble {
    let facts = puzzle.facts;
    let (first, key, reasons) = match contradiction {
        Contradiction::Cycle(units) => {
            let steps = units.iter().zip(units.iter().cycle().skip(1));
            let steps: Vec<(String, Option<usize>)> =
                steps.map(|(a, b)| precedence(puzzle, *a, *b)).collect();
            let key = steps.iter().find_map(|(_, key)| *key);
            let reasons: Vec<&str> = steps.iter().map(|(text, _)| text.as_str()).collect();
            (units[0], key, reasons.join("; "))
        }
        Contradiction::NoDelete { key, put } => {
            let name = facts.keys[*key].name;
            let txn = labels::txn(&facts.txns[puzzle.units[*put].txn]);
            let reason = format!(
                "key {name} is not there, but {txn} wrote it, and no delete that can have \
                 happened can have come after"
            );
            (*put, Some(*key), reason)
        }
    };
    let fact = &facts.txns[puzzle.units[first].txn];
    Trouble {
        kind: FindingKind::Inconsistent,
        promise,
        parts: vec![
            FindingPart::new(
                PartKind::Subject,
                "no order of the transactions gives what was read",
            ),
            FindingPart::new(PartKind::ReadBack, reasons.clone()),
        ],
        sentence: format!("no order of the transactions gives what was read: {reasons}"),
        brief: "values that no order of the transactions gives".into(),
        txn: Some(fact.txn.id),
        key: key.map(|key| facts.keys[key].name.to_owned()),
        ack: fact.ack,
        count: 1,
    }
}

/// Why unit `a` must be before unit `b`, and the key that says so.
fn precedence(puzzle: &Puzzle<'_, '_>, a: usize, b: usize) -> (String, Option<usize>) {
    let facts = puzzle.facts;
    let (first, second) = (puzzle.units[a].txn, puzzle.units[b].txn);
    let (from, to) = (facts.txns[first].txn.id, facts.txns[second].txn.id);
    if facts.before(first, second) {
        return (
            format!("t{from} was acknowledged before t{to} was invoked"),
            None,
        );
    }
    let shared = puzzle.ops(b).find_map(|place| {
        let key = puzzle.key(place);
        let both = puzzle.ops(a).any(|p| puzzle.key(p) == key);
        let last = puzzle.shows(place)
            || (facts.keys[key].shown == Shown::Absent && facts.write(place) == &Write::Delete);
        (both && last).then_some(key)
    });
    let Some(key) = shared else {
        return (format!("t{from} must come before t{to}"), None);
    };
    let name = facts.keys[key].name;
    let reason = if facts.keys[key].shown == Shown::Absent {
        format!("key {name} is not there, so the delete of t{to} came after t{from}")
    } else {
        format!("key {name} holds the value of t{to}, so t{from} came before it")
    };
    (reason, Some(key))
}
