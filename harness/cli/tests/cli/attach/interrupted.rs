//! Calls that are interrupted: the service runs on, and its data is what it was.

use std::fs;
use std::process::{Child, Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::service::{Service, beside};
use plugpull_testing::test;

use crate::support::machine::await_that;
use crate::support::{REFERENCE, Ran, text};

fn signal(child: &Child, signal: Signal) {
    kill(Pid::from_raw(child.id() as i32), signal).unwrap();
}

/// Starts the command and waits until it has killed the service at least once.
fn at_work(service: &Service, command: &mut Command) -> Child {
    let before = service.pid();
    let child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    await_that("the service was killed", || service.pid() != before);
    child
}

#[test]
fn a_signal_ends_the_run_and_puts_everything_back() {
    for ends in [Signal::SIGINT, Signal::SIGTERM] {
        let service = Service::start(&[]);
        let json = tempfile::NamedTempFile::new().unwrap();
        let on_copy = Service::on_copy("");
        let options = ["--mode", "all", "--rounds", "1000", "--start-cmd", &on_copy];
        let mut command = service.attach(&options);
        command.arg("--json").arg(json.path());
        let child = at_work(&service, &mut command);
        signal(&child, ends);
        let ran: Ran = child.wait_with_output().unwrap().into();
        // Whatever was measured until then: what was ended early is no pass.
        assert_eq!(ran.code, 128 + ends as i32, "{ran:?}");
        let report = fs::read(json.path()).unwrap();
        let report: serde_json::Value = serde_json::from_slice(&report).unwrap();
        assert_eq!(report["interrupted"], true);
        service.must_be_as_before();
    }
}

#[test]
fn killed_it_leaves_nothing_but_keys_which_the_next_call_removes() {
    let service = Service::start(&[]);
    let mut child = at_work(&service, &mut service.attach(&["--rounds", "1000"]));
    await_that("clients wrote", || service.holds().len() > 1);
    signal(&child, Signal::SIGKILL);
    child.wait().unwrap();
    let all = service.holds();
    assert_eq!(all.get("theirs").map(String::as_str), Some("precious"));
    for key in all.keys() {
        assert!(key == "theirs" || key.starts_with("plugpull."), "{key}");
    }
    let reported = service.attached(&["--rounds", "1"]);
    assert_eq!(reported.ran.code, 0, "{:?}", reported.ran);
    service.must_be_as_before();
}

/// Commands that stop the service with its supervisor, and start both.
fn stop_and_start(service: &Service) -> (String, String) {
    let place = service.directory.path().display();
    let stop = format!(
        "kill -TERM $(cat {place}/supervisor) 2>/dev/null; \
         while kill -0 $(cat {place}/pid || echo none) 2>/dev/null; do :; done; true"
    );
    let start = format!(
        "setsid {} {place}/pid env PLUGPULL_DATA_DIR={place}/staging-db {REFERENCE} --listen {} \
         >/dev/null 2>&1 & echo $! >{place}/supervisor",
        beside("supervise.sh").display(),
        service.port
    );
    (stop, start)
}

#[test]
fn files_damaged_in_place_are_put_back() {
    let service = Service::start(&[]);
    let (stop, start) = stop_and_start(&service);
    let mode = ["--mode", "corruption", "--in-place", "--rounds", "2"];
    let commands = ["--stop-cmd", &stop, "--start-cmd", &start];
    let reported = service.attached(&[&mode[..], &commands].concat());
    reported.must_have_no_finding();
    for trial in reported.trials() {
        let what = text(trial, "what");
        assert!(
            what.contains("staging-db back, started the service"),
            "{what}"
        );
    }
    service.must_be_as_before();
}

#[test]
fn files_damaged_in_place_are_put_back_after_a_kill() {
    let service = Service::start(&[]);
    let (stop, start) = stop_and_start(&service);
    let mode = ["--mode", "corruption", "--in-place", "--rounds", "1"];
    // It stays down: plugpull waits for it, with the damaged files in place.
    let down = format!("touch {}/pid.down", service.directory.path().display());
    let commands = ["--stop-cmd", &stop, "--start-cmd", &down];
    let mut child = service
        .attach(&[&mode[..], &commands].concat())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let marker = service.directory.path().join("pid.down");
    await_that("it was to be started", || marker.exists());
    signal(&child, Signal::SIGKILL);
    child.wait().unwrap();
    let work = service.directory.path().join("staging-db.plugpull");
    assert!(work.join("copy").is_dir() && work.join("put-back.json").is_file());

    let commands = ["--restore", "--stop-cmd", &stop, "--start-cmd", &start];
    let ran: Ran = service.attach(&commands).output().unwrap().into();
    assert_eq!(ran.code, 0, "{ran:?}");
    for words in ["staging-db back", "started the service", "copy"] {
        assert!(ran.stdout.contains(words), "{ran:?}");
    }
    assert!(!work.exists());
    // Nothing but keys is left, which any call removes.
    assert!(service.holds().contains_key("theirs"));
    let reported = service.attached(&["--rounds", "1"]);
    assert_eq!(reported.ran.code, 0, "{:?}", reported.ran);
    service.must_be_as_before();
    let ran: Ran = service.attach(&commands).output().unwrap().into();
    assert!(ran.stdout.contains("nothing to put back"), "{ran:?}");
}
