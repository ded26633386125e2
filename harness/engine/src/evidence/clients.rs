//! What the clients had called for before a crash, and what had come back.

use plugpull_reports::{CallOutcome, ClientCall};
use plugpull_workloads::{Call, Entry, History, ID_REST, Outcome, Stamp, Txn, TxnId};

/// So many calls before a crash are in a report.
const CALLS: usize = 48;

/// The last transactions that were called for before this crash, and the one whose ack this is, in the
/// order of their calls.
pub fn clients(history: &History, crash: Stamp, ack: Option<Stamp>) -> Vec<ClientCall> {
    let began = |entry: &&Entry| entry.invoked <= crash;
    let calls = history.entries.iter().filter(began);
    let mut calls: Vec<ClientCall> = calls
        .filter_map(|entry| match &entry.call {
            Call::Txn(txn) => Some(call(entry, txn, crash, ack)),
            _ => None,
        })
        .collect();
    let late = calls.len().saturating_sub(CALLS);
    let mut place = 0..;
    calls.retain(|call| {
        let recent = place.next().is_some_and(|place| place >= late);
        recent || call.lost || call.outcome == CallOutcome::InFlight
    });
    calls
}

fn call(entry: &Entry, txn: &Txn, crash: Stamp, ack: Option<Stamp>) -> ClientCall {
    let done = entry.done.as_ref().filter(|(at, _)| *at <= crash);
    let outcome = match done {
        Some((_, Outcome::Ok)) if txn.abort => CallOutcome::RolledBack,
        Some((_, Outcome::Ok)) => CallOutcome::Acknowledged,
        Some((_, Outcome::Fail(_))) => CallOutcome::Refused,
        Some((_, Outcome::Info(_))) => CallOutcome::Unknown,
        None => CallOutcome::InFlight,
    };
    let at = done.map(|(at, _)| *at);
    ClientCall {
        client: entry.client,
        what: name(txn),
        began: entry.invoked.seq,
        began_us: entry.invoked.nanos / 1000,
        ended: at.map(|at| at.seq),
        ended_us: at.map(|at| at.nanos / 1000),
        outcome,
        lost: ack.is_some() && at == ack,
    }
}

/// As the user knows it: the ID that a workload of the user's own writes, or the transaction.
fn name(txn: &Txn) -> String {
    id(txn).map_or_else(|| format!("t{}", txn.id), str::to_owned)
}

/// The ID that a workload of the user's own writes as this transaction; none of any other.
fn id(txn: &Txn) -> Option<&str> {
    match &txn.ops[..] {
        [whole, rest] if rest.key.strip_suffix(ID_REST) == Some(&*whole.key) => Some(&whole.key),
        _ => None,
    }
}

/// The same of the transaction with this number.
pub(super) fn id_of(history: &History, number: TxnId) -> Option<&str> {
    let mut txns = history
        .entries
        .iter()
        .filter_map(|entry| match &entry.call {
            Call::Txn(txn) => Some(txn),
            _ => None,
        });
    id(txns.find(|txn| txn.id == number)?)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use plugpull_workloads::{Op, Write};

    use super::*;

    fn at(n: u64) -> Stamp {
        Stamp {
            seq: n,
            nanos: n * 1000,
        }
    }

    #[test]
    fn a_call_that_ended_after_the_crash_was_in_flight() {
        let entry = |id: u64, keys: &[&str], invoked: u64, done: Option<u64>| Entry {
            client: 1,
            call: Call::Txn(Arc::new(Txn {
                id,
                client: 1,
                ops: (keys.iter())
                    .map(|key| Op {
                        key: (*key).into(),
                        write: Write::Delete,
                    })
                    .collect(),
                abort: false,
            })),
            invoked: at(invoked),
            done: done.map(|done| (at(done), Outcome::Ok)),
        };
        let mut entries: Vec<Entry> = (0..60)
            .map(|n| entry(n, &["k"], n * 2, Some(n * 2 + 1)))
            .collect();
        entries.push(entry(60, &["a", "a#rest"], 120, Some(130)));
        entries.push(entry(61, &["b"], 140, None));
        let history = History { entries };
        let calls = clients(&history, at(125), Some(at(1)));
        let ends: Vec<(&str, CallOutcome, bool)> = (calls.iter())
            .map(|call| (&*call.what, call.outcome, call.lost))
            .collect();
        assert_eq!(ends[0], ("t0", CallOutcome::Acknowledged, true));
        assert_eq!(ends.last(), Some(&("a", CallOutcome::InFlight, false)));
        assert_eq!(id_of(&history, 60), Some("a"));
        assert_eq!(id_of(&history, 59), None);
        assert_eq!(calls.len(), CALLS + 1);
        assert_eq!(calls[1].what, "t13");
    }
}
