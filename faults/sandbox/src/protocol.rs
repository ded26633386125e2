//! The messages between the supervisor, the janitor and init.
//!
//! Each is one JSON text in one packet of a `SOCK_SEQPACKET` socket; descriptors travel with it.

use std::io;
use std::path::PathBuf;

use nix::errno::Errno;
use serde::{Deserialize, Serialize};

use super::cgroup::CgroupVersion;
use super::child::{Limit, Program, SpawnRequest};
use super::elsewhere::WrittenElsewhere;
use super::error::SandboxError;
use super::usage::Usage;

/// A call of the kernel that failed, in a form that can cross a socket.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Failure {
    /// What was tried: "mount a FUSE filesystem".
    pub(super) what: String,
    /// The kernel's error number.
    pub(super) errno: i32,
}

impl Failure {
    pub(super) fn new(what: impl Into<String>, errno: Errno) -> Self {
        Self {
            what: what.into(),
            errno: errno as i32,
        }
    }

    pub(super) fn io(what: impl Into<String>, error: &io::Error) -> Self {
        Self {
            what: what.into(),
            errno: error.raw_os_error().unwrap_or(libc::EIO),
        }
    }
}

impl From<Failure> for SandboxError {
    fn from(failure: Failure) -> Self {
        Self::Refused {
            what: failure.what,
            source: io::Error::from_raw_os_error(failure.errno),
        }
    }
}

/// Names what failed.
pub(super) trait During<T> {
    /// Turns the error into a [`Failure`] to do `what`.
    fn during(self, what: &str) -> Result<T, Failure>;
}

impl<T> During<T> for nix::Result<T> {
    fn during(self, what: &str) -> Result<T, Failure> {
        self.map_err(|errno| Failure::new(what, errno))
    }
}

impl<T> During<T> for io::Result<T> {
    fn during(self, what: &str) -> Result<T, Failure> {
        self.map_err(|error| Failure::io(what, &error))
    }
}

/// What the supervisor asks the janitor for.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum ToJanitor {
    /// The first message: what to set up.
    SetUp(SetUp),
    /// A cgroup with a memory limit, named for the supervisor's pid and a number of its choice.
    MakeCgroup { supervisor: u32, number: u64 },
    /// A process that forks targets; the packet carries its standard input, a socket.
    ForkParent(ProgramSpec),
}

/// The sandbox to build.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct SetUp {
    /// True for namespaces, false for none.
    pub(super) full: bool,
    /// Enter a user namespace even where root could do without.
    pub(super) user_namespace: bool,
    /// The directory to cover with a private tmpfs.
    pub(super) base: PathBuf,
    /// Programs that must stay visible.
    pub(super) programs: Vec<PathBuf>,
}

/// What the janitor answers.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum FromJanitor {
    /// The cgroup, with its `cgroup.procs` open for writing as the packet's descriptor.
    Cgroup {
        version: CgroupVersion,
        dir: PathBuf,
    },
    /// No cgroup is available, and why.
    NoCgroup(String),
}

/// What a process that will fork targets says before it becomes its program.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum FromParent {
    /// Its number outside of the sandbox, and the inode of its socket. The packet carries what tells of
    /// its calls, where that is available.
    Ready { pid: i32, socket: u64 },
    /// It could not be started.
    Failed(Failure),
}

/// A request to init.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct ToInit {
    /// Comes back with the answer.
    pub(super) id: u64,
    pub(super) command: Command,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Command {
    /// Mount a FUSE filesystem on the data directory; the answer carries the device.
    MountFuse,
    /// Mount a tmpfs of so many bytes on the data directory.
    MountTmpfs { size: u64 },
    /// Open once more what a process has open under this number; the answer carries it.
    Reopen { pid: u32, fd: i32 },
    /// Unmount the data directory.
    Unmount { force: bool },
    /// Start a target; the packet carries its standard input, output and error, and where it is to
    /// wait, the gate: it waits for a byte from there.
    Spawn(ProgramSpec),
    /// Watch a process of this number, which was forked from outside, as one that was started.
    Adopt { pid: i32 },
    /// Kill all processes and wait until they are reaped.
    KillAll,
    /// Let the next process have this number, if nobody has it.
    NumberFrom { pid: i32 },
    /// Send a signal to a process, or to every process but init.
    Signal { pid: i32, signal: i32, tree: bool },
    /// A fresh TCP socket of the sandbox's network; the answer carries it.
    Socket,
    /// Say which files were written outside of the data directory since this moment.
    Elsewhere { since: u64 },
    /// Empty what processes can write to outside of the data directory. All of them must be dead.
    Renew,
    /// Say what all processes have used so far.
    Usage,
    /// Use the packet's descriptor, an open `cgroup.procs`, for processes that ask for it.
    UseCgroup,
    /// Start a process in the cgroup that allocates so many bytes and then waits to be killed.
    Ballast { bytes: u64 },
    /// Unmount everything, kill everything, end.
    Shutdown,
}

impl Command {
    /// What it asks for, for errors.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::MountFuse => "mounting a FUSE filesystem",
            Self::MountTmpfs { .. } => "mounting a tmpfs",
            Self::Reopen { .. } => "opening a file of a target",
            Self::Unmount { .. } => "unmounting the data directory",
            Self::Spawn(_) => "starting a process",
            Self::Adopt { .. } => "watching a forked process",
            Self::KillAll => "killing all processes",
            Self::NumberFrom { .. } => "choosing the next process number",
            Self::Signal { .. } => "sending a signal",
            Self::Socket => "making a socket",
            Self::Elsewhere { .. } => "looking for files outside of the data directory",
            Self::Renew => "emptying what lies outside of the data directory",
            Self::Usage => "asking what processes use",
            Self::UseCgroup => "handing over the cgroup",
            Self::Ballast { .. } => "starting the ballast",
            Self::Shutdown => "ending the sandbox",
        }
    }
}

/// The program to start, and how.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ProgramSpec {
    /// The program; plugpull's own binary when none.
    pub(super) program: Option<PathBuf>,
    pub(super) args: Vec<String>,
    pub(super) env: Vec<(String, String)>,
    pub(super) cwd: Option<PathBuf>,
    pub(super) cpu: Option<usize>,
    pub(super) oom_score_adj: Option<i32>,
    pub(super) limits: Vec<(Limit, u64)>,
    pub(super) cgroup: bool,
    pub(super) user: Option<(u32, u32)>,
    /// So many bytes of the data directory's files are read ahead of a wait at the gate.
    pub(super) readahead: u64,
    /// The last of its streams is a socket to what will trace it.
    pub(super) traced: bool,
}

impl From<&SpawnRequest> for ProgramSpec {
    fn from(request: &SpawnRequest) -> Self {
        Self {
            program: match &request.program {
                Program::Myself => None,
                Program::Path(path) => Some(path.clone()),
            },
            args: request.args.clone(),
            env: request.env.clone(),
            cwd: request.cwd.clone(),
            cpu: request.cpu,
            oom_score_adj: request.oom_score_adj.or(request.cgroup.then_some(1000)),
            limits: request.limits.clone(),
            cgroup: request.cgroup,
            user: request.user,
            readahead: 0,
            traced: false,
        }
    }
}

/// What init sends.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum FromInit {
    /// The sandbox stands.
    Ready(Ready),
    /// It does not, and will not.
    Failed(Failure),
    /// The answer to a request.
    Answer {
        id: u64,
        result: Result<Answer, Failure>,
    },
    /// A process started by `Spawn` or `Ballast` has ended: its exit code, or 128 + signal.
    Exited { pid: i32, code: i32 },
}

/// How the sandbox stands.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Ready {
    /// The data directory, by the path that targets see.
    pub(super) data: PathBuf,
    /// Whether there is a user namespace.
    pub(super) user_namespace: bool,
    /// How `/tmp` was made private: "overlay", "tmpfs", or "read-only"; "shared" without mounts.
    pub(super) tmp: String,
    /// What is not available, and was done without.
    pub(super) notes: Vec<String>,
    /// Why the sandbox does not hear of calls that no filesystem hears of; none where it is, and
    /// the packet carries what tells of them.
    pub(super) deaf: Option<Failure>,
    /// Whether the packet carries the directory `/proc` of the sandbox, before the other.
    pub(super) proc: bool,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) enum Answer {
    Done,
    /// What was written outside of the data directory.
    Elsewhere(WrittenElsewhere),
    /// What all processes have used so far.
    Usage(Usage),
    /// A process started, by its pid in the sandbox.
    Started(i32),
}
