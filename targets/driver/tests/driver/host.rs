//! A host of plain processes with pipes, without a sandbox.

use std::io::{self, ErrorKind, PipeReader, Read};
use std::net::TcpStream;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Instant;

use plugpull_driver::conformance::Stand;
use plugpull_driver::host::{CommandLine, Commands};
use plugpull_driver::{Host, Launch, Part, Pipes, Process};

/// Starts processes in a temporary directory, and kills them.
pub(crate) struct PlainHost {
    directory: tempfile::TempDir,
    pids: Mutex<Vec<(u32, Part)>>,
    ended: Arc<Mutex<Vec<u32>>>,
}

impl PlainHost {
    pub(crate) fn new() -> Self {
        Self {
            directory: tempfile::tempdir().unwrap(),
            pids: Mutex::default(),
            ended: Arc::default(),
        }
    }

    /// Who was started, in order.
    pub(crate) fn parts(&self) -> Vec<Part> {
        self.pids
            .lock()
            .unwrap()
            .iter()
            .map(|(_, part)| *part)
            .collect()
    }

    fn begin(&self, mut command: Command, part: Part) -> io::Result<Plain> {
        let (errors, stderr) = io::pipe()?;
        let child = command.stderr(stderr).spawn()?;
        // The command holds the other ends of the pipes.
        drop(command);
        self.pids.lock().unwrap().push((child.id(), part));
        Ok(Plain::new(child, errors, Arc::clone(&self.ended)))
    }

    fn command(&self, launch: &Launch) -> Command {
        let mut command = Command::new(&launch.program);
        command.args(&launch.args).envs(launch.env.clone());
        command.current_dir(self.directory.path());
        command
    }
}

impl Host for PlainHost {
    fn spawn(&self, launch: &Launch) -> io::Result<Box<dyn Process>> {
        let mut command = self.command(launch);
        command.stdin(Stdio::null()).stdout(Stdio::null());
        Ok(Box::new(self.begin(command, Part::Target)?))
    }

    fn spawn_piped(&self, launch: &Launch, part: Part) -> io::Result<(Box<dyn Process>, Pipes)> {
        let (its_stdin, stdin) = io::pipe()?;
        let (stdout, its_stdout) = io::pipe()?;
        let mut command = self.command(launch);
        command.stdin(its_stdin).stdout(its_stdout);
        let process = self.begin(command, part)?;
        Ok((Box::new(process), Pipes { stdin, stdout }))
    }

    fn connect(&self, _port: u16) -> io::Result<TcpStream> {
        Err(ErrorKind::Unsupported.into())
    }

    fn data_dir(&self) -> &Path {
        self.directory.path()
    }
}

impl Stand for PlainHost {
    fn host(&self) -> &dyn Host {
        self
    }

    fn kill(&self) -> io::Result<()> {
        for (pid, _) in self.pids.lock().unwrap().drain(..) {
            if !self.ended.lock().unwrap().contains(&pid) {
                // Its parent still waits for it, so the number is no other process's.
                Command::new("kill")
                    .args(["-KILL", &pid.to_string()])
                    .stderr(Stdio::null())
                    .status()?;
            }
        }
        Ok(())
    }
}

impl Drop for PlainHost {
    fn drop(&mut self) {
        if let Err(error) = self.kill() {
            eprintln!("a driver may be left: {error}");
        }
    }
}

struct Plain {
    end: Receiver<i32>,
    code: Option<i32>,
    said: Arc<Mutex<String>>,
}

impl Plain {
    fn new(mut child: Child, mut errors: PipeReader, ended: Arc<Mutex<Vec<u32>>>) -> Self {
        let said = Arc::new(Mutex::new(String::new()));
        let (tell, end) = mpsc::channel();
        let heard = Arc::clone(&said);
        thread::spawn(move || {
            let mut text = String::new();
            if let Err(error) = errors.read_to_string(&mut text) {
                text.push_str(&format!("[standard error: {error}]"));
            }
            heard.lock().unwrap().push_str(&text);
            let status = child.wait().unwrap();
            ended.lock().unwrap().push(child.id());
            let signal = || 128 + status.signal().unwrap_or(0);
            #[expect(
                clippy::let_underscore_must_use,
                reason = "the host may be gone, and then nobody asks"
            )]
            let _ = tell.send(status.code().unwrap_or_else(signal));
        });
        Self {
            end,
            code: None,
            said,
        }
    }
}

impl Process for Plain {
    fn stdout_line(&mut self, _deadline: Instant) -> io::Result<Option<String>> {
        Ok(None)
    }

    fn wait(&mut self, deadline: Instant) -> io::Result<Option<i32>> {
        if self.code.is_none() {
            let left = deadline.saturating_duration_since(Instant::now());
            self.code = match self.end.recv_timeout(left) {
                Ok(code) => Some(code),
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => return Err(ErrorKind::BrokenPipe.into()),
            };
        }
        Ok(self.code)
    }

    fn output(&self) -> String {
        self.said.lock().unwrap().clone()
    }
}

/// This program, as a driver with a flaw.
pub(crate) fn driver(flaw: &str) -> CommandLine {
    program(std::env::current_exe().unwrap(), flaw)
}

/// Another program.
pub(crate) fn program(path: PathBuf, flaw: &str) -> CommandLine {
    CommandLine {
        program: path,
        args: vec![format!("--driver={flaw}")],
    }
}

/// Only a driver.
pub(crate) fn alone(driver: CommandLine) -> Commands {
    Commands {
        driver,
        daemon: None,
    }
}
