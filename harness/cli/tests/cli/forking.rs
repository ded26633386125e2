//! Drivers that are forked for each state: they give what started ones give, with any number of workers; one
//! that holds something over the fork is started each time.

use std::path::Path;

use plugpull_testing::test;

use crate::support::plugpull;
use crate::trace::{record, verdicts};

const EXAMPLE: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../../docs/examples/driver-python/kv.py"
);

/// How many states of a run file were tried in a forked target.
fn forked(run_file: &Path) -> usize {
    let text = std::fs::read_to_string(run_file).expect("a run file");
    text.matches("\"forked\":true").count()
}

/// What a trace of this target gives is the same when its driver is started for each state, and when it is
/// forked for most of them.
fn gives_the_same(target: &str, ends: i32, more: &str) {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("run.trace");
    record(target, &path);
    let run_file = directory.path().join("run.jsonl");
    let with = |options: &str, workers| {
        let options = format!("{options} {more} --run-file {}", run_file.display());
        let lines = verdicts(&path, 150, workers, (ends, &options));
        let forked = forked(&run_file);
        std::fs::remove_file(&run_file).expect("a run file");
        (lines, forked)
    };
    let (started, none) = with("--no-fork", 2);
    assert_eq!(none, 0);
    for workers in [1, 2, 3] {
        let (lines, forked) = with("", workers);
        for (number, (one, other)) in lines.iter().zip(&started).enumerate() {
            assert_eq!(one, other, "line {number} with {workers} workers");
        }
        assert_eq!(lines.len(), started.len());
        assert!(forked > 20, "{forked} states were forked");
    }
}

#[test(needs = "fuse")]
fn the_reference_store_gives_the_same_when_it_is_forked() {
    gives_the_same("reference", 0, "");
}

#[test(needs = "fuse")]
fn a_mutant_gives_the_same_when_it_is_forked() {
    gives_the_same("reference --set defect=no-fsync", 1, "");
}

#[test(needs = "fuse python3")]
fn a_driver_in_python_gives_the_same_when_it_is_forked() {
    let target = format!("driver --set cmd='python3 {EXAMPLE}'");
    gives_the_same(&target, 0, "");
}

#[test(needs = "fuse python3")]
fn a_driver_that_keeps_a_thread_is_started_and_that_is_said_once() {
    let keeps = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/cli/support/keeps.py");
    let directory = tempfile::tempdir().expect("a directory");
    let run_file = directory.path().join("run.jsonl");
    let output = plugpull()
        .args(["explore", "driver", "--set"])
        .arg(format!("cmd=python3 {keeps} {EXAMPLE}"))
        .args(["--txns", "5", "--states", "30", "--seed", "7"])
        .args(["--budget", "600s", "--run-file"])
        .arg(&run_file)
        .output()
        .expect("plugpull runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{said}");
    let warning = "warning: the driver is started for each state: the parent that forks has ended";
    assert_eq!(said.matches(warning).count(), 1, "{said}");
    assert_eq!(forked(&run_file), 0);
}
