//! What the tests of the command line share: running the binary, and reading its report.

#![allow(dead_code, reason = "each test program uses its own part")]
pub(crate) mod machine;
#[allow(unused_imports, reason = "each test program uses its own part")]
pub(crate) mod mutants;
pub(crate) mod traces;

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;

/// The binary under test.
pub(crate) const PLUGPULL: &str = env!("CARGO_BIN_EXE_plugpull");

/// The driver of the reference store, which comes with it.
pub(crate) const REFERENCE: &str = env!("CARGO_BIN_EXE_plugpull-driver-reference");

/// The binary under test, with nothing to read.
pub(crate) fn plugpull() -> Command {
    let mut command = Command::new(PLUGPULL);
    command.stdin(Stdio::null());
    command
}

/// How a run of the binary ended.
#[derive(Debug)]
pub(crate) struct Ran {
    /// Its exit code; -1 when a signal ended it.
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

/// A run that wrote its report.
#[derive(Debug)]
pub(crate) struct Reported {
    pub(crate) ran: Ran,
    pub(crate) report: Value,
}

impl Reported {
    /// The kinds of all findings of all trials.
    pub(crate) fn kinds(&self) -> Vec<String> {
        let findings = self
            .trials()
            .iter()
            .flat_map(|trial| list(trial, "findings"));
        findings
            .map(|finding| text(finding, "kind").to_string())
            .collect()
    }

    /// Every trial in order.
    pub(crate) fn trials(&self) -> &[Value] {
        list(&self.report, "trial_log")
    }

    /// The findings, grouped as the report shows them.
    pub(crate) fn findings(&self) -> &[Value] {
        list(&self.report, "findings")
    }

    /// The row of a fault.
    pub(crate) fn row(&self, fault: &str) -> &Value {
        let rows = list(&self.report, "faults");
        match rows.iter().find(|row| text(row, "fault") == fault) {
            Some(row) => row,
            None => panic!("no row for {fault} in {rows:?}"),
        }
    }

    /// How many trials ended with this verdict.
    pub(crate) fn count(&self, verdict: &str) -> usize {
        self.trials()
            .iter()
            .filter(|trial| text(trial, "verdict") == verdict)
            .count()
    }

    /// Fails unless no promise was broken and plugpull itself had no trouble.
    pub(crate) fn must_have_no_finding(&self) {
        assert!(
            self.findings().is_empty() && self.kinds().is_empty(),
            "{}",
            self.ran.stdout
        );
        assert_eq!(self.count("harness-error"), 0, "{}", self.ran.stdout);
    }
}

/// Text of an object's field; empty when there is none.
pub(crate) fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value[field].as_str().unwrap_or_default()
}

/// List of an object's field; empty when there is none.
pub(crate) fn list<'a>(value: &'a Value, field: &str) -> &'a [Value] {
    value[field].as_array().map_or(&[], Vec::as_slice)
}

/// What an exploration gets whose findings' causes are not what is tested: to look for them takes as long as
/// all the rest. `causes.rs` tests that.
pub(crate) fn without_causes(command: &str) -> &'static [&'static str] {
    match command {
        "explore" => &["--no-diagnosis"],
        _ => &[],
    }
}

/// The artifact that was kept of the finding with this number: `lost-ack-1.json`.
pub(crate) fn artifact(kept: &Path, number: usize) -> PathBuf {
    let ending = format!("-{number}.json");
    let names = std::fs::read_dir(kept)
        .unwrap()
        .map(|one| one.unwrap().path());
    let mut all: Vec<PathBuf> = names
        .filter(|path| path.to_string_lossy().ends_with(&ending))
        .collect();
    assert_eq!(all.len(), 1, "{all:?} in {}", kept.display());
    all.remove(0)
}

/// Runs `plugpull run` with these options, which are separated by spaces, and reads its report.
pub(crate) fn run(options: &str) -> Reported {
    let directory = tempfile::tempdir().unwrap();
    let json = directory.path().join("report.json");
    let mut command = plugpull();
    command
        .arg("run")
        .args(options.split_whitespace())
        .arg("-q")
        .arg("--json")
        .arg(&json);
    reported(&mut command, &json)
}

/// Runs a command that writes a report to `json`.
pub(crate) fn reported(command: &mut Command, json: &Path) -> Reported {
    let ran: Ran = command.output().unwrap().into();
    let Ok(bytes) = std::fs::read(json) else {
        panic!("no report from {command:?}: {ran:?}");
    };
    Reported {
        ran,
        report: serde_json::from_slice(&bytes).unwrap(),
    }
}
