//! Logs and snapshots damaged by hand: what is dropped, what is refused, and in which words.

use super::*;
use crate::log::scan;

/// The store opens on what is there, accepts a write, and shows the same when opened again.
fn holds(dir: &Path, expected: &BTreeMap<String, String>) {
    let mut store = open(dir);
    assert_eq!(&contents(&mut store), expected);
    assert_eq!(store.check().unwrap(), None);
    store.apply(&txn(&[put("after", "crash")])).unwrap();
    drop(store);
    let mut expected = expected.clone();
    expected.insert("after".into(), "crash".into());
    assert_eq!(contents(&mut open(dir)), expected);
}

fn refused_at(dir: &Path, path: &Path, offset: usize) {
    match open_with(dir, &[]) {
        Err(RecoveryError::Damaged {
            path: p, offset: o, ..
        }) => {
            assert_eq!((p.as_path(), o), (path, offset as u64));
        }
        other => panic!("not refused: {:?}", other.map(|_| ())),
    }
}

#[test]
fn a_log_cut_anywhere_in_its_last_record_loses_that_record_alone() {
    let master = tempfile::tempdir().unwrap();
    let whole = fs::read(filled(master.path(), 3)).unwrap();
    assert_eq!(whole.len(), record_at(4));
    // Every offset in memory; and with the life after it, near where each sector ends.
    for length in record_at(3)..whole.len() {
        let found = scan(&whole[..length], Path::new("log-1"), 1, 1, true).unwrap();
        assert_eq!((found.records.len(), found.end as usize), (2, record_at(3)));
        assert_eq!(
            found.torn.is_some(),
            length > record_at(3),
            "cut at {length}"
        );
    }
    let dir = tempfile::tempdir().unwrap();
    for length in (record_at(3)..whole.len()).step_by(511) {
        fs::write(dir.path().join("log-1"), &whole[..length]).unwrap();
        holds(dir.path(), &first(2));
    }
}

#[test]
fn any_subset_of_the_sectors_of_an_unsynced_record_is_the_whole_record_or_none() {
    let master = tempfile::tempdir().unwrap();
    let mut store = open(master.path());
    store.apply(&txn(&[put("a", "1")])).unwrap();
    store
        .apply(&txn(&[put("b", &"x".repeat(2 * BLOCK))]))
        .unwrap();
    drop(store);
    let whole = fs::read(master.path().join("log-1")).unwrap();
    let start = record_at(2);
    let dir = tempfile::tempdir().unwrap();
    let with = map(&[("a", "1"), ("b", &"x".repeat(2 * BLOCK))]);
    let without = map(&[("a", "1")]);
    // Each sector alone missing, and each alone there, as zeros.
    let sectors = (whole.len() - start) / 512;
    for sector in 0..sectors {
        for only in [false, true] {
            let mut bytes = whole.clone();
            for s in 0..sectors {
                if (s == sector) != only {
                    bytes[start + s * 512..start + (s + 1) * 512].fill(0);
                }
            }
            // A sector of nothing but padding may be missing: it is zeros anyway.
            let expected = if bytes == whole { &with } else { &without };
            fs::write(dir.path().join("log-1"), &bytes).unwrap();
            assert_eq!(
                &contents(&mut open(dir.path())),
                expected,
                "sector {sector} {only}"
            );
        }
    }
}

#[test]
fn lost_blocks_at_the_tail_read_as_zeros_and_are_dropped() {
    let dir = tempfile::tempdir().unwrap();
    let log = filled(dir.path(), 3);
    edit(&log, |bytes| bytes.extend(vec![0; 3 * BLOCK]));
    holds(dir.path(), &first(3));
}

#[test]
fn a_flip_in_the_last_record_drops_it() {
    for offset in [0, 4, 8, 16, 24, 40] {
        let dir = tempfile::tempdir().unwrap();
        let log = filled(dir.path(), 3);
        edit(&log, |bytes| bytes[record_at(3) + offset] ^= 1);
        holds(dir.path(), &first(2));
    }
}

#[test]
fn a_flip_before_the_last_record_is_refused_with_file_and_offset() {
    for seq in [1, 2] {
        for offset in [0, 3, 4, 8, 16, 24, 40] {
            let dir = tempfile::tempdir().unwrap();
            let log = filled(dir.path(), 3);
            edit(&log, |bytes| bytes[record_at(seq) + offset] ^= 0x40);
            refused_at(dir.path(), &log, record_at(seq));
        }
    }
}

#[test]
fn a_block_of_zeros_before_the_last_record_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let log = filled(dir.path(), 3);
    edit(&log, |bytes| bytes[record_at(2)..record_at(3)].fill(0));
    refused_at(dir.path(), &log, record_at(2));
}

#[test]
fn a_record_in_another_ones_place_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let log = filled(dir.path(), 3);
    edit(&log, |bytes| {
        bytes.copy_within(record_at(1)..record_at(2), record_at(2))
    });
    refused_at(dir.path(), &log, record_at(2));
}

#[test]
fn a_damaged_first_block_is_refused_when_records_follow() {
    for offset in [0, 8, 16] {
        let dir = tempfile::tempdir().unwrap();
        let log = filled(dir.path(), 1);
        edit(&log, |bytes| bytes[offset] ^= 1);
        refused_at(dir.path(), &log, 0);
    }
}

#[test]
fn a_log_that_was_never_finished_is_made_again() {
    for length in [0, 1, 20, 512, BLOCK] {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("log-1"), vec![0; length]).unwrap();
        holds(dir.path(), &BTreeMap::new());
    }
}

/// A store whose state is in `snapshot-2`, with one record in `log-2`.
fn with_snapshot(dir: &Path) {
    let mut store = open_with(dir, &[("snapshot_every", "4")]).unwrap();
    for i in 1..=5 {
        store
            .apply(&txn(&[put(&format!("k{i}"), &format!("v{i}"))]))
            .unwrap();
    }
}

#[test]
fn a_snapshot_replaces_the_files_before_it() {
    let dir = tempfile::tempdir().unwrap();
    with_snapshot(dir.path());
    let mut names: Vec<_> = fs::read_dir(dir.path())
        .unwrap()
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(names, ["lock", "log-2", "snapshot-2"]);
    holds(dir.path(), &first(5));
}

#[test]
fn any_damage_to_a_snapshot_is_refused() {
    let master = tempfile::tempdir().unwrap();
    with_snapshot(master.path());
    let whole = fs::read(master.path().join("snapshot-2")).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("snapshot-2");
    let mut variants: Vec<Vec<u8>> = (0..whole.len())
        .map(|i| {
            let mut bytes = whole.clone();
            bytes[i] ^= 0x10;
            bytes
        })
        .collect();
    variants.extend((0..whole.len()).map(|length| whole[..length].to_vec()));
    variants.push(vec![0; whole.len()]);
    for bytes in variants {
        fs::write(&path, bytes).unwrap();
        match open_with(dir.path(), &[]) {
            Err(RecoveryError::Damaged { path: p, .. }) => assert_eq!(p, path),
            other => panic!("not refused: {:?}", other.map(|_| ())),
        }
    }
}

#[test]
fn a_crash_between_the_steps_of_a_snapshot_loses_nothing() {
    // Before the rename: the temporary file is a leftover, whatever it holds.
    let dir = tempfile::tempdir().unwrap();
    filled(dir.path(), 3);
    fs::write(dir.path().join("snapshot-2.tmp"), b"half of it").unwrap();
    holds(dir.path(), &first(3));
    assert!(!dir.path().join("snapshot-2.tmp").exists());

    // After the rename and before the new log; and with the new log not finished.
    for log in [None, Some(vec![]), Some(vec![0; BLOCK])] {
        let dir = tempfile::tempdir().unwrap();
        {
            let mut store = open_with(dir.path(), &[("snapshot_every", "4")]).unwrap();
            for i in 1..=4 {
                store
                    .apply(&txn(&[put(&format!("k{i}"), &format!("v{i}"))]))
                    .unwrap();
            }
        }
        fs::remove_file(dir.path().join("log-2")).unwrap();
        if let Some(bytes) = log {
            fs::write(dir.path().join("log-2"), bytes).unwrap();
        }
        // The old log is still there.
        let old = tempfile::tempdir().unwrap();
        fs::copy(filled(old.path(), 2), dir.path().join("log-1")).unwrap();
        holds(dir.path(), &first(4));
        assert!(!dir.path().join("log-1").exists());
    }
}

#[test]
fn a_log_without_its_snapshot_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    with_snapshot(dir.path());
    fs::remove_file(dir.path().join("snapshot-2")).unwrap();
    assert!(matches!(
        open_with(dir.path(), &[]),
        Err(RecoveryError::Orphan { .. })
    ));
}

#[test]
fn an_error_names_file_and_offset() {
    let dir = tempfile::tempdir().unwrap();
    let log = filled(dir.path(), 3);
    edit(&log, |bytes| bytes[record_at(1) + 30] ^= 1);
    let error = open_with(dir.path(), &[]).err().unwrap().to_string();
    assert!(error.contains("log-1") && error.contains("4096"), "{error}");
}
