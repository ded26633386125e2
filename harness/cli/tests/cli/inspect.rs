//! `plugpull inspect`: what it prints, its exit codes, and that it never harms the original.

use std::fs;
use std::path::Path;

use plugpull_testing::test;
use serde_json::Value;

use crate::support::{Ran, plugpull};

/// A snapshot of the empty state, with no anchor.
const SNAPSHOT: &str = "SNAPSHOT v1\ntimestamp_ms 1\nbalances 0\nescrows 0\npegins 0\npegouts 0\n\
                        tasks 0\nanchor none\nEND_SNAPSHOT\n";

fn inspect(directory: &Path, words: &str) -> Ran {
    let mut command = plugpull();
    command.current_dir(directory).arg("inspect");
    command
        .args(words.split_whitespace())
        .output()
        .unwrap()
        .into()
}

#[test]
fn sound_files_exit_0_and_damaged_ones_1_with_the_place() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("l2_snapshots.dat");
    fs::write(&file, SNAPSHOT).unwrap();
    let ran = inspect(directory.path(), "ailee l2_snapshots.dat");
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(
        ran.stdout.contains("c8113438d69a00d3e8efc6ce769d3bfe"),
        "{}",
        ran.stdout
    );
    assert!(ran.stdout.ends_with("Sound.\n"), "{}", ran.stdout);

    fs::write(&file, SNAPSHOT.replace("tasks 0", "tasks 1")).unwrap();
    let ran = inspect(directory.path(), "ailee l2_snapshots.dat");
    assert_eq!(ran.code, 1);
    let at = SNAPSHOT.find("tasks").unwrap();
    let said =
        format!("damage  count: the line says 1 tasks, and 0 follow (l2_snapshots.dat, byte {at})");
    assert!(ran.stdout.contains(&said), "{}", ran.stdout);

    let ran = inspect(directory.path(), "ailee l2_snapshots.dat --json");
    let found: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(ran.code, 1);
    assert_eq!(found["sound"], false);
    assert_eq!(found["damage"][0]["kind"], "count");
    assert_eq!(found["detail"]["first_damage"], at);
    assert_eq!(
        inspect(directory.path(), "ailee l2_snapshots.dat --expect ab").code,
        1
    );
}

#[test]
fn a_log_is_cut_into_a_copy_and_never_in_place() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("transactions.log");
    fs::write(&file, "\u{1}\u{1}torn").unwrap();
    let ran = inspect(
        directory.path(),
        "interstice transactions.log --truncate copy",
    );
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(
        ran.stdout
            .contains("copy holds the first 0 bytes; 6 bytes were cut."),
        "{}",
        ran.stdout
    );
    assert_eq!(fs::read(directory.path().join("copy")).unwrap(), b"");
    for taken in ["copy", "transactions.log"] {
        let words = format!("interstice transactions.log --truncate {taken}");
        let ran = inspect(directory.path(), &words);
        assert_eq!((ran.code, ran.stdout.as_str()), (2, ""), "{ran:?}");
        assert!(ran.stderr.contains("cannot be written"), "{}", ran.stderr);
    }
    assert_eq!(fs::read(&file).unwrap(), b"\x01\x01torn");
    assert_eq!(
        inspect(
            directory.path(),
            "interstice transactions.log --after-crash"
        )
        .code,
        0
    );
}

#[test]
fn wrong_use_exits_2_with_one_line() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("f"), "").unwrap();
    for (words, said) in [
        ("ailee nothing", "nothing cannot be read"),
        ("ailee .", ". cannot be read"),
        ("vfab f", "f cannot be read"),
        ("vfab .", "there is no job.json"),
        ("interstice .", "there is no logs/TABLE.log"),
        ("oracle f", "there are ailee, interstice, vfab"),
        ("ailee f --truncate g", "takes no --truncate"),
        ("interstice f --expect x", "takes no --expect"),
    ] {
        let ran = inspect(directory.path(), words);
        assert_eq!((ran.code, ran.stdout.as_str()), (2, ""), "{words}: {ran:?}");
        assert!(
            ran.stderr.contains(said) && ran.stderr.lines().count() == 1,
            "{}",
            ran.stderr
        );
    }
}

/// Looks at an AILEE file with a verifier on PATH that is this shell script.
fn with_verifier(directory: &Path, script: &str) -> Ran {
    use std::os::unix::fs::PermissionsExt;
    let program = directory.join("ailee_l2_verify");
    fs::write(&program, format!("#!/bin/sh\n{script}\n")).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let mut command = plugpull();
    command.current_dir(directory).env("PATH", directory);
    command.args(["inspect", "ailee", "l2_snapshots.dat"]);
    command.output().unwrap().into()
}

#[test]
fn the_nodes_own_verifier_is_asked_where_it_is_on_path() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("l2_snapshots.dat"), SNAPSHOT).unwrap();
    let root = "c8113438d69a00d3e8efc6ce769d3bfe325b498060fb9a2070a38456b00a0005";
    let said = |root: &str, code: u8| {
        format!(
            "[ \"$1 $2\" = \"--snapshot l2_snapshots.dat\" ] || exit 9\n\
             echo 'Computed L2StateRoot: {root}'\necho 'No anchor.' >&2\nexit {code}"
        )
    };
    for (script, code, found) in [
        (said(root, 0), 0, "ailee_l2_verify: agrees"),
        (said(root, 2), 0, "note    verifier-refuses: "),
        (said("00ff", 0), 1, "damage  verifier-disagrees: "),
    ] {
        let ran = with_verifier(directory.path(), &script);
        assert_eq!(ran.code, code, "{ran:?}");
        assert!(ran.stdout.contains(found), "{}", ran.stdout);
    }
    // What it accepts stays damaged.
    let damaged = SNAPSHOT.replace("tasks 0", "tasks 1");
    fs::write(directory.path().join("l2_snapshots.dat"), damaged).unwrap();
    let ran = with_verifier(directory.path(), &said(root, 0));
    assert_eq!(ran.code, 1);
    assert!(ran.stdout.contains("verifier-accepts"), "{}", ran.stdout);
    fs::remove_file(directory.path().join("ailee_l2_verify")).unwrap();
    let ran = inspect(directory.path(), "ailee l2_snapshots.dat");
    assert!(
        ran.stdout.contains("ailee_l2_verify: not asked"),
        "{}",
        ran.stdout
    );
}
