//! The smallest workload that shows a finding: as few transactions as the bug needs, no fewer, and an artifact
//! that shows it again.

use std::path::Path;

use plugpull_testing::test;
use serde_json::Value;

use crate::support::{Reported, plugpull, reported};

/// A store that renames a snapshot which was never synced: it needs a snapshot, which the fourth transaction
/// brings.
const MUTANT: [&str; 5] = [
    "reference",
    "--set",
    "defect=rename-without-fsync",
    "--set",
    "snapshot_every=4",
];

/// Explores two clients and many transactions: the report.
fn explored(options: &[&str], directory: &Path) -> Value {
    let json = directory.join("report.json");
    let mut explore = plugpull();
    explore
        .arg("explore")
        .args(options)
        .args(["--seed", "1", "--recovery-depth", "0", "--budget", "120s"])
        .args(["--keep", "kept", "--quiet", "--json"])
        .arg(&json)
        .current_dir(directory);
    let Reported { ran, report } = reported(&mut explore, &json);
    assert_eq!(ran.code, 1, "{ran:?}");
    report
}

fn smallest(report: &Value) -> &Value {
    &report["findings"][0]["evidence"]["smallest"]
}

#[test(needs = "fuse")]
fn a_workload_is_as_small_as_the_bug_allows() {
    let directory = tempfile::tempdir().expect("a directory");
    let report = explored(
        &[&MUTANT[..], &["--txns", "20", "--states", "150"]].concat(),
        directory.path(),
    );
    let smallest = smallest(&report);
    assert_eq!(smallest["clients"], 1, "{smallest}");
    let transactions = smallest["transactions"].as_u64().unwrap_or_default();
    // Aborted ones bring no snapshot, and the last need not be acknowledged.
    assert!((3..=8).contains(&transactions), "{smallest}");
    assert_eq!(smallest["again"], true, "{smallest}");

    let artifact = smallest["artifact"].as_str().expect("an artifact");
    let replay = |artifact: &str| {
        let mut replay = plugpull();
        let output = replay
            .args(["replay", artifact])
            .current_dir(directory.path());
        output.output().expect("plugpull runs")
    };
    assert_eq!(replay(artifact).status.code(), Some(1));
    let command = smallest["explore"].as_str().expect("a command");
    let words = shlex::split(command).expect("words");
    let mut again = plugpull();
    let again = again
        .args(&words[1..])
        .args(["--no-diagnosis", "--recovery-depth", "0", "--quiet"])
        .current_dir(directory.path());
    let output = again.output().expect("plugpull runs");
    assert_eq!(output.status.code(), Some(1), "{command}: {output:?}");
}

#[test(needs = "fuse")]
fn nothing_smaller_is_recorded_where_nobody_wants_to_know_more() {
    let directory = tempfile::tempdir().expect("a directory");
    let more = ["--txns", "8", "--states", "60", "--no-diagnosis"];
    let report = explored(&[&MUTANT[..], &more].concat(), directory.path());
    assert!(smallest(&report).is_null(), "{report}");
    let kept = std::fs::read_dir(directory.path().join("kept")).expect("what was kept");
    let names = kept.map(|one| one.expect("a name").file_name());
    let names: Vec<String> = names
        .map(|one| one.to_string_lossy().into_owned())
        .collect();
    assert!(
        !names.iter().any(|one| one.contains("smallest")),
        "{names:?}"
    );
}

/// Of a program with a workload of its own the user's IDs are what is recorded.
#[test(needs = "fuse python3")]
fn the_ids_of_a_users_program_become_few() {
    let notes = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../docs/examples/notes/notes.toml"
    );
    let directory = tempfile::tempdir().expect("a directory");
    let of = [
        notes,
        "--set",
        "SYNC=none",
        "--txns",
        "9",
        "--states",
        "120",
    ];
    let report = explored(&of, directory.path());
    let smallest = smallest(&report);
    assert_eq!(smallest["transactions"], 1, "{smallest}");
}
