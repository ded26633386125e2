//! What must hold in every complete snapshot.

use super::root::{sha256, state_root};
use super::state::{Anchor, Snapshot};

/// Something that does not hold, and where.
pub(super) struct Broken {
    pub(super) kind: &'static str,
    pub(super) offset: usize,
    pub(super) what: String,
}

/// Everything that does not hold in a snapshot that was read whole. `root` is its state's root.
pub(super) fn broken(snapshot: &Snapshot, root: &str) -> Vec<Broken> {
    let mut all: Vec<Broken> = snapshot
        .miscounts
        .iter()
        .map(|wrong| Broken {
            kind: "count",
            offset: wrong.offset,
            what: format!(
                "the line says {} {}, and {} follow",
                wrong.said, wrong.list, wrong.rows
            ),
        })
        .collect();
    all.extend(key_order(snapshot));
    if let Some(offset) = snapshot.broken_value {
        all.push(Broken {
            kind: "line-in-value",
            offset,
            what: "a value goes on in the next line; the node reads line by line and drops both"
                .into(),
        });
    }
    if let (Some(anchor), Some(offset)) = (&snapshot.anchor, snapshot.anchor_offset) {
        let pegouts = !snapshot.state.pegouts.is_empty();
        all.extend(
            anchor_broken(anchor, root, pegouts)
                .into_iter()
                .map(|(kind, what)| Broken { kind, offset, what }),
        );
    }
    all.sort_by_key(|broken| broken.offset);
    all
}

/// Whether the anchor commits to the state whose root this is.
pub(super) fn verifies(anchor: &Anchor, root: &str) -> bool {
    anchor_broken(anchor, root, false).is_empty()
}

/// The root of the state of a snapshot, where all of it was read.
pub(super) fn root_of(snapshot: &Snapshot) -> Option<String> {
    snapshot.whole().then(|| state_root(&snapshot.state))
}

fn anchor_broken(anchor: &Anchor, root: &str, pegouts: bool) -> Vec<(&'static str, String)> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let mut all = Vec::new();
    if anchor.root != root.as_bytes() {
        let hint = if pegouts {
            " (a peg-out names the anchor's hash, so a state with one cannot match the anchor made \
             before)"
        } else {
            ""
        };
        all.push((
            "root-mismatch",
            format!(
                "the anchor commits to the state root {}, and the state's is {root}{hint}",
                text(&anchor.root)
            ),
        ));
    }
    let mut payload = anchor.root.clone();
    payload.extend_from_slice(format!(":{}:", anchor.timestamp_ms).as_bytes());
    payload.extend_from_slice(&anchor.metadata);
    if payload != anchor.payload {
        all.push((
            "anchor-payload",
            format!(
                "the anchor's payload is {:?}, and its fields make {:?}",
                text(&anchor.payload),
                text(&payload)
            ),
        ));
    }
    let hash = sha256(&anchor.payload);
    if anchor.hash != hash.as_bytes() {
        all.push((
            "anchor-hash",
            format!(
                "the anchor's hash is {}, and its payload's is {hash}",
                text(&anchor.hash)
            ),
        ));
    }
    all
}

/// Lists are sorted by key, and no key comes twice.
fn key_order(snapshot: &Snapshot) -> Vec<Broken> {
    let state = &snapshot.state;
    let lists: [(&str, Vec<&[u8]>); 5] = [
        ("balances", keys(&state.balances, |row| &row.peer)),
        ("escrows", keys(&state.escrows, |row| &row.task)),
        ("pegins", keys(&state.pegins, |row| &row.peg)),
        ("pegouts", keys(&state.pegouts, |row| &row.peg)),
        ("tasks", keys(&state.tasks, |row| &row.task)),
    ];
    let mut all = Vec::new();
    for (list, keys) in lists {
        let Some(pair) = keys.windows(2).find(|pair| pair[0] >= pair[1]) else {
            continue;
        };
        let [before, after] = [pair[0], pair[1]].map(String::from_utf8_lossy);
        let (kind, what) = if before == after {
            ("duplicate-key", format!("{list} has {before:?} twice"))
        } else {
            ("order", format!("{list} has {before:?} before {after:?}"))
        };
        all.push(Broken {
            kind,
            offset: snapshot.offset,
            what,
        });
    }
    all
}

fn keys<T>(rows: &[T], key: impl Fn(&T) -> &Vec<u8>) -> Vec<&[u8]> {
    rows.iter().map(|row| key(row).as_slice()).collect()
}
