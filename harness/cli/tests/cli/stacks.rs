//! `plugpull explore --stacks`: a finding names the line that made what was lost, and the line that synced its
//! file last; the trace keeps both; where nothing can be traced that is said before anything is recorded.

use std::path::Path;
use std::process::{Command, Output};

use plugpull_testing::test;
use serde_json::Value;

use crate::support::{PLUGPULL, plugpull};

/// Acknowledges before it syncs: the last write is lost, and the sync before it did not cover it.
const MUTANT: [&str; 3] = ["reference", "--set", "defect=ack-before-fsync"];

fn explore(options: &[&str], directory: &Path) -> Output {
    plugpull()
        .arg("explore")
        .args(options)
        .args(["--quiet", "--model", "ext4", "--seed", "1"])
        .args(["--budget", "120s", "--json", "report.json"])
        .args(["--markdown", "report.md", "--html", "report.html"])
        .current_dir(directory)
        .output()
        .expect("plugpull runs")
}

/// Records the mutant into `run.trace`.
fn record(directory: &Path, more: &[&str]) {
    let options = ["--txns", "40", "--states", "0", "--record", "run.trace"];
    let output = explore(&[&MUTANT, &options[..], more].concat(), directory);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(0), "{said}");
}

/// The findings of that trace.
fn findings(directory: &Path) -> Vec<Value> {
    let options = ["--trace", "run.trace", "--states", "60"];
    let output = explore(&options, directory);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    let report = std::fs::read(directory.join("report.json")).expect("a report");
    let report: Value = serde_json::from_slice(&report).expect("JSON");
    report["findings"].as_array().expect("findings").clone()
}

/// The steps of a finding whose maker is known.
fn made(finding: &Value) -> Vec<&Value> {
    let steps = finding["evidence"]["timeline"].as_array();
    let steps = steps.into_iter().flatten();
    steps.filter(|step| step["made_by"].is_object()).collect()
}

/// The text of the line that a function of this name stands at, in a step's stack.
fn line_of(step: &Value, function: &str) -> String {
    let frames = step["made_by"]["frames"].as_array().expect("frames");
    let named = |frame: &&Value| {
        frame["function"]
            .as_str()
            .is_some_and(|n| n.ends_with(function))
    };
    let frame = frames.iter().find(named);
    let frame = frame.unwrap_or_else(|| panic!("no {function} in {step:#}"));
    let file = frame["file"].as_str().expect("a file");
    assert!(file.ends_with("log.rs"), "{file}");
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let source = root.join("targets/drivers/reference/src/log.rs");
    let source = std::fs::read_to_string(source).expect("the driver's source");
    let number = frame["line"].as_u64().expect("a line") as usize;
    source.lines().nth(number - 1).unwrap_or_default().into()
}

#[test(needs = "fuse stacks")]
fn a_finding_names_the_line_of_what_was_lost() {
    let directory = tempfile::tempdir().expect("a directory");
    record(directory.path(), &["--stacks"]);
    let findings = findings(directory.path());
    let finding = findings.first().expect("a finding");
    let made = made(finding);
    let lost = made.iter().find(|step| step["fate"] == "lost");
    let lost = lost.unwrap_or_else(|| panic!("{finding:#}"));
    assert_eq!(lost["made_by"]["call"], "pwrite64", "{lost:#}");
    let line = line_of(lost, "Log::append");
    assert!(line.contains("write"), "{line}");
    let sync = made.iter().rfind(|step| step["kind"] == "sync");
    let sync = sync.unwrap_or_else(|| panic!("{finding:#}"));
    assert!(sync["seq"].as_u64() < lost["seq"].as_u64());
    assert!(line_of(sync, "Log::sync").contains("sync_data"));
    for name in ["report.md", "report.html"] {
        let page = std::fs::read_to_string(directory.path().join(name)).expect("a page");
        assert!(page.contains("Log::append log.rs:"), "{name}");
        assert!(page.contains("Log::sync log.rs:"), "{name}");
    }
}

/// The example in Python, without its sync: the line of its write, also for code scanning.
#[test(needs = "fuse stacks python3")]
fn a_finding_names_the_line_of_a_python_program() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let example = root.join("docs/examples/driver-python/kv.py");
    let example = example.canonicalize().expect("the example");
    let source = std::fs::read_to_string(&example).expect("its source");
    let directory = tempfile::tempdir().expect("a directory");
    let command = format!("cmd=python3 {} --no-fsync", example.display());
    let target = [
        "driver",
        "--set",
        &command,
        "--stacks",
        "--sarif",
        "report.sarif",
    ];
    let options = ["--txns", "6", "--states", "12", "--no-diagnosis"];
    let output = explore(&[&target[..], &options].concat(), directory.path());
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    let page = std::fs::read_to_string(directory.path().join("report.md")).expect("a page");
    let line = source.lines().position(|line| line.contains("os.pwrite("));
    let line = line.expect("it writes") + 1;
    let named = format!("Store.apply kv.py:{line}");
    assert!(page.contains(&named), "no {named} in {page}");
    let sarif = std::fs::read(directory.path().join("report.sarif")).expect("a report");
    let sarif: Value = serde_json::from_slice(&sarif).expect("JSON");
    let place = &sarif["runs"][0]["results"][0]["locations"][0]["physicalLocation"];
    assert_eq!(place["region"]["startLine"], line, "{place:#}");
    let uri = place["artifactLocation"]["uri"].as_str().expect("a file");
    assert!(uri.ends_with("/driver-python/kv.py"), "{uri}");
}

#[test(needs = "fuse")]
fn without_the_option_nothing_is_traced() {
    let directory = tempfile::tempdir().expect("a directory");
    record(directory.path(), &[]);
    let findings = findings(directory.path());
    assert!(!findings.is_empty());
    assert!(findings.iter().all(|finding| made(finding).is_empty()));
}

/// What strace traces nobody else can (ptrace(2)).
#[test(needs = "fuse strace")]
fn where_nothing_can_be_traced_that_is_said_first() {
    let directory = tempfile::tempdir().expect("a directory");
    let output = Command::new("strace")
        .args(["-f", "--seccomp-bpf", "-e", "trace=none", "-o", "/dev/null"])
        .args([PLUGPULL, "explore", "reference", "--stacks", "--txns", "3"])
        .args(["--states", "1", "--json", "report.json"])
        .current_dir(directory.path())
        .output()
        .expect("strace runs");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{said}");
    let named = said.contains("--stacks") && said.contains("plugpull doctor");
    assert!(named, "{said}");
    assert!(!directory.path().join("report.json").exists());
}
