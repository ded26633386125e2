//! Whether the log is in the order of commits.

use std::collections::BTreeMap;

use super::{ByTxn, summed};
use crate::check::facts::{Facts, Fate};
use crate::check::{Trouble, labels};
use crate::{EventLog, FindingKind, Stamp};

/// What breaks the order of commits: strictly up within a stream, no position twice, and no
/// transaction that was begun after another was acknowledged in front of it.
pub(super) fn unordered(log: &EventLog, by_txn: &ByTxn<'_>, facts: &Facts<'_>) -> Option<Trouble> {
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
    for (name, whole) in &by_txn.events {
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
    wrong.extend(overtaken(by_txn, facts));
    let n = wrong.len();
    let first = wrong.into_iter().next()?;
    Some(Trouble::new(
        FindingKind::EventOrder,
        None,
        summed(first, n),
        format!("{} out of order", labels::count(n, "event")),
    ))
}

/// A transaction that stands in front of one that was acknowledged before it began.
fn overtaken(by_txn: &ByTxn<'_>, facts: &Facts<'_>) -> Option<String> {
    let mut placed: Vec<(u64, usize)> = by_txn
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
                labels::txn(fact),
                labels::txn(&facts.txns[earlier]),
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
