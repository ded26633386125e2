//! What must hold at rest: in the snapshot file by the parser, between it and the database, and in
//! the database.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::Path;

use super::super::INSPECTOR;
use super::super::parse::parse;
use super::chain::{Chain, INVALIDATED, fields, heard};
use super::network;
use crate::inspect::Request;

/// What does not hold; none when all does.
pub(super) fn complaint(file: &Path, chain: &Chain) -> io::Result<Option<String>> {
    let inspected = (INSPECTOR.inspect)(&Request {
        path: file.to_owned(),
        ..Request::default()
    });
    match inspected {
        Err(e) => return Ok(Some(e.to_string())),
        Ok(found) => {
            if let Some(spot) = found.damage.first().or(found.notes.first()) {
                return Ok(Some(format!("{}: {}: {}", spot.kind, spot.file, spot.what)));
            }
        }
    }
    let anchored: BTreeSet<String> = parse(&fs::read(file)?)
        .snapshots
        .iter()
        .filter_map(|snapshot| {
            Some(String::from_utf8_lossy(&snapshot.anchor.as_ref()?.hash).into())
        })
        .collect();
    let tracked: BTreeSet<String> = chain.anchors()?.into_iter().collect();
    if let Some(hash) = anchored.difference(&tracked).next() {
        return Ok(Some(format!(
            "anchor-not-tracked: the snapshot with the anchor {hash} is whole, and reorg_db does \
             not know it"
        )));
    }
    if let Some(hash) = tracked.difference(&anchored).next() {
        return Ok(Some(format!(
            "anchor-without-snapshot: reorg_db tracks the anchor {hash}, and no snapshot has it"
        )));
    }
    let rows = chain.rows()?;
    let folder = file.parent().unwrap_or(Path::new("."));
    let (happened, heard) = (network::reorgs(folder)?.len(), heard(&rows)?);
    if heard != happened {
        return Ok(Some(format!(
            "reorg-missed: the chain was reorganised {happened} times while the node was down, and \
             reorg_db has heard of {heard}"
        )));
    }
    Ok(reorgs(&rows))
}

/// A reorg is all or nothing, and each has a number of its own.
fn reorgs(rows: &[(String, String)]) -> Option<String> {
    let value = |key: &str| rows.iter().find(|(k, _)| k == key).map(|(_, v)| v.as_str());
    let mut highest = 0;
    let mut last = None;
    for (key, event) in rows.iter().filter(|(key, _)| key.starts_with("reorg:")) {
        let id: u64 = key.trim_start_matches("reorg:").parse().ok()?;
        highest = highest.max(id);
        last = Some((id, event));
        for hash in fields(event).iter().skip(5) {
            let anchor = value(&format!("anchor:{hash}")).unwrap_or_default();
            if fields(anchor).get(6) != Some(&INVALIDATED) {
                return Some(format!(
                    "reorg-half-done: event {id} invalidates the anchor {hash}, which is valid"
                ));
            }
        }
    }
    let counter: u64 = value("reorg_counter")
        .and_then(|n| n.parse().ok())
        .unwrap_or(0);
    if let Some((id, event)) = last {
        let event = fields(event);
        let height: u64 = event.first().and_then(|n| n.parse().ok()).unwrap_or(0);
        let block = value(&format!("block:{height:020}"));
        if block != event.get(2).copied() {
            return Some(format!(
                "reorg-half-done: event {id} replaces the block at {height}, which is the old one"
            ));
        }
    }
    if counter != highest + 1 {
        return Some(format!(
            "reorg-counter: the highest reorg is {highest}, and the next would be {counter}"
        ));
    }
    None
}
