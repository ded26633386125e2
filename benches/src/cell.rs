//! One cell of a filesystem that is mounted for it in a sandbox, as plugpull does for a trial.
//!
//! Each cell is a process of its own, so that no server profits from memory that an earlier
//! round left it.

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow, bail};
use plugpull_crashsim::fs::Disk;
use plugpull_sandbox::fuse::{AdmitAll, CrashFs, Server};
use plugpull_sandbox::{
    Isolation, IsolationPolicy, Program, Sandbox, SandboxOptions, SpawnRequest,
};

use crate::row::Row;
use crate::{minimal, row, work};
use plugpull_sandbox::pin;

/// The argument that makes this program fill a cell: `__cell KIND ROW COUNT`. It prints the
/// nanoseconds that the operations took, and nothing else.
pub(crate) const ARG: &str = "__cell";

/// Bytes of the tmpfs.
const TMPFS_SIZE: u64 = 2 << 30;
/// Far beyond what any cell takes.
const LIMIT: Duration = Duration::from_secs(300);

/// What is mounted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The crash filesystem, with its log on.
    Crash,
    /// [`minimal`].
    Minimal,
    /// A tmpfs.
    Tmpfs,
}

impl Kind {
    const ALL: [Self; 3] = [Self::Crash, Self::Minimal, Self::Tmpfs];

    /// What the arguments call it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Crash => "crash",
            Self::Minimal => "minimal",
            Self::Tmpfs => "tmpfs",
        }
    }
}

/// Fills the cell that the arguments behind [`ARG`] name.
pub(crate) fn main(args: &[String]) -> anyhow::Result<()> {
    let [kind, row, count] = args else {
        bail!("{ARG} wants a kind, a row and a count");
    };
    let kind = Kind::ALL.into_iter().find(|known| known.name() == kind);
    let kind = kind.context("the kind")?;
    let count = count.parse().context("the count")?;
    let took = Cell::open(row::named(row)?, count)?.time(kind)?;
    println!("{}", took.as_nanos());
    Ok(())
}

struct Cell {
    sandbox: Sandbox,
    cpu: usize,
    row: &'static Row,
    count: u32,
}

impl Cell {
    fn open(row: &'static Row, count: u32) -> anyhow::Result<Self> {
        let options = SandboxOptions {
            isolation: IsolationPolicy::Only(Isolation::Full),
            ..SandboxOptions::default()
        };
        let sandbox = Sandbox::open(&options).context("opening a sandbox")?;
        let cpu = pin::all().pop().context("the kernel names no CPU")?;
        Ok(Self {
            sandbox,
            cpu,
            row,
            count,
        })
    }

    fn time(&self, kind: Kind) -> anyhow::Result<Duration> {
        match kind {
            Kind::Crash => {
                let fs = Arc::new(CrashFs::new(Disk::empty((0, 0)), Arc::new(AdmitAll)));
                self.served(|device| Ok(Server::start(fs, device, None)?.join()?))
            }
            Kind::Minimal => self.served(|device| Ok(minimal::serve(device)?)),
            Kind::Tmpfs => {
                self.sandbox
                    .mount_tmpfs(TMPFS_SIZE)
                    .context("mounting a tmpfs")?;
                self.work()
            }
        }
    }

    /// Works on a FUSE filesystem that a pinned thread serves.
    fn served<S>(&self, serve: S) -> anyhow::Result<Duration>
    where
        S: FnOnce(OwnedFd) -> anyhow::Result<()> + Send + 'static,
    {
        let device = self
            .sandbox
            .mount_fuse()
            .context("mounting a FUSE filesystem")?;
        let cpu = self.cpu;
        let server = std::thread::spawn(move || -> anyhow::Result<()> {
            pin::this_thread(cpu)?;
            serve(device)
        });
        let took = self.work();
        // By force only after an error: somebody may hang in it.
        self.sandbox.unmount(took.is_err()).context("unmounting")?;
        match server.join() {
            Ok(Ok(())) => took,
            // When the server fails so does the work, and the server's word is the better one.
            Ok(Err(error)) => Err(error.context("serving the filesystem")),
            Err(_) => Err(anyhow!("the thread that serves the filesystem panicked")),
        }
    }

    /// Works in the data directory, on the server's CPU.
    fn work(&self) -> anyhow::Result<Duration> {
        let args = work::arguments(self.row, self.sandbox.data_dir(), self.count);
        let request = SpawnRequest {
            cpu: Some(self.cpu),
            ..SpawnRequest::new(Program::Myself, args)
        };
        let child = self.sandbox.spawn(&request).context("starting the work")?;
        match child.wait(Instant::now() + LIMIT)? {
            Some(0) => work::took(&child.stdout()),
            Some(code) => bail!("the work ended with {code}: {}", child.output().trim()),
            None => bail!("the work does not end"),
        }
    }
}
