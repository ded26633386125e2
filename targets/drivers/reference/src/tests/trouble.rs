//! Disks that are full and syncs that fail, played by `/dev/full`, which has no space for any
//! write, and `/dev/null`, which takes every write and cannot be synced.

use std::os::unix::fs::symlink;

use super::*;
use plugpull_driver::sdk::StoreError;

const FULL: &str = "/dev/full";
const NULL: &str = "/dev/null";

fn is_fail(result: Result<(), StoreError>) -> bool {
    matches!(result, Err(StoreError::Fail(_)))
}

fn is_info(result: Result<(), StoreError>) -> bool {
    matches!(result, Err(StoreError::Info(_)))
}

#[test]
fn without_space_a_transaction_fails_and_the_next_one_with_space_is_kept() {
    let dir = tempfile::tempdir().unwrap();
    let log = filled(dir.path(), 2);
    let mut store = open(dir.path());
    store.log_into(Path::new(FULL));
    assert!(is_fail(store.apply(&txn(&[put("a", "1")]))));
    assert_eq!(contents(&mut store), first(2));
    assert_eq!(store.get("k1").unwrap().as_deref(), Some("v1"));
    store.log_into(&log);
    store.apply(&txn(&[put("k3", "v3")])).unwrap();
    assert_eq!(store.check().unwrap(), None);
    drop(store);
    assert_eq!(contents(&mut open(dir.path())), first(3));
}

#[test]
fn enospc_acked_loses_what_it_acknowledged() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open_with(dir.path(), &[("defect", "enospc-acked")]).unwrap();
    store.log_into(Path::new(FULL));
    store.apply(&txn(&[put("a", "1")])).unwrap();
    assert_eq!(contents(&mut store), map(&[("a", "1")]));
    drop(store);
    assert_eq!(contents(&mut open(dir.path())), map(&[]));
}

#[test]
fn after_a_failed_sync_it_goes_on_in_a_new_log_without_the_transaction() {
    let dir = tempfile::tempdir().unwrap();
    filled(dir.path(), 2);
    let mut store = open(dir.path());
    store.log_into(Path::new(NULL));
    assert!(is_fail(store.apply(&txn(&[put("a", "1")]))));
    assert_eq!(contents(&mut store), first(2));
    assert!(dir.path().join("snapshot-2").exists());
    store.apply(&txn(&[put("k3", "v3")])).unwrap();
    assert_eq!(store.check().unwrap(), None);
    drop(store);
    assert_eq!(contents(&mut open(dir.path())), first(3));
}

#[test]
fn eio_ignored_acknowledges_what_was_never_synced() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open_with(dir.path(), &[("defect", "eio-ignored")]).unwrap();
    store.log_into(Path::new(NULL));
    store.apply(&txn(&[put("a", "1")])).unwrap();
    drop(store);
    assert_eq!(contents(&mut open(dir.path())), map(&[]));
}

#[test]
fn while_no_new_log_can_be_made_nobody_knows_and_nothing_more_is_written() {
    let dir = tempfile::tempdir().unwrap();
    filled(dir.path(), 2);
    let mut store = open(dir.path());
    // Nor is there space for the snapshot, twice.
    for number in [2, 3] {
        symlink(FULL, dir.path().join(format!("snapshot-{number}.tmp"))).unwrap();
    }
    store.log_into(Path::new(NULL));
    assert!(is_info(store.apply(&txn(&[put("a", "1")]))));
    assert!(is_fail(store.apply(&txn(&[put("b", "1")]))));
    assert_eq!(contents(&mut store), first(2));
    // There is space again.
    store.apply(&txn(&[put("k3", "v3")])).unwrap();
    assert_eq!(contents(&mut store), first(3));
    drop(store);
    assert_eq!(contents(&mut open(dir.path())), first(3));
}

#[test]
fn a_barrier_after_a_failed_sync_says_so_and_mends() {
    let dir = tempfile::tempdir().unwrap();
    filled(dir.path(), 2);
    let mut store = open(dir.path());
    store.log_into(Path::new(NULL));
    assert!(is_fail(store.barrier()));
    store.barrier().unwrap();
    assert_eq!(store.check().unwrap(), None);
}

#[test]
fn a_snapshot_that_finds_no_space_is_no_reason_to_stop() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open_with(dir.path(), &[("snapshot_every", "2")]).unwrap();
    symlink(FULL, dir.path().join("snapshot-2.tmp")).unwrap();
    for i in 1..=3 {
        store
            .apply(&txn(&[put(&format!("k{i}"), &format!("v{i}"))]))
            .unwrap();
    }
    assert!(!dir.path().join("snapshot-2").exists());
    store.apply(&txn(&[put("k4", "v4")])).unwrap();
    assert!(dir.path().join("snapshot-3").exists());
    drop(store);
    assert_eq!(contents(&mut open(dir.path())), first(4));
}

#[test]
fn a_new_log_that_finds_no_space_stops_writes_until_there_is_some() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open_with(dir.path(), &[("snapshot_every", "2")]).unwrap();
    symlink(FULL, dir.path().join("log-2")).unwrap();
    symlink(FULL, dir.path().join("snapshot-3.tmp")).unwrap();
    store.apply(&txn(&[put("k1", "v1")])).unwrap();
    // Acknowledged, because the snapshot holds it; its log then finds no space.
    store.apply(&txn(&[put("k2", "v2")])).unwrap();
    assert!(is_fail(store.apply(&txn(&[put("a", "1")]))));
    assert_eq!(contents(&mut store), first(2));
    store.apply(&txn(&[put("k3", "v3")])).unwrap();
    drop(store);
    assert_eq!(contents(&mut open(dir.path())), first(3));
}
