//! CPU pinning: as plugpull does it, server and client share the last CPU.

use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;

/// The last CPU that this process may use.
pub(crate) fn choose() -> nix::Result<usize> {
    let allowed = sched_getaffinity(Pid::from_raw(0))?;
    (0..CpuSet::count())
        .rev()
        .find(|cpu| allowed.is_set(*cpu).unwrap_or(false))
        .ok_or(nix::errno::Errno::ENODEV)
}

/// Pins the calling thread, and what it will start.
pub(crate) fn this_thread(cpu: usize) -> nix::Result<()> {
    let mut set = CpuSet::new();
    set.set(cpu)?;
    sched_setaffinity(Pid::from_raw(0), &set)
}
