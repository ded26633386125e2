//! A host outside any sandbox: drivers run as plain processes, with plugpull's own environment,
//! because what they connect with (an address, credentials, a socket) is in it.

use std::io::{self, ErrorKind, PipeReader, Read};
use std::net::TcpStream;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use plugpull_driver::{Host, Launch, Part, Pipes, Process};

use super::shell::kill_group;

/// How much of what a driver says on standard error is kept, in bytes.
const KEPT: usize = 16 << 10;
/// How often it is looked whether a driver has ended.
const LOOK: Duration = Duration::from_millis(5);

/// The machine itself.
#[derive(Clone, Debug)]
pub(super) struct LocalHost {
    /// The data directory as drivers see it; none that is needed here.
    pub(super) data_dir: PathBuf,
    /// Variables for drivers.
    pub(super) env: Vec<(String, String)>,
}

impl Host for LocalHost {
    fn spawn(&self, _launch: &Launch) -> io::Result<Box<dyn Process>> {
        // The service is started by somebody else.
        Err(ErrorKind::Unsupported.into())
    }

    fn spawn_piped(&self, launch: &Launch, _part: Part) -> io::Result<(Box<dyn Process>, Pipes)> {
        let (its_stdin, stdin) = io::pipe()?;
        let (stdout, its_stdout) = io::pipe()?;
        let (errors, its_errors) = io::pipe()?;
        let mut command = Command::new(&launch.program);
        command
            .args(&launch.args)
            .envs(launch.env.iter().map(|(name, value)| (name, value)))
            .envs(self.env.iter().map(|(name, value)| (name, value)))
            .stdin(its_stdin)
            .stdout(its_stdout)
            .stderr(its_errors)
            // Ctrl-C is for plugpull.
            .process_group(0);
        let child = command.spawn()?;
        // It holds the other ends of the pipes.
        drop(command);
        let said = Arc::new(Mutex::new(Vec::new()));
        let heard = Arc::clone(&said);
        std::thread::Builder::new()
            .name("driver errors".into())
            .spawn(move || hear(errors, &heard))?;
        Ok((Box::new(Plain { child, said }), Pipes { stdin, stdout }))
    }

    fn connect(&self, _port: u16) -> io::Result<TcpStream> {
        Err(ErrorKind::Unsupported.into())
    }

    fn data_dir(&self) -> &Path {
        &self.data_dir
    }
}

/// Keeps the end of what is read.
fn hear(mut errors: PipeReader, said: &Mutex<Vec<u8>>) {
    let mut chunk = [0; 4096];
    while let Ok(read @ 1..) = errors.read(&mut chunk) {
        let mut said = said.lock();
        said.extend_from_slice(&chunk[..read]);
        let extra = said.len().saturating_sub(KEPT);
        said.drain(..extra);
    }
}

/// A driver; killed with all it started when it is dropped.
struct Plain {
    child: Child,
    said: Arc<Mutex<Vec<u8>>>,
}

impl Process for Plain {
    fn stdout_line(&mut self, _deadline: Instant) -> io::Result<Option<String>> {
        Err(ErrorKind::Unsupported.into())
    }

    fn wait(&mut self, deadline: Instant) -> io::Result<Option<i32>> {
        loop {
            if let Some(status) = self.child.try_wait()? {
                let code = status.code();
                return Ok(Some(
                    code.unwrap_or_else(|| 128 + status.signal().unwrap_or(0)),
                ));
            }
            if Instant::now() >= deadline {
                return Ok(None);
            }
            std::thread::sleep(LOOK);
        }
    }

    fn output(&self) -> String {
        String::from_utf8_lossy(&self.said.lock()).into_owned()
    }
}

impl Drop for Plain {
    fn drop(&mut self) {
        kill_group(&mut self.child);
    }
}
