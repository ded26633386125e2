//! What must hold between a table's log and its snapshot.

use std::collections::HashSet;

use super::bytes::Misfit;
use super::node_log::{Log, Op};
use super::node_snapshot::Snapshot;

/// Something that does not hold: its kind, whether it is in the snapshot, where, and what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Broken {
    pub(super) kind: &'static str,
    pub(super) in_snapshot: bool,
    pub(super) offset: usize,
    pub(super) what: String,
}

/// Everything that does not hold. With a snapshot that cannot be `read`, nothing is known of what
/// was there before the log.
pub(super) fn broken(log: &Log, snapshot: Option<&Snapshot>, read: bool) -> Vec<Broken> {
    let mut all = Vec::new();
    all.extend(log.bad.iter().map(|bad| in_log("entry", bad)));
    all.extend(log.torn.iter().map(|torn| in_log("torn", torn)));
    if read {
        all.extend(numbering(log, snapshot));
        all.extend(keys(log, snapshot));
    }
    all
}

fn in_log(kind: &'static str, misfit: &Misfit) -> Broken {
    Broken {
        kind,
        in_snapshot: false,
        offset: misfit.at,
        what: misfit.what.clone(),
    }
}

/// Numbers count up by one, and the log and the snapshot meet. A table that was restored before its
/// first write, as every table of a node that starts is, begins with number 1, since the node takes
/// a table without files for one that a snapshot left at number 0; only a table of a module that
/// was published to the running node begins with 0.
fn numbering(log: &Log, snapshot: Option<&Snapshot>) -> Vec<Broken> {
    let mut all = Vec::new();
    let mut say = |kind, offset, what| {
        all.push(Broken {
            kind,
            in_snapshot: false,
            offset,
            what,
        });
    };
    for pair in log.entries.windows(2) {
        if pair[0].seq.checked_add(1) != Some(pair[1].seq) {
            let what = format!("number {} follows {}", pair[1].seq, pair[0].seq);
            say("numbering", pair[1].offset, what);
        }
    }
    let (Some(first), Some(last)) = (log.entries.first(), log.entries.last()) else {
        return all;
    };
    match snapshot {
        None if first.seq > 1 => {
            let what = format!(
                "the log begins with number {}, and there is no snapshot",
                first.seq
            );
            say("gap", first.offset, what);
        }
        Some(snapshot) if first.seq > snapshot.last_seq.saturating_add(1) => {
            let what = format!(
                "the log begins with number {}, and the snapshot ends with {}",
                first.seq, snapshot.last_seq
            );
            say("gap", first.offset, what);
        }
        Some(snapshot) if last.seq < snapshot.last_seq => {
            let what = format!(
                "the log ends with number {}, and the snapshot holds up to {}",
                last.seq, snapshot.last_seq
            );
            say("log-behind", last.offset, what);
        }
        _ => {}
    }
    all
}

/// Where the entry of number 0 lies, if there is no snapshot that could hold it: `interstice-core`
/// 0.5.0 restores such a table from number 1 on, and the acknowledged change is gone.
pub(super) fn never_replayed(log: &Log, snapshot: Option<&Snapshot>) -> Option<usize> {
    let first = log.entries.first()?;
    (snapshot.is_none() && first.seq == 0).then_some(first.offset)
}

/// Inserts are of new keys; updates and deletes, of keys that are there.
fn keys(log: &Log, snapshot: Option<&Snapshot>) -> Vec<Broken> {
    let mut all = Vec::new();
    let mut there = HashSet::new();
    for (offset, key) in snapshot.iter().flat_map(|snapshot| &snapshot.keys) {
        let (kind, what) = match key {
            None => (
                "row-key",
                "a row's primary key is of a kind that keys cannot have",
            ),
            Some(key) if !there.insert(key) => ("duplicate-row", "two rows have the same key"),
            Some(_) => continue,
        };
        all.push(Broken {
            kind,
            in_snapshot: true,
            offset: *offset,
            what: what.into(),
        });
    }
    // After damage that hides entries, what is there is not known.
    let known = log.bad.is_empty();
    for entry in &log.entries {
        let mut say = |kind, what: &str| {
            all.push(Broken {
                kind,
                in_snapshot: false,
                offset: entry.offset,
                what: format!("number {}: {what}", entry.seq),
            });
        };
        if entry.other_key {
            say("row-key", "the row's own key is another one");
        }
        if snapshot.is_some_and(|snapshot| entry.seq <= snapshot.last_seq) {
            continue;
        }
        match &entry.op {
            Op::Insert(key) if !there.insert(key) && known => {
                say("insert-of-existing", "inserts a key that is there");
            }
            Op::Update(key) if !there.contains(key) && known => {
                say("update-of-missing", "updates a key that is not there");
            }
            Op::Delete(key) if !there.remove(key) && known => {
                say("delete-of-missing", "deletes a key that is not there");
            }
            Op::Clear => there.clear(),
            _ => {}
        }
    }
    all
}
