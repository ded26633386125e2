//! What must hold at rest: in the snapshot file by the parser, between it and the database, and in
//! the database.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::Path;

use super::chain::{INVALIDATED, fields, heard};
use super::engine::AileeEngine;
use super::snapshots::root;
use plugpull_driver_ailee::{Anchor, INSPECTOR, parse};
use plugpull_inspect::Request;

/// What does not hold; none when all does.
pub(super) fn complaint(engine: &AileeEngine) -> io::Result<Option<String>> {
    let (file, chain) = (&engine.path, &engine.chain);
    let inspected = (INSPECTOR.inspect)(&Request {
        path: file.clone(),
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
    let snapshots = parse(&fs::read(file)?).snapshots;
    let anchors: Vec<&Anchor> = snapshots.iter().filter_map(|s| s.anchor.as_ref()).collect();
    if let Some(why) = loaded(engine, anchors.last().copied()) {
        return Ok(Some(why));
    }
    let hash = |anchor: &&Anchor| String::from_utf8_lossy(&anchor.hash).into_owned();
    let anchored: BTreeSet<String> = anchors.iter().map(hash).collect();
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
    let directory = file.parent().unwrap_or(Path::new("."));
    let (happened, heard) = (
        plugpull_driver_ailee::reorgs(directory)?.len(),
        heard(&rows)?,
    );
    if heard != happened {
        return Ok(Some(format!(
            "reorg-missed: the chain was reorganised {happened} times while the node was down, and \
             reorg_db has heard of {heard}"
        )));
    }
    Ok(reorgs(&rows))
}

/// What the node loaded is the last snapshot, as the parser reads it.
fn loaded(engine: &AileeEngine, last: Option<&Anchor>) -> Option<String> {
    let has = root(&engine.state);
    let wanted = match last {
        Some(anchor) => String::from_utf8_lossy(&anchor.root).into_owned(),
        None => root(&BTreeMap::new()),
    };
    (engine.as_loaded && has != wanted).then(|| {
        format!(
            "loaded-differs: the node loaded a state with the root {has}, and that of the last \
             snapshot is {wanted}"
        )
    })
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
