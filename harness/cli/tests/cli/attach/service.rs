//! The service under test, and calls of `plugpull attach` on it.

use std::collections::BTreeMap;
use std::fs;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use plugpull_driver::Client;
use plugpull_driver::host::client_over;
use plugpull_workloads::{Op, Txn, Write};

use crate::support::machine::{LONG, await_that};
use crate::support::{REFERENCE, Reported, plugpull, reported};

/// A file beside these tests.
pub(crate) fn beside(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/cli/attach")
        .join(name)
}

/// A port that is free now.
pub(crate) fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    listener.local_addr().unwrap().port()
}

/// A reference store with a supervisor, which keep running until this is dropped.
pub(crate) struct Service {
    pub(crate) directory: tempfile::TempDir,
    pub(crate) port: u16,
    command: Vec<String>,
    supervisor: Child,
}

impl Service {
    /// Starts it with these settings, and waits until it answers. It holds a key of somebody else.
    pub(crate) fn start(settings: &[&str]) -> Self {
        Self::under(settings, |directory, command| {
            let mut supervise = Command::new(beside("supervise.sh"));
            supervise.arg(directory.join("pid")).args(command);
            supervise
        })
    }

    /// The same under a supervisor of this command line, made from the service's directory and command
    /// line.
    pub(crate) fn under(
        settings: &[&str],
        supervise: impl FnOnce(&Path, &[String]) -> Command,
    ) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let port = free_port();
        fs::create_dir(directory.path().join("staging-db")).unwrap();
        let data = directory.path().join("staging-db").display().to_string();
        let port_text = port.to_string();
        let variable = format!("PLUGPULL_DATA_DIR={data}");
        let words = ["/usr/bin/env", &variable, REFERENCE, "--listen", &port_text];
        let command: Vec<String> = words
            .iter()
            .chain(settings)
            .map(|word| word.to_string())
            .collect();
        let supervisor = supervise(directory.path(), &command)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let pid = supervisor.id().to_string();
        fs::write(directory.path().join("supervisor"), pid).unwrap();
        let service = Self {
            directory,
            port,
            command,
            supervisor,
        };
        service.await_answer();
        let op = |(key, value): (&str, &str)| Op {
            key: key.into(),
            write: Write::Put(value.into()),
        };
        let txn = Txn {
            id: 1,
            client: 0,
            ops: vec![op(("theirs", "precious"))],
            abort: false,
        };
        let mut client = service.client().unwrap();
        client.apply(&txn, Instant::now() + LONG).unwrap();
        service
    }

    pub(crate) fn await_answer(&self) {
        await_that("the service answers", || self.client().is_some());
    }

    fn client(&self) -> Option<Box<dyn Client>> {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).ok()?;
        client_over(stream, Instant::now() + LONG).ok()
    }

    /// Everything that it holds.
    pub(crate) fn holds(&self) -> BTreeMap<String, String> {
        self.await_answer();
        let mut client = self.client().unwrap();
        client.read_all(Instant::now() + LONG).unwrap()
    }

    /// It runs, and holds what it held at the start and nothing else.
    pub(crate) fn must_be_as_before(&self) {
        let all = self.holds();
        let theirs = BTreeMap::from([("theirs".to_string(), "precious".to_string())]);
        assert_eq!(all, theirs);
        let mut names: Vec<String> = fs::read_dir(self.directory.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().display().to_string())
            .filter(|name| !name.starts_with("pid") && name != "supervisor")
            .collect();
        names.sort();
        assert_eq!(names, ["staging-db"], "something was left");
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.directory.path().join("staging-db")
    }

    /// The store's command line.
    pub(crate) fn command_line(&self) -> &[String] {
        &self.command
    }

    /// The main process.
    pub(crate) fn pid(&self) -> String {
        let file = self.directory.path().join("pid");
        // A quick service answers before its supervisor has written the file.
        await_that("its pid file", || file.is_file());
        fs::read_to_string(file).unwrap()
    }

    /// A command that starts the store on whatever directory and port it is given.
    pub(crate) fn on_copy(settings: &str) -> String {
        format!("exec {REFERENCE} --listen \"$PLUGPULL_PORT\" {settings}")
    }

    /// `plugpull attach` on this service, as it was named by its owner.
    pub(crate) fn attach(&self, options: &[&str]) -> Command {
        let pid_file = self.directory.path().join("pid").display().to_string();
        self.attach_by(&["--pid-file", &pid_file], options)
    }

    /// The same where `source` says which process it is.
    pub(crate) fn attach_by(&self, source: &[&str], options: &[&str]) -> Command {
        let mut command = plugpull();
        command
            .args(["attach", "-q", "--i-own-this-target", "staging-db"])
            .arg("--data-dir")
            .arg(self.data())
            .args(source)
            .args(["--connect", &format!("127.0.0.1:{}", self.port)])
            .args(["--rate", "2000"])
            .args(options);
        command
    }

    /// The same, run to its end, with its report.
    pub(crate) fn attached(&self, options: &[&str]) -> Reported {
        with_report(self.attach(options))
    }
}

/// Runs a command to its end, with its report.
pub(crate) fn with_report(mut command: Command) -> Reported {
    let place = tempfile::tempdir().unwrap();
    let json = place.path().join("report.json");
    reported(command.arg("--json").arg(&json), &json)
}

impl Drop for Service {
    #[expect(
        clippy::let_underscore_must_use,
        reason = "the supervisor may have ended already"
    )]
    fn drop(&mut self) {
        // It may have a successor.
        let last = fs::read_to_string(self.directory.path().join("supervisor"));
        if let Some(pid) = last.ok().and_then(|text| text.trim().parse().ok()) {
            let _ = kill(Pid::from_raw(pid), Signal::SIGTERM);
        }
        let _ = self.supervisor.wait();
    }
}
