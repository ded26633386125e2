//! The data directory of a trial: the crash filesystem, or without FUSE a tmpfs, mounted in the
//! sandbox.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use anyhow::Context;
use plugpull_faults::control::Control;
use plugpull_sandbox::fuse::{CrashFs, serve};
use plugpull_sandbox::{Isolation, Sandbox};

use plugpull_sandbox::pin;

use crate::outcome::HarnessFailed;

/// What lies under the data directory.
pub enum Storage {
    /// The crash filesystem, and while it is mounted the thread that serves it.
    Crash {
        /// The filesystem.
        fs: Control,
        /// What serves it; none while it is not mounted.
        server: Option<Server>,
    },
    /// A tmpfs; or in a bare sandbox the plain directory, which is not mounted.
    Plain {
        /// True while it is mounted.
        mounted: bool,
    },
}

impl Storage {
    /// Mounts a crash filesystem. Its server runs on `cpu`, where the target shall run too.
    pub fn crash(sandbox: &Sandbox, fs: Control, cpu: Option<usize>) -> anyhow::Result<Self> {
        let server = mount(sandbox, &fs, cpu)?;
        Ok(Self::Crash {
            fs,
            server: Some(server),
        })
    }

    /// Mounts a tmpfs of this many bytes, where the sandbox has mounts of its own.
    pub fn tmpfs(sandbox: &Sandbox, bytes: u64) -> anyhow::Result<Self> {
        let mounted = sandbox.isolation() == Isolation::Full;
        if mounted {
            sandbox
                .mount_tmpfs(bytes)
                .context("mounting a tmpfs in the sandbox")?;
        }
        Ok(Self::Plain { mounted })
    }

    /// The crash filesystem.
    pub fn fs(&self) -> Option<Control> {
        match self {
            Self::Crash { fs, .. } => Some(fs.clone()),
            Self::Plain { .. } => None,
        }
    }

    /// Takes the crash filesystem off and puts `fs` (the same one, or what power loss left of it)
    /// in its place, with nothing in the kernel's caches. Every process must be dead.
    pub fn remount(
        &mut self,
        sandbox: &Sandbox,
        fs: Control,
        cpu: Option<usize>,
    ) -> anyhow::Result<()> {
        self.unmount(sandbox)?;
        let server = mount(sandbox, &fs, cpu)?;
        *self = Self::Crash {
            fs,
            server: Some(server),
        };
        Ok(())
    }

    /// Takes it off, if it is on.
    pub fn unmount(&mut self, sandbox: &Sandbox) -> anyhow::Result<()> {
        let server = match self {
            Self::Crash { server: None, .. } | Self::Plain { mounted: false } => return Ok(()),
            Self::Crash { server, .. } => server.take(),
            Self::Plain { mounted } => {
                *mounted = false;
                None
            }
        };
        sandbox
            .unmount(true)
            .context("unmounting the data directory")?;
        match server {
            Some(server) => Ok(server.end()?),
            None => Ok(()),
        }
    }

    /// An error when what serves the crash filesystem has ended although it is still mounted: what
    /// the target saw since is not its own doing.
    ///
    /// # Errors
    /// It has ended, with why.
    pub fn check(&mut self) -> Result<(), HarnessFailed> {
        match self {
            Self::Crash {
                server: Some(server),
                ..
            } => server.check(),
            Self::Crash { server: None, .. } | Self::Plain { .. } => Ok(()),
        }
    }
}

/// The thread that serves a crash filesystem.
pub struct Server {
    /// None once it was seen to have ended.
    thread: Option<JoinHandle<io::Result<()>>>,
    /// How it ended, where it should not have.
    failed: Option<HarnessFailed>,
}

impl Server {
    /// Starts serving what is mounted as `device`.
    fn start(fs: &Control, device: OwnedFd, cpu: Option<usize>) -> anyhow::Result<Self> {
        let fs: Arc<CrashFs> = fs.fs();
        let thread = thread::Builder::new()
            .name("crashfs".into())
            .spawn(move || {
                // Without it, it is slower and not wrong.
                let _ = cpu.map(pin::this_thread);
                serve(fs, device)
            })
            .context("starting the thread that serves the crash filesystem")?;
        Ok(Self {
            thread: Some(thread),
            failed: None,
        })
    }

    /// An error when it has ended, while it is to serve.
    fn check(&mut self) -> Result<(), HarnessFailed> {
        if let Some(thread) = self.thread.take_if(|thread| thread.is_finished()) {
            let early =
                || HarnessFailed::new("the crash filesystem was unmounted by somebody else");
            self.failed = Some(failure(thread.join()).unwrap_or_else(early));
        }
        self.failed.clone().map_or(Ok(()), Err)
    }

    /// Waits for its end, which must be that of the mount.
    fn end(mut self) -> Result<(), HarnessFailed> {
        if let Some(thread) = self.thread.take() {
            self.failed = failure(thread.join());
        }
        self.failed.map_or(Ok(()), Err)
    }
}

/// What went wrong, unless a server ended because its mount did: by being unmounted, or aborted.
fn failure(ended: thread::Result<io::Result<()>>) -> Option<HarnessFailed> {
    let of_mount = |error: &io::Error| {
        error.kind() == io::ErrorKind::NotConnected
            || matches!(
                error.raw_os_error(),
                Some(libc::ENODEV | libc::ECONNABORTED | libc::ENOTCONN)
            )
    };
    const WHAT: &str = "the server of the crash filesystem";
    match ended {
        Ok(Ok(())) => None,
        Ok(Err(error)) if of_mount(&error) => None,
        // fuser catches the panic of the thread in which it serves.
        Ok(Err(error)) if error.to_string().contains("panicked") => {
            Some(HarnessFailed::of_thread(WHAT, &error.to_string()))
        }
        Ok(Err(error)) => Some(HarnessFailed::new(format!("{WHAT} ended: {error}"))),
        Err(payload) => Some(HarnessFailed::of_thread(WHAT, &*payload)),
    }
}

fn mount(sandbox: &Sandbox, fs: &Control, cpu: Option<usize>) -> anyhow::Result<Server> {
    let device = sandbox
        .mount_fuse()
        .context("mounting the crash filesystem")?;
    Server::start(fs, device, cpu)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_end_of_the_mount_is_a_good_end_of_its_server() {
        for good in [libc::ENODEV, libc::ECONNABORTED, libc::ENOTCONN] {
            assert!(failure(Ok(Err(io::Error::from_raw_os_error(good)))).is_none());
        }
        assert!(failure(Ok(Ok(()))).is_none());
        let bad = failure(Ok(Err(io::Error::from_raw_os_error(libc::ENOMEM))));
        assert!(bad.is_some_and(|bad| bad.message.contains("memory")));
        let panicked = failure(Err(Box::new("page 7")));
        assert!(panicked.is_some_and(|bad| bad.message.contains("panicked")));
    }
}
