//! What each mode does to a sound service and to ones with mutants.

use super::service::{Service, beside};
use plugpull_testing::test;

use crate::support::{Reported, list, text};

/// A finding of this kind, whose sentence has these words.
fn must_find(reported: &Reported, kind: &str, words: &str) {
    assert_eq!(reported.ran.code, 1, "{:?}", reported.ran);
    let found = reported
        .findings()
        .iter()
        .any(|finding| text(finding, "kind") == kind && text(finding, "sentence").contains(words));
    assert!(found, "no {kind} with {words:?}: {}", reported.ran.stdout);
}

#[test]
fn a_sound_service_keeps_its_promises_and_is_as_before() {
    let service = Service::start(&[]);
    let reported = service.attached(&["--mode", "crash,restart", "--rounds", "2"]);
    assert_eq!(reported.ran.code, 0, "{:?}", reported.ran);
    reported.must_have_no_finding();
    for mode in ["crash", "restart"] {
        assert_eq!(reported.row(mode)["bit"], 2);
        assert_eq!(text(reported.row(mode), "verdict"), "pass");
    }
    for trial in reported.trials() {
        // The recovery after the crash, and after the kill without writes.
        assert_eq!(list(trial, "recovery_us").len(), 2, "{trial}");
        assert!(trial["acked"].as_u64().unwrap() >= 5, "{trial}");
        let what = text(trial, "what");
        for words in ["SIG", "clients had no answer for", "back after"] {
            assert!(what.contains(words), "{what}");
        }
    }
    service.must_be_as_before();
}

#[test]
fn crashes_show_mutants() {
    for (defect, kind, words) in [
        ("delete-not-logged", "resurrected", "undone"),
        ("stale-lock-refused", "will-not-start", "a crash loop"),
        (
            "non-idempotent-recovery",
            "not-repeatable",
            "a second restart",
        ),
    ] {
        let service = Service::start(&[&format!("defect={defect}")]);
        let reported = service.attached(&["--mode", "crash", "--rounds", "3"]);
        must_find(&reported, kind, words);
    }
}

#[test]
fn recovery_is_held_to_the_bound() {
    let service = Service::start(&["defect=slow-replay", "slow_replay_ms=400"]);
    let options = ["--mode", "restart", "--rounds", "1"];
    let reported = service.attached(&options);
    assert_eq!(reported.ran.code, 0, "the store promises two seconds");
    let reported = service.attached(&[&options[..], &["--recovery-bound", "300ms"]].concat());
    must_find(&reported, "too-slow", "the bound is 300");
    service.must_be_as_before();
}

#[test]
fn a_service_that_hangs_is_said_to() {
    let service = Service::start(&["defect=hang-on-recovery"]);
    let options = ["--mode", "crash", "--rounds", "1", "--start-limit", "1s"];
    let reported = service.attached(&options);
    must_find(&reported, "hung", "it hangs");
    must_find(&reported, "hung", "its one process has used");
}

/// Its recovery takes longer than the limit, and comes to its end.
#[test]
fn a_service_that_is_slow_does_not_hang() {
    let service = Service::start(&["defect=slow-replay", "slow_replay_ms=1500"]);
    let options = ["--mode", "crash", "--rounds", "1", "--start-limit", "1s"];
    let reported = service.attached(&options);
    reported.must_have_no_finding();
    assert_eq!(reported.ran.code, 3, "{:?}", reported.ran);
    let why = text(&reported.trials()[0], "why");
    assert!(why.contains("too slow for this limit"), "{why}");
    service.must_be_as_before();
}

#[test]
fn nobody_starts_it_again() {
    let service = Service::start(&[]);
    // Its supervisor is killed with it.
    let place = service.directory.path().display();
    let command = format!("kill -9 $(cat {place}/supervisor) $PLUGPULL_PID");
    let options = ["--mode", "crash", "--rounds", "1", "--start-limit", "1s"];
    let reported = service.attached(&[&options[..], &["--kill-cmd", &command]].concat());
    assert_eq!(reported.ran.code, 3, "{:?}", reported.ran);
    let why = text(&reported.trials()[0], "why");
    assert!(why.contains("nobody started it again"), "{why}");
    let said = &reported.ran.stderr;
    assert!(said.contains("does not answer at the end"), "{said}");
}

#[test]
fn plugpull_starts_what_has_no_supervisor() {
    let service = Service::start(&[]);
    // What kills and starts is all that is known of it, as behind ssh: the supervisor's pid file is
    // only looked at by a command.
    let pid_cmd = format!("cat {}", service.directory.path().join("pid").display());
    let mut command = crate::support::plugpull();
    let marks = service
        .directory
        .path()
        .join("staging-db/plugpull.protected");
    let json = tempfile::NamedTempFile::new().unwrap();
    command
        .args(["attach", "-q", "--service", "behind-ssh"])
        .args(["--i-own-this-target", "behind-ssh", "--rounds", "2"])
        .args(["--marker-cmd", &format!("test -e {}", marks.display())])
        .args(["--pid-cmd", &pid_cmd, "--kill-cmd", "kill -9 $PLUGPULL_PID"])
        .args(["--connect", &format!("127.0.0.1:{}", service.port)])
        .args(["--rate", "2000", "--json"])
        .arg(json.path());
    let reported = crate::support::reported(&mut command, json.path());
    assert_eq!(reported.ran.code, 0, "{:?}", reported.ran);
    service.must_be_as_before();
}

#[test]
fn corruption_is_tried_on_a_copy() {
    // A flip must meet a value that nobody wrote again, so it takes some rounds to show.
    for (defect, broken, rounds) in [("none", false, "5"), ("no-checksum", true, "20")] {
        let defect = format!("defect={defect}");
        let service = Service::start(&[&defect]);
        let before = service.pid();
        let on_copy = Service::on_copy(&defect);
        let options = ["--mode", "corruption", "--rounds", rounds, "--seed", "7"];
        let reported = service.attached(&[&options[..], &["--start-cmd", &on_copy]].concat());
        match broken {
            // A flipped key loses one write and makes up another; a flipped value is a wrong one.
            true => {
                let kinds = reported.kinds();
                let damage = ["wrong-value", "phantom", "lost-ack"];
                let found = kinds.iter().any(|kind| damage.contains(&kind.as_str()));
                assert!(reported.ran.code == 1 && found, "{:?}", reported.ran);
            }
            false => reported.must_have_no_finding(),
        }
        assert!(reported.row("corruption")["bit"].as_u64().unwrap() > 0);
        assert_eq!(service.pid(), before, "the service itself is not touched");
        service.must_be_as_before();
    }
}

#[test]
fn snapshots_alone_are_damaged_where_that_is_asked() {
    let service = Service::start(&["snapshot_every=4"]);
    let on_copy = Service::on_copy("snapshot_every=4");
    let options = [
        "--mode",
        "corruption",
        "--rounds",
        "2",
        "--corrupt-snapshot",
    ];
    let reported = service.attached(&[&options[..], &["--start-cmd", &on_copy]].concat());
    assert_eq!(reported.ran.code, 0, "{:?}", reported.ran);
    for trial in reported.trials() {
        assert!(text(trial, "what").contains(" of snapshot-"), "{trial}");
        assert_eq!(text(trial, "verdict"), "detected", "{trial}");
    }
    // Without a snapshot there is none to damage.
    let service = Service::start(&["snapshot_every=100000"]);
    let reported = service.attached(&[&options[..], &["--start-cmd", &on_copy]].concat());
    assert_eq!(reported.ran.code, 3, "{:?}", reported.ran);
    let why = text(&reported.trials()[0], "why");
    assert!(why.contains("no file with `snap`"), "{why}");
}

/// What plugpull's own check of a store finds is not the word of the store.
#[test(needs = "python3")]
fn a_check_of_the_drivers_own_is_not_the_stores() {
    for (whose, words) in [
        ("checks", "plugpull's own check of its files"),
        ("says", "its own integrity check fails"),
    ] {
        let service = Service::start(&[]);
        let driver = format!(
            "python3 {} {} {whose}",
            beside("driver.py").display(),
            service.port
        );
        let json = tempfile::NamedTempFile::new().unwrap();
        let mut command = crate::support::plugpull();
        command
            .args(["attach", "-q", "--mode", "crash", "--rounds", "1"])
            .args([
                "--i-own-this-target",
                "staging-db",
                "--promise",
                "consistent",
            ])
            .arg("--data-dir")
            .arg(service.data())
            .arg("--pid-file")
            .arg(service.directory.path().join("pid"))
            .args(["--driver", &driver, "--rate", "2000", "--json"])
            .arg(json.path());
        let reported = crate::support::reported(&mut command, json.path());
        must_find(&reported, "unreadable", words);
    }
}

/// Of the reference store, which clients reach over its port.
#[test]
fn an_action_of_the_driver_is_done_before_the_kill() {
    let service = Service::start(&[]);
    let options = ["--mode", "action", "--action", "compact", "--rounds", "1"];
    let reported = service.attached(&options);
    assert_eq!(reported.ran.code, 0, "{:?}", reported.ran);
    assert_eq!(text(reported.row("compact"), "verdict"), "pass");
    let what = text(&reported.trials()[0], "what");
    assert!(what.starts_with("compact was done; then "), "{what}");
    let missing = service.attached(&["--mode", "action", "--action", "fly", "--rounds", "1"]);
    assert_eq!(missing.ran.code, 3, "{:?}", missing.ran);
    let why = text(&missing.trials()[0], "why");
    assert!(why.contains("does not have the action fly"), "{why}");
    service.must_be_as_before();
}

#[test(needs = "python3")]
fn a_reorganisation_wants_a_driver_that_knows_it() {
    let service = Service::start(&[]);
    let reorgs = service.data().join("reorgs");
    let driver = |more: &str| {
        format!(
            "python3 {} {}{more}",
            beside("driver.py").display(),
            service.port
        )
    };
    let reorg = |driver: &str| {
        let json = tempfile::NamedTempFile::new().unwrap();
        let mut command = crate::support::plugpull();
        command
            .args(["attach", "-q", "--mode", "reorg", "--reorg-depth", "6"])
            .args(["--i-own-this-target", "staging-db", "--rounds", "1"])
            .arg("--data-dir")
            .arg(service.data())
            .arg("--pid-file")
            .arg(service.directory.path().join("pid"))
            .args(["--driver", driver, "--rate", "2000", "--json"])
            .arg(json.path());
        crate::support::reported(&mut command, json.path())
    };
    let without = reorg(&driver(""));
    assert_eq!(without.ran.code, 3, "{:?}", without.ran);
    let why = text(&without.trials()[0], "why");
    assert!(why.contains("does not have the action reorg"), "{why}");
    let with = reorg(&driver(&format!(" {}", reorgs.display())));
    assert_eq!(with.ran.code, 0, "{:?}", with.ran);
    assert_eq!(std::fs::read_to_string(reorgs).unwrap(), "6\n");
    assert_eq!(text(with.row("reorg"), "verdict"), "pass");
    service.must_be_as_before();
}
