//! Events: whether the log that a target keeps of its past tells of the transactions that it
//! acknowledged, of no others, in order, and comes to the state that it serves.

mod commit_order;
mod state;

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap, HashSet};

use super::facts::Facts;
use super::promised::Promised;
use super::{Trouble, labels};
use crate::{EventLog, EventOp, FindingKind, Guarantee, TxnId, Value, Write};

/// The id of the transaction that stands for what was there when a history began. What happened
/// before it is in the log and not in the history.
const BEGINNING: TxnId = 0;

/// What is wrong with the log, one trouble per kind. `required` has for each transaction
/// the promise that requires it. `lost` is true where the state has lost some already:
/// that their events are gone too is no news then.
pub(super) fn events(
    log: &EventLog,
    facts: &Facts<'_>,
    promised: &Promised,
    required: &[Option<usize>],
    lost: bool,
) -> Vec<Trouble> {
    let by_txn = ByTxn::new(log, facts);
    let mut all = vec![
        strays(&by_txn, facts),
        torn(&by_txn, facts),
        commit_order::unordered(log, &by_txn, facts),
        state::replayed(log),
    ];
    // Said only where it is promised: one skipped version makes all that follow wrong as well.
    if promised.first(|g| g == Guarantee::Versions).is_some() {
        all.push(state::versions(log));
    }
    if !lost {
        all.push(missing(&by_txn, facts, required));
    }
    all.into_iter()
        .flatten()
        .map(|mut trouble| {
            trouble.promise = promised.broken_by(trouble.kind).cloned();
            trouble
        })
        .collect()
}

/// The log by transactions.
struct ByTxn<'a> {
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

impl<'a> ByTxn<'a> {
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

/// Several of a kind as one sentence: the first, and how many more there are.
fn summed(first: String, n: usize) -> String {
    match n {
        0 | 1 => first,
        n => format!("{first} ({} more of the kind)", n - 1),
    }
}

/// Acknowledged transactions that the log does not tell of.
fn missing(by_txn: &ByTxn<'_>, facts: &Facts<'_>, required: &[Option<usize>]) -> Option<Trouble> {
    let there: HashSet<usize> = by_txn
        .events
        .values()
        .filter_map(|whole| whole.txn)
        .collect();
    let gone: Vec<usize> = (0..facts.txns.len())
        .filter(|txn| required[*txn].is_some() && !there.contains(txn))
        .filter(|txn| facts.txns[*txn].txn.id != BEGINNING)
        .collect();
    let fact = &facts.txns[*gone.first()?];
    let first = format!(
        "{}, {}, is not in the event log",
        labels::txn(fact),
        labels::fate(fact)
    );
    Some(Trouble {
        txn: Some(fact.txn.id),
        ack: fact.ack,
        ..Trouble::new(
            FindingKind::MissingEvent,
            None,
            summed(first, gone.len()),
            format!("{} not in the event log", labels::count(gone.len(), "ack")),
        )
    })
}

/// Events of transactions that must have left nothing behind, or of none at all.
fn strays(by_txn: &ByTxn<'_>, facts: &Facts<'_>) -> Option<Trouble> {
    let mut strays = Vec::new();
    for (name, whole) in &by_txn.events {
        let why = match (whole.txn, whole.claimed) {
            (Some(txn), _) => {
                let fact = &facts.txns[txn];
                if fact.fate.may_show() {
                    continue;
                }
                format!("is {}, {}", labels::txn(fact), labels::fate(fact))
            }
            (None, Some(_)) if by_txn.began => continue,
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
        ..Trouble::new(
            FindingKind::StrayEvent,
            None,
            summed(first, n),
            format!("{} that should not exist", labels::count(n, "event")),
        )
    })
}

/// Events that tell of a part of their transaction, or of more than it.
fn torn(by_txn: &ByTxn<'_>, facts: &Facts<'_>) -> Option<Trouble> {
    let mut torn = Vec::new();
    for (name, whole) in &by_txn.events {
        let Some(fact) = whole.txn.map(|txn| &facts.txns[txn]) else {
            continue;
        };
        let mut written: Vec<(&str, Option<Cow<'_, str>>)> = fact
            .txn
            .ops
            .iter()
            .map(|op| {
                let value = match &op.write {
                    Write::Put(value) => Some(value.text()),
                    Write::Delete => None,
                };
                (op.key.as_str(), value)
            })
            .collect();
        let mut logged: Vec<(&str, Option<Cow<'_, str>>)> = whole
            .ops
            .iter()
            .map(|op| (op.key.as_str(), op.value.as_deref().map(Cow::Borrowed)))
            .collect();
        written.sort_unstable();
        logged.sort_unstable();
        if written != logged && fact.fate.may_show() {
            let same = logged.iter().filter(|op| written.contains(op)).count();
            let first = format!(
                "event {name} of the event log has {same} of the {} writes of {}, {}",
                written.len(),
                labels::txn(fact),
                labels::fate(fact)
            );
            torn.push((fact, first));
        }
    }
    let n = torn.len();
    let (fact, first) = torn.into_iter().next()?;
    Some(Trouble {
        txn: Some(fact.txn.id),
        ack: fact.ack,
        ..Trouble::new(
            FindingKind::TornTransaction,
            None,
            summed(first, n),
            format!("{} of a transaction", labels::count(n, "torn event")),
        )
    })
}
