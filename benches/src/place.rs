//! The filesystems that are compared, and how work is done on each.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow, bail};
use nix::sys::statfs::{EXT4_SUPER_MAGIC, statfs};
use plugpull_faults::crashfs::{CrashFs, serve};
use plugpull_faults::sandbox::{Isolation, Program, Sandbox, SandboxOptions, SpawnRequest, Wanted};

use crate::minimal;
use crate::pin;
use crate::ramdisk::RamDisk;
use crate::row::{AGAINST_MINIMAL, Row};
use crate::work;

/// Bytes of the tmpfs.
const TMPFS_SIZE: u64 = 2 << 30;
/// Far beyond what any cell takes.
const CELL_LIMIT: Duration = Duration::from_secs(300);

/// A filesystem.
pub(crate) enum Place {
    /// plugpull's own, with the recorder's log on.
    Crash,
    /// [`minimal`].
    Minimal,
    /// A tmpfs.
    Tmpfs,
    /// A folder on this machine's disk, and the kind of filesystem it is on.
    Folder {
        /// The folder.
        dir: PathBuf,
        /// What the table calls it.
        title: &'static str,
    },
    /// ext4 on a RAM disk.
    RamDisk(RamDisk),
}

/// What the table must know of a place.
#[derive(Clone)]
pub(crate) struct Label {
    /// Its name.
    pub(crate) title: &'static str,
    /// The most that the crash filesystem may take in a row, relative to this place; none where
    /// nothing is demanded.
    pub(crate) target: fn(&Row) -> Option<f64>,
}

impl Place {
    /// A folder; the one that this program lies in when none.
    pub(crate) fn folder(dir: Option<&Path>) -> anyhow::Result<Self> {
        let dir = match dir {
            Some(dir) => dir.to_path_buf(),
            None => {
                let program = std::env::current_exe().context("finding this program")?;
                program
                    .parent()
                    .context("finding this program's folder")?
                    .to_path_buf()
            }
        };
        let found = statfs(&dir).with_context(|| format!("looking at {}", dir.display()))?;
        let is_ext4 = found.filesystem_type() == EXT4_SUPER_MAGIC;
        let title = if is_ext4 {
            "ext4 on disk"
        } else {
            "folder (not ext4)"
        };
        Ok(Self::Folder { dir, title })
    }

    /// What the table must know of it.
    pub(crate) fn label(&self) -> Label {
        let (title, target): (_, fn(&Row) -> Option<f64>) = match self {
            Self::Crash => ("crash fs", |_| None),
            Self::Minimal => ("minimal FUSE", |_| Some(AGAINST_MINIMAL)),
            Self::Tmpfs => ("tmpfs", |_| None),
            Self::Folder { title, .. } => (title, |_| None),
            Self::RamDisk(_) => ("ext4 on zram", |row| Some(row.against_ram_disk)),
        };
        Label { title, target }
    }
}

/// Where work is done: a sandbox for the filesystems that are mounted for it, and one CPU.
pub(crate) struct Machine {
    sandbox: Sandbox,
    cpu: usize,
}

impl Machine {
    /// Opens the sandbox.
    pub(crate) fn open() -> anyhow::Result<Self> {
        let options = SandboxOptions {
            isolation: Wanted::Only(Isolation::Full),
            ..SandboxOptions::default()
        };
        let sandbox = Sandbox::open(&options).context("opening a sandbox")?;
        Ok(Self {
            sandbox,
            cpu: pin::choose().context("choosing a CPU")?,
        })
    }

    /// The machine, in a sentence.
    pub(crate) fn describe(&self) -> String {
        let cpus = std::thread::available_parallelism().map_or(1, usize::from);
        let kernel = nix::sys::utsname::uname()
            .map(|name| name.release().to_string_lossy().into_owned())
            .unwrap_or_default();
        // The first two numbers: the rest names somebody's build.
        let kernel: Vec<&str> = kernel.split(['.', '-']).take(2).collect();
        format!(
            "{cpus} CPUs, Linux {}; work and server on CPU {}.",
            kernel.join("."),
            self.cpu
        )
    }

    /// Does `count` operations of a row in a new folder or filesystem, and returns how long they
    /// took.
    pub(crate) fn time(&self, place: &Place, row: &Row, count: u32) -> anyhow::Result<Duration> {
        match place {
            Place::Crash => self.served(row, count, |device| {
                serve(CrashFs::empty((0, 0), 0), device)
            }),
            Place::Minimal => self.served(row, count, minimal::serve),
            Place::Tmpfs => {
                self.sandbox.mount_tmpfs(TMPFS_SIZE)?;
                self.mounted(row, count)
            }
            Place::Folder { dir, .. } => self.outside(dir, row, count),
            Place::RamDisk(disk) => self.outside(disk.path(), row, count),
        }
    }

    /// Works on a FUSE filesystem that a pinned thread serves.
    fn served<S>(&self, row: &Row, count: u32, serve: S) -> anyhow::Result<Duration>
    where
        S: FnOnce(std::os::fd::OwnedFd) -> std::io::Result<()> + Send + 'static,
    {
        let device = self.sandbox.mount_fuse()?;
        let cpu = self.cpu;
        let server: JoinHandle<anyhow::Result<()>> = std::thread::spawn(move || {
            pin::this_thread(cpu)?;
            Ok(serve(device)?)
        });
        let took = self.mounted(row, count);
        match server.join() {
            // When the server fails, so does the work, and the server's word is the better one.
            Ok(Ok(())) => took,
            Ok(Err(error)) => Err(error.context("serving the filesystem")),
            Err(_) => Err(anyhow!("the thread that serves the filesystem panicked")),
        }
    }

    /// Works on what is mounted in the sandbox, and unmounts it.
    fn mounted(&self, row: &Row, count: u32) -> anyhow::Result<Duration> {
        let took = self.inside(row, count);
        // By force only after an error: somebody may hang in it.
        self.sandbox.unmount(took.is_err()).context("unmounting")?;
        took
    }

    fn inside(&self, row: &Row, count: u32) -> anyhow::Result<Duration> {
        let args = arguments(row, self.sandbox.data_dir(), count);
        let request = SpawnRequest {
            cpu: Some(self.cpu),
            ..SpawnRequest::new(Program::Myself, args)
        };
        let child = self.sandbox.spawn(&request)?;
        match child.wait(Instant::now() + CELL_LIMIT)? {
            Some(0) => nanos(&child.stdout()),
            Some(code) => bail!("the work ended with {code}: {}", child.output().trim()),
            None => {
                self.sandbox.signal(child.pid(), libc::SIGKILL)?;
                bail!("the work does not end")
            }
        }
    }

    /// Works in a new folder of the machine's own, outside the sandbox, where it is read-only.
    fn outside(&self, dir: &Path, row: &Row, count: u32) -> anyhow::Result<Duration> {
        let dir = tempfile::Builder::new()
            .prefix("crashfs-bench-")
            .tempdir_in(dir)
            .with_context(|| format!("making a folder in {}", dir.display()))?;
        let program = fs::canonicalize("/proc/self/exe").context("finding this program")?;
        let mut command = Command::new(program);
        command.args(arguments(row, dir.path(), count));
        let cpu = self.cpu;
        // A process starts on the CPUs of the thread that starts it.
        let output = std::thread::scope(|scope| {
            let starter = scope.spawn(|| -> anyhow::Result<_> {
                pin::this_thread(cpu)?;
                Ok(command.output()?)
            });
            starter
                .join()
                .map_err(|_| anyhow!("the thread that starts the work panicked"))?
        })?;
        if !output.status.success() {
            bail!(
                "the work ended with {}: {}",
                output.status,
                String::from_utf8_lossy(&output.stderr).trim()
            );
        }
        nanos(&String::from_utf8_lossy(&output.stdout))
    }
}

fn arguments(row: &Row, dir: &Path, count: u32) -> [String; 4] {
    [
        work::ARG.into(),
        row.name.into(),
        dir.display().to_string(),
        count.to_string(),
    ]
}

fn nanos(printed: &str) -> anyhow::Result<Duration> {
    let nanos = printed
        .trim()
        .parse()
        .with_context(|| format!("reading {printed:?}"))?;
    Ok(Duration::from_nanos(nanos))
}
