//! A history cut down to its end, so that judging does not grow with how long a run was.
//!
//! What a client did long ago is settled: of its keys, which nobody else writes, the store must
//! hold what the last acknowledged write put there. So its old transactions can count as one,
//! and a state that this shortened history finds nothing wrong with is one that the whole history
//! finds nothing wrong with either, where transactions are durable from their ack on and nothing
//! but what was written may be served ([`settles`]): a value that the short history does not know
//! is then a finding, whatever the whole one makes of it. The reverse does not hold, and the words
//! of a finding want the whole history: whatever else the short one says is worth nothing.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use crate::{
    Call, Durability, Entry, FailureClass, Guarantee, History, Op, Outcome, Promise, Stamp, Text,
    Txn, Write,
};

/// The client of what was there at the beginning.
const NOBODY: u32 = u32::MAX;

/// The entry that stands for what was there at the beginning, and was safe from `since` on.
pub fn beginning(state: BTreeMap<String, String>, since: Stamp) -> Entry {
    let state = state.into_iter().map(|(key, value)| (key, value.into()));
    as_one(state.collect(), since, NOBODY, 0)
}

/// One transaction that put all this, for those whose single writes no longer matter.
fn as_one(state: BTreeMap<String, Text>, done: Stamp, client: u32, id: u64) -> Entry {
    let ops = state
        .into_iter()
        .map(|(key, value)| Op {
            key,
            write: Write::Put(value),
        })
        .collect();
    let txn = Txn {
        id,
        client,
        ops,
        abort: false,
    };
    Entry {
        client,
        call: Call::Txn(Arc::new(txn)),
        invoked: Stamp::default(),
        done: Some((done, Outcome::Ok)),
    }
}

/// What came of a client's old transactions.
#[derive(Default)]
struct Settled {
    state: BTreeMap<String, Text>,
    /// When the last of them was acknowledged. Each client has its own time: one client's late
    /// ack would make another's later transactions concurrent with what they overwrote.
    since: Stamp,
    last: u64,
}

/// True when these promises settle what was acknowledged long ago before a failure of this class,
/// so that a history may be judged by its [`recent`] end.
pub fn settles(promises: &[Promise], class: FailureClass) -> bool {
    let given = |wanted: Guarantee| {
        promises
            .iter()
            .any(|promise| promise.guarantee == wanted && promise.classes.contains(&class))
    };
    given(Guarantee::Durable(Durability::AtAck)) && given(Guarantee::Consistent)
}

/// The history with only the last `keep` calls of each client, and one entry for all its earlier
/// ones.
/// None where that would save nothing, or where clients write each other's keys.
pub fn recent(history: &History, keep: usize) -> Option<History> {
    let mut owners: HashMap<&str, u32> = HashMap::new();
    let mut calls: HashMap<u32, usize> = HashMap::new();
    for entry in &history.entries {
        *calls.entry(entry.client).or_default() += 1;
        if let Call::Txn(txn) = &entry.call {
            for op in &txn.ops {
                if *owners.entry(&op.key).or_insert(entry.client) != entry.client {
                    return None;
                }
            }
        }
    }
    // How many calls of each client are to be settled.
    let mut old: HashMap<u32, usize> = calls
        .into_iter()
        .map(|(client, count)| (client, count.saturating_sub(keep)))
        .collect();
    let mut settled: BTreeMap<u32, Settled> = BTreeMap::new();
    let mut entries = Vec::new();
    for entry in &history.entries {
        let left = old.entry(entry.client).or_default();
        if *left > 0 {
            match (&entry.call, &entry.done) {
                (Call::Txn(txn), Some((_, Outcome::Fail(_)))) if !txn.abort => {}
                (Call::Txn(txn), Some((done, Outcome::Ok))) => {
                    let of_client = settled.entry(entry.client).or_default();
                    of_client.since = of_client.since.max(*done);
                    of_client.last = txn.id;
                    for op in txn.ops.iter().filter(|_| !txn.abort) {
                        match &op.write {
                            Write::Put(value) => {
                                of_client.state.insert(op.key.clone(), value.clone())
                            }
                            Write::Delete => of_client.state.remove(&op.key),
                        };
                    }
                }
                (Call::Barrier, Some((_, Outcome::Ok))) => {}
                // Nobody knows what came of it: from here on nothing is settled.
                _ => *left = 0,
            }
        }
        match left {
            0 => entries.push(entry.clone()),
            _ => *left -= 1,
        }
    }
    if entries.len() == history.entries.len() {
        return None;
    }
    let old = settled.into_iter().map(|(client, of_client)| {
        as_one(of_client.state, of_client.since, client, of_client.last)
    });
    Some(History {
        entries: old.chain(entries).collect(),
    })
}
