//! `plugpull explore --follow-up`: what shows only once a recovered target is stopped in order, killed once more,
//! or written to and killed, on real programs; and the sound ones have no finding.

use std::path::Path;

use plugpull_testing::test;
use serde_json::Value;

use crate::command_targets::{Made, lines};
use crate::support::{Reported, plugpull, reported, without_causes};

const EXAMPLE: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../../docs/examples/driver-python/kv.py"
);

/// Explores with this follow-up option: the exit code, the closing line, and the report.
fn explored(options: &[&str], follow_up: &str, directory: &Path) -> (i32, String, Value) {
    let json = directory.join("report.json");
    let mut explore = plugpull();
    explore
        .arg("explore")
        .args(without_causes("explore"))
        .args(options)
        .args(["--quiet", "--recovery-depth", "0", "--clients", "1"])
        .args(["--seed", "7", "--budget", "60s"])
        .args(["--follow-up", follow_up, "--keep", "kept", "--json"])
        .arg(&json)
        .current_dir(directory);
    let Reported { ran, report } = reported(&mut explore, &json);
    // As it is wherever lines end.
    let said = ran.stdout.split_whitespace().collect::<Vec<_>>().join(" ");
    (ran.code, said, report)
}

/// This follow-up alone shows what is wrong; the finding says so, and its artifact shows it again.
fn only_shown_by(options: &[&str], follow_up: &str, begins: &str) {
    let directory = tempfile::tempdir().expect("a directory");
    let (code, said, report) = explored(options, "none", directory.path());
    assert_eq!(code, 0, "{said}");
    assert!(report["coverage"]["follow_ups"].is_null(), "{said}");
    std::fs::remove_dir_all(directory.path().join("kept")).expect("what was kept");
    let (code, said, report) = explored(options, "all", directory.path());
    assert_eq!(code, 1, "{said}");
    let findings = report["findings"].as_array().expect("findings");
    for finding in findings {
        assert_eq!(finding["follow_up"], follow_up, "{said}");
        let sentence = finding["sentence"].as_str().expect("a sentence");
        assert!(sentence.starts_with(begins), "{sentence}");
    }
    let replay = plugpull()
        .arg("replay")
        .arg(crate::support::artifact(&directory.path().join("kept"), 1))
        .current_dir(directory.path())
        .output()
        .expect("plugpull runs");
    let said = String::from_utf8_lossy(&replay.stdout).into_owned();
    assert!(said.contains("It still stands: after recovery"), "{said}");
    assert_eq!(replay.status.code(), Some(1), "{said}");
}

/// The worked driver in Python with this bug.
fn with_bug(bug: &str) -> String {
    let support = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/cli/support");
    format!("cmd=python3 {support}/behind_recovery.py {bug} {EXAMPLE}")
}

#[test(needs = "fuse python3")]
fn what_is_written_behind_a_torn_tail_shows_in_a_second_life() {
    let options = "driver --txns 3 --value-size 9000 --model journaled --states 24 --set";
    only_shown_by(
        &[&split(options)[..], &[&with_bug("tail")]].concat(),
        "second-life",
        "after recovery it was written to, killed and started again",
    );
}

#[test(needs = "fuse python3")]
fn what_a_clean_close_takes_away_shows_behind_a_clean_stop() {
    let options = "driver --txns 3 --model kill --states 12 --set";
    only_shown_by(
        &[&split(options)[..], &[&with_bug("close")]].concat(),
        "clean-stop",
        "after recovery it was stopped in order and started again",
    );
}

/// A forked one ends as a started one does, or is started: either way its handlers at the exit show.
#[test(needs = "fuse python3")]
fn what_a_handler_at_the_exit_takes_away_shows_behind_a_clean_stop() {
    for bug in ["exit", "skip"] {
        let options = "driver --txns 6 --model kill --states 40 --set";
        only_shown_by(
            &[&split(options)[..], &[&with_bug(bug)]].concat(),
            "clean-stop",
            "after recovery it was stopped in order and started again",
        );
    }
}

/// What a completed recovery served is gone after the next crash, and was never acknowledged: only a comparison of
/// the two read-backs shows it.
#[test(needs = "fuse python3")]
fn what_a_recovery_served_and_took_away_shows_when_it_is_crashed() {
    let directory = tempfile::tempdir().expect("a directory");
    let json = directory.path().join("report.json");
    let mut explore = plugpull();
    explore
        .args(["explore", "driver", "--set", &with_bug("mark")])
        .args(without_causes("explore"))
        .args(split("--txns 5 --model kill --clients 1 --follow-up none"))
        .args(split("--quiet --seed 7 --budget 60s --keep kept --json"))
        .arg(&json)
        .current_dir(directory.path());
    let Reported { ran, report } = reported(&mut explore, &json);
    assert_eq!(ran.code, 1, "{ran:?}");
    let findings = report["findings"].as_array().expect("findings");
    assert_eq!(findings.len(), 1, "{ran:?}");
    assert_eq!(findings[0]["kind"], "not-repeatable", "{ran:?}");
    let sentence = findings[0]["sentence"].as_str().expect("a sentence");
    let begins = "a completed recovery had served what is otherwise after the next crash";
    assert!(sentence.starts_with(begins), "{sentence}");
    let kept = std::fs::read_dir(directory.path().join("kept")).expect("what was kept");
    let mut kept = kept.map(|one| one.expect("a name").path());
    let artifact = kept.find(|path| path.extension().is_some_and(|end| end == "json"));
    let replay = plugpull()
        .arg("replay")
        .arg(artifact.expect("an artifact"))
        .current_dir(directory.path())
        .output()
        .expect("plugpull runs");
    let said = String::from_utf8_lossy(&replay.stdout).into_owned();
    assert!(said.contains("It still stands: a completed"), "{said}");
    assert_eq!(replay.status.code(), Some(1), "{said}");
}

fn split(options: &str) -> Vec<&str> {
    options.split(' ').collect()
}

/// Each follow-up is done in some states, and none could not be.
#[test(needs = "fuse")]
fn the_sound_stores_are_silent_whatever_follows() {
    for options in [
        &["reference", "--set", "snapshot_every=4", "--txns", "8"][..],
        &["sqlite", "--txns", "4"],
    ] {
        let directory = tempfile::tempdir().expect("a directory");
        let models = ["--model", "kill", "--model", "journaled", "--states", "40"];
        let options = [options, &models].concat();
        let (code, said, report) = explored(&options, "all", directory.path());
        assert_eq!(code, 0, "{said}");
        let all = report["coverage"]["follow_ups"].as_array();
        let all = all.expect("follow-ups");
        assert_eq!(all.len(), 3, "{all:?}");
        for one in all {
            assert!(one["states"].as_u64() > Some(3), "{one}");
            assert_eq!(
                (&one["failed"], &one["not_done"]),
                (&0.into(), &0.into()),
                "{one}"
            );
        }
        assert!(
            said.contains("Follow-ups after recovery: clean stop in "),
            "{said}"
        );
    }
}

/// A command that writes is not written to again, and a check that ends is not stopped: that is said.
#[test(needs = "fuse")]
fn what_a_command_cannot_have_is_said() {
    const WORK: &str = "n=0; while [ $n -lt 6 ]; do n=$((n+1)); id=$PLUGPULL_LIFE.$n; \
                        echo $id >>lines; sync lines; sync .; echo ack $id; done\n";
    const CHECK: &str = "while read -r id; do grep -qx \"$id\" lines || echo lost $id; done\n";
    let made = Made::new(&lines(), &[("work.sh", WORK), ("check.sh", CHECK)]);
    let directory = tempfile::tempdir().expect("a directory");
    let (code, said, _) = explored(
        &[&made.name(), "--states", "20", "--model", "kill"],
        "all",
        directory.path(),
    );
    assert_eq!(code, 0, "{said}");
    for part in [
        "second restart in ",
        "second life not applicable: its workload is a command",
        "clean stop not applicable: nothing of it goes on running",
    ] {
        assert!(said.contains(part), "{said}");
    }
}
