//! Events: whether the log that a target keeps of its past tells of the transactions that it
//! acknowledged, of no others, in order, and comes to the state that it serves.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::facts::{Facts, Fate};
use super::held::Held;
use super::{Trouble, words};
use crate::{
    Event, EventLog, EventOp, FindingKind, Guarantee, LoggedKey, Stamp, TxnId, Value, Write,
};

/// The id of the transaction that stands for what was there when a history began. What happened
/// before it is in the log and not in the history.
const BEGINNING: TxnId = 0;

/// What is wrong with the log, one trouble per kind. `obliged` tells of each transaction whether
/// a promise obliges the target to keep it. `lost` is true where the state has lost some already:
/// that their events are gone too is no news then.
pub(super) fn events(
    log: &EventLog,
    facts: &Facts<'_>,
    held: &Held,
    obliged: &[Option<usize>],
    lost: bool,
) -> Vec<Trouble> {
    let told = Told::new(log, facts);
    let mut all = vec![
        strays(&told, facts),
        torn(&told, facts),
        order(log, &told, facts),
        replayed(log),
    ];
    // Told only where it is promised: one skipped version makes all that follow wrong as well.
    if held.first(|g| g == Guarantee::Versions).is_some() {
        all.push(versions(log));
    }
    if !lost {
        all.push(missing(&told, facts, obliged));
    }
    all.into_iter()
        .flatten()
        .map(|mut trouble| {
            trouble.promise = held.broken_by(trouble.kind).cloned();
            trouble
        })
        .collect()
}

/// The log by transactions.
struct Told<'a> {
    /// By the target's name for it.
    events: BTreeMap<&'a str, Whole<'a>>,
    /// True when the history began with a state: older events are nobody's.
    began: bool,
}

/// All events of one name.
struct Whole<'a> {
    positions: Vec<u64>,
    ops: Vec<&'a EventOp>,
    /// The history's transaction that its values name, as an index in [`Facts::txns`].
    txn: Option<usize>,
    /// The id that its values name.
    claimed: Option<TxnId>,
}

impl<'a> Told<'a> {
    fn new(log: &'a EventLog, facts: &Facts<'_>) -> Self {
        let by_id: HashMap<TxnId, usize> = facts
            .txns
            .iter()
            .enumerate()
            .map(|(index, fact)| (fact.txn.id, index))
            .collect();
        let mut events: BTreeMap<&str, Whole<'_>> = BTreeMap::new();
        for event in log.streams.iter().flatten() {
            let whole = events.entry(&event.name).or_insert(Whole {
                positions: Vec::new(),
                ops: Vec::new(),
                txn: None,
                claimed: None,
            });
            if !whole.positions.contains(&event.position) {
                whole.positions.push(event.position);
            }
            whole.ops.extend(&event.ops);
        }
        for whole in events.values_mut() {
            let mut values = whole.ops.iter().filter_map(|op| op.value.as_deref());
            whole.claimed = values.find_map(Value::parse).map(|(id, _)| id);
            whole.txn = whole.claimed.and_then(|id| by_id.get(&id)).copied();
        }
        Self {
            events,
            began: by_id.contains_key(&BEGINNING),
        }
    }
}

/// A trouble of this kind; which promise it breaks is looked up later.
fn trouble(kind: FindingKind, sentence: String, brief: String) -> Trouble {
    Trouble {
        kind,
        promise: None,
        sentence,
        brief,
        txn: None,
        key: None,
        ack: None,
    }
}

/// Several of a kind as one sentence: the first, and how many more there are.
fn summed(first: String, n: usize) -> String {
    match n {
        0 | 1 => first,
        n => format!("{first} ({} more of the kind)", n - 1),
    }
}

/// Acknowledged transactions that the log does not tell of.
fn missing(told: &Told<'_>, facts: &Facts<'_>, obliged: &[Option<usize>]) -> Option<Trouble> {
    let there: HashSet<usize> = told.events.values().filter_map(|whole| whole.txn).collect();
    let gone: Vec<usize> = (0..facts.txns.len())
        .filter(|txn| obliged[*txn].is_some() && !there.contains(txn))
        .filter(|txn| facts.txns[*txn].txn.id != BEGINNING)
        .collect();
    let fact = &facts.txns[*gone.first()?];
    let first = format!(
        "{}, {}, is not in the event log",
        words::txn(fact),
        words::fate(fact)
    );
    Some(Trouble {
        txn: Some(fact.txn.id),
        ack: fact.ack,
        ..trouble(
            FindingKind::MissingEvent,
            summed(first, gone.len()),
            format!("{} not in the event log", words::count(gone.len(), "ack")),
        )
    })
}

/// Events of transactions that must have left nothing behind, or of none at all.
fn strays(told: &Told<'_>, facts: &Facts<'_>) -> Option<Trouble> {
    let mut strays = Vec::new();
    for (name, whole) in &told.events {
        let why = match (whole.txn, whole.claimed) {
            (Some(txn), _) => {
                let fact = &facts.txns[txn];
                if fact.fate.may_show() {
                    continue;
                }
                format!("is {}, {}", words::txn(fact), words::fate(fact))
            }
            (None, Some(_)) if told.began => continue,
            (None, Some(id)) => format!("carries values of a transaction t{id} that nobody began"),
            // Every transaction puts a value at least.
            (None, None) => "carries no value that was ever written".into(),
        };
        strays.push((whole, format!("event {name} of the event log {why}")));
    }
    let n = strays.len();
    let (whole, first) = strays.into_iter().next()?;
    Some(Trouble {
        txn: whole.txn.map(|txn| facts.txns[txn].txn.id),
        ..trouble(
            FindingKind::StrayEvent,
            summed(first, n),
            format!("{} that should not exist", words::count(n, "event")),
        )
    })
}

/// Events that tell of a part of their transaction, or of more than it.
fn torn(told: &Told<'_>, facts: &Facts<'_>) -> Option<Trouble> {
    let mut torn = Vec::new();
    for (name, whole) in &told.events {
        let Some(fact) = whole.txn.map(|txn| &facts.txns[txn]) else {
            continue;
        };
        let mut written: Vec<(&str, Option<&str>)> = fact
            .txn
            .ops
            .iter()
            .map(|op| {
                let value = match &op.write {
                    Write::Put(value) => Some(value.as_str()),
                    Write::Delete => None,
                };
                (op.key.as_str(), value)
            })
            .collect();
        let mut logged: Vec<(&str, Option<&str>)> = whole
            .ops
            .iter()
            .map(|op| (op.key.as_str(), op.value.as_deref()))
            .collect();
        written.sort_unstable();
        logged.sort_unstable();
        if written != logged && fact.fate.may_show() {
            let same = logged.iter().filter(|op| written.contains(op)).count();
            let first = format!(
                "event {name} of the event log has {same} of the {} writes of {}, {}",
                written.len(),
                words::txn(fact),
                words::fate(fact)
            );
            torn.push((fact, first));
        }
    }
    let n = torn.len();
    let (fact, first) = torn.into_iter().next()?;
    Some(Trouble {
        txn: Some(fact.txn.id),
        ack: fact.ack,
        ..trouble(
            FindingKind::TornTransaction,
            summed(first, n),
            format!("{} of a transaction", words::count(n, "torn event")),
        )
    })
}

/// The order of commits: strictly up within a stream, no position twice, and no transaction that
/// was begun after another was acknowledged in front of it.
fn order(log: &EventLog, told: &Told<'_>, facts: &Facts<'_>) -> Option<Trouble> {
    let mut wrong = Vec::new();
    for pair in log.streams.iter().flat_map(|stream| stream.windows(2)) {
        let [before, after] = pair else { continue };
        if after.position <= before.position {
            wrong.push(format!(
                "event {} has position {} and follows event {} with position {} in the event log",
                after.name, after.position, before.name, before.position
            ));
        }
    }
    let mut owners: BTreeMap<u64, &str> = BTreeMap::new();
    for (name, whole) in &told.events {
        if let [first, second, ..] = whole.positions[..] {
            wrong.push(format!(
                "event {name} of the event log has two positions, {first} and {second}"
            ));
        }
        for position in &whole.positions {
            if let Some(other) = owners.insert(*position, name) {
                wrong.push(format!(
                    "events {other} and {name} of the event log both have position {position}"
                ));
            }
        }
    }
    wrong.extend(overtaken(told, facts));
    let n = wrong.len();
    let first = wrong.into_iter().next()?;
    Some(trouble(
        FindingKind::EventOrder,
        summed(first, n),
        format!("{} out of order", words::count(n, "event")),
    ))
}

/// A transaction that stands in front of one that was acknowledged before it began.
fn overtaken(told: &Told<'_>, facts: &Facts<'_>) -> Option<String> {
    let mut placed: Vec<(u64, usize)> = told
        .events
        .values()
        .filter_map(|whole| Some((*whole.positions.first()?, whole.txn?)))
        .collect();
    placed.sort_unstable();
    // The earliest ack of all that stand behind.
    let mut behind: Option<(Stamp, usize, u64)> = None;
    for (position, txn) in placed.into_iter().rev() {
        let fact = &facts.txns[txn];
        if let Some((ack, earlier, later_position)) = behind
            && ack < fact.invoked
        {
            return Some(format!(
                "{} was called for after the ack of {}, and has position {position} in the event \
                 log, before the other's {later_position}",
                words::txn(fact),
                words::txn(&facts.txns[earlier]),
            ));
        }
        if let (Some(ack), Fate::Acked) = (fact.ack, fact.fate)
            && behind.is_none_or(|(earliest, ..)| ack < earliest)
        {
            behind = Some((ack, txn, position));
        }
    }
    None
}

/// What the log comes to, read from the beginning.
fn fold(log: &EventLog) -> BTreeMap<&str, (&EventOp, &Event)> {
    let mut state = BTreeMap::new();
    for event in log.streams.iter().flatten() {
        for op in &event.ops {
            state.insert(op.key.as_str(), (op, event));
        }
    }
    state
}

/// The state must be what the log comes to: the same keys, values and positions.
fn replayed(log: &EventLog) -> Option<Trouble> {
    let mut expected = fold(log);
    let mut wrong = Vec::new();
    for served in &log.state {
        let found = served.value.as_deref().unwrap_or_default();
        let Some((op, event)) = expected.remove(served.key.as_str()) else {
            wrong.push((
                &served.key,
                format!(
                    "key {} holds {}, and no event of the event log wrote it",
                    served.key,
                    words::value(found)
                ),
            ));
            continue;
        };
        let what = match &op.value {
            None => "deleted it".to_owned(),
            Some(value) if value != found => format!("put {} there", words::value(value)),
            Some(_) if served.position != event.position => {
                format!("put that there at position {}", event.position)
            }
            Some(_) => continue,
        };
        wrong.push((
            &served.key,
            format!(
                "key {} holds {} of position {}, and the last event of the event log that wrote \
                 to it, {}, {what}",
                served.key,
                words::value(found),
                served.position,
                event.name
            ),
        ));
    }
    for (op, event) in expected.into_values() {
        if let Some(value) = &op.value {
            wrong.push((
                &op.key,
                format!(
                    "key {} is not there, and the last event of the event log that wrote to it, \
                     {}, put {} there",
                    op.key,
                    event.name,
                    words::value(value)
                ),
            ));
        }
    }
    let n = wrong.len();
    let (key, first) = wrong.into_iter().next()?;
    Some(Trouble {
        key: Some(key.clone()),
        ..trouble(
            FindingKind::StateNotReplayed,
            summed(first, n),
            format!(
                "{} that the event log does not come to",
                words::count(n, "key")
            ),
        )
    })
}

/// The versions of a key are 1, 2, 3, ... in the log; the state has the last, and each of them is
/// what the log says when it is asked for.
fn versions(log: &EventLog) -> Option<Trouble> {
    let mut wrong: Vec<(&str, String)> = Vec::new();
    let mut last: HashMap<&str, u64> = HashMap::new();
    let mut logged: HashMap<(&str, u64), (&EventOp, u64)> = HashMap::new();
    for event in log.streams.iter().flatten() {
        for op in &event.ops {
            let before = last.insert(&op.key, op.version).unwrap_or_default();
            if op.version != before + 1 {
                wrong.push((
                    &op.key,
                    format!(
                        "event {} of the event log makes version {} of key {}, whose last version \
                         was {before}",
                        event.name, op.version, op.key
                    ),
                ));
            }
            logged.insert((&op.key, op.version), (op, event.position));
        }
    }
    for LoggedKey { key, version, .. } in &log.state {
        let expected = last.get(key.as_str()).copied().unwrap_or_default();
        if *version != expected {
            wrong.push((
                key,
                format!(
                    "key {key} has version {version}, and its last version in the event log is \
                     {expected}"
                ),
            ));
        }
    }
    for old in &log.past {
        let Some((op, position)) = logged.get(&(old.key.as_str(), old.version)) else {
            continue;
        };
        let same = op.value == old.value && (old.value.is_none() || old.position == *position);
        if !same {
            let told = |value: &Option<String>| match value {
                Some(value) => words::value(value),
                None => "nothing".to_owned(),
            };
            wrong.push((
                &old.key,
                format!(
                    "version {} of key {} reads as {}, and the event log says {}",
                    old.version,
                    old.key,
                    told(&old.value),
                    told(&op.value)
                ),
            ));
        }
    }
    let n = wrong.len();
    let (key, first) = wrong.into_iter().next()?;
    Some(Trouble {
        key: Some(key.to_owned()),
        ..trouble(
            FindingKind::VersionGap,
            summed(first, n),
            format!("{} of keys", words::count(n, "wrong version")),
        )
    })
}
