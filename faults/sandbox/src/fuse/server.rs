//! The thread that serves a crash filesystem, and how it ended.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use fuser::{Config, Session, SessionACL};

use super::failure::ServerFailure;
use super::fs::CrashFs;
use super::requests::Requests;
use crate::{pin, sys};

/// What a session of `fuser` ends with when its mount has gone: unmounted, or aborted
/// (fs/fuse/dev.c, `fuse_dev_do_read`); in the handshake it is an error of its own kind.
fn is_end_of_mount(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotConnected
        || matches!(
            error.raw_os_error(),
            Some(libc::ENODEV | libc::ECONNABORTED | libc::ENOTCONN)
        )
}

/// Serves a crash filesystem on an open `/dev/fuse` that is mounted already, in a thread of its
/// own. Dropping it leaves the thread to its work, which ends with the mount.
pub struct Server {
    fs: Arc<CrashFs>,
    thread: JoinHandle<()>,
}

impl Server {
    /// Starts the thread, on the CPU of this number where one is given: the target's.
    ///
    /// # Errors
    /// The thread cannot be started.
    pub fn start(fs: Arc<CrashFs>, device: OwnedFd, cpu: Option<usize>) -> io::Result<Self> {
        let served = Arc::clone(&fs);
        let thread = thread::Builder::new()
            .name("crashfs".into())
            .spawn(move || {
                if let Some(cpu) = cpu {
                    #[expect(
                        clippy::let_underscore_must_use,
                        reason = "where pinning is refused the server is slower, not wrong"
                    )]
                    let _ = pin::this_thread(cpu);
                }
                if let Some(Err(error)) = served.guard(|| serve(&served, device))
                    && !is_end_of_mount(&error)
                {
                    served.fail(format!("ended: {error}"));
                }
            })?;
        Ok(Self { fs, thread })
    }

    /// Whether it serves and has served everything so far.
    ///
    /// # Errors
    /// An operation panicked, or it serves no more although [`Server::join`] was not called. What
    /// the target has seen since is not its own doing.
    pub fn check(&self) -> Result<(), ServerFailure> {
        // In this order: what fails at its end is noted before the thread has ended.
        let ended = self.thread.is_finished();
        match self.fs.failure() {
            Some(failure) => Err(failure),
            None if ended => Err(ServerFailure {
                message: "ended early: somebody else unmounted it".into(),
                place: None,
            }),
            None => Ok(()),
        }
    }

    /// Waits for its end, which comes when the filesystem is unmounted.
    ///
    /// # Errors
    /// It ended by something else, or an operation panicked before.
    pub fn join(self) -> Result<(), ServerFailure> {
        if self.thread.join().is_err() {
            self.fs.fail("panicked at its end".into());
        }
        self.fs.failure().map_or(Ok(()), Err)
    }
}

fn serve(fs: &Arc<CrashFs>, device: OwnedFd) -> io::Result<()> {
    sys::map_large_buffers();
    let mut config = Config::default();
    config.acl = SessionACL::All;
    let requests = Requests::new(Arc::clone(fs));
    Session::from_fd(requests, device, SessionACL::All, config)?.run()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_end_of_the_mount_is_a_good_end() {
        for good in [libc::ENODEV, libc::ECONNABORTED, libc::ENOTCONN] {
            assert!(is_end_of_mount(&io::Error::from_raw_os_error(good)));
        }
        assert!(is_end_of_mount(&io::ErrorKind::NotConnected.into()));
        for bad in [libc::ENOMEM, libc::EIO, libc::EBADF] {
            assert!(!is_end_of_mount(&io::Error::from_raw_os_error(bad)));
        }
        assert!(!is_end_of_mount(&io::Error::other(
            "event loop thread panicked"
        )));
    }
}
