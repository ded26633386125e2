//! `plugpull explore` and `plugpull replay`: defects that a crash state can show are found and
//! made small, the sound stores have no finding, and an artifact shows its finding again.

use std::io::Write;
use std::path::Path;

use plugpull_testing::test;
use serde_json::Value;

use crate::command_targets::tested;
use crate::support::{artifact, plugpull, text, without_causes};

/// What an exploration printed, its exit code and its report.
struct Explored {
    code: i32,
    stdout: String,
    report: Value,
}

impl Explored {
    fn findings(&self) -> &[Value] {
        self.report["findings"]
            .as_array()
            .map_or(&[], Vec::as_slice)
    }
}

fn explore(options: &str, keep: &Path) -> Explored {
    let json = keep.with_extension("json");
    let output = plugpull()
        .arg("explore")
        .args(without_causes("explore"))
        .args(options.split_whitespace())
        .args(["--quiet", "--seed", "7", "--json"])
        .arg(&json)
        .arg("--keep")
        .arg(keep)
        .output()
        .expect("plugpull runs");
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    let text = std::fs::read(&json).unwrap_or_else(|error| {
        panic!(
            "{error}: {stdout}{}",
            String::from_utf8_lossy(&output.stderr)
        )
    });
    Explored {
        code: output.status.code().unwrap_or(-1),
        stdout,
        report: serde_json::from_slice(&text).expect("the report is JSON"),
    }
}

/// Explores a defect: it must be found, of one of these kinds, with at most this many changes
/// missing, and replaying the artifact must show it again.
fn found(defect: &str, kinds: &[&str], missing: usize) {
    found_with("", defect, kinds, missing);
}

/// The same with more options.
fn found_with(more: &str, defect: &str, kinds: &[&str], missing: usize) {
    let directory = tempfile::tempdir().expect("a directory");
    let keep = directory.path().join("kept");
    let options = format!(
        "reference --set defect={defect} --set snapshot_every=16 --txns 30 --states 150 --budget 90s {more}"
    );
    let explored = explore(&options, &keep);
    assert_eq!(explored.code, 1, "{}", explored.stdout);
    let first = &explored.findings()[0];
    let kind = first["kind"].as_str().expect("a kind");
    assert!(kinds.contains(&kind), "{kind}: {}", explored.stdout);
    let sentence = first["sentence"].as_str().expect("a sentence");
    let lost = sentence.matches("(operation ").count();
    assert!(
        lost <= missing && !sentence.contains(" more, which"),
        "{sentence}"
    );

    if kind == "lost-ack" {
        // The transaction whose ack was lost stands among those of the clients, as acknowledged.
        let calls = first["evidence"]["clients"].as_array();
        let lost: Vec<&Value> = calls
            .into_iter()
            .flatten()
            .filter(|call| call["lost"] == true)
            .collect();
        assert_eq!(lost.len(), 1, "{first}");
        assert_eq!(lost[0]["outcome"], "acknowledged", "{first}");
    }
    let artifact = artifact(&keep, 1);
    let first = format!("{kind}-1.json");
    assert!(artifact.ends_with(&first), "{}", artifact.display());
    let replay = plugpull()
        .arg("replay")
        .arg(&artifact)
        .output()
        .expect("plugpull runs");
    let said = String::from_utf8_lossy(&replay.stdout).into_owned();
    assert!(said.contains("It still stands"), "{said}");
    assert_eq!(replay.status.code(), Some(1));
}

#[test(needs = "fuse")]
fn a_missing_fsync_is_found_and_made_small() {
    found("no-fsync", &["lost-ack", "will-not-start"], 3);
}

/// The command of a finding names all that decides what is tried.
#[test(needs = "fuse")]
fn the_command_of_a_finding_names_its_options() {
    let options = "--set defect=no-fsync --promise durable --recovery-bound 9s --model kill \
                   --model strict --txns 5 --clients 3 --value-size 90 --recovery-depth 0 --states 30 \
                   --device sector=4096 --budget 60s";
    let explored = tested("explore", "reference", options, None);
    assert_eq!(explored.ran.code, 1, "{:?}", explored.ran);
    let repeat = text(&explored.findings()[0], "repeat");
    let expected =
        format!("plugpull explore reference {options} --seed 7 --no-diagnosis --keep DIR");
    let words = |text: &str| {
        let text = text
            .replace('\'', "")
            .replace("9000000us", "9s")
            .replace(" --", "\n--");
        let mut words: Vec<String> = text.lines().map(|line| line.trim().to_owned()).collect();
        words.sort();
        words
    };
    assert_eq!(words(repeat), words(&expected));
}

#[test(needs = "fuse")]
fn a_missing_fsync_of_the_directory_is_found_and_made_small() {
    found("no-dir-fsync", &["lost-ack", "resurrected"], 3);
}

#[test(needs = "fuse")]
fn a_rename_before_the_sync_is_found_and_made_small() {
    found("rename-without-fsync", &["will-not-start"], 3);
}

#[test(needs = "fuse")]
fn a_commit_of_several_records_is_found_and_made_small() {
    // It shows at few points, of which a part of all states need not have one; but killing the process
    // shows it, and every point of that is tried.
    found_with(
        "--model kill",
        "non-atomic-commit",
        &["torn-transaction"],
        3,
    );
}

/// A defect that one crash cannot show: the second crash hits the recovery from the first.
#[test(needs = "fuse")]
fn a_recovery_that_is_not_safe_from_crashes_is_found() {
    let directory = tempfile::tempdir().expect("a directory");
    let options = "reference --set defect=recovery-in-place --txns 10 --states 100 --budget 60s";
    let shallow = explore(
        &format!("{options} --recovery-depth 0"),
        &directory.path().join("0"),
    );
    assert_eq!(shallow.code, 0, "{}", shallow.stdout);
    let keep = directory.path().join("1");
    let deep = explore(options, &keep);
    assert_eq!(deep.code, 1, "{}", deep.stdout);
    assert!(
        deep.stdout.contains("recovery itself was cut"),
        "{}",
        deep.stdout
    );
    let replay = plugpull()
        .args(["replay", "--timeline"])
        .arg(artifact(&keep, 1))
        .output()
        .expect("plugpull runs");
    let timeline = String::from_utf8_lossy(&replay.stdout).into_owned();
    assert!(timeline.contains("recovery: truncate to 0"), "{timeline}");
    stands_in_the_crash(&artifact(&keep, 1));
}

/// The crash before the last one is made small too: here it loses nothing and comes right behind the
/// ack that is lost, so that it is the only one.
#[test(needs = "fuse")]
fn the_crash_before_a_crashed_recovery_is_made_small() {
    let directory = tempfile::tempdir().expect("a directory");
    let options = "reference --set defect=recovery-in-place --clients 1 --txns 12 --states 150 \
                   --model journaled --budget 60s";
    let explored = explore(options, &directory.path().join("kept"));
    let cut_short: Vec<&str> = explored
        .findings()
        .iter()
        .filter_map(|finding| finding["sentence"].as_str())
        .filter(|sentence| sentence.contains("then recovery itself was cut short"))
        .collect();
    assert!(!cut_short.is_empty(), "{}", explored.stdout);
    for sentence in cut_short {
        assert!(sentence.contains("nothing was lost"), "{sentence}");
        assert!(
            !sentence.contains("acknowledged transactions are gone"),
            "{sentence}"
        );
    }
}

/// A shell in the crashed state sees its files, and its exit code is the exit code.
fn stands_in_the_crash(artifact: &Path) {
    let mut replay = plugpull()
        .args(["replay", "--shell"])
        .arg(artifact)
        .env("SHELL", "/bin/sh")
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .expect("plugpull runs");
    let typed = b"ls\ncd / && rm $PLUGPULL_DATA_DIR/log-1\nexit 7\n";
    let mut stdin = replay.stdin.take().expect("its standard input");
    stdin.write_all(typed).expect("written");
    drop(stdin);
    let output = replay.wait_with_output().expect("it ends");
    let shown = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(shown.lines().any(|line| line == "log-1"), "{shown}");
    assert_eq!(output.status.code(), Some(7));
}

#[test(needs = "fuse")]
fn sound_stores_have_no_finding() {
    let directory = tempfile::tempdir().expect("a directory");
    for (number, options) in [
        "reference --set snapshot_every=16 --txns 30 --states 150 --budget 90s",
        "sqlite --txns 30 --states 150 --budget 90s",
        "sqlite --set journal_mode=delete --set synchronous=extra --txns 20 --states 150 --budget 90s",
        // Held to its own promise, which allows the last commit to be rolled back.
        "sqlite --set journal_mode=delete --txns 20 --states 150 --budget 90s",
    ]
    .into_iter()
    .enumerate()
    {
        let explored = explore(options, &directory.path().join(number.to_string()));
        assert!(
            explored.findings().is_empty(),
            "{options}: {}",
            explored.stdout
        );
        assert_eq!(explored.code, 0, "{options}: {}", explored.stdout);
    }
}

/// The documents say that DELETE with FULL may roll the last commit back.
#[test(needs = "fuse")]
fn the_documented_rollback_of_sqlite_is_found_when_more_is_demanded() {
    let directory = tempfile::tempdir().expect("a directory");
    let options =
        "sqlite --set journal_mode=delete --promise durable --txns 20 --states 250 --budget 90s";
    let explored = explore(options, &directory.path().join("kept"));
    assert_eq!(explored.code, 1, "{}", explored.stdout);
    let described = explored.findings().iter().any(|finding| {
        let sentence = finding["sentence"].as_str().unwrap_or_default();
        finding["kind"] == "lost-ack"
            && sentence.contains("unlink kv.db-journal (operation ")
            && sentence.contains("directory never synced after it")
    });
    assert!(described, "{}", explored.stdout);
}

#[test]
fn an_artifact_that_was_changed_is_refused() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("finding.json");
    for (text, word) in [
        ("{}", "no artifact"),
        ("not json", "no artifact"),
        (
            r#"{"schema":"plugpull.artifact/99"}"#,
            "plugpull.artifact/99",
        ),
        (r#"{"schema":"plugpull.artifact/1"}"#, "damaged"),
    ] {
        std::fs::write(&path, text).expect("written");
        let replay = plugpull()
            .arg("replay")
            .arg(&path)
            .output()
            .expect("plugpull runs");
        let said = String::from_utf8_lossy(&replay.stderr).into_owned();
        assert!(said.contains(word), "{text}: {said}");
        assert_eq!(replay.status.code(), Some(2), "{text}");
    }
}
