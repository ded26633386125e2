//! The fake without plugpull around it.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::fs;
use std::path::Path;

use plugpull_workloads::{Op, Txn, Write};

use super::check::complaint;
use super::engine::AileeEngine;

fn txn(id: u64) -> Txn {
    let put = |key: String| Op {
        key,
        write: Write::Put(format!("v\"{id}\\").into()),
    };
    Txn {
        id,
        client: 0,
        ops: vec![put("head".into()), put(format!("k{}", id % 5))],
        abort: false,
    }
}

/// A directory with so many anchored transactions.
fn anchored(directory: &Path, txns: u64) -> AileeEngine {
    let mut engine = AileeEngine::open(directory, None).unwrap();
    for id in 0..txns {
        engine.apply(&txn(id));
        engine.anchor().unwrap();
    }
    engine
}

fn sound(engine: &AileeEngine) -> Option<String> {
    complaint(engine).unwrap()
}

#[test]
fn what_is_anchored_is_there_again_and_the_rest_is_not() {
    let directory = tempfile::tempdir().unwrap();
    let mut engine = anchored(directory.path(), 9);
    assert_eq!(sound(&engine), None);
    engine.apply(&txn(100));
    drop(engine);
    for _ in 0..2 {
        let engine = AileeEngine::open(directory.path(), None).unwrap();
        assert_eq!(engine.state["head"], "v\"8\\");
        assert_eq!(sound(&engine), None);
    }
}

#[test]
fn an_unfinished_snapshot_is_cut_off_and_an_untracked_one_tracked() {
    let directory = tempfile::tempdir().unwrap();
    drop(anchored(directory.path(), 3));
    let path = directory.path().join("l2_snapshots.dat");
    let whole = fs::read(&path).unwrap();
    // The next snapshot as another node wrote it, whose database is not this one.
    let other = tempfile::tempdir().unwrap();
    drop(anchored(other.path(), 4));
    let longer = fs::read(other.path().join("l2_snapshots.dat")).unwrap();
    for end in (whole.len()..longer.len()).step_by(9) {
        fs::write(&path, &longer[..end]).unwrap();
        let engine = AileeEngine::open(directory.path(), None).unwrap();
        assert_eq!(engine.state["head"], "v\"2\\", "cut at {end}");
        assert_eq!(sound(&engine), None);
        assert_eq!(fs::read(&path).unwrap(), whole);
    }
    fs::write(&path, &longer).unwrap();
    let engine = AileeEngine::open(directory.path(), None).unwrap();
    assert_eq!(engine.state["head"], "v\"3\\");
    assert_eq!(sound(&engine), None);
}

#[test]
fn every_changed_byte_of_an_anchored_snapshot_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    drop(anchored(directory.path(), 2));
    let path = directory.path().join("l2_snapshots.dat");
    let whole = fs::read(&path).unwrap();
    for at in (0..whole.len()).step_by(5) {
        let mut damaged = whole.clone();
        damaged[at] ^= 1;
        fs::write(&path, &damaged).unwrap();
        let refused = AileeEngine::open(directory.path(), None).err();
        assert!(refused.is_some(), "byte {at}");
        assert_eq!(fs::read(&path).unwrap(), damaged);
    }
}
