//! The data directory of a trial: the crash filesystem, or without FUSE a tmpfs, mounted in the
//! sandbox.

use anyhow::Context;
use plugpull_faults::control::Control;
use plugpull_sandbox::fuse::Server;
use plugpull_sandbox::{Isolation, Sandbox};

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
    /// Nothing is left of what earlier trials wrote elsewhere.
    pub fn crash(sandbox: &Sandbox, fs: Control, cpu: Option<usize>) -> anyhow::Result<Self> {
        renew(sandbox)?;
        let server = mount(sandbox, &fs, cpu)?;
        Ok(Self::Crash {
            fs,
            server: Some(server),
        })
    }

    /// Mounts a tmpfs of this many bytes. Where the sandbox has no mounts of its own, the directories
    /// that stand for them are emptied: nothing of an earlier trial is left to be read.
    pub fn tmpfs(sandbox: &Sandbox, bytes: u64) -> anyhow::Result<Self> {
        renew(sandbox)?;
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
            Some(server) => Ok(server.join().map_err(HarnessFailed::from)?),
            None => Ok(()),
        }
    }

    /// An error when what serves the crash filesystem has ended although it is still mounted: what
    /// the target saw since is not its own doing.
    ///
    /// # Errors
    /// It has ended, with why.
    pub fn check(&self) -> Result<(), HarnessFailed> {
        match self {
            Self::Crash {
                server: Some(server),
                ..
            } => Ok(server.check()?),
            Self::Crash { server: None, .. } | Self::Plain { .. } => Ok(()),
        }
    }
}

fn renew(sandbox: &Sandbox) -> anyhow::Result<()> {
    sandbox
        .renew_directories()
        .context("emptying the directories of the sandbox")
}

fn mount(sandbox: &Sandbox, fs: &Control, cpu: Option<usize>) -> anyhow::Result<Server> {
    let device = sandbox
        .mount_fuse()
        .context("mounting the crash filesystem")?;
    let server = Server::start(fs.fs(), device, cpu)
        .context("starting the thread that serves the crash filesystem")?;
    sandbox
        .watch_calls(fs.fs())
        .context("watching the calls of sync and syncfs")?;
    Ok(server)
}
