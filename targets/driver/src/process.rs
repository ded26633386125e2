//! The processes of a target, and the host that starts them.

use std::io::{self, PipeReader, PipeWriter};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

/// How to start a process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Launch {
    /// The program, by its absolute path.
    pub program: PathBuf,
    /// Its arguments, without argument zero.
    pub args: Vec<String>,
    /// Variables added to a minimal environment.
    pub env: Vec<(String, String)>,
    /// Its working directory; the data directory when none.
    pub cwd: Option<PathBuf>,
    /// Its lines are read ([`Process::stdout_line`]): none is lost, and it waits while too many are
    /// unread. Otherwise its output is always taken at once, and only its head and tail are kept.
    pub reads_lines: bool,
    /// It can be forked from one that has loaded what it needs, instead of being started; a host need not
    /// do so.
    pub forks: bool,
    /// What is forked ends as a started one does, so that how it closes its store says as much.
    pub fork_exits: bool,
}

/// A process that a [`Host`] started.
pub trait Process: Send {
    /// The next line of its standard output, without the line end; none at end of file.
    /// [`io::ErrorKind::TimedOut`] when `deadline` passes first.
    /// Of a process whose [`Launch::reads_lines`] is false there may be none.
    fn stdout_line(&mut self, deadline: Instant) -> io::Result<Option<String>>;
    /// Whether its lines waited in a buffer of its own until that was full: they came late.
    fn buffered(&self) -> bool {
        false
    }
    /// What waits, a limited time, until all lines that it has written so far are read and done with; none
    /// where that cannot be known.
    fn catch_up(&self) -> Option<Arc<dyn Fn() + Send + Sync>> {
        None
    }
    /// Whether that was waited for in vain: a line may count from later than it was written.
    fn read_late(&self) -> bool {
        false
    }
    /// Nobody reads its lines from here on: it is never held up by those that are unread.
    fn ignore_lines(&mut self) {}
    /// Waits until it has ended: its exit code, or 128 + the signal's number; none when
    /// `deadline` passes first.
    fn wait(&mut self, deadline: Instant) -> io::Result<Option<i32>>;
    /// The end of what it has written to standard output and standard error so far.
    fn output(&self) -> String;
    /// What tells why it ended: what it has written to standard error, or where that is nothing or
    /// is not kept apart, all that it has written.
    fn complaint(&self) -> String {
        self.output()
    }
}

/// What a process is given to read.
#[derive(Clone, Copy, Debug)]
pub struct Input<'a> {
    /// The variable that names the file with the text.
    pub variable: &'a str,
    /// The text; it is the process's standard input too.
    pub text: &'a str,
}

/// The other ends of a process's standard input and standard output.
#[derive(Debug)]
pub struct Pipes {
    /// What is written here, it reads.
    pub stdin: PipeWriter,
    /// What it writes, is read here.
    pub stdout: PipeReader,
}

/// Which part a process plays in a trial.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// It is the target: its end is the target's end.
    Target,
    /// It only speaks for the target. It is killed with it, and no fault is aimed at it alone.
    Beside,
}

/// Where a target lives: the sandbox, seen from inside.
pub trait Host: Send + Sync {
    /// Starts the target's process in the sandbox: the one that faults are about.
    fn spawn(&self, launch: &Launch) -> io::Result<Box<dyn Process>>;
    /// Starts a process beside the target, as [`Part::Beside`]: one that asks, writes or looks. A
    /// host need not be able to: [`io::ErrorKind::Unsupported`].
    fn spawn_beside(
        &self,
        launch: &Launch,
        input: Option<Input<'_>>,
    ) -> io::Result<Box<dyn Process>> {
        let _ = (launch, input);
        Err(io::ErrorKind::Unsupported.into())
    }
    /// Starts a process whose standard input and standard output are pipes. A host need not be able
    /// to: [`io::ErrorKind::Unsupported`].
    fn spawn_piped(&self, launch: &Launch, part: Part) -> io::Result<(Box<dyn Process>, Pipes)> {
        let _ = (launch, part);
        Err(io::ErrorKind::Unsupported.into())
    }
    /// Connects to a TCP port of the sandbox's own loopback.
    fn connect(&self, port: u16) -> io::Result<TcpStream>;
    /// The data directory, by the path the target sees.
    fn data_dir(&self) -> &Path;
}
