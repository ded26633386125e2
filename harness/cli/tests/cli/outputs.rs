//! What a run writes besides its table: every form of the report, `compare`, `merge`, baselines,
//! completions and manual pages.

use std::io::Read as _;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nix::pty::{Winsize, openpty};
use plugpull_testing::test;
use serde_json::Value;

use crate::support::{Ran, Reported, plugpull, reported};

fn ran(arguments: &[&str]) -> Ran {
    plugpull().args(arguments).output().unwrap().into()
}

/// Runs the sound reference store, or one with a defect that a SIGKILL shows, and keeps the report.
fn report(directory: &Path, name: &str, defect: Option<&str>, more: &[&str]) -> (PathBuf, Ran) {
    let path = directory.join(name);
    let mut command = plugpull();
    command.args([
        "run",
        "reference",
        "--fault",
        "kill@ack=60",
        "--rounds",
        "2",
    ]);
    if let Some(defect) = defect {
        command.args(["--set", &format!("defect={defect}")]);
    }
    command.arg("--json").arg(&path).args(more);
    (path, command.output().unwrap().into())
}

#[test]
fn json_on_standard_output_is_the_report_and_nothing_else() {
    let ran = ran(&[
        "run",
        "reference",
        "--fault",
        "kill",
        "--rounds",
        "1",
        "--format",
        "json",
    ]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let report: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(report["schema"], plugpull_reports::SCHEMA);
    assert_eq!(ran.stderr, "", "no progress bar where nobody watches");
}

#[test]
fn every_form_is_written() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name).display().to_string();
    let files = [at("r.xml"), at("r.md"), at("r.html")];
    let more = [
        "--junit",
        &files[0],
        "--markdown",
        &files[1],
        "--html",
        &files[2],
        "--format",
        "github",
    ];
    let (_, ran) = report(
        directory.path(),
        "r.json",
        Some("stale-lock-refused"),
        &more,
    );
    assert_eq!(ran.code, 1, "{}{}", ran.stdout, ran.stderr);
    assert!(ran.stdout.starts_with("::error title="), "{}", ran.stdout);
    assert!(!ran.stdout.contains('\u{1b}'), "no control codes in a pipe");
    let text = |path: &str| std::fs::read_to_string(path).unwrap();
    assert!(text(&files[0]).contains("<failure"));
    assert!(text(&files[1]).starts_with("## plugpull: reference"));
    assert!(text(&files[2]).contains("reference broke"));
}

#[test]
fn a_file_that_cannot_be_written_is_wrong_use_before_anything_starts() {
    for option in ["--json", "--junit", "--markdown", "--html"] {
        let ran = ran(&["run", "reference", option, "/nowhere/at/all"]);
        assert_eq!(ran.code, 2, "{option}");
        assert_eq!(ran.stderr.lines().count(), 1, "{}", ran.stderr);
        assert!(ran.stderr.contains("/nowhere/at/all"), "{}", ran.stderr);
    }
}

#[test]
fn a_baseline_forgives_what_it_has_and_nothing_else() {
    let directory = tempfile::tempdir().unwrap();
    let (sound, ran) = report(directory.path(), "sound.json", None, &[]);
    assert_eq!(ran.code, 0, "{}", ran.stdout);
    let defect = Some("stale-lock-refused");
    let (broken, ran) = report(directory.path(), "broken.json", defect, &["--seed", "1"]);
    assert_eq!(ran.code, 1, "{}", ran.stdout);
    let against = |baseline: &Path| {
        let baseline = baseline.display().to_string();
        let more = ["--seed", "1", "--baseline", &baseline];
        report(directory.path(), "now.json", defect, &more).1
    };
    let known = against(&broken);
    assert_eq!(known.code, 0, "{}", known.stdout);
    assert!(
        known.stdout.contains("Nothing became worse."),
        "{}",
        known.stdout
    );
    let new = against(&sound);
    assert_eq!(new.code, 1, "{}", new.stdout);
    assert!(new.stdout.contains("Worse: "), "{}", new.stdout);

    let paths = [sound.to_str().unwrap(), broken.to_str().unwrap()];
    let worse = ran_compare(paths[0], paths[1]);
    assert_eq!(worse.code, 1, "{}", worse.stdout);
    assert_eq!(ran_compare(paths[1], paths[0]).code, 0);
}

fn ran_compare(before: &str, now: &str) -> Ran {
    ran(&["compare", before, now])
}

#[test]
fn merging_adds_up_and_refuses_what_does_not_belong_together() {
    let directory = tempfile::tempdir().unwrap();
    let (one, _) = report(directory.path(), "1.json", None, &["--seed", "1"]);
    let (two, _) = report(directory.path(), "2.json", None, &["--seed", "2"]);
    let (other, _) = report(directory.path(), "3.json", Some("stale-lock-refused"), &[]);
    let (one, two) = (one.to_str().unwrap(), two.to_str().unwrap());
    let merged = ran(&["merge", one, two, "--format", "json"]);
    assert_eq!(merged.code, 0, "{}", merged.stderr);
    let value: Value = serde_json::from_str(&merged.stdout).unwrap();
    assert_eq!((&value["trials"], &value["merged"]), (&4.into(), &2.into()));
    assert_eq!(
        ran(&["merge", two, one, "--format", "json"]).stdout,
        merged.stdout
    );
    std::fs::write(directory.path().join("bad.json"), "{}").unwrap();
    let bad = directory.path().join("bad.json").display().to_string();
    for wrong in [other.to_str().unwrap(), &bad, "/nowhere.json", one] {
        let ran = ran(&["merge", one, wrong]);
        assert_eq!(ran.code, 2, "{wrong}: {}", ran.stdout);
        assert_eq!(ran.stderr.lines().count(), 1, "{}", ran.stderr);
    }
}

#[test(needs = "fuse")]
fn an_exploration_reports_evidence_and_coverage() {
    let ran = ran(&[
        "explore",
        "reference",
        "--set",
        "defect=no-fsync",
        "--txns",
        "20",
        "--states",
        "60",
        "--seed",
        "7",
        "--workers",
        "1",
        "--format",
        "json",
    ]);
    assert_eq!(ran.code, 1, "{}", ran.stderr);
    let report: Value = serde_json::from_str(&ran.stdout).unwrap();
    let coverage = &report["coverage"];
    assert_eq!(coverage["tried"], 60);
    let sum = |of: &Value, field: &str| -> u64 {
        let all = of.as_array().unwrap().iter();
        all.map(|one| one[field].as_u64().unwrap()).sum()
    };
    assert_eq!(
        sum(&coverage["models"], "judged"),
        sum(&coverage["at"], "tried")
    );
    assert_eq!(
        sum(&coverage["models"], "failed"),
        sum(&coverage["at"], "failed")
    );
    assert!(sum(&coverage["at"], "failed") > 0);
    for finding in report["findings"].as_array().unwrap() {
        let evidence = &finding["evidence"];
        assert!(
            !evidence["cause"].as_array().unwrap().is_empty(),
            "{evidence}"
        );
        assert!(!evidence["models"].as_array().unwrap().is_empty());
        let steps = evidence["timeline"].as_array().unwrap();
        assert!(steps.iter().any(|step| step["kind"] == "ack"), "{evidence}");
        let lost = |step: &&Value| step["fate"] == "lost" || step["fate"] == "torn";
        let data = |step: &&Value| lost(step) && step["kind"] == "write";
        if steps.iter().any(|step| data(&step)) {
            let files = evidence["files"].as_array().unwrap();
            assert!(
                files.iter().any(|file| file["damage"].is_array()),
                "{evidence}"
            );
        }
    }
}

#[test]
fn completions_and_manual_pages_name_every_command() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let ran = ran(&["completions", shell]);
        assert_eq!(ran.code, 0, "{shell}: {}", ran.stderr);
        assert!(
            ran.stdout.contains("baseline") && ran.stdout.contains("compare"),
            "{shell}"
        );
    }
    assert_eq!(ran(&["completions", "tcl"]).code, 2);
    let page = ran(&["man"]);
    assert!(page.stdout.contains(".TH plugpull"), "{}", page.stdout);
    let directory = tempfile::tempdir().unwrap();
    let ran = ran(&["man", directory.path().to_str().unwrap()]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    for page in [
        "plugpull.1",
        "plugpull-run.1",
        "plugpull-explore.1",
        "plugpull-merge.1",
    ] {
        assert!(directory.path().join(page).is_file(), "{page}");
    }
    assert_eq!(self::ran(&["man", "/nowhere"]).code, 2);
}

/// What the command writes to a terminal of this width.
fn on_a_terminal(arguments: &[&str], columns: u16, no_color: bool) -> String {
    let size = Winsize {
        ws_row: 24,
        ws_col: columns,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    let pty = openpty(&size, None).unwrap();
    let end = |fd: &OwnedFd| Stdio::from(fd.try_clone().unwrap());
    let mut command = Command::new(crate::support::PLUGPULL);
    command
        .args(arguments)
        .env("TERM", "xterm")
        .env_remove("NO_COLOR")
        .stdin(Stdio::null())
        .stdout(end(&pty.slave))
        .stderr(end(&pty.slave));
    if no_color {
        command.env("NO_COLOR", "1");
    }
    let mut child = command.spawn().unwrap();
    drop((command, pty.slave));
    let mut text = Vec::new();
    // When the last process has closed the terminal, reading ends with EIO.
    if let Err(error) = std::fs::File::from(pty.master).read_to_end(&mut text) {
        assert_eq!(error.raw_os_error(), Some(libc::EIO), "{error}");
    }
    child.wait().unwrap();
    String::from_utf8_lossy(&text).replace("\r\n", "\n")
}

#[test]
fn a_terminal_gets_colour_and_its_width_and_no_color_takes_the_colour() {
    let directory = tempfile::tempdir().unwrap();
    let (path, _) = report(directory.path(), "r.json", Some("stale-lock-refused"), &[]);
    let arguments = ["merge", path.to_str().unwrap()];
    let colour = "\u{1b}[";
    assert!(on_a_terminal(&arguments, 80, false).contains(colour));
    for columns in [60, 100] {
        let plain = on_a_terminal(&arguments, columns, true);
        assert!(
            !plain.contains("\u{1b}[3") && !plain.contains("\u{1b}[1m"),
            "{plain:?}"
        );
        let words = plain
            .lines()
            .filter(|line| line.contains(' ') && !line.contains("--fault"));
        for line in words {
            assert!(
                line.chars().count() <= usize::from(columns),
                "{columns}: {line}"
            );
        }
    }
    let piped = ran(&arguments).stdout;
    assert!(!piped.contains('\u{1b}'));
}

#[test]
fn a_reader_who_goes_away_is_no_failure() {
    for command in ["targets", "faults", "doctor", "completions bash", "man"] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut plugpull = crate::support::plugpull();
        plugpull.args(command.split(' ')).stdout(writer);
        let ended = plugpull.output().unwrap();
        let errors = String::from_utf8_lossy(&ended.stderr);
        assert!(!errors.contains("panicked"), "{command}: {errors}");
        assert_eq!(ended.status.code(), Some(0), "{command}: {errors}");
    }
}

/// What is covered less than was demanded is no pass, and what is covered is one; what a report says of it.
#[test(needs = "fuse")]
fn less_coverage_than_was_demanded_is_no_pass() {
    let directory = tempfile::tempdir().unwrap();
    let trace = directory.path().join("reference.trace");
    crate::trace::record("reference", &trace);
    for (demanded, code, verdict) in [
        (None, 0, "pass"),
        (Some("90"), 3, "not-measured"),
        (Some("1"), 0, "pass"),
    ] {
        let json = directory.path().join("report.json");
        let mut explore = plugpull();
        explore
            .args(["explore", "--model", "strict", "--states", "12", "--trace"])
            .arg(&trace);
        explore.args(
            demanded
                .iter()
                .flat_map(|percent| ["--min-coverage", percent]),
        );
        explore.arg("--json").arg(&json);
        let Reported { ran, report } = reported(&mut explore, &json);
        assert_eq!(ran.code, code, "{demanded:?}: {}{}", ran.stdout, ran.stderr);
        assert_eq!(report["verdict"], verdict, "{demanded:?}");
        let said = ran.stdout.contains("less than --min-coverage 90 demands");
        assert_eq!(said, code == 3, "{}", ran.stdout);
    }
}

/// A fault that was skipped is not tried and is no part of the verdict; one that there is not is refused.
#[test]
fn a_fault_that_is_skipped_is_not_tried() {
    let directory = tempfile::tempdir().unwrap();
    let json = directory.path().join("report.json");
    let skipped = |faults: &[&str]| {
        let mut run = plugpull();
        run.args(["run", "reference", "--budget", "4s"]);
        run.args(faults.iter().flat_map(|fault| ["--skip", fault]));
        run.arg("--json").arg(&json);
        run
    };
    let faults = |report: &Value| -> Vec<String> {
        let rows = report["faults"].as_array().unwrap().iter();
        rows.map(|row| row["fault"].as_str().unwrap().to_owned())
            .collect()
    };
    let all = faults(&reported(&mut skipped(&[]), &json).report);
    assert!(all.iter().any(|fault| fault == "stop"), "{all:?}");
    let report = reported(&mut skipped(&["stop", "hang"]), &json).report;
    let left: Vec<String> = all
        .into_iter()
        .filter(|fault| !["stop", "hang"].contains(&fault.as_str()))
        .collect();
    assert_eq!(faults(&report), left);
    let refused: Ran = skipped(&["stopp"]).output().unwrap().into();
    assert_eq!(refused.code, 2, "{}", refused.stderr);
    assert!(refused.stderr.contains("stopp"), "{}", refused.stderr);
}
