//! What is said about the guide's log, and its repair.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::json;

use super::guide_log::{Change, Scan, scan};
use plugpull_inspect::{InspectError, Inspection, Repaired, Request, Spot, Table, read, write_new};

/// Looks at the log: good and bad records, and how far it is good without a gap.
pub(super) fn inspect(request: &Request) -> Result<Inspection, InspectError> {
    let bytes = read(&request.path)?;
    Ok(look(&bytes, request))
}

/// The same, of bytes.
pub(super) fn look(bytes: &[u8], request: &Request) -> Inspection {
    let name = request.path.display().to_string();
    let found = scan(bytes);
    let mut damage: Vec<Spot> = found
        .bad
        .iter()
        .map(|bad| Spot {
            kind: bad.kind,
            file: name.clone(),
            line: None,
            offset: Some(bad.at as u64),
            what: format!("the record at byte {}: {}", bad.offset, bad.what),
        })
        .collect();
    let behind = found.records.len() - found.sound_records;
    let mut notes = Vec::new();
    // Recovery cuts what follows the last good record; it is promised for the end only.
    if request.after_crash && behind == 0 {
        notes.append(&mut damage);
    }
    notes.extend(went_back(&found).map(|(offset, what)| Spot {
        kind: "time-went-back",
        file: name.clone(),
        line: None,
        offset: Some(offset as u64),
        what,
    }));
    let facts = [
        ("bytes", bytes.len()),
        ("valid records", found.records.len()),
        ("invalid records", found.bad.len()),
        ("valid up to byte", found.sound_to),
        ("valid records behind damage", behind),
        ("bytes that cannot be read", found.unread),
    ];
    Inspection {
        system: "interstice",
        path: name.clone(),
        format: "the guide's transaction log",
        sound: damage.is_empty(),
        facts: facts
            .map(|(name, value)| (name.to_owned(), value.to_string()))
            .to_vec(),
        table: table(&found),
        notes,
        damage,
        detail: json!({
            "valid": found.records.len(),
            "invalid": found.bad.len(),
            "last_valid_offset": found.sound_to,
            "valid_behind_damage": behind,
            "unread": found.unread,
        }),
    }
}

/// Writes the records before the first damage to a file that does not exist yet.
pub(super) fn repair(request: &Request, to: &Path) -> Result<Repaired, InspectError> {
    if super::node_tree::is_nodes(&request.path) {
        return Err(InspectError::NotThis {
            path: request.path.clone(),
            why: "only the guide's log can be repaired by cutting it; the published node's has no \
                  checksums that would tell how far it is good"
                .into(),
        });
    }
    let bytes = read(&request.path)?;
    let kept = scan(&bytes).sound_to;
    write_new(to, &bytes[..kept])?;
    Ok(Repaired {
        path: to.display().to_string(),
        kept: kept as u64,
        cut: (bytes.len() - kept) as u64,
    })
}

/// The first record whose logical time is before that of the record before it.
fn went_back(found: &Scan) -> Option<(usize, String)> {
    let pair = found
        .records
        .windows(2)
        .find(|pair| pair[1].timestamp < pair[0].timestamp)?;
    Some((
        pair[1].offset,
        format!(
            "logical time {} comes after {}",
            pair[1].timestamp, pair[0].timestamp
        ),
    ))
}

/// Changes by module and table.
fn table(found: &Scan) -> Table {
    let mut tables: BTreeMap<(&str, &str), [u64; 3]> = BTreeMap::new();
    for record in &found.records {
        let counts = tables.entry((&record.module, &record.table)).or_default();
        counts[match record.change {
            Change::Insert => 0,
            Change::Update => 1,
            Change::Delete => 2,
        }] += 1;
    }
    let head = ["module", "table", "inserts", "updates", "deletes"];
    let rows = tables.iter().map(|((module, table), counts)| {
        let mut row = vec![(*module).to_owned(), (*table).to_owned()];
        row.extend(counts.iter().map(u64::to_string));
        row
    });
    Table {
        head: head.map(str::to_owned).to_vec(),
        rows: rows.collect(),
    }
}
