//! Traces as files: explored again they give the same states, order and verdicts, with any number
//! of workers; a file that is no sound trace is refused.

use std::path::Path;
use std::process::Output;

use plugpull_testing::test;
use serde_json::Value;

use crate::support::plugpull;

fn explore(options: &str, trace: &str, path: &Path) -> Output {
    plugpull()
        .arg("explore")
        .args(shlex::split(options).expect("words"))
        .args(["--quiet", trace])
        .arg(path)
        .output()
        .expect("plugpull runs")
}

/// A store with a defect that every loss of power shows.
const MUTANT: &str = "reference --set defect=no-fsync";

/// Records a target.
pub(crate) fn record(target: &str, path: &Path) {
    let options = format!("{target} --txns 25 --seed 5 --states 0");
    let output = explore(&options, "--record", path);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(0), "{said}");
}

/// The report without what a clock or a process number says, line by line, with more options; it `ends` with
/// this exit code.
pub(crate) fn verdicts(
    path: &Path,
    states: u32,
    workers: u32,
    (ends, more): (i32, &str),
) -> Vec<String> {
    let directory = tempfile::tempdir().expect("a directory");
    let json = directory.path().join("report.json");
    let options = format!(
        "--states {states} --budget 3600s --workers {workers} {more} --json {}",
        json.display()
    );
    let output = explore(&options, "--trace", path);
    assert_eq!(
        output.status.code(),
        Some(ends),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let text = std::fs::read(&json).expect("a report");
    let report: Value = serde_json::from_slice(&text).expect("JSON");
    let fields = |list: &Value, names: [&str; 4]| -> Vec<String> {
        let list = list.as_array().map_or(&[][..], Vec::as_slice);
        let line = |one: &Value| names.map(|name| one[name].to_string()).join(" ");
        list.iter().map(line).collect()
    };
    let findings = ["kind", "sentence", "count", "fault"];
    let mut lines = fields(&report["findings"], findings);
    assert_eq!(lines.is_empty(), ends != 1);
    let trials = ["fault", "what", "operations", "verdict"];
    lines.extend(fields(&report["trial_log"], trials));
    assert!(lines.len() > 50);
    lines
}

#[test(needs = "fuse")]
fn one_trace_gives_one_result_with_any_number_of_workers() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("run.trace");
    record(MUTANT, &path);
    let alone = verdicts(&path, 100, 1, (1, ""));
    for workers in [2, 3] {
        let more = verdicts(&path, 100, workers, (1, ""));
        for (number, (more, one)) in more.iter().zip(&alone).enumerate() {
            assert_eq!(more, one, "line {number} with {workers} workers");
        }
    }
}

/// SQLite maps its `-shm`, which the kernel writes back when it likes, and would write its log into the
/// database when it is closed: recoveries of it are crashed at the same places all the same.
#[test(needs = "fuse")]
fn recoveries_that_map_files_are_the_same_each_time() {
    let stored = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../ci/golden/sqlite-wal.trace");
    // No plain kill is tried in so few states: it is named, and the rest counts.
    let once = verdicts(&stored, 110, 2, (0, ""));
    let recoveries = once.iter().filter(|line| line.contains("during recovery"));
    assert!(recoveries.count() > 10, "recoveries are crashed");
    assert_eq!(once, verdicts(&stored, 110, 1, (0, "")));
}

#[test(needs = "fuse")]
fn what_is_no_sound_trace_is_refused_in_one_line() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("run.trace");
    record(MUTANT, &path);
    let sound = std::fs::read(&path).expect("the trace");
    let refused = |options: &str, option: &str, word: &str| {
        let output = explore(options, option, &path);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains(word) && said.lines().count() == 1, "{said}");
    };
    refused("--txns 3", "--record", "there is something already");
    assert_eq!(std::fs::read(&path).expect("the trace"), sound);
    refused("sqlite", "--trace", "cannot be used with");

    let middle = sound.len() / 2;
    std::fs::write(&path, &sound[..middle]).expect("written");
    refused("", "--trace", "is not whole");
    let mut damaged = sound.clone();
    damaged[middle] ^= 1;
    std::fs::write(&path, &damaged).expect("written");
    refused("", "--trace", "is damaged");
    std::fs::write(&path, "{}").expect("written");
    refused("", "--trace", "is no trace");
}
