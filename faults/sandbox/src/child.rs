//! A process in the sandbox, as its supervisor sees it.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use parking_lot::{Condvar, Mutex};
use serde::{Deserialize, Serialize};

use super::error::SandboxError;
use super::output::Output;

/// Which program to run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Program {
    /// plugpull's own binary, by a descriptor that was opened when the sandbox was: it runs even
    /// if the file has been replaced since.
    Myself,
    /// A program by absolute path.
    Path(PathBuf),
}

/// A limit of setrlimit(2); soft and hard are set alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Limit {
    /// Bytes of address space.
    AddressSpace,
    /// Bytes of a core file; 0 unless set.
    CoreSize,
    /// Bytes of the largest file; beyond it come SIGXFSZ and EFBIG.
    FileSize,
    /// Open files.
    OpenFiles,
}

/// What to start, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpawnRequest {
    /// The program.
    pub program: Program,
    /// Its arguments, without argument zero.
    pub args: Vec<String>,
    /// Variables added to a minimal environment (`PATH`, `LANG`, `HOME`, `TMPDIR`).
    pub env: Vec<(String, String)>,
    /// Its working directory; the data directory when none.
    pub cwd: Option<PathBuf>,
    /// The CPU to run on, by number; any when none.
    pub cpu: Option<usize>,
    /// Its `oom_score_adj` (proc(5)), -1000 to 1000. When none: 1000 in the cgroup, so that the
    /// kernel kills it first; the sandbox's own elsewhere.
    pub oom_score_adj: Option<i32>,
    /// Its limits.
    pub limits: Vec<(Limit, u64)>,
    /// Put it in the sandbox's cgroup: needed for [`super::MemoryLimit`], and only possible after
    /// [`super::Sandbox::memory`].
    pub cgroup: bool,
    /// The uid and gid to run as; the sandbox's own when none. Only root can choose.
    pub user: Option<(u32, u32)>,
    /// Its lines are read ([`Child::stdout_line`]): none is lost, and it waits while too many are
    /// unread. Otherwise its output is always taken at once, and only its head and tail are kept.
    pub reads_lines: bool,
}

impl SpawnRequest {
    /// A request with arguments and nothing else out of the ordinary.
    pub fn new<A: Into<String>>(program: Program, args: impl IntoIterator<Item = A>) -> Self {
        Self {
            program,
            args: args.into_iter().map(Into::into).collect(),
            env: Vec::new(),
            cwd: None,
            cpu: None,
            oom_score_adj: None,
            limits: Vec::new(),
            cgroup: false,
            user: None,
            reads_lines: false,
        }
    }
}

/// How a process stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Life {
    Alive,
    /// Exit code, or 128 + signal.
    Ended(i32),
    /// The sandbox ended before it said how the process did.
    Lost,
}

/// Where the end of a process is made known.
pub(super) struct Ending {
    life: Mutex<Life>,
    changed: Condvar,
}

impl Ending {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self {
            life: Mutex::new(Life::Alive),
            changed: Condvar::new(),
        })
    }

    /// Makes the end known, the first time.
    pub(super) fn set(&self, end: Life) {
        let mut life = self.life.lock();
        if *life == Life::Alive {
            *life = end;
        }
        self.changed.notify_all();
    }

    /// The exit code, or 128 + signal; none when it is alive at `deadline`.
    pub(super) fn wait(&self, deadline: Instant) -> io::Result<Option<i32>> {
        let mut life = self.life.lock();
        loop {
            match *life {
                Life::Ended(code) => return Ok(Some(code)),
                Life::Lost => return Err(SandboxError::Gone.into()),
                Life::Alive => {}
            }
            if self.changed.wait_until(&mut life, deadline).timed_out() && *life == Life::Alive {
                return Ok(None);
            }
        }
    }
}

/// A process that [`super::Sandbox::spawn`] started. Dropping it does not stop the process: the
/// sandbox does.
pub struct Child {
    pub(super) pid: i32,
    pub(super) ending: Arc<Ending>,
    pub(super) output: Arc<Output>,
}

impl Child {
    /// Its pid in the sandbox, which is what a FUSE server sees too.
    pub fn pid(&self) -> i32 {
        self.pid
    }

    /// Waits until it has ended: its exit code, or 128 + the signal's number; none when `deadline`
    /// passes first.
    pub fn wait(&self, deadline: Instant) -> io::Result<Option<i32>> {
        self.ending.wait(deadline)
    }

    /// The next line of its standard output, without the line end; none at end of file.
    /// [`io::ErrorKind::TimedOut`] when `deadline` passes first, [`io::ErrorKind::Unsupported`] where
    /// lines are not read: see [`SpawnRequest::reads_lines`].
    pub fn stdout_line(&self, deadline: Instant) -> io::Result<Option<String>> {
        self.output.line(deadline)
    }

    /// Nobody reads its lines from here on: those that are unread are dropped, and it is never held up.
    pub fn ignore_lines(&self) {
        self.output.ignore_lines();
    }

    /// What waits until all lines that it has written are read and whoever reads them asks for the next
    /// one, a second at most. Where nobody reads lines it does nothing.
    pub fn catch_up(&self) -> Arc<dyn Fn() + Send + Sync> {
        let output = Arc::downgrade(&self.output);
        Arc::new(move || {
            if let Some(output) = output.upgrade() {
                output.catch_up();
            }
        })
    }

    /// Whether its lines waited in a buffer of its own until that was full: they came late. Only known
    /// while they are read.
    pub fn buffered(&self) -> bool {
        self.output.buffered()
    }

    /// Whether somebody waited in vain for the reader of its lines ([`Child::catch_up`]). Only known while
    /// they are read.
    pub fn read_late(&self) -> bool {
        self.output.read_late()
    }

    /// What it has written to standard output so far: the first and the last 64 KiB.
    pub fn stdout(&self) -> String {
        self.output.text().0
    }

    /// What it has written to standard error so far: the first and the last 64 KiB.
    pub fn stderr(&self) -> String {
        self.output.text().1
    }

    /// Standard output, then standard error.
    pub fn output(&self) -> String {
        let (mut out, err) = self.output.text();
        if !out.is_empty() && !out.ends_with('\n') && !err.is_empty() {
            out.push('\n');
        }
        out + &err
    }
}

impl Drop for Child {
    /// What nobody can read any more holds nobody up.
    fn drop(&mut self) {
        self.output.ignore_lines();
    }
}
