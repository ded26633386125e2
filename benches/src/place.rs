//! The filesystems that are compared, and the process that does a row's work on each.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use nix::sys::statfs::{EXT4_SUPER_MAGIC, statfs};

use crate::cell::{self, Kind};
use crate::ramdisk::RamDisk;
use crate::row::{AGAINST_MINIMAL, Row};
use crate::work;
use plugpull_sandbox::pin;

/// One in so many operations is done on the machine's own disk.
const DISK_SHARE: u32 = 5;

/// A filesystem.
pub(crate) enum Place {
    /// One that is mounted for each cell, in a sandbox.
    Mounted(Kind),
    /// A directory on this machine's disk.
    Directory {
        /// The directory.
        dir: PathBuf,
        /// What the table calls it.
        title: &'static str,
    },
    /// ext4 on a RAM disk.
    RamDisk(RamDisk),
}

/// What the table must know of a place.
pub(crate) struct Label {
    /// Its name.
    pub(crate) title: &'static str,
    /// The most that the crash filesystem may take in a row, relative to this place; none where
    /// nothing is demanded.
    pub(crate) target: fn(&Row) -> Option<f64>,
}

impl Place {
    /// A directory; the one that this program lies in when none.
    pub(crate) fn directory(dir: Option<&Path>) -> anyhow::Result<Self> {
        let dir = match dir {
            Some(dir) => dir.to_path_buf(),
            None => {
                let program = std::env::current_exe().context("finding this program")?;
                program
                    .parent()
                    .context("finding this program's directory")?
                    .to_path_buf()
            }
        };
        let found = statfs(&dir).with_context(|| format!("looking at {}", dir.display()))?;
        let is_ext4 = found.filesystem_type() == EXT4_SUPER_MAGIC;
        let title = if is_ext4 {
            "ext4 on disk"
        } else {
            "directory (not ext4)"
        };
        Ok(Self::Directory { dir, title })
    }

    /// What the table must know of it.
    pub(crate) fn label(&self) -> Label {
        let (title, target): (_, fn(&Row) -> Option<f64>) = match self {
            Self::Mounted(Kind::Crash) => ("crash fs", |_| None),
            Self::Mounted(Kind::Minimal) => ("minimal FUSE", |_| Some(AGAINST_MINIMAL)),
            Self::Mounted(Kind::Tmpfs) => ("tmpfs", |_| None),
            Self::Directory { title, .. } => (title, |_| None),
            Self::RamDisk(_) => ("ext4 on zram", |row| Some(row.against_ram_disk)),
        };
        Label { title, target }
    }

    /// Does `count` operations of a row in a new filesystem or directory, and returns how long one
    /// took, in milliseconds.
    pub(crate) fn time(&self, row: &Row, count: u32) -> anyhow::Result<f64> {
        // A disk that takes its time over a sync is not worth the user's.
        let count = match self {
            Self::Directory { .. } => count.div_ceil(DISK_SHARE),
            _ => count,
        };
        let took = self.time_all(row, count)?;
        Ok(took.as_secs_f64() * 1e3 / f64::from(count))
    }

    fn time_all(&self, row: &Row, count: u32) -> anyhow::Result<Duration> {
        match self {
            Self::Mounted(kind) => {
                let args = [cell::ARG, kind.name(), row.name].map(String::from);
                // Its server and its work are pinned, and nothing else in it.
                output(own_program()?.args(args).arg(count.to_string()))
            }
            Self::Directory { dir, .. } => work_in(dir, row, count),
            Self::RamDisk(disk) => work_in(disk.path(), row, count),
        }
    }
}

/// Works in a new directory of the machine's own, outside of any sandbox, where it is read-only.
fn work_in(dir: &Path, row: &Row, count: u32) -> anyhow::Result<Duration> {
    let dir = tempfile::Builder::new()
        .prefix("crashfs-bench-")
        .tempdir_in(dir)
        .with_context(|| format!("making a directory in {}", dir.display()))?;
    let mut command = own_program()?;
    command.args(work::arguments(row, dir.path(), count));
    let cpu = pin::all().pop().context("the kernel names no CPU")?;
    // A process starts on the CPUs of the thread that starts it.
    std::thread::scope(|scope| {
        let starter = scope.spawn(|| {
            pin::this_thread(cpu)?;
            output(&mut command)
        });
        starter
            .join()
            .map_err(|_| anyhow!("the thread that starts the work panicked"))?
    })
}

fn own_program() -> anyhow::Result<Command> {
    Ok(Command::new(
        std::env::current_exe().context("finding this program")?,
    ))
}

fn output(command: &mut Command) -> anyhow::Result<Duration> {
    let output = command.output().context("starting the work")?;
    if !output.status.success() {
        bail!(
            "it ended with {}: {}",
            output.status,
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    work::took(&String::from_utf8_lossy(&output.stdout))
}
