//! The way over systemd, with a real systemd in namespaces of its own.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::service::{Service, beside};
use plugpull_testing::test;

use crate::support::machine::await_that;
use crate::support::{PLUGPULL, Reported, list, reported, text};

/// How long systemd may take to come up before this machine counts as one where it cannot.
const COMES_UP: Duration = Duration::from_secs(20);

/// A unit `store.service` that keeps the reference store running.
struct Unit {
    service: Service,
    directory: tempfile::TempDir,
    pid1: String,
}

/// Whether a systemd of its own runs here, or why not.
pub(crate) fn tried() -> Result<(), String> {
    for tool in ["systemctl", "unshare", "nsenter"] {
        let there = Command::new(tool).arg("--version").output();
        there.map_err(|_| format!("this machine has no {tool}"))?;
    }
    if !nix::unistd::geteuid().is_root() {
        return Err("a systemd of its own wants root".into());
    }
    let directory = tempfile::tempdir().unwrap();
    let idle = ["/bin/true".to_string()];
    let mut child = systemd(directory.path(), &idle)
        .stdin(Stdio::null())
        .spawn()
        .unwrap();
    let deadline = Instant::now() + COMES_UP;
    let mut came = false;
    while !came && Instant::now() < deadline && matches!(child.try_wait(), Ok(None)) {
        came = up(&pid1(directory.path()));
        std::thread::sleep(Duration::from_millis(20));
    }
    if let Ok(None) = child.try_wait() {
        kill(Pid::from_raw(child.id() as i32), Signal::SIGTERM).unwrap();
        child.wait().unwrap();
    }
    if came {
        return Ok(());
    }
    let log = fs::read_to_string(directory.path().join("systemd.log")).unwrap_or_default();
    let last = log.lines().last().unwrap_or("it said nothing");
    Err(format!(
        "systemd does not come up in namespaces here: {last}"
    ))
}

/// The number of the first process in systemd's namespaces; empty before there is one.
fn pid1(directory: &Path) -> String {
    let text = fs::read_to_string(directory.join("pid1")).unwrap_or_default();
    text.trim().to_owned()
}

/// True once systemd, the first process of these namespaces, has come up.
fn up(pid1: &str) -> bool {
    let asked = inside(pid1, "systemctl").arg("is-system-running").output();
    !pid1.is_empty() && asked.is_ok_and(|said| is_up(&said.stdout))
}

/// A unit that could not be started makes it "degraded", which is up all the same (systemctl(1)).
fn is_up(said: &[u8]) -> bool {
    said.starts_with(b"running") || said.starts_with(b"degraded")
}

/// A command in systemd's namespaces.
fn inside(pid1: &str, program: &str) -> Command {
    let mut command = Command::new("nsenter");
    command
        .args(["--target", pid1, "--pid", "--mount", "--cgroup"])
        .arg(program)
        .env_remove("NO_COLOR");
    command
}

/// The command that starts systemd with these units, which it finds in a directory.
fn systemd(directory: &Path, store: &[String]) -> Command {
    let units = [
        (
            "store.service",
            format!(
                "[Unit]\nDefaultDependencies=no\n[Service]\nExecStart={}\nRestart=always\n\
                 RestartSec=0\n",
                store.join(" ")
            ),
        ),
        ("default.target", "[Unit]\nWants=store.service\n".into()),
    ];
    let mut systemd = Command::new(beside("systemd.sh"));
    systemd.arg(directory);
    for (name, text) in units {
        fs::write(directory.join(name), text).unwrap();
        systemd.arg(directory.join(name));
    }
    systemd
}

impl Unit {
    fn start(settings: &[&str]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let service = Service::under(settings, |_, command| systemd(directory.path(), command));
        let pid1 = pid1(directory.path());
        Self {
            service,
            directory,
            pid1,
        }
    }

    fn attached(&self, options: &[&str]) -> Reported {
        let json = self.directory.path().join("report.json");
        let mut command = inside(&self.pid1, PLUGPULL);
        command
            .args(["attach", "-q", "--unit", "store.service", "--data-dir"])
            .arg(self.service.data())
            .args(["--connect", &format!("127.0.0.1:{}", self.service.port)])
            .args(["--rate", "2000", "--i-own-this-target", "store"])
            .args(options)
            .arg("--json")
            .arg(&json);
        reported(&mut command, &json)
    }

    /// A property of the unit (systemctl(1), show).
    fn property(&self, name: &str) -> String {
        let mut ask = inside(&self.pid1, "systemctl");
        ask.args(["show", "store.service", "--value", "-p", name]);
        let said = ask.output().unwrap().stdout;
        String::from_utf8(said).unwrap().trim().to_owned()
    }
}

#[test(needs = "systemd")]
fn a_real_systemd_brings_it_back() {
    let unit = Unit::start(&[]);
    let reported = unit.attached(&["--mode", "crash,restart", "--rounds", "2"]);
    reported.must_have_no_finding();
    assert_eq!(reported.ran.code, 0, "{:?}", reported.ran);
    await_that("it is active", || unit.property("ActiveState") == "active");
    unit.service.must_be_as_before();
}

#[test(needs = "systemd")]
fn a_real_start_limit_is_noticed_and_undone() {
    let unit = Unit::start(&[]);
    let reported = unit.attached(&["--mode", "corruption", "--in-place", "--rounds", "1"]);
    reported.must_have_no_finding();
    await_that("it is active", || unit.property("ActiveState") == "active");
    unit.service.must_be_as_before();
}

#[test(needs = "systemd")]
fn mutants_are_caught_under_a_real_systemd() {
    for (defect, kind) in [
        ("delete-not-logged", "resurrected"),
        ("stale-lock-refused", "will-not-start"),
    ] {
        let unit = Unit::start(&[&format!("defect={defect}")]);
        let reported = unit.attached(&["--mode", "crash", "--rounds", "3"]);
        assert_eq!(reported.ran.code, 1, "{:?}", reported.ran);
        let found = list(&reported.report, "findings");
        assert!(found.iter().any(|f| text(f, "kind") == kind), "{found:?}");
    }
}
