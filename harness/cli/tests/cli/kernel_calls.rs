//! Calls that no FUSE server is asked about, attributes, shared mappings and calls that a kill ends
//! early: each by a small target that relies on it rightly, and by one that does not.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;

use plugpull_testing::test;
use serde_json::Value;

use crate::support::{PLUGPULL, Reported, list, plugpull, reported, text};

/// The compiled target. Its directory is left to the system's own care of temporary files: it must
/// outlive every test.
fn program() -> &'static Path {
    static PROGRAM: OnceLock<(tempfile::TempDir, std::path::PathBuf)> = OnceLock::new();
    let (_, path) = PROGRAM.get_or_init(|| {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("calls");
        let source = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/tests/cli/support/programs/calls.c"
        );
        let status = Command::new("cc")
            .args(["-O1", "-pthread", "-o"])
            .args([path.as_os_str(), source.as_ref()])
            .status();
        assert!(status.unwrap().success());
        (directory, path)
    });
    path
}

/// `plugpull COMMAND` with these options on one mode of the target.
fn tried(command: &str, mode: &str, options: &str) -> Reported {
    let directory = tempfile::tempdir().unwrap();
    let program = program().display();
    let toml = directory.path().join("calls.toml");
    let target = format!(
        "[workload]\ncommand = ['{program}', 'work', '{mode}']\n\
         [check]\ncommand = ['{program}', 'check', '{mode}']\n"
    );
    fs::write(&toml, target).unwrap();
    let json = directory.path().join("report.json");
    let mut run = plugpull();
    run.args([
        command,
        &toml.display().to_string(),
        "--quiet",
        "--seed",
        "7",
        "--json",
    ])
    .arg(&json)
    .args(options.split_whitespace());
    reported(&mut run, &json)
}

fn silent(mode: &str, options: &str) {
    let tried = tried("explore", mode, options);
    tried.must_have_no_finding();
    assert_eq!(tried.ran.code, 0, "{mode}: {}", tried.ran.stdout);
    assert!(tried.count("pass") > 0, "{mode}: {}", tried.ran.stdout);
}

/// The findings' sentences; all are of this kind.
fn found(mode: &str, options: &str, kind: &str) -> Vec<String> {
    let tried = tried("explore", mode, options);
    assert_eq!(tried.ran.code, 1, "{mode}: {}", tried.ran.stdout);
    let findings: &[Value] = tried.findings();
    let sentences = findings.iter().map(|finding| {
        assert_eq!(text(finding, "kind"), kind, "{mode}: {}", tried.ran.stdout);
        text(finding, "sentence").to_owned()
    });
    sentences.collect()
}

#[test(needs = "fuse cc")]
fn what_sync_and_syncfs_make_durable_is_durable() {
    for mode in ["log-syncfs", "log-sync"] {
        silent(mode, "--states 80");
    }
    found("log-unsynced", "--states 80", "lost-ack");
}

/// What waits in a buffer of its own is no business of the disk: a plain kill takes it, and the sentence says
/// of nothing that it was not synced.
#[test(needs = "fuse cc")]
fn what_a_program_had_not_written_was_not_lost_by_the_disk() {
    for options in ["--model kill", "--states 80"] {
        let sentences = found("log-stdio", options, "lost-ack");
        assert_eq!(sentences.len(), 1, "{sentences:?}");
        let says = |words| sentences[0].contains(words);
        assert!(says("in the program's own memory"), "{sentences:?}");
        assert!(!says("fsynced") && !says("missing"), "{sentences:?}");
    }
    for finding in tried("explore", "log-stdio", "--states 80").findings() {
        let cause = text(&finding["evidence"]["diagnosis"], "cause");
        assert!(
            cause.starts_with("it is acknowledged before the write of log"),
            "{cause}"
        );
    }
    silent("log-stdio-flushed", "--model kill");
    let sentences = found("log-stdio-flushed", "--model journaled", "lost-ack");
    let synced = |sentence: &String| sentence.contains("never fsynced after it");
    assert!(sentences.iter().all(synced), "{sentences:?}");
}

/// A sync that comes after the ack, or beside it in a thread or a child, is none that the ack may count on.
#[test(needs = "fuse cc")]
fn a_sync_that_the_ack_did_not_wait_for_comes_too_late() {
    for mode in ["log-acked-first", "log-thread", "log-child"] {
        silent(&format!("{mode}-awaited"), "--states 80");
        let sentences = found(mode, "--states 80", "lost-ack");
        let named = |sentence: &String| {
            sentence.contains("never fsynced after it") && sentence.contains(" log")
        };
        assert!(sentences.iter().all(named), "{mode}: {sentences:?}");
    }
}

#[test(needs = "fuse cc")]
fn an_attribute_that_is_not_synced_is_lost() {
    for (mode, call) in [
        ("mode", "chmod"),
        ("time", "utimens"),
        ("xattr", "setxattr"),
    ] {
        silent(&format!("{mode}-synced"), "--states 80");
        let sentences = found(&format!("{mode}-unsynced"), "--states 80", "lost-ack");
        assert!(
            sentences.iter().any(|sentence| sentence.contains(call)),
            "{mode}: {sentences:?}"
        );
    }
}

#[test(needs = "fuse cc")]
fn a_kill_loses_nothing_of_a_shared_mapping() {
    for mode in ["map-unsynced", "map-order", "map-synced"] {
        silent(mode, "--model kill --budget 40s");
    }
    found("map-late", "--model kill --budget 40s", "lost-ack");
}

#[test(needs = "fuse cc")]
fn a_power_loss_loses_what_is_stored_in_a_mapping_and_not_synced() {
    found("map-unsynced", "--model ext4 --budget 40s", "lost-ack");
    silent("map-synced", "--model ext4 --budget 40s");
}

#[test(needs = "fuse cc")]
fn a_kill_may_end_a_call_of_write_early() {
    silent("log-whole", "--model kill --budget 60s");
    let sentences = found("log-cut-refused", "--model kill --budget 60s", "unreadable");
    let explains = |sentence: &String| {
        sentence.contains("the kill ended one write call after ")
            && sentence.contains(" of 8190 bytes")
    };
    assert!(sentences.iter().all(explains), "{sentences:?}");
}

/// Where calls cannot be listened to, a target that relies on sync(2) alone is accused wrongly: the report
/// itself says so, whoever reads which form of it.
#[test(needs = "fuse python3")]
fn a_listener_that_is_refused_is_a_warning_in_each_report() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name).display().to_string();
    let filter = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../ci/refuse-namespaces.py");
    let words = "calls of sync and syncfs are not seen here";
    let explore = "explore reference --txns 3 --states 3 --recovery-depth 0 --seed 1 --quiet";
    for deaf in [true, false] {
        let mut command = match deaf {
            true => {
                let mut command = Command::new("python3");
                command.arg(&filter).args(["listener", PLUGPULL]);
                command
            }
            false => plugpull(),
        };
        command.args(explore.split_whitespace());
        for (option, name) in [
            ("--html", "r.html"),
            ("--markdown", "r.md"),
            ("--junit", "r.xml"),
        ] {
            command.args([option, &at(name)]);
        }
        let json = at("r.json");
        let seen = reported(command.args(["--json", &json]), json.as_ref());
        let warnings = list(&seen.report, "warnings").iter();
        let said = warnings.filter(|one| one.as_str().is_some_and(|one| one.contains(words)));
        assert_eq!(said.count(), usize::from(deaf), "{}", seen.ran.stdout);
        let table = seen.ran.stdout.split_whitespace().collect::<Vec<_>>();
        assert_eq!(table.join(" ").contains(words), deaf, "{}", seen.ran.stdout);
        for name in ["r.html", "r.md", "r.xml"] {
            let form = fs::read_to_string(at(name)).unwrap();
            assert_eq!(form.contains(words), deaf, "{name}");
        }
    }
}
