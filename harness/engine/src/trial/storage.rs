//! The data folder of a trial: the crash filesystem, or without FUSE a tmpfs, mounted in the
//! sandbox.

use std::sync::Arc;
use std::thread::JoinHandle;

use anyhow::Context;
use plugpull_faults::inject::Control;
use plugpull_sandbox::fuse::{CrashFs, serve};
use plugpull_sandbox::{Isolation, Sandbox};

use plugpull_sandbox::pin;

/// What lies under the data folder.
pub enum Storage {
    /// The crash filesystem, and while it is mounted the thread that serves it.
    Crash {
        /// The filesystem.
        fs: Control,
        /// The thread that serves it; none while it is not mounted.
        server: Option<JoinHandle<()>>,
    },
    /// A tmpfs; or in a bare sandbox the plain folder, which is not mounted.
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
            .context("unmounting the data folder")?;
        if let Some(server) = server {
            let _ = server.join();
        }
        Ok(())
    }
}

fn mount(sandbox: &Sandbox, fs: &Control, cpu: Option<usize>) -> anyhow::Result<JoinHandle<()>> {
    let device = sandbox
        .mount_fuse()
        .context("mounting the crash filesystem")?;
    let fs: Arc<CrashFs> = fs.fs();
    let thread = std::thread::Builder::new()
        .name("crashfs".into())
        .spawn(move || {
            // Without it, it is slower and not wrong.
            let _ = cpu.map(pin::this_thread);
            // It ends with an error when the connection is aborted, which is how a crash ends it.
            let _ = serve(fs, device);
        });
    thread.context("starting the thread that serves the crash filesystem")
}
