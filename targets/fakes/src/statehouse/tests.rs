//! The store of the fake, without a network. Its defects are shown by
//! `harness/cli/tests/statehouse.rs`.

#![allow(
    clippy::unwrap_used,
    reason = "a test fails by panicking, in its helpers too"
)]

use std::fs;
use std::path::Path;
use std::time::Duration;

use super::engine::{Staged, StatehouseEngine};
use super::snapshot::Name;

const LONG: Duration = Duration::from_secs(60);

fn name(key: &str) -> Name {
    ("n".into(), "a".into(), key.into())
}

fn put(key: &str, value: &str) -> Staged {
    (name(key), Some(value.into()))
}

fn open(directory: &Path) -> StatehouseEngine {
    StatehouseEngine::open(&directory.join("data"), None).unwrap()
}

fn refused(directory: &Path) -> String {
    match StatehouseEngine::open(&directory.join("data"), None) {
        Ok(_) => panic!("it opened"),
        Err(e) => e.to_string(),
    }
}

fn commit(engine: &mut StatehouseEngine, writes: &[Staged]) -> u64 {
    let txn = engine.begin(LONG);
    for write in writes {
        engine.stage(&txn, write.clone()).unwrap();
    }
    engine.commit(&txn).unwrap()
}

/// The keys that are there, with value and version.
fn contents(engine: &StatehouseEngine) -> Vec<(&str, &str, u64)> {
    let there = engine.state.values();
    there
        .filter_map(|held| Some((held.name.2.as_str(), held.value.as_deref()?, held.version)))
        .collect()
}

fn edit(directory: &Path, file: &str, change: impl Fn(&mut Vec<u8>)) {
    let path = directory.join("data").join(file);
    let mut bytes = fs::read(&path).unwrap();
    change(&mut bytes);
    fs::write(&path, bytes).unwrap();
}

#[test]
fn what_was_committed_is_there_again() {
    let dir = tempfile::tempdir().unwrap();
    let mut engine = open(dir.path());
    assert_eq!(commit(&mut engine, &[put("a", "01"), put("b", "02")]), 1);
    assert_eq!(commit(&mut engine, &[(name("b"), None), put("a", "03")]), 2);
    let given_up = engine.begin(LONG);
    engine.stage(&given_up, put("a", "ff")).unwrap();
    engine.abort(&given_up).unwrap();
    drop(engine);

    let mut engine = open(dir.path());
    assert_eq!(contents(&engine), [("a", "03", 2)]);
    assert_eq!(engine.events.len(), 2);
    // A deleted key keeps its count.
    assert_eq!(commit(&mut engine, &[put("b", "04")]), 3);
    assert_eq!(contents(&engine), [("a", "03", 2), ("b", "04", 3)]);
    let (old, ts) = engine.at_version(&name("a"), 1).unwrap();
    assert_eq!((old.value.as_deref(), ts), (Some("01"), 1));
}

#[test]
fn snapshots_and_log_meet_at_every_length() {
    let dir = tempfile::tempdir().unwrap();
    for count in 1..=40_u64 {
        let mut engine = open(dir.path());
        let value = format!("{count:02x}");
        assert_eq!(commit(&mut engine, &[put("a", &value)]), count);
        drop(engine);
        let engine = open(dir.path());
        assert_eq!(contents(&engine), [("a", value.as_str(), count)]);
        assert_eq!(engine.events.len() as u64, count);
    }
}

#[test]
fn a_torn_tail_is_cut_off_and_not_met_again() {
    let dir = tempfile::tempdir().unwrap();
    let mut engine = open(dir.path());
    commit(&mut engine, &[put("a", "01")]);
    commit(&mut engine, &[put("a", "02")]);
    drop(engine);
    edit(dir.path(), "events", |bytes| {
        bytes.truncate(bytes.len() - 9)
    });
    let mut engine = open(dir.path());
    assert_eq!(contents(&engine), [("a", "01", 1)]);
    commit(&mut engine, &[put("a", "03")]);
    drop(engine);
    assert_eq!(contents(&open(dir.path())), [("a", "03", 2)]);
}

#[test]
fn damage_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let mut engine = open(dir.path());
    for value in 0..20 {
        commit(&mut engine, &[put("a", &format!("{value:02x}"))]);
    }
    drop(engine);
    let log = fs::read(dir.path().join("data/events")).unwrap();
    for at in [0, 8, 9, 40] {
        edit(dir.path(), "events", |bytes| bytes[at] ^= 1);
        let said = refused(dir.path());
        assert!(said.contains("damaged at byte 0"), "{said}");
        fs::write(dir.path().join("data/events"), &log).unwrap();
    }
    edit(dir.path(), "snapshot", |bytes| bytes[30] ^= 1);
    assert!(refused(dir.path()).contains("snapshot is damaged"));
    edit(dir.path(), "snapshot", |bytes| bytes[30] ^= 1);
    open(dir.path());
    edit(dir.path(), "events", Vec::clear);
    let said = refused(dir.path());
    assert!(
        said.contains("the log ends at 0, before the snapshot's 16"),
        "{said}"
    );
}

#[test]
fn a_transaction_is_committed_once_and_in_time() {
    let dir = tempfile::tempdir().unwrap();
    let mut engine = open(dir.path());
    let txn = engine.begin(LONG);
    engine.commit(&txn).unwrap();
    assert!(engine.commit(&txn).unwrap_err().contains("is not known"));
    assert!(engine.stage(&txn, put("a", "01")).is_err());
    let late = engine.begin(Duration::ZERO);
    assert!(engine.commit(&late).unwrap_err().contains("has expired"));
}
