//! The way over systemd, with a fake systemctl on PATH.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::service::{Service, beside};
use plugpull_testing::test;

use crate::support::{Ran, Reported, list, plugpull, reported, text};

/// A unit `fake.service`, which the service's supervisor becomes.
struct Unit {
    service: Service,
    bin: tempfile::TempDir,
}

impl Unit {
    fn start() -> Self {
        let service = Service::start(&[]);
        let bin = tempfile::tempdir().unwrap();
        symlink(beside("systemctl.sh"), bin.path().join("systemctl")).unwrap();
        symlink(beside("supervise.sh"), bin.path().join("supervise.sh")).unwrap();
        let command = service.command_line().join(" ");
        fs::write(service.directory.path().join("pid.command"), command).unwrap();
        Self { service, bin }
    }

    fn place(&self) -> &Path {
        self.service.directory.path()
    }

    fn attach(&self, options: &[&str]) -> Command {
        let path = std::env::var("PATH").unwrap();
        let mut command = plugpull();
        command
            .env("PATH", format!("{}:{path}", self.bin.path().display()))
            .env("FAKE", self.place())
            .args(["attach", "-q", "--unit", "fake.service", "--data-dir"])
            .arg(self.service.data())
            .args(["--connect", &format!("127.0.0.1:{}", self.service.port)])
            .args(["--rate", "2000"])
            .args(options);
        command
    }

    fn attached(&self, options: &[&str]) -> Reported {
        let json: PathBuf = self.bin.path().join("report.json");
        let named = [&["--i-own-this-target", "fake"], options].concat();
        reported(self.attach(&named).arg("--json").arg(&json), &json)
    }

    fn calls(&self) -> String {
        fs::read_to_string(self.place().join("pid.calls")).unwrap()
    }
}

#[test]
fn the_main_process_is_systemds() {
    let unit = Unit::start();
    let reported = unit.attached(&["--mode", "crash,restart", "--rounds", "2"]);
    assert_eq!(reported.ran.code, 0, "{:?}", reported.ran);
    let calls = unit.calls();
    assert!(calls.contains("show fake.service -p MainPID,NRestarts,Result"));
    // plugpull's own kills shall not count against the unit's start limit.
    assert!(calls.contains("reset-failed fake.service"), "{calls}");
    assert!(
        !calls.contains("stop") && !calls.contains("\nstart"),
        "{calls}"
    );
    unit.service.must_be_as_before();
}

#[test]
fn files_are_damaged_while_systemd_has_it_stopped() {
    let unit = Unit::start();
    let reported = unit.attached(&["--mode", "corruption", "--in-place", "--rounds", "1"]);
    reported.must_have_no_finding();
    let calls = unit.calls();
    let of = |verb: &str| calls.lines().filter(|line| line.starts_with(verb)).count();
    assert_eq!((of("stop "), of("start ")), (2, 2), "{calls}");
    unit.service.must_be_as_before();
}

#[test]
fn a_start_limit_and_the_oom_killer_are_noticed() {
    for (result, words) in [
        (
            "start-limit-hit",
            "given up (its result is start-limit-hit)",
        ),
        ("oom-kill", "given up (its result is oom-kill)"),
    ] {
        let unit = Unit::start();
        let place = unit.place().display();
        let kill = format!(
            "echo {result} >{place}/pid.gives-up; kill -9 $(cat {place}/supervisor) $PLUGPULL_PID"
        );
        let reported = unit.attached(&["--rounds", "1", "--kill-cmd", &kill]);
        assert_eq!(reported.ran.code, 1, "{:?}", reported.ran);
        let found = &list(&reported.report, "findings")[0];
        assert_eq!(text(found, "kind"), "will-not-start");
        assert!(text(found, "sentence").contains(words), "{found}");
        // It was started again at the end.
        unit.service.must_be_as_before();
    }
}

#[test]
fn a_unit_that_is_not_there_or_was_not_named() {
    let unit = Unit::start();
    let ran: Ran = unit.attach(&[]).output().unwrap().into();
    assert_eq!(ran.code, 2, "{ran:?}");
    let names = "--i-own-this-target fake.service or fake or staging-db";
    assert!(ran.stderr.contains(names), "{ran:?}");
    let mut command = unit.attach(&["--i-own-this-target", "other"]);
    let args: Vec<_> = command.get_args().map(|arg| arg.to_owned()).collect();
    let mut other = plugpull();
    other.env("FAKE", unit.place());
    other.env(
        "PATH",
        format!("{}:/usr/bin:/bin", unit.bin.path().display()),
    );
    other.args(args.iter().map(|arg| match arg.to_str() {
        Some("fake.service") => "other.service".into(),
        _ => arg.clone(),
    }));
    let ran: Ran = other.output().unwrap().into();
    assert_eq!(ran.code, 2, "{ran:?}");
    assert!(
        ran.stderr.contains("knows no unit other.service"),
        "{ran:?}"
    );
    assert!(command.output().unwrap().status.code() == Some(2));
    unit.service.must_be_as_before();
}
