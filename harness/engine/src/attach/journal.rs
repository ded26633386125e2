//! What must be put back, written down before it is needed: an interrupted call does it at its end,
//! and after a `kill -9` the next call or `--restore` does.

use std::fs::{self, File, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};

use super::copy;
use super::process;
use super::supervision::Supervision;
use crate::wrong;

/// The file that says what must be put back.
const FILE: &str = "put-back.json";
/// The file that one plugpull at a time has locked.
const LOCK: &str = "lock";

/// What must be put back.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
struct Pending {
    /// The data directory, whose content must become that of the copy again.
    damaged: Option<PathBuf>,
    /// plugpull stopped the service, and must start it.
    start: bool,
    /// A service on a copy: its process group, and the birth of the process that leads it.
    child: Option<(i32, u64)>,
}

/// The work directory of a call: locked, and with what must be put back.
pub(super) struct Journal {
    directory: PathBuf,
    pending: Pending,
    _lock: File,
}

impl Journal {
    /// Opens the work directory, or makes it. An error when another plugpull has it.
    pub(super) fn open(directory: &Path) -> anyhow::Result<Self> {
        let at_path = |error: io::Error| {
            wrong(format!(
                "the work directory {}: {error}; choose another with --work-dir",
                directory.display()
            ))
        };
        if !directory.exists() {
            fs::create_dir(directory).map_err(at_path)?;
        }
        let lock = File::create(directory.join(LOCK)).map_err(at_path)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(wrong(format!(
                    "another plugpull works on this target: it has {} locked",
                    directory.join(LOCK).display()
                )));
            }
            Err(TryLockError::Error(error)) => return Err(at_path(error)),
        }
        let file = directory.join(FILE);
        let pending = match fs::read(&file) {
            Ok(bytes) => serde_json::from_slice(&bytes)
                .with_context(|| format!("{} cannot be read", file.display()))?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Pending::default(),
            Err(error) => return Err(error).with_context(|| file.display().to_string()),
        };
        Ok(Self {
            directory: directory.to_owned(),
            pending,
            _lock: lock,
        })
    }

    /// Where the copy of the data directory is.
    pub(super) fn copy(&self) -> PathBuf {
        self.directory.join("copy")
    }

    /// Where a service on a copy works.
    pub(super) fn scratch(&self) -> PathBuf {
        self.directory.join("scratch")
    }

    /// From here on the service must be started at the end.
    pub(super) fn stops_service(&mut self) -> anyhow::Result<()> {
        self.pending.start = true;
        self.write()
    }

    /// The service runs again.
    pub(super) fn service_runs(&mut self) -> anyhow::Result<()> {
        self.pending.start = false;
        self.write()
    }

    /// From here on the data directory must be put back from the copy, which is whole.
    pub(super) fn damages(&mut self, data: &Path) -> anyhow::Result<()> {
        self.pending.damaged = Some(data.to_owned());
        self.write()
    }

    /// A service on a copy was started, and must be killed.
    pub(super) fn started(&mut self, pid: u32) -> anyhow::Result<()> {
        let pid = i32::try_from(pid)?;
        self.pending.child = process::birth(pid).map(|birth| (pid, birth));
        self.write()
    }

    /// It was killed.
    pub(super) fn killed(&mut self) -> anyhow::Result<()> {
        self.pending.child = None;
        self.write()
    }

    /// Whether something must be put back.
    pub(super) fn has_pending(&self) -> bool {
        self.pending != Pending::default() || self.copy().exists() || self.scratch().exists()
    }

    /// Puts everything back. Says in words what was done; does again what was interrupted.
    pub(super) fn settle(
        &mut self,
        supervision: &Supervision,
        limit: Duration,
    ) -> anyhow::Result<Vec<String>> {
        let mut done = Vec::new();
        if let Some((pid, birth)) = self.pending.child {
            if process::birth(pid) == Some(birth) {
                killpg(Pid::from_raw(pid), Signal::SIGKILL)
                    .with_context(|| format!("killing process group {pid}"))?;
                done.push(format!("killed the service on a copy, process {pid}"));
            }
            self.killed()?;
        }
        if let Some(data) = self.pending.damaged.clone() {
            // It was stopped before it was damaged, and may have been started since.
            self.stops_service()?;
            supervision.hold(limit)?;
            copy::put_back(&self.copy(), &data)?;
            self.pending.damaged = None;
            self.write()?;
            done.push(format!("put {} back", data.display()));
        }
        if self.pending.start {
            supervision.start()?;
            self.service_runs()?;
            done.push("started the service".into());
        }
        for directory in [self.copy(), self.scratch()] {
            if directory.exists() {
                copy::remove(&directory)?;
                done.push(format!("removed {}", directory.display()));
            }
        }
        Ok(done)
    }

    /// Removes the work directory, when nothing is left to be put back.
    pub(super) fn finish(self) -> anyhow::Result<()> {
        anyhow::ensure!(
            !self.has_pending(),
            "not everything is put back; `plugpull attach ... --restore` tries again: {}",
            self.directory.display()
        );
        for name in [FILE, LOCK] {
            match fs::remove_file(self.directory.join(name)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(error).with_context(|| self.directory.display().to_string());
                }
                _ => {}
            }
        }
        #[expect(
            clippy::let_underscore_must_use,
            reason = "it may be the user's own, with other things in it"
        )]
        let _ = fs::remove_dir(&self.directory);
        Ok(())
    }

    /// Durable before what it says is done.
    fn write(&self) -> anyhow::Result<()> {
        let half = self.directory.join(format!("{FILE}.new"));
        let written = (|| {
            let mut file = File::create(&half)?;
            file.write_all(&serde_json::to_vec(&self.pending)?)?;
            file.sync_all()?;
            fs::rename(&half, self.directory.join(FILE))?;
            File::open(&self.directory)?.sync_all()
        })();
        written.with_context(|| {
            format!(
                "writing down in {} what to put back",
                self.directory.display()
            )
        })
    }
}
