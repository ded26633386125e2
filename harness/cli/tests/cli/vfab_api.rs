//! What is checked of the real vfab, shown on a small vfab of the tests' own: each check finds its
//! seeded flaw, and is silent on the sound one under the same options.
use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::sync::{Mutex, PoisonError};

use plugpull_testing::test;

use crate::support::mutants::once;
use crate::support::{Reported, list, run, text};

/// The commands and the API that plugpull uses; its text says more.
const VFAB: &str = include_str!("vfab_api/vfab.py");

/// An environment with this vfab in it, as `--set venv` wants one.
fn environment(flaw: &str) -> tempfile::TempDir {
    let print = "import sys; assert sys.version_info >= (3, 10); print(sys.executable)";
    let python = Command::new("python3")
        .args(["-c", print])
        .output()
        .unwrap();
    let python = String::from_utf8(python.stdout).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    fs::create_dir_all(at("bin")).unwrap();
    fs::create_dir_all(at("lib/vfab")).unwrap();
    fs::write(at("lib/vfab/__init__.py"), VFAB).unwrap();
    fs::write(at("lib/flaw"), flaw).unwrap();
    let lib = at("lib").display().to_string();
    let interpreter = format!(
        "#!/bin/sh\nPYTHONPATH='{lib}' exec '{}' \"$@\"\n",
        python.trim()
    );
    let main = "import sys, vfab; vfab.main(sys.argv[1:])";
    let vfab = format!("#!/bin/sh\nexec \"${{0%/*}}/python\" -c '{main}' \"$@\"\n");
    program(&at("bin/python"), &interpreter);
    program(&at("bin/vfab"), &vfab);
    directory
}

fn program(path: &Path, script: &str) {
    fs::write(path, script).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

fn tried(flaw: &str, options: &str) -> Reported {
    let venv = environment(flaw);
    let venv = venv.path().display().to_string();
    let options = format!("vfab --set venv={venv} --clients 1 --rounds 1 {options}");
    match flaw {
        "" => run(&options),
        _ => run(&once(&options)),
    }
}

/// The flaw is found, of this kind and described in these words; without it nothing is.
fn found(flaw: &str, kind: &str, words: &[&str], options: &str) {
    let flawed = tried(flaw, options);
    let sentences: Vec<(String, String)> = flawed
        .trials()
        .iter()
        .flat_map(|trial| list(trial, "findings"))
        .map(|f| (text(f, "kind").to_owned(), text(f, "sentence").to_owned()))
        .collect();
    for word in words {
        assert!(
            sentences.iter().any(|(k, s)| k == kind && s.contains(word)),
            "{word}: {sentences:?}: {}",
            flawed.ran.stdout
        );
    }
    is_silent_on_the_sound_one(options);
}

/// The sound one has no finding under these options; once for all tests that have the same.
fn is_silent_on_the_sound_one(options: &str) {
    static TRIED: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());
    let mut tried_before = TRIED.lock().unwrap_or_else(PoisonError::into_inner);
    if tried_before.contains(options) {
        return;
    }
    let sound = tried("", options);
    sound.must_have_no_finding();
    assert_eq!(sound.ran.code, 0, "{:?}", sound.ran);
    tried_before.insert(options.to_owned());
}

/// While the first job is drawn.
const DRAWING: &str =
    "--seed 1 --set states=completed --fault kill-op@op=write,path=*strokes.log,n=3";
/// When the third job was answered.
const ANSWERED: &str = "--seed 1 --set states=completed --fault kill@ack=3";

#[test(needs = "fuse python3.10")]
fn a_resume_that_aborts_is_found() {
    found(
        "resume-aborts",
        "unreadable",
        &["resume-aborts: job"],
        DRAWING,
    );
}

#[test(needs = "fuse python3.10")]
fn a_second_recovery_that_changes_something_is_found() {
    found(
        "recovery-twice",
        "unreadable",
        &["recovery-twice: job"],
        DRAWING,
    );
}

#[test(needs = "fuse python3.10")]
fn a_job_that_cannot_reach_its_end_is_found() {
    found(
        "cannot-complete",
        "unreadable",
        &["cannot-complete: job"],
        DRAWING,
    );
}

#[test(needs = "fuse python3.10")]
fn a_job_completed_without_its_strokes_is_found() {
    found("not-drawn", "unreadable", &["not-drawn: job"], DRAWING);
}

#[test(needs = "fuse python3.10")]
fn a_completed_job_that_is_reopened_is_found() {
    let words = ["completed-reopened", "journal-after-end", "plotted-twice"];
    found("completed-reopened", "unreadable", &words, ANSWERED);
    found("completed-reopened", "lost-ack", &[""], ANSWERED);
}

#[test(needs = "fuse python3.10")]
fn a_job_with_a_full_pass_that_is_plotted_again_is_found() {
    // The last stroke of a job.
    let options = "--seed 1 --set states=completed --fault kill-op@op=sync,path=*strokes.log,n=6";
    found(
        "plotted-twice",
        "unreadable",
        &["plotted-twice: job"],
        options,
    );
}

#[test(needs = "fuse python3.10")]
fn commands_that_name_another_state_are_found() {
    found(
        "info-disagrees",
        "unreadable",
        &["info-disagrees: job"],
        ANSWERED,
    );
    found(
        "resume-disagrees",
        "unreadable",
        &["resume-disagrees: job"],
        ANSWERED,
    );
}

#[test(needs = "fuse python3.10")]
fn a_document_that_is_left_behind_is_found() {
    let options = "--seed 1 --fault kill-op@op=write,path=*journal.jsonl,n=5";
    let words = ["document-behind", "info-disagrees"];
    found("document-behind", "unreadable", &words, options);
}

#[test(needs = "fuse python3.10")]
fn a_torn_line_that_is_kept_is_found() {
    // What is torn may be cut within a line, or at its end: journal-line or journal-tail.
    let options = "--seed 1 --fault power-loss-torn@op=sync,path=*journal.jsonl,n=4";
    found("torn-tail-kept", "unreadable", &["journal-"], options);
}

#[test(needs = "fuse python3.10")]
fn an_export_that_does_not_bring_everything_back_is_found() {
    let options = "--seed 1 --set export=yes --fault kill@ack=2";
    found(
        "not-brought-back",
        "unreadable",
        &["not-brought-back: "],
        options,
    );
    found(
        "import-refused",
        "unreadable",
        &["import-refused", "import-fails"],
        options,
    );
}

#[test]
fn an_environment_without_a_python_is_named() {
    let directory = tempfile::tempdir().unwrap();
    fs::create_dir(directory.path().join("bin")).unwrap();
    program(&directory.path().join("bin/vfab"), "no first line\n");
    let ran = crate::support::plugpull()
        .args(["run", "vfab", "-q", "--set", "states=completed", "--set"])
        .arg(format!("venv={}", directory.path().display()))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&ran.stderr);
    assert_eq!(ran.status.code(), Some(3), "{said}");
    assert!(said.contains("no python is beside"), "{said}");
}
