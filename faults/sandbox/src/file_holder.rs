//! The process that holds files of a crash filesystem open for plugpull, and asks the kernel to write
//! them back.
//!
//! plugpull serves the filesystem, so it must have no file of it open with anything dirty in it: at
//! its exit the kernel writes such a file back and waits for the server (`fuse_flush`,
//! fs/fuse/file.c), which is plugpull itself, and has ended. Killed with SIGKILL it would stay for
//! ever, and all that waits for the filesystem with it. This process serves nothing. It ends at the
//! end of file on its socket; a call of it that waits for the server fails when the server's device is
//! closed.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::Path;
use std::process::{self, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};

use nix::sys::socket::{Shutdown, shutdown};
use nix::unistd::{fsync, setsid};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use super::{SANDBOX_ARG, packet, sys};

/// The argument behind [`SANDBOX_ARG`] that has a program become this process.
pub(super) const HOLDER_ARG: &str = "files";

/// What the process is asked; the owner is a filesystem.
#[derive(Serialize, Deserialize)]
enum Request {
    /// To keep the file that comes with this.
    Keep { owner: u64 },
    /// To write back what is dirty of the owner's file of this place; the answer is whether it did.
    Sync { owner: u64, at: usize },
    /// To close the files of an owner.
    Forget { owner: u64 },
}

/// plugpull's side: the files are in the other process.
pub(crate) struct FileHolder {
    socket: OwnedFd,
    /// One waits for an answer at a time.
    answers: Mutex<()>,
    owners: AtomicU64,
}

impl FileHolder {
    /// Starts the process: `helper` is a program that calls [`super::sandbox_main`].
    pub(super) fn start(helper: &Path) -> io::Result<(Self, process::Child)> {
        let (socket, theirs) = packet::pair()?;
        let child = process::Command::new(helper)
            .args([SANDBOX_ARG, HOLDER_ARG])
            .stdin(Stdio::from(theirs))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        let holder = Self {
            socket,
            answers: Mutex::new(()),
            owners: AtomicU64::new(0),
        };
        Ok((holder, child))
    }

    /// A number for one more filesystem.
    pub(crate) fn owner(&self) -> u64 {
        self.owners.fetch_add(1, Ordering::Relaxed)
    }

    /// Hands a file over. Nothing may be dirty of it yet.
    pub(crate) fn keep(&self, owner: u64, file: OwnedFd) -> io::Result<()> {
        packet::send(&self.socket, &Request::Keep { owner }, &[file.as_fd()])
    }

    /// Has the kernel write a file back, and waits for it.
    pub(crate) fn sync(&self, owner: u64, at: usize) -> io::Result<()> {
        let _one = self.answers.lock();
        packet::send(&self.socket, &Request::Sync { owner, at }, &[])?;
        match packet::receive::<bool>(&self.socket)? {
            Some((true, _)) => Ok(()),
            Some((false, _)) => Err(io::Error::other("the file was not written back")),
            None => Err(io::ErrorKind::BrokenPipe.into()),
        }
    }

    /// Ends the process, whoever else still has this.
    pub(super) fn end(&self) {
        // Where it has ended by itself there is nothing to do.
        let _ended = shutdown(self.socket.as_raw_fd(), Shutdown::Both);
    }

    /// Has the files of a filesystem closed. Nobody waits for it.
    pub(crate) fn forget(&self, owner: u64) -> io::Result<()> {
        packet::send(&self.socket, &Request::Forget { owner }, &[])
    }
}

/// The process itself, whose socket is its standard input.
pub(super) fn run() -> io::Result<()> {
    // Ctrl-C ends plugpull, and this process by way of plugpull's end.
    setsid()?;
    for signal in [libc::SIGINT, libc::SIGTERM, libc::SIGHUP, libc::SIGQUIT] {
        sys::ignore(signal);
    }
    let socket = io::stdin().as_fd().try_clone_to_owned()?;
    let mut files: BTreeMap<u64, Vec<OwnedFd>> = BTreeMap::new();
    while let Some((request, fds)) = packet::receive::<Request>(&socket)? {
        match request {
            Request::Keep { owner } => files.entry(owner).or_default().extend(fds),
            Request::Sync { owner, at } => {
                let file = files.get(&owner).and_then(|files| files.get(at));
                let synced = file.is_some_and(|file| fsync(file).is_ok());
                packet::send(&socket, &synced, &[])?;
            }
            Request::Forget { owner } => {
                files.remove(&owner);
            }
        }
    }
    Ok(())
}
