//! The fake without plugpull around it: what it writes, the parser takes, and what was done to
//! its files it says.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use plugpull_workloads::{Op, Txn, Write};

use super::engine::IntersticeEngine;
use plugpull_driver_interstice::Settings;
use plugpull_driver_interstice::guide_log_files::{ACTIVE, complaint, path, rotated};

fn settings(given: &[(&str, &str)]) -> Settings {
    let given = given.iter().map(|(k, v)| ((*k).into(), (*v).into()));
    let mut values: BTreeMap<String, String> = given.collect();
    values.insert("reference".into(), "yes".into());
    Settings::parse(&values).unwrap()
}

fn txn(id: u64) -> Txn {
    let put = |key: String| Op {
        key,
        write: Write::Put(format!("value {id} äö").into()),
    };
    let mut ops = vec![put("head".into()), put(format!("k{}", id % 7))];
    ops.push(Op {
        key: format!("k{}", (id + 3) % 7),
        write: Write::Delete,
    });
    Txn {
        id,
        client: 0,
        ops,
        abort: id % 10 == 9,
    }
}

/// Writes so many transactions into a directory; the state.
fn written(directory: &Path, settings: Settings, txns: u64) -> BTreeMap<String, String> {
    let mut engine = IntersticeEngine::open(directory, settings).unwrap();
    for id in 0..txns {
        engine.commit(&txn(id)).unwrap();
    }
    engine.state
}

#[test]
fn what_was_written_is_replayed_across_rotated_logs() {
    let directory = tempfile::tempdir().unwrap();
    let settings = settings(&[("rotate_bytes", "1000")]);
    let state = written(directory.path(), settings, 60);
    assert!(rotated(directory.path()).unwrap().len() > 10);
    assert_eq!(complaint(directory.path()), None);
    for _ in 0..2 {
        assert_eq!(
            IntersticeEngine::open(directory.path(), settings)
                .unwrap()
                .state,
            state
        );
    }
    // A copy of the logs is a replica.
    let replica = tempfile::tempdir().unwrap();
    for entry in fs::read_dir(directory.path()).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), replica.path().join(entry.file_name())).unwrap();
    }
    assert_eq!(
        IntersticeEngine::open(replica.path(), settings)
            .unwrap()
            .state,
        state
    );
}

#[test]
fn a_log_cut_anywhere_opens_with_a_prefix_and_goes_on() {
    let whole = tempfile::tempdir().unwrap();
    let settings = settings(&[]);
    written(whole.path(), settings, 6);
    let bytes = fs::read(whole.path().join(ACTIVE)).unwrap();
    for end in (0..bytes.len()).step_by(7) {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join(ACTIVE), &bytes[..end]).unwrap();
        let mut engine = IntersticeEngine::open(directory.path(), settings).unwrap();
        assert_eq!(complaint(directory.path()), None, "cut at {end}");
        engine.commit(&txn(77)).unwrap();
        let again = IntersticeEngine::open(directory.path(), settings).unwrap();
        assert_eq!(again.state, engine.state, "cut at {end}");
        assert_eq!(again.state["head"], "value 77 äö");
    }
}

#[test]
fn every_flipped_bit_is_refused_but_in_the_last_transaction() {
    let whole = tempfile::tempdir().unwrap();
    let settings = settings(&[]);
    written(whole.path(), settings, 4);
    let before = fs::metadata(whole.path().join(ACTIVE)).unwrap().len() as usize;
    let mut engine = IntersticeEngine::open(whole.path(), settings).unwrap();
    engine.commit(&txn(5)).unwrap();
    let bytes = fs::read(whole.path().join(ACTIVE)).unwrap();
    for at in 0..bytes.len() {
        let directory = tempfile::tempdir().unwrap();
        let mut damaged = bytes.clone();
        damaged[at] ^= 1 << (at % 8);
        fs::write(directory.path().join(ACTIVE), &damaged).unwrap();
        let opened = IntersticeEngine::open(directory.path(), settings);
        assert_eq!(opened.is_err(), at < before, "byte {at} of {}", bytes.len());
        // It is never touched where it is refused.
        if let Err(said) = opened {
            assert!(
                said.contains("damaged") && said.contains("valid records"),
                "{said}"
            );
            assert_eq!(fs::read(directory.path().join(ACTIVE)).unwrap(), damaged);
        }
    }
}

#[test]
fn a_rotated_log_that_is_cut_short_or_missing_is_refused() {
    let settings = settings(&[("rotate_bytes", "1000")]);
    let directory = tempfile::tempdir().unwrap();
    written(directory.path(), settings, 30);
    let second = path(directory.path(), 1);
    let bytes = fs::read(&second).unwrap();
    fs::write(&second, &bytes[..bytes.len() - 1]).unwrap();
    assert!(IntersticeEngine::open(directory.path(), settings).is_err());
    assert!(complaint(directory.path()).unwrap().starts_with("torn"));
    fs::remove_file(&second).unwrap();
    assert!(IntersticeEngine::open(directory.path(), settings).is_err());
    assert!(
        complaint(directory.path())
            .unwrap()
            .starts_with("missing-log")
    );
}

#[test]
fn a_log_under_both_names_keeps_the_new_one() {
    let settings = settings(&[]);
    let directory = tempfile::tempdir().unwrap();
    let state = written(directory.path(), settings, 20);
    fs::hard_link(directory.path().join(ACTIVE), path(directory.path(), 0)).unwrap();
    let mut engine = IntersticeEngine::open(directory.path(), settings).unwrap();
    assert_eq!(engine.state, state);
    engine.commit(&txn(50)).unwrap();
    assert_eq!(complaint(directory.path()), None);
    let again = IntersticeEngine::open(directory.path(), settings).unwrap();
    assert_eq!(again.state, engine.state);
}
