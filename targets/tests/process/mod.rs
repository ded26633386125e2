//! A host of plain processes, without a sandbox: the worker is this test binary, executed again.

use std::io::{self, BufRead, BufReader, ErrorKind, Read};
use std::net::{Ipv4Addr, TcpStream};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use plugpull_targets::{Host, Launch, Process, Program};

/// Carries the worker's arguments, one a line, to [`become_worker`].
const ARGUMENTS: &str = "PLUGPULL_TEST_WORKER";

/// To be called by a test named `worker`: it is one when executed by [`PlainHost`].
pub(crate) fn become_worker() {
    if let Ok(arguments) = std::env::var(ARGUMENTS) {
        // The test runner has begun a line of its own: "test worker ... ".
        println!();
        let arguments: Vec<String> = arguments.lines().map(str::to_owned).collect();
        std::process::exit(plugpull_targets::worker::worker_main(&arguments));
    }
}

/// Starts workers on a folder.
pub(crate) struct PlainHost {
    pub(crate) dir: PathBuf,
}

impl Host for PlainHost {
    fn spawn(&self, launch: &Launch) -> io::Result<Box<dyn Process>> {
        assert_eq!(launch.program, Program::Myself);
        assert_eq!(launch.args[0], plugpull_targets::worker::WORKER);
        let mut child = Command::new(std::env::current_exe()?)
            .args(["--exact", "worker", "--nocapture", "--test-threads=1"])
            .env(ARGUMENTS, launch.args[1..].join("\n"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        let output = Arc::new(Mutex::new(String::new()));
        let (send, lines) = mpsc::channel();
        let stdout = child.stdout.take().unwrap();
        thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if send.send(line).is_err() {
                    break;
                }
            }
        });
        let mut stderr = child.stderr.take().unwrap();
        let said = Arc::clone(&output);
        let reader = thread::spawn(move || {
            let mut text = String::new();
            let _ = stderr.read_to_string(&mut text);
            said.lock().unwrap().push_str(&text);
        });
        Ok(Box::new(PlainProcess {
            child,
            lines,
            output,
            reader: Some(reader),
        }))
    }

    fn connect(&self, port: u16) -> io::Result<TcpStream> {
        TcpStream::connect((Ipv4Addr::LOCALHOST, port))
    }

    fn data_dir(&self) -> &Path {
        &self.dir
    }
}

/// Killed when dropped, by SIGKILL: every restart in these tests is one after a crash.
struct PlainProcess {
    child: Child,
    lines: Receiver<String>,
    output: Arc<Mutex<String>>,
    reader: Option<thread::JoinHandle<()>>,
}

impl Process for PlainProcess {
    fn stdout_line(&mut self, deadline: Instant) -> io::Result<Option<String>> {
        match self
            .lines
            .recv_timeout(deadline.saturating_duration_since(Instant::now()))
        {
            Ok(line) => Ok(Some(line)),
            Err(RecvTimeoutError::Disconnected) => Ok(None),
            Err(RecvTimeoutError::Timeout) => Err(ErrorKind::TimedOut.into()),
        }
    }

    fn wait(&mut self, _deadline: Instant) -> io::Result<Option<i32>> {
        // Only called after the end of its output.
        let status = self.child.wait()?;
        if let Some(reader) = self.reader.take() {
            let _ = reader.join();
        }
        Ok(Some(
            status
                .code()
                .unwrap_or_else(|| 128 + status.signal().unwrap_or(0)),
        ))
    }

    fn output(&self) -> String {
        self.output.lock().unwrap().clone()
    }
}

impl Drop for PlainProcess {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Far enough away never to pass in a test that works.
pub(crate) fn later() -> Instant {
    Instant::now() + Duration::from_secs(60)
}
