//! What is refused, before anything is done: exit code 2, one line, and a service that notices
//! nothing.

use std::fs;
use std::process::Command;

use super::service::Service;
use plugpull_testing::test;

use crate::support::Ran;

/// The command is refused in these words, and the service is what it was.
fn refused(service: &Service, command: &mut Command, words: &[&str]) {
    let before = service.pid();
    let ran: Ran = command.output().unwrap().into();
    assert_eq!(ran.code, 2, "{command:?}: {ran:?}");
    assert_eq!(ran.stdout, "", "{command:?}");
    assert_eq!(ran.stderr.lines().count(), 1, "{command:?}: {}", ran.stderr);
    for word in words {
        assert!(ran.stderr.contains(word), "no {word:?} in {}", ran.stderr);
    }
    assert_eq!(service.pid(), before);
    service.must_be_as_before();
}

/// `plugpull attach` on the service without the name that its owner gives.
fn unnamed(service: &Service) -> Command {
    let named = service.attach(&[]);
    let mut command = crate::support::plugpull();
    let owner = ["--i-own-this-target", "staging-db"];
    command.args(
        named
            .get_args()
            .filter(|word| !owner.iter().any(|own| word == own)),
    );
    command
}

#[test]
fn a_target_that_was_not_named() {
    let service = Service::start(&[]);
    let mut command = unnamed(&service);
    refused(&service, &mut command, &["--i-own-this-target staging-db"]);
    for wrong in ["staging", "staging-db2", "", "STAGING-DB"] {
        let mut command = unnamed(&service);
        command.args(["--i-own-this-target", wrong]);
        refused(&service, &mut command, &["not the name", "staging-db"]);
    }
    // A link does not rename what it leads to.
    let place = tempfile::tempdir().unwrap();
    let link = place.path().join("my-own");
    std::os::unix::fs::symlink(service.data(), &link).unwrap();
    let mut command = crate::support::plugpull();
    command
        .args(["attach", "--i-own-this-target", "my-own", "--data-dir"])
        .arg(&link)
        .args(["--kill-cmd", "false", "--connect", "127.0.0.1:1"]);
    refused(&service, &mut command, &["not the name", "staging-db"]);
    let mut command = crate::support::plugpull();
    command.args(["attach", "--i-own-this-target", "x", "--kill-cmd", "false"]);
    refused(&service, &mut command, &["no name", "--service"]);
}

#[test]
fn a_protected_target() {
    let service = Service::start(&[]);
    for marker in [
        service.data().join("plugpull.protected"),
        service.directory.path().join("plugpull.protected"),
    ] {
        fs::write(&marker, "").unwrap();
        let before = service.pid();
        let ran: Ran = service.attach(&[]).output().unwrap().into();
        fs::remove_file(&marker).unwrap();
        assert_eq!(ran.code, 2, "{ran:?}");
        let said = format!("{} says", marker.display());
        assert!(ran.stderr.contains(&said), "{ran:?}");
        assert_eq!(service.pid(), before);
        service.must_be_as_before();
    }
    for (code, words) in [("0", "protected"), ("255", "it ended with 255")] {
        let mut command = service.attach(&["--marker-cmd", &format!("exit {code}")]);
        refused(&service, &mut command, &[words]);
    }
    let mut command = crate::support::plugpull();
    command
        .args(["attach", "--service", "x", "--i-own-this-target", "x"])
        .args(["--kill-cmd", "false", "--connect", "127.0.0.1:1"]);
    refused(&service, &mut command, &["--marker-cmd"]);
}

#[test]
fn production() {
    let service = Service::start(&[]);
    for (name, value) in [
        ("ENVIRONMENT", "production"),
        ("RAILS_ENV", "prod"),
        ("PLUGPULL_ENV", "Live"),
    ] {
        let mut command = service.attach(&[]);
        command.env(name, value);
        refused(&service, &mut command, &[name, value, "production"]);
    }
}

#[test]
fn a_service_that_says_production_of_itself() {
    let place = tempfile::tempdir().unwrap();
    fs::create_dir(place.path().join("db")).unwrap();
    let mut service = Command::new("sleep")
        .arg("60")
        .env("APP_ENV", "production")
        .spawn()
        .unwrap();
    fs::write(place.path().join("pid"), service.id().to_string()).unwrap();
    let mut command = crate::support::plugpull();
    command
        .args([
            "attach",
            "--i-own-this-target",
            "db",
            "--connect",
            "127.0.0.1:1",
        ])
        .arg("--data-dir")
        .arg(place.path().join("db"))
        .arg("--pid-file")
        .arg(place.path().join("pid"));
    let ran: Ran = command.output().unwrap().into();
    let lives = service.try_wait().unwrap().is_none();
    service.kill().unwrap();
    service.wait().unwrap();
    assert_eq!(ran.code, 2, "{ran:?}");
    assert!(ran.stderr.contains("APP_ENV=production"), "{ran:?}");
    assert!(lives);
}

#[test]
fn options_that_do_not_fit() {
    let service = Service::start(&[]);
    for (options, words) in [
        (
            vec!["--fill", "/proc", "--mode", "disk-full"],
            "--fill /proc is not where",
        ),
        (vec!["--target", "referense"], "did you mean \"reference\""),
        (vec!["--promise", "forever"], "'forever'"),
        (vec!["--rounds", "0"], "--rounds"),
        (vec!["--rate", "0"], "--rate"),
        (vec!["--prefix", "a b"], "white space"),
        (vec!["--mode", "crush"], "crash"),
        (vec!["--keep", "kept"], "--keep is not for attach"),
        (vec!["--work-dir", "/nowhere/at/all"], "--work-dir"),
        (vec!["--unit", "x;reboot"], "cannot be used with"),
    ] {
        refused(&service, &mut service.attach(&options), &[words]);
    }
}

#[test]
fn two_at_once() {
    let service = Service::start(&[]);
    let work = service.directory.path().join("staging-db.plugpull");
    fs::create_dir(&work).unwrap();
    let lock = fs::File::create(work.join("lock")).unwrap();
    lock.lock().unwrap();
    let ran: Ran = service.attach(&[]).output().unwrap().into();
    assert_eq!(ran.code, 2, "{ran:?}");
    assert!(ran.stderr.contains("another plugpull"), "{ran:?}");
    drop(lock);
    fs::remove_dir_all(work).unwrap();
    service.must_be_as_before();
}

#[test]
fn a_dry_run_does_nothing() {
    let service = Service::start(&[]);
    let before = service.pid();
    let ran: Ran = service
        .attach(&["--mode", "all", "--dry-run", "--start-cmd", "touch started"])
        .output()
        .unwrap()
        .into();
    assert_eq!(ran.code, 0, "{ran:?}");
    // Where nobody reads what it prints, that is all.
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut unread = service.attach(&["--dry-run"]);
    let unread = unread.stdout(writer).output().unwrap();
    assert!(
        unread.status.success() && unread.stderr.is_empty(),
        "{unread:?}"
    );
    for words in [
        "crash, round 3: send SIGKILL to the main process",
        "restart, round 1: send SIGTERM to the main process",
        "corruption, round 2: start a second service on the copy: run `touch started`",
        "remove the keys under \"plugpull.\"",
    ] {
        assert!(ran.stdout.contains(words), "no {words:?} in {}", ran.stdout);
    }
    assert_eq!(service.pid(), before);
    service.must_be_as_before();
}
