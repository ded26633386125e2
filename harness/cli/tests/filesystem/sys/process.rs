//! Other processes, and what a process is allowed.

use std::fs::File;
use std::io;
use std::os::fd::FromRawFd;

use libc::c_int;

use super::check;
use crate::outcome::{Outcome, Trouble};

/// What runs in another process.
pub(crate) struct Child {
    pid: libc::pid_t,
    said: File,
}

impl Child {
    /// Waits for its end, and returns what it found, or the signal that killed it.
    pub(crate) fn outcome(mut self) -> Outcome {
        let mut said = String::new();
        io::Read::read_to_string(&mut self.said, &mut said)?;
        let mut status = 0;
        // SAFETY: our own child, waited for once.
        check(unsafe { libc::waitpid(self.pid, &raw mut status, 0) })?;
        if libc::WIFSIGNALED(status) {
            return Ok(match libc::WTERMSIG(status) {
                libc::SIGBUS => "SIGBUS".into(),
                libc::SIGSEGV => "SIGSEGV".into(),
                libc::SIGXFSZ => "SIGXFSZ".into(),
                other => format!("signal {other}"),
            });
        }
        match libc::WEXITSTATUS(status) {
            0 => Ok(said),
            NOT_MEASURED => Err(Trouble::NotMeasured(said)),
            _ => Err(Trouble::Other(said)),
        }
    }
}

const NOT_MEASURED: c_int = 3;

/// Runs `work` in another process. The caller must have no second thread.
pub(crate) fn fork(work: impl FnOnce() -> Outcome) -> io::Result<Child> {
    let mut ends = [0; 2];
    // SAFETY: with one thread the child may do all that the parent may; it leaves by `_exit`, so
    // that nothing of the parent's is torn down twice.
    unsafe {
        check(libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC))?;
        let (read, mut write) = (File::from_raw_fd(ends[0]), File::from_raw_fd(ends[1]));
        let pid = check(libc::fork())?;
        if pid == 0 {
            drop(read);
            let (text, code) = match work() {
                Ok(text) => (text, 0),
                Err(Trouble::NotMeasured(text)) => (text, NOT_MEASURED),
                Err(other) => (other.to_string(), 1),
            };
            // Without its text an outcome is no outcome.
            let written = io::Write::write_all(&mut write, text.as_bytes());
            libc::_exit(if written.is_ok() { code } else { 1 });
        }
        Ok(Child {
            pid: pid as libc::pid_t,
            said: read,
        })
    }
}

/// Makes this process user `uid` with group `gid` and no other group, for good.
pub(crate) fn become_user(uid: u32, gid: u32) -> io::Result<()> {
    // SAFETY: no pointers that are followed.
    unsafe {
        check(libc::setgroups(0, std::ptr::null()))?;
        check(libc::setgid(gid))?;
        check(libc::setuid(uid)).map(drop)
    }
}

/// umask(2): sets it and returns the old one.
pub(crate) fn umask(mask: u32) -> u32 {
    // SAFETY: no pointers; never fails.
    unsafe { libc::umask(mask) }
}

/// Limits the size of this process's files, for good.
pub(crate) fn limit_file_size(bytes: u64) -> io::Result<()> {
    let limit = libc::rlimit {
        rlim_cur: bytes,
        rlim_max: bytes,
    };
    // SAFETY: the limit lives until the call returns.
    check(unsafe { libc::setrlimit(libc::RLIMIT_FSIZE, &raw const limit) }).map(drop)
}

/// Ignores SIGXFSZ, so that the call fails instead.
pub(crate) fn ignore_size_signal() {
    // SAFETY: SIG_IGN runs no code.
    unsafe { libc::signal(libc::SIGXFSZ, libc::SIG_IGN) };
}

/// Waits until the clock that filesystems stamp with has gone on.
pub(crate) fn tick() {
    let now = || {
        let mut time = libc::timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        // SAFETY: the time lives until the call returns.
        unsafe { libc::clock_gettime(libc::CLOCK_REALTIME_COARSE, &raw mut time) };
        (time.tv_sec, time.tv_nsec)
    };
    let before = now();
    while now() == before {
        std::thread::yield_now();
    }
}
