//! `plugpull explore --decide`: what is decided by reads is held to what is seen when decided states are tried,
//! on real programs; bugs that the sample does not reach are found, and the sound ones have none.

use std::path::Path;

use plugpull_testing::test;
use serde_json::Value;

use crate::command_targets::{Made, lines};
use crate::support::{Reported, plugpull, reported, without_causes};

/// Explores with a sample of one state, all else by deciding: the exit code, and the report.
fn decided(options: &[&str], directory: &Path) -> (i32, Value) {
    let json = directory.join("report.json");
    let mut explore = plugpull();
    explore
        .arg("explore")
        .args(without_causes("explore"))
        .args(options)
        .args(["--quiet", "--states", "1", "--recovery-depth", "0"])
        .args(["--clients", "1", "--budget", "120s", "--json"])
        .arg(&json)
        .current_dir(directory);
    let Reported { ran, report } = reported(&mut explore, &json);
    (ran.code, report)
}

fn number(report: &Value, name: &str) -> u64 {
    let decided = &report["coverage"]["decided"];
    let number = decided[name].as_u64();
    number.unwrap_or_else(|| panic!("no {name} in {decided}"))
}

/// Explores what is sound, and tries as many decided states as there are trials or more: each shows what it
/// was said to show.
fn holds(options: &[&str]) -> Value {
    let directory = tempfile::tempdir().expect("a directory");
    let all = [options, &["--decide", "--check-decided", "2"]].concat();
    let (code, report) = decided(&all, directory.path());
    let said = &report["coverage"]["decided"];
    assert_eq!(code, 0, "{said}");
    assert!(said["taken_back"].is_null(), "{said}");
    assert!(number(&report, "checked") > 0, "{said}");
    assert!(
        number(&report, "states") > number(&report, "trials"),
        "{said}"
    );
    report
}

#[test(needs = "fuse")]
fn what_is_decided_of_the_reference_store_holds() {
    let of = ["reference", "--txns", "6", "--set", "snapshot_every=4"];
    let report = holds(&[&of[..], &["--model", "journaled", "--model", "strict"]].concat());
    assert_eq!(number(&report, "decided"), number(&report, "places"));
}

#[test(needs = "fuse")]
fn what_is_decided_of_sqlite_holds() {
    let of = ["sqlite", "--txns", "2", "--set", "journal_mode=delete"];
    let report = holds(&[&of[..], &["--model", "ext4"]].concat());
    assert!(number(&report, "decided") > number(&report, "places") / 2);
}

/// A line a transaction, in a file of its own that is renamed into its place; and beside it notes that are
/// never synced, and that nobody reads.
const WORK: &str = "n=0; while [ $n -lt 6 ]; do n=$((n+1)); id=$PLUGPULL_LIFE.$n; \
                    echo note $id >>notes; echo more >>notes; echo $id >diary-$id; \
                    { cat lines 2>/dev/null; echo $id; } >new; SYNC; \
                    mv new lines; sync .; echo ack $id; done\n";
const CHECK: &str = "while read -r id; do grep -qx \"$id\" lines || echo lost $id; done\n";

fn in_shell(sync: &str, options: &[&str]) -> (i32, Value) {
    let work = WORK.replace("SYNC", sync);
    let made = Made::new(&lines(), &[("work.sh", &work), ("check.sh", CHECK)]);
    let directory = tempfile::tempdir().expect("a directory");
    let name = made.name();
    let all = [
        &[name.as_str(), "--txns", "6", "--model", "strict"],
        options,
    ]
    .concat();
    decided(&all, directory.path())
}

/// What nobody reads decides nothing, and is not tried; the missing sync is found, by deciding alone.
#[test(needs = "fuse")]
fn what_nobody_reads_is_not_tried() {
    let (code, report) = in_shell("sync new", &["--decide", "--check-decided", "2"]);
    let said = &report["coverage"]["decided"];
    assert_eq!(code, 0, "{said} {}", report["findings"]);
    assert!(said["taken_back"].is_null(), "{said}");
    assert!(number(&report, "checked") > 0, "{said}");
    assert!(
        number(&report, "states") > 20 * number(&report, "trials"),
        "{said}"
    );

    let (code, report) = in_shell("true", &["--decide"]);
    assert_eq!(code, 1, "{}", report["coverage"]["decided"]);
    let repeat = report["findings"][0]["repeat"].as_str().unwrap_or_default();
    assert!(repeat.contains("--states 1 --decide"), "{repeat}");
    let (code, report) = in_shell("true", &[]);
    assert_eq!(code, 0, "without --decide: {}", report["findings"]);
}
