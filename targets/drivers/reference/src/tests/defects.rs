//! Each defect that shows without a failing disk, beside the sound store that does not show it.
//! The others (no-fsync, ack-before-fsync, no-dir-fsync, rename-without-fsync, enospc-acked,
//! eio-ignored) need a disk that loses or fails what was written.

use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use super::*;

/// Runs the same steps on the sound store and on one with the defect.
fn both<T>(defect: &str, run: impl Fn(&Path, &[(&str, &str)]) -> T) -> (T, T) {
    let dirs = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    (
        run(dirs.0.path(), &[]),
        run(dirs.1.path(), &[("defect", defect)]),
    )
}

#[test]
fn delete_not_logged_brings_the_key_back() {
    let (sound, defect) = both("delete-not-logged", |dir, given| {
        let mut store = open_with(dir, given).unwrap();
        store.apply(&txn(&[put("a", "1"), put("b", "1")])).unwrap();
        store.apply(&txn(&[delete("a"), put("b", "2")])).unwrap();
        assert_eq!(contents(&mut store), map(&[("b", "2")]));
        drop(store);
        contents(&mut open_with(dir, given).unwrap())
    });
    assert_eq!(sound, map(&[("b", "2")]));
    assert_eq!(defect, map(&[("a", "1"), ("b", "2")]));
}

#[test]
fn non_atomic_commit_leaves_half_a_transaction() {
    let (sound, defect) = both("non-atomic-commit", |dir, given| {
        let mut store = open_with(dir, given).unwrap();
        store.apply(&txn(&[put("a", "1"), put("b", "1")])).unwrap();
        drop(store);
        // The last block never reached the disk.
        edit(&dir.join("log-1"), |bytes| {
            bytes.truncate(bytes.len() - BLOCK)
        });
        contents(&mut open_with(dir, given).unwrap())
    });
    assert_eq!(sound, map(&[]));
    assert_eq!(defect, map(&[("a", "1")]));
}

#[test]
fn no_checksum_serves_a_torn_record() {
    let value = "x".repeat(1000);
    let (sound, defect) = both("no-checksum", |dir, given| {
        let mut store = open_with(dir, given).unwrap();
        store.apply(&txn(&[put("a", &value)])).unwrap();
        drop(store);
        edit(&dir.join("log-1"), |bytes| {
            bytes[record_at(1) + 512..record_at(1) + 1024].fill(0);
        });
        let mut store = open_with(dir, given).unwrap();
        assert_eq!(store.check().unwrap(), None);
        contents(&mut store)
    });
    assert_eq!(sound, map(&[]));
    assert!(defect["a"].contains('\0'));
}

#[test]
fn tail_not_truncated_does_not_start_the_second_time() {
    let (sound, defect) = both("tail-not-truncated", |dir, given| {
        let mut store = open_with(dir, given).unwrap();
        store.apply(&txn(&[put("a", "1")])).unwrap();
        store.apply(&txn(&[put("b", "1")])).unwrap();
        drop(store);
        edit(&dir.join("log-1"), |bytes| {
            bytes.truncate(record_at(2) + 512)
        });
        let mut store = open_with(dir, given).unwrap();
        store.apply(&txn(&[put("c", "1")])).unwrap();
        drop(store);
        open_with(dir, given).map(|mut store| contents(&mut store))
    });
    assert_eq!(sound.unwrap(), map(&[("a", "1"), ("c", "1")]));
    assert!(matches!(defect, Err(RecoveryError::Damaged { .. })));
}

#[test]
fn stale_lock_refused_does_not_start_after_a_death() {
    let (sound, defect) = both("stale-lock-refused", |dir, given| {
        // What a dead process leaves: the file, and nobody who holds it.
        fs::write(dir.join("lock"), "1234\n").unwrap();
        open_with(dir, given).map(|_| ())
    });
    assert!(sound.is_ok());
    assert!(matches!(defect, Err(RecoveryError::Held { .. })));
}

#[test]
fn a_lock_that_is_held_is_respected_and_given_back() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    assert!(matches!(
        open_with(dir.path(), &[]),
        Err(RecoveryError::Held { .. })
    ));
    drop(store);
    open(dir.path());
}

#[test]
fn non_idempotent_recovery_shows_other_data_the_second_time() {
    let (sound, defect) = both("non-idempotent-recovery", |dir, given| {
        let mut store = open_with(dir, given).unwrap();
        store.apply(&txn(&[put("a", "1")])).unwrap();
        store.apply(&txn(&[put("a", "2")])).unwrap();
        drop(store);
        let once = contents(&mut open_with(dir, given).unwrap());
        (once, contents(&mut open_with(dir, given).unwrap()))
    });
    assert_eq!(sound, (map(&[("a", "2")]), map(&[("a", "2")])));
    assert_eq!(defect, (map(&[("a", "2")]), map(&[("a", "1")])));
}

#[test]
fn a_sound_start_changes_no_byte_of_the_log() {
    let dir = tempfile::tempdir().unwrap();
    let log = filled(dir.path(), 5);
    let before = fs::read(&log).unwrap();
    open(dir.path());
    assert_eq!(fs::read(&log).unwrap(), before);
}

/// Whether a store that holds something opens within a time that is ample for a sound one.
fn opens(given: &'static [(&'static str, &'static str)]) -> bool {
    let dir = tempfile::tempdir().unwrap();
    filled(dir.path(), 1);
    let (done, is_done) = mpsc::channel();
    let path = dir.path().to_owned();
    // Left behind when it hangs: it holds nothing but a lock in a directory that is removed.
    thread::spawn(move || {
        let opened = open_with(&path, given).is_ok();
        // Nobody listens any more when it took too long.
        let _late = done.send(opened);
    });
    let patience = if given.is_empty() { 60_000 } else { 300 };
    is_done.recv_timeout(Duration::from_millis(patience)) == Ok(true)
}

#[test]
fn hang_on_recovery_and_slow_replay_keep_it_from_opening() {
    assert!(opens(&[]));
    assert!(!opens(&[("defect", "hang-on-recovery")]));
    assert!(!opens(&[
        ("defect", "slow-replay"),
        ("slow_replay_ms", "600000")
    ]));
}

#[test]
fn slow_replay_ends_and_an_empty_store_does_not_wait() {
    let dir = tempfile::tempdir().unwrap();
    open_with(
        dir.path(),
        &[("defect", "slow-replay"), ("slow_replay_ms", "600000")],
    )
    .unwrap();
    open_with(dir.path(), &[("defect", "hang-on-recovery")]).unwrap();
    filled(dir.path(), 1);
    let slow = [("defect", "slow-replay"), ("slow_replay_ms", "1")];
    assert_eq!(
        contents(&mut open_with(dir.path(), &slow).unwrap()),
        first(1)
    );
}
