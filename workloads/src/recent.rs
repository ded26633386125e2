//! A history cut down to its end, so that judging does not grow with how long a run was.
//!
//! What a client did long ago is settled: of its keys, which nobody else writes, the store must
//! hold what the last acknowledged write put there. So its old transactions can be told as one,
//! and a state that this shortened history finds nothing wrong with is one that the whole history
//! finds nothing wrong with either, where transactions are durable from their ack on. The reverse
//! does not hold, and the words of a finding want the whole history: whatever else the short one
//! says is worth nothing.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use crate::{Call, Entry, History, Op, Outcome, Stamp, Txn, Write};

/// The client of what was there at the beginning.
const NOBODY: u32 = u32::MAX;

/// The entry that stands for what was there at the beginning, and was safe from `since` on.
pub fn beginning(state: BTreeMap<String, String>, since: Stamp) -> Entry {
    let ops = state
        .into_iter()
        .map(|(key, value)| Op {
            key,
            write: Write::Put(value),
        })
        .collect();
    let txn = Txn {
        id: 0,
        client: NOBODY,
        ops,
        abort: false,
    };
    Entry {
        client: NOBODY,
        call: Call::Txn(Arc::new(txn)),
        invoked: Stamp::default(),
        done: Some((since, Outcome::Ok)),
    }
}

/// The history with only the last `keep` calls of each client, and one entry for all before them.
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
    let mut state: BTreeMap<&str, &str> = BTreeMap::new();
    let mut since = Stamp::default();
    let mut entries = Vec::new();
    for entry in &history.entries {
        let left = old.entry(entry.client).or_default();
        if *left > 0 {
            match (&entry.call, &entry.done) {
                (Call::Txn(txn), Some((_, Outcome::Fail(_)))) if !txn.abort => {}
                (Call::Txn(txn), Some((done, Outcome::Ok))) => {
                    since = since.max(*done);
                    for op in txn.ops.iter().filter(|_| !txn.abort) {
                        match &op.write {
                            Write::Put(value) => state.insert(&op.key, value),
                            Write::Delete => state.remove(op.key.as_str()),
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
    let own = |(key, value): (&str, &str)| (key.to_string(), value.to_string());
    let state = state.into_iter().map(own).collect();
    entries.insert(0, beginning(state, since));
    Some(History { entries })
}
