//! CPU pinning. A FUSE round trip costs about 14 us when server and target share a CPU, and about
//! 50 us when one has to wake the other's CPU.

use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;

/// The CPU for targets and the filesystem's server: the last that this process may use, so that
/// clients and the rest of plugpull stay out of the way on the others. None where the kernel does
/// not say, or where there is one only.
pub fn choose() -> Option<usize> {
    let cpus = all();
    (cpus.len() > 1).then(|| cpus.last().copied()).flatten()
}

/// Every CPU that this process may use; none where the kernel does not say.
pub fn all() -> Vec<usize> {
    let Ok(allowed) = sched_getaffinity(Pid::from_raw(0)) else {
        return Vec::new();
    };
    (0..CpuSet::count())
        .filter(|cpu| allowed.is_set(*cpu).unwrap_or(false))
        .collect()
}

/// Pins the calling thread and what it will start. Failing to is no error for a caller who only
/// wants speed: it is slower, not wrong.
pub fn this_thread(cpu: usize) -> nix::Result<()> {
    let mut set = CpuSet::new();
    set.set(cpu)?;
    sched_setaffinity(Pid::from_raw(0), &set)
}

/// Does `work` in a thread of its own that is pinned to `cpu`, as all that it starts will be.
pub fn on<T: Send>(cpu: Option<usize>, work: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| {
        let pinned = scope.spawn(move || {
            if let Some(cpu) = cpu {
                #[expect(
                    clippy::let_underscore_must_use,
                    reason = "without it the work is slower, not wrong"
                )]
                let _ = this_thread(cpu);
            }
            work()
        });
        match pinned.join() {
            Ok(result) => result,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_runs_on_a_cpu_may_use_that_one_only() {
        let cpus = all();
        let last = *cpus.last().expect("a CPU");
        assert_eq!(on(Some(last), all), [last]);
        assert_eq!(on(None, all), cpus);
        assert_eq!(choose(), (cpus.len() > 1).then_some(last));
    }
}
