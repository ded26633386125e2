//! A thread that has the kernel clear memory before it is wanted.
//!
//! Fresh memory must be cleared by the kernel, which takes about a quarter of the time of a write.
//! The thread that serves the filesystem shares its CPU with the target; another CPU is idle.

use std::sync::OnceLock;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;

/// How many regions may wait; beyond that they are cleared when they are used.
const WAITING: usize = 64;

/// Asks for a region of memory of this process, which is never given back, to be taken from the
/// system and cleared soon. Never waits, and does nothing where it cannot be done.
pub(super) fn soon(address: usize, bytes: usize) {
    static THREAD: OnceLock<Option<SyncSender<(usize, usize)>>> = OnceLock::new();
    if let Some(thread) = THREAD.get_or_init(start) {
        // Where too much waits already it is cleared when it is used.
        thread.try_send((address, bytes)).ok();
    }
}

fn start() -> Option<SyncSender<(usize, usize)>> {
    let cpus = others()?;
    let (send, receive) = sync_channel(WAITING);
    let body = move || clear(&cpus, &receive);
    std::thread::Builder::new()
        .name("clear-ahead".into())
        .spawn(body)
        .ok()?;
    Some(send)
}

/// Every CPU but the one that the caller is pinned to; none when the caller is pinned to none, for
/// then nobody knows where it would be in the way.
fn others() -> Option<CpuSet> {
    let mine = sched_getaffinity(Pid::from_raw(0)).ok()?;
    let pinned = |cpu: &usize| mine.is_set(*cpu).unwrap_or(false);
    if (0..CpuSet::count()).filter(pinned).count() != 1 {
        return None;
    }
    let mut others = CpuSet::new();
    for cpu in (0..CpuSet::count()).filter(|cpu| !pinned(cpu)) {
        others.set(cpu).ok()?;
    }
    Some(others)
}

fn clear(cpus: &CpuSet, wanted: &Receiver<(usize, usize)>) {
    // The kernel leaves out the CPUs that are not there; where none is left it refuses.
    if sched_setaffinity(Pid::from_raw(0), cpus).is_err() {
        return;
    }
    for (address, bytes) in wanted {
        // SAFETY: the advice changes no byte, and it is for memory of this process that is never
        // given back; for any other the kernel refuses (madvise(2), MADV_POPULATE_WRITE).
        let done = unsafe {
            libc::madvise(
                address as *mut libc::c_void,
                bytes,
                libc::MADV_POPULATE_WRITE,
            )
        };
        // Kernels before 5.14 do not know it.
        if done != 0 {
            return;
        }
    }
}
