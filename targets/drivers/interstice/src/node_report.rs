//! What is said about the published node's tables.

use std::path::Path;

use serde_json::json;

use super::node_log::{Log, log};
use super::node_snapshot::{Snapshot, row_file, snapshot};
use super::node_table::{broken, never_replayed};
use super::node_tree::find;
use plugpull_inspect::{InspectError, Inspection, Request, Spot, Table, read};

/// Looks at every table at or under the path.
pub(super) fn inspect(request: &Request) -> Result<Inspection, InspectError> {
    let files = find(&request.path)?;
    if files.tables.is_empty() && files.rows.is_empty() {
        return Err(InspectError::NotThis {
            path: request.path.clone(),
            why: "there is no logs/TABLE.log, snapshots/TABLE.snap or ROW.row in it".into(),
        });
    }
    let mut damage = Vec::new();
    let mut notes = Vec::new();
    let mut rows = Vec::new();
    for (log_path, snapshot_path) in &files.tables {
        let (log_bytes, snapshot_bytes) = (
            bytes(log_path.as_deref())?,
            bytes(snapshot_path.as_deref())?,
        );
        let looked = table(log_bytes.as_deref(), snapshot_bytes.as_deref());
        for one in looked.broken {
            let path = if one.in_snapshot {
                snapshot_path
            } else {
                log_path
            };
            let spot = at(one.kind, path.as_deref(), one.offset, one.what);
            // The node ignores a length that a crash cut; with an entry that was cut it refuses to
            // start, and nothing mends that.
            if one.kind == "torn" && looked.length_cut && request.after_crash {
                notes.push(spot);
            } else {
                damage.push(spot);
            }
        }
        if let Some(offset) = looked.never_replayed {
            let what = "number 0 of a table without a snapshot: the node (0.5.0) does not read it \
                        back, and begins with number 1";
            notes.push(at("number-zero", log_path.as_deref(), offset, what.into()));
        }
        let name = log_path.as_deref().or(snapshot_path.as_deref());
        rows.push(row(name, &looked.log, looked.snapshot.as_ref()));
    }
    for path in &files.rows {
        if let Err(misfit) = row_file(&read(path)?) {
            damage.push(at("row", Some(path), misfit.at, misfit.what));
        }
    }
    notes.extend(files.leftovers.iter().map(|path| Spot {
        kind: "leftover",
        file: path.display().to_string(),
        line: None,
        offset: None,
        what: "a snapshot or a log that was being rewritten when the node ended".into(),
    }));
    let head = [
        "table",
        "log entries",
        "numbers",
        "snapshot rows",
        "snapshot up to",
    ];
    Ok(Inspection {
        system: "interstice",
        path: request.path.display().to_string(),
        format: "the published node's tables",
        sound: damage.is_empty(),
        facts: vec![
            ("tables".to_owned(), files.tables.len().to_string()),
            ("single rows".to_owned(), files.rows.len().to_string()),
        ],
        detail: json!({ "tables": rows.clone() }),
        table: Table {
            head: head.map(str::to_owned).to_vec(),
            rows,
        },
        notes,
        damage,
    })
}

/// What the report shows of one table.
fn row(path: Option<&Path>, log: &Log, snapshot: Option<&Snapshot>) -> Vec<String> {
    let name = path.and_then(Path::file_stem).unwrap_or_default();
    vec![
        name.to_string_lossy().into_owned(),
        log.entries.len().to_string(),
        span(log),
        snapshot.map_or("-".into(), |s| s.keys.len().to_string()),
        snapshot.map_or("-".into(), |s| s.last_seq.to_string()),
    ]
}

fn bytes(path: Option<&Path>) -> Result<Option<Vec<u8>>, InspectError> {
    path.map(read).transpose()
}

fn at(kind: &'static str, path: Option<&Path>, offset: usize, what: String) -> Spot {
    Spot {
        kind,
        file: path
            .map(|path| path.display().to_string())
            .unwrap_or_default(),
        line: None,
        offset: Some(offset as u64),
        what,
    }
}

/// A table that was looked at.
pub(super) struct Looked {
    log: Log,
    snapshot: Option<Snapshot>,
    /// The log ends within the four bytes of a length.
    length_cut: bool,
    /// An entry that the node itself skips: its offset.
    pub(super) never_replayed: Option<usize>,
    pub(super) broken: Vec<super::node_table::Broken>,
}

/// Looks at the bytes of a table's log and snapshot.
pub(super) fn table(log_bytes: Option<&[u8]>, snapshot_bytes: Option<&[u8]>) -> Looked {
    let log = log_bytes.map(log).unwrap_or_default();
    let mut all = Vec::new();
    let mut readable = None;
    match snapshot_bytes.map(snapshot) {
        Some(Ok(snapshot)) => readable = Some(snapshot),
        Some(Err(misfit)) => all.push(super::node_table::Broken {
            kind: "snapshot",
            in_snapshot: true,
            offset: misfit.at,
            what: misfit.what,
        }),
        None => {}
    }
    let known = snapshot_bytes.is_none() || readable.is_some();
    all.extend(broken(&log, readable.as_ref(), known));
    let end = log_bytes.map_or(0, <[u8]>::len);
    Looked {
        length_cut: log.torn.as_ref().is_some_and(|torn| end - torn.at < 4),
        never_replayed: known
            .then(|| never_replayed(&log, readable.as_ref()))
            .flatten(),
        log,
        snapshot: readable,
        broken: all,
    }
}

fn span(log: &Log) -> String {
    match (log.entries.first(), log.entries.last()) {
        (Some(first), Some(last)) => format!("{}..{}", first.seq, last.seq),
        _ => "-".into(),
    }
}
