//! What is said about a snapshot file.

use serde_json::{Value, json};

use super::invariants::{Broken, broken, root_of, verifies};
use super::parse::parse;
use super::state::{Ending, Snapshot};
use plugpull_inspect::{InspectError, Inspection, Request, Spot, Table, read};

/// Looks at the file: every snapshot, its root and anchor, and all damage. Expectations are state
/// roots: an anchor that verifies must commit to each.
pub(super) fn inspect(request: &Request) -> Result<Inspection, InspectError> {
    let bytes = read(&request.path)?;
    Ok(look(&bytes, request))
}

/// The same, of bytes.
pub(super) fn look(bytes: &[u8], request: &Request) -> Inspection {
    let name = request.path.display().to_string();
    let spot = |broken: Broken| Spot {
        kind: broken.kind,
        file: name.clone(),
        line: None,
        offset: Some(broken.offset as u64),
        what: broken.what,
    };
    let file = parse(bytes);
    let roots: Vec<Option<String>> = file.snapshots.iter().map(root_of).collect();
    let mut damage: Vec<Broken> = file
        .strays
        .iter()
        .map(|(from, to)| Broken {
            kind: "stray-bytes",
            offset: *from,
            what: format!("{} bytes belong to no snapshot", to - from),
        })
        .collect();
    let mut notes = Vec::new();
    for (number, (snapshot, root)) in file.snapshots.iter().zip(&roots).enumerate() {
        damage.extend(misfits(snapshot));
        if let Some(root) = root {
            damage.extend(broken(snapshot, root));
        }
        if snapshot.misfit.is_none() {
            notes.extend(unfinished(snapshot, number));
        }
    }
    damage.sort_by_key(|broken| broken.offset);

    let missing = missing_anchors(&file.snapshots, &roots, &request.expect);
    damage.extend(missing.map(|wanted| Broken {
        kind: "missing-anchor",
        offset: bytes.len(),
        what: format!("no complete snapshot has an anchor that commits to {wanted}"),
    }));

    let complete = file
        .snapshots
        .iter()
        .filter(|one| one.ending == Ending::Complete);
    let last = file.snapshots.iter().zip(&roots).rev();
    let last = last
        .filter(|(one, _)| one.ending == Ending::Complete)
        .map(|(one, root)| (one.offset, root.clone()))
        .next();
    let mut facts = vec![
        ("bytes".to_owned(), bytes.len().to_string()),
        ("snapshots".to_owned(), file.snapshots.len().to_string()),
        ("complete".to_owned(), complete.count().to_string()),
    ];
    if let Some((offset, root)) = &last {
        let root = root.as_deref().unwrap_or("unknown: it is damaged");
        facts.push((
            "the node loads".to_owned(),
            format!("the snapshot at byte {offset}"),
        ));
        facts.push(("its state root".to_owned(), root.to_owned()));
    }
    let detail = json!({
        "snapshots": file.snapshots.iter().zip(&roots).map(|(s, r)| detail(s, r.as_deref())).collect::<Vec<_>>(),
        "loads": last.as_ref().map(|(offset, root)| json!({ "offset": offset, "root": root })),
        "first_damage": damage.first().map(|broken| broken.offset),
    });
    Inspection {
        system: "ailee",
        path: name.clone(),
        format: "l2_snapshots.dat",
        sound: damage.is_empty(),
        facts,
        table: table(&file.snapshots, &roots),
        notes: notes.into_iter().map(spot).collect(),
        damage: damage.into_iter().map(spot).collect(),
        detail,
    }
}

/// The state roots of `expected` to which no anchor that verifies commits.
fn missing_anchors<'a>(
    snapshots: &'a [Snapshot],
    roots: &'a [Option<String>],
    expected: &'a [String],
) -> impl Iterator<Item = &'a String> {
    let anchored = move |wanted: &str| {
        snapshots.iter().zip(roots).any(|(snapshot, root)| {
            let pair = snapshot.anchor.as_ref().zip(root.as_ref());
            pair.is_some_and(|(anchor, root)| {
                root.eq_ignore_ascii_case(wanted) && verifies(anchor, root)
            })
        })
    };
    expected.iter().filter(move |wanted| !anchored(wanted))
}

fn misfits(snapshot: &Snapshot) -> Vec<Broken> {
    let mut all = Vec::new();
    if let Some(misfit) = &snapshot.misfit {
        all.push(Broken {
            kind: "grammar",
            offset: misfit.offset,
            what: format!(
                "the snapshot at byte {} does not fit the grammar here, which wants {}",
                snapshot.offset, misfit.wanted
            ),
        });
    }
    if let Some(offset) = snapshot.glued {
        all.push(Broken {
            kind: "glued",
            offset,
            what: "a snapshot begins within a line: it was appended to a torn tail, and the node \
                   does not see it"
                .into(),
        });
    }
    all
}

/// The notes on a snapshot that was cut short: the promise is that it is ignored.
fn unfinished(snapshot: &Snapshot, number: usize) -> Option<Broken> {
    let what = match snapshot.ending {
        Ending::Complete => return None,
        Ending::CutShort => "the file ends within it: the node ignores it",
        Ending::Superseded => "the next one begins within it: the node ignores it",
    };
    Some(Broken {
        kind: "incomplete",
        offset: snapshot.offset,
        what: format!("snapshot {} is incomplete, {what}", number + 1),
    })
}

fn status(snapshot: &Snapshot) -> &'static str {
    match (snapshot.ending, &snapshot.misfit) {
        (_, Some(_)) => "damaged",
        (Ending::Complete, None) => "complete",
        (Ending::CutShort | Ending::Superseded, None) => "incomplete",
    }
}

fn anchor_word(snapshot: &Snapshot, root: Option<&str>) -> &'static str {
    match (&snapshot.anchor, root) {
        (_, None) => "unknown",
        (None, _) => "none",
        (Some(anchor), Some(root)) if verifies(anchor, root) => "verifies",
        (Some(_), Some(_)) => "does not verify",
    }
}

fn table(snapshots: &[Snapshot], roots: &[Option<String>]) -> Table {
    let head = ["snapshot", "bytes", "is", "rows", "state root", "anchor"];
    let rows = snapshots.iter().zip(roots).enumerate();
    let rows = rows.map(|(number, (snapshot, root))| {
        let state = &snapshot.state;
        let rows = state.balances.len()
            + state.escrows.len()
            + state.pegins.len()
            + state.pegouts.len()
            + state.tasks.len();
        vec![
            (number + 1).to_string(),
            format!("{}..{}", snapshot.offset, snapshot.end),
            status(snapshot).to_owned(),
            rows.to_string(),
            root.as_deref().unwrap_or("-").chars().take(16).collect(),
            anchor_word(snapshot, root.as_deref()).to_owned(),
        ]
    });
    Table {
        head: head.map(str::to_owned).to_vec(),
        rows: rows.collect(),
    }
}

fn detail(snapshot: &Snapshot, root: Option<&str>) -> Value {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let state = &snapshot.state;
    json!({
        "offset": snapshot.offset,
        "end": snapshot.end,
        "is": status(snapshot),
        "timestamp_ms": snapshot.timestamp_ms,
        "rows": {
            "balances": state.balances.len(),
            "escrows": state.escrows.len(),
            "pegins": state.pegins.len(),
            "pegouts": state.pegouts.len(),
            "tasks": state.tasks.len(),
        },
        "root": root,
        "anchor": snapshot.anchor.as_ref().map(|anchor| json!({
            "root": text(&anchor.root),
            "timestamp_ms": anchor.timestamp_ms,
            "metadata": text(&anchor.metadata),
            "hash": text(&anchor.hash),
            "verifies": root.map(|root| verifies(anchor, root)),
        })),
    })
}
