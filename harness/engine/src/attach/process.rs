//! One process of this machine: that it is the one that was meant, how long it lives, its end.

use std::fs;
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use anyhow::Context;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

/// How the kernel counts a process's start, in units a second (proc_pid_stat(5)): USER_HZ, which is
/// 100 on every machine that Rust's standard library runs on.
const TICKS: u64 = 100;

/// A process, held so that its number cannot come to mean another one.
#[derive(Debug)]
pub(super) struct ProcessHandle {
    /// Its number.
    pub(super) pid: i32,
    fd: OwnedFd,
}

impl ProcessHandle {
    /// Holds the process with this number. An error when there is none, or when it is plugpull
    /// itself or one that plugpull lives under.
    pub(super) fn open(pid: i32) -> anyhow::Result<Self> {
        let known = (pid > 1).then(|| Pid::from_raw(pid)).flatten();
        let known = known.with_context(|| format!("{pid} is no process of a service"))?;
        let fd = pidfd_open(known, PidfdFlags::empty())
            .with_context(|| format!("process {pid} is not there"))?;
        let mut above = i32::try_from(std::process::id())?;
        while above > 1 {
            anyhow::ensure!(
                above != pid,
                "process {pid} is plugpull itself, or one that it runs under"
            );
            above = stat(above).map_or(0, |stat| stat.parent);
        }
        Ok(Self { pid, fd })
    }

    /// SIGKILL.
    pub(super) fn kill(&self) -> anyhow::Result<()> {
        self.signal(Signal::KILL, "SIGKILL")
    }

    /// SIGTERM.
    pub(super) fn terminate(&self) -> anyhow::Result<()> {
        self.signal(Signal::TERM, "SIGTERM")
    }

    fn signal(&self, signal: Signal, name: &str) -> anyhow::Result<()> {
        pidfd_send_signal(&self.fd, signal)
            .with_context(|| format!("{name} could not be sent to process {}", self.pid))
    }

    /// Waits until it has ended; false when it has not within the limit.
    pub(super) fn ended(&self, limit: Duration) -> bool {
        let deadline = Instant::now() + limit;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
            let mut fds = [PollFd::new(self.fd.as_fd(), PollFlags::POLLIN)];
            match poll(&mut fds, timeout) {
                Ok(0) | Err(nix::errno::Errno::EINTR) if Instant::now() < deadline => {}
                Ok(ready) => return ready > 0,
                Err(_) => return false,
            }
        }
    }
}

struct Stat {
    parent: i32,
    /// Since the machine started, in ticks.
    started: u64,
}

/// `/proc/PID/stat`: the name, which may hold anything, is in brackets.
fn stat(pid: i32) -> Option<Stat> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let fields: Vec<&str> = text
        .get(text.rfind(')')? + 1..)?
        .split_whitespace()
        .collect();
    Some(Stat {
        parent: fields.get(1)?.parse().ok()?,
        started: fields.get(19)?.parse().ok()?,
    })
}

/// The process that is above this one; none when there is no such process.
pub(super) fn parent(pid: i32) -> Option<i32> {
    stat(pid).map(|stat| stat.parent)
}

/// What tells a process from a later one with the same number; none when there is no such process.
pub(super) fn birth(pid: i32) -> Option<u64> {
    stat(pid).map(|stat| stat.started)
}

/// When a process started, to a hundredth of a second; none when there is no such process.
pub(super) fn started(pid: i32) -> Option<Instant> {
    let uptime = fs::read_to_string("/proc/uptime").ok()?;
    let now: f64 = uptime.split_whitespace().next()?.parse().ok()?;
    let age = now - birth(pid)? as f64 / TICKS as f64;
    Instant::now().checked_sub(Duration::from_secs_f64(age.max(0.0)))
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn a_process_is_held_and_killed_once() {
        let mut child = Command::new("sleep").arg("60").spawn().unwrap();
        let handle = ProcessHandle::open(child.id() as i32).unwrap();
        assert!(started(handle.pid).is_some_and(|at| at.elapsed() < Duration::from_secs(60)));
        assert!(!handle.ended(Duration::ZERO));
        handle.kill().unwrap();
        assert!(handle.ended(Duration::from_secs(20)));
        child.wait().unwrap();
        assert!(handle.kill().is_err(), "its number may be another's now");
    }

    #[test]
    fn plugpull_and_what_it_runs_under_are_not_taken() {
        let own = std::process::id() as i32;
        let parent = stat(own).unwrap().parent;
        for pid in [own, parent, 1, 0, -5] {
            assert!(ProcessHandle::open(pid).is_err(), "{pid}");
        }
    }
}
