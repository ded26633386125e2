//! A round counts only when the service was seen to end and another life of it came; nothing is ever
//! killed but the service that was meant.

use std::fs;
use std::process::{Child, Command};

use plugpull_testing::test;

use super::service::{Service, beside, free_port, with_report};
use crate::support::{Ran, Reported, text};

/// A process that has nothing to do with the service; ended when this is dropped.
struct Unrelated(Child);

impl Unrelated {
    fn start() -> Self {
        Self(Command::new("sleep").arg("300").spawn().unwrap())
    }

    fn lives(&mut self) -> bool {
        self.0.try_wait().unwrap().is_none()
    }

    fn pid(&self) -> String {
        self.0.id().to_string()
    }
}

impl Drop for Unrelated {
    #[expect(clippy::let_underscore_must_use, reason = "a test may have ended it")]
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What is asked of each call here.
const QUICK: [&str; 4] = ["--rounds", "1", "--start-limit", "2s"];

/// Refused with these words, before anything was done.
fn refused(service: &Service, mut command: Command, words: &[&str]) {
    let before = service.pid();
    let ran: Ran = command.output().unwrap().into();
    assert_eq!(ran.code, 2, "{command:?}: {ran:?}");
    for word in words {
        assert!(ran.stderr.contains(word), "no {word:?} in {}", ran.stderr);
    }
    assert_eq!(service.pid(), before);
    service.must_be_as_before();
}

/// Every round ended without a measurement, for this reason.
fn unmeasured(reported: &Reported, words: &str) {
    assert_eq!(reported.ran.code, 3, "{:?}", reported.ran);
    reported.must_have_no_finding();
    for trial in reported.trials() {
        assert_eq!(text(trial, "verdict"), "not-measured", "{trial}");
        let why = text(trial, "why");
        assert!(why.contains(words), "no {words:?} in {why}");
    }
}

#[test]
fn a_pid_file_that_names_no_service_is_refused() {
    let service = Service::start(&[]);
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("other.pid");
    let name = file.display().to_string();
    let by_file = || service.attach_by(&["--pid-file", &name], &QUICK);
    refused(&service, by_file(), &[&name, "No such file"]);
    let mut dead = Command::new("true").spawn().unwrap();
    dead.wait().unwrap();
    for (content, words) in [
        (String::new(), "it is empty"),
        ("the pid\n".into(), "no process number"),
        ("-1".into(), "no process number"),
        (dead.id().to_string(), "which is not there"),
    ] {
        fs::write(&file, content).unwrap();
        refused(&service, by_file(), &[&name, words]);
    }
}

#[test]
fn an_unrelated_process_is_refused_and_lives() {
    let service = Service::start(&[]);
    let mut unrelated = Unrelated::start();
    let file = service.directory.path().join("pid.other");
    fs::write(&file, unrelated.pid()).unwrap();
    let name = file.display().to_string();
    for more in [&[][..], &["--kill-cmd", "kill -9 $PLUGPULL_PID"]] {
        let options = [&QUICK[..], more].concat();
        let command = service.attach_by(&["--pid-file", &name], &options);
        refused(&service, command, &["(sleep)", "has nothing open in"]);
        assert!(unrelated.lives());
    }
}

#[test]
fn a_process_that_has_the_directory_open_and_does_not_serve_is_refused() {
    let service = Service::start(&[]);
    let other = Service::start(&[]);
    // The process and the directory are of one service, the port is of another.
    let pid_file = service.directory.path().join("pid").display().to_string();
    let port = format!("127.0.0.1:{}", other.port);
    let data = service.data().display().to_string();
    let mut command = crate::support::plugpull();
    command
        .args(["attach", "-q", "--i-own-this-target", "staging-db"])
        .args(["--data-dir", &data, "--pid-file", &pid_file])
        .args(["--connect", &port]);
    refused(&service, command, &["does not serve", other.pid().trim()]);
    other.must_be_as_before();
    // The process is the one that serves, and the directory is another's.
    let pid_file = other.directory.path().join("pid").display().to_string();
    let mut command = crate::support::plugpull();
    command
        .args(["attach", "-q", "--i-own-this-target", "staging-db"])
        .args(["--data-dir", &data, "--pid-file", &pid_file])
        .args(["--connect", &port]);
    refused(&service, command, &["has nothing open in"]);
    other.must_be_as_before();
}

#[test(needs = "python3")]
fn a_driver_of_another_service_is_refused() {
    let service = Service::start(&[]);
    let other = Service::start(&[]);
    let pid_file = service.directory.path().join("pid").display().to_string();
    let data = service.data().display().to_string();
    let driver = format!("python3 {} {}", beside("driver.py").display(), other.port);
    let mut command = crate::support::plugpull();
    command
        .args(["attach", "-q", "--i-own-this-target", "staging-db"])
        .args(["--data-dir", &data, "--pid-file", &pid_file])
        .args(["--driver", &driver]);
    refused(&service, command, &["does not serve", other.pid().trim()]);
    other.must_be_as_before();
}

#[test]
fn where_nobody_could_tell_nothing_is_killed() {
    let service = Service::start(&[]);
    let kill = ["--kill-cmd", "kill -9 $(cat pid)"];
    for (source, words) in [
        (vec!["--pid-cmd", "false"], "`false` ended with 1"),
        (vec!["--pid-cmd", "true"], "`true` printed nothing"),
        (vec!["--pid-cmd", "echo up"], "no process number"),
        (vec!["--identity-cmd", "exit 7"], "ended with 7"),
        (
            vec!["--identity-cmd", "cat /proc/sys/kernel/random/uuid"],
            "of the same start",
        ),
    ] {
        let command = service.attach_by(&[&source[..], &kill].concat(), &QUICK);
        refused(&service, command, &[words]);
    }
    // Behind a driver there is no address to look at.
    let mut command = crate::support::plugpull();
    let driver = format!("python3 {} {}", beside("driver.py").display(), service.port);
    command
        .args(["attach", "-q", "--i-own-this-target", "staging-db"])
        .arg("--data-dir")
        .arg(service.data())
        .args(["--kill-cmd", "true", "--driver", &driver]);
    refused(&service, command, &["--identity-cmd"]);
}

#[test]
fn a_kill_command_that_kills_nothing_is_not_measured() {
    let service = Service::start(&[]);
    let before = service.pid();
    let pid_file = service.directory.path().join("pid").display().to_string();
    let pid_cmd = format!("cat {pid_file}");
    for (source, words) in [
        // Nothing but the listening socket shows its process.
        (vec![], "was never seen to end"),
        (vec!["--pid-file", &pid_file], "was never seen to end"),
        (vec!["--pid-cmd", &pid_cmd], "never broke"),
        (vec!["--identity-cmd", "echo 1"], "never broke"),
    ] {
        let source = [&source[..], &["--kill-cmd", "true"]].concat();
        let reported = with_report(service.attach_by(&source, &QUICK));
        unmeasured(&reported, words);
        assert_eq!(service.pid(), before, "{source:?}");
        service.must_be_as_before();
    }
}

#[test]
fn a_kill_that_is_seen_counts_whoever_tells_the_process() {
    let service = Service::start(&[]);
    let pid_cmd = format!("cat {}/pid", service.directory.path().display());
    let kill = format!("kill -9 $({pid_cmd})");
    let starts = format!("wc -l <{}/pid.starts", service.directory.path().display());
    for source in [
        vec!["--kill-cmd", "kill -9 $PLUGPULL_PID"],
        vec!["--pid-cmd", &pid_cmd, "--kill-cmd", &kill],
        vec!["--identity-cmd", &starts, "--kill-cmd", &kill],
    ] {
        let before = service.pid();
        let reported = with_report(service.attach_by(&source, &["--rounds", "1"]));
        assert_eq!(reported.ran.code, 0, "{source:?}: {:?}", reported.ran);
        assert_ne!(service.pid(), before, "{source:?}");
        service.must_be_as_before();
    }
}

#[test]
fn an_identity_that_stays_is_not_measured() {
    let service = Service::start(&[]);
    let kill = format!("kill -9 $(cat {}/pid)", service.directory.path().display());
    let source = ["--identity-cmd", "echo always", "--kill-cmd", &kill];
    let reported = with_report(service.attach_by(&source, &QUICK));
    unmeasured(&reported, "the same start of the service as before");
}

#[test]
fn a_pid_file_that_comes_to_name_an_unrelated_process_kills_nobody() {
    let service = Service::start(&[]);
    let mut unrelated = Unrelated::start();
    // The supervisor is right once, and wrong from the first restart on.
    fs::write(service.directory.path().join("pid.names"), unrelated.pid()).unwrap();
    let reported = service.attached(&["--rounds", "2", "--start-limit", "2s"]);
    unmeasured(&reported, "(sleep) has nothing open in");
    let why = text(&reported.trials()[1], "why");
    assert!(why.contains("nothing was killed"), "{why}");
    assert!(unrelated.lives());
}

#[test]
fn a_child_that_outlives_the_process_of_the_pid_file_is_not_measured() {
    // The number is that of a wrapper, whose child serves and lives on.
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("staging-db");
    fs::create_dir(&data).unwrap();
    let port = free_port();
    let script = format!(
        "{} --listen {port} >/dev/null 2>&1 & echo $! >{}/child; wait",
        crate::support::REFERENCE,
        directory.path().display()
    );
    let mut wrapper = Command::new("sh")
        .args(["-c", &script])
        .env("PLUGPULL_DATA_DIR", &data)
        .spawn()
        .unwrap();
    let pid_file = directory.path().join("pid");
    fs::write(&pid_file, wrapper.id().to_string()).unwrap();
    let mut command = crate::support::plugpull();
    command
        .args(["attach", "-q", "--i-own-this-target", "staging-db"])
        .arg("--data-dir")
        .arg(&data)
        .arg("--pid-file")
        .arg(&pid_file)
        .args(["--connect", &format!("127.0.0.1:{port}"), "--rate", "2000"])
        .args(QUICK);
    crate::support::machine::await_that("it listens", || {
        std::net::TcpStream::connect(("127.0.0.1", port)).is_ok()
    });
    let reported = with_report(command);
    let child = fs::read_to_string(directory.path().join("child")).unwrap();
    Command::new("kill")
        .args(["-9", child.trim()])
        .status()
        .unwrap();
    wrapper.wait().unwrap();
    unmeasured(&reported, "which answers clients, was never seen to end");
}
