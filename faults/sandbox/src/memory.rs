//! A limit on the memory of targets, which the kernel enforces by killing them.

use std::os::fd::AsFd;
use std::path::Path;
use std::process;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::cgroup::{Cgroup, CgroupVersion};
use super::child::{Child, Ending};
use super::error::SandboxError;
use super::packet;
use super::pending::PATIENCE;
use super::protocol::{Command, FromJanitor, ToJanitor};
use super::supervisor::{Sandbox, wait_readable};

/// How much the limit leaves above what is in use when it falls, in bytes. A score of 1000 weighs
/// as much as the whole limit, so this must be more than the ballast's own few MiB.
const SLACK: u64 = 16 << 20;
/// How far the ballast grows beyond the limit before the limit counts as one that does not work, in bytes.
const BEYOND: u64 = 64 << 20;

/// A cgroup around those processes of a sandbox that were started with `cgroup: true`.
pub struct MemoryLimit<'a> {
    pub(super) sandbox: &'a Sandbox,
    pub(super) cgroup: Cgroup,
}

/// What shows that the kernel has killed a target for lack of memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OomEvidence {
    /// By how much the cgroup's count of OOM kills rose.
    pub kills: u64,
    /// The limit that was set, in bytes.
    pub limit: u64,
    /// What was in use before, in bytes, with the page cache charged to the target.
    pub usage: u64,
}

impl Sandbox {
    /// A cgroup to limit the memory of processes that are started with `cgroup: true` from now
    /// on. The same one every time.
    pub fn memory(&self) -> Result<MemoryLimit<'_>, SandboxError> {
        /// Numbers the cgroups of this process.
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let mut known = self.cgroup.lock();
        if let Some(cgroup) = known.clone() {
            return Ok(MemoryLimit {
                sandbox: self,
                cgroup,
            });
        }
        let request = ToJanitor::MakeCgroup {
            supervisor: process::id(),
            number: NUMBER.fetch_add(1, Ordering::Relaxed),
        };
        packet::send(&self.orders, &request, &[]).map_err(|_| SandboxError::Gone)?;
        wait_readable(&self.orders, PATIENCE, "the janitor")?;
        let (cgroup, procs) = match packet::receive::<FromJanitor>(&self.orders) {
            Ok(Some((FromJanitor::Cgroup { version, dir }, fds))) => (Cgroup { version, dir }, fds),
            Ok(Some((FromJanitor::NoCgroup(why), _))) => {
                return Err(SandboxError::Unavailable(why));
            }
            Ok(None) | Err(_) => return Err(SandboxError::Gone),
        };
        let fds: Vec<_> = procs.iter().map(AsFd::as_fd).collect();
        self.ask(Command::UseCgroup, &fds)?;
        *known = Some(cgroup.clone());
        Ok(MemoryLimit {
            sandbox: self,
            cgroup,
        })
    }

    /// Starts a process in the cgroup that allocates so many bytes.
    fn ballast(&self, bytes: u64) -> Result<(i32, Arc<Ending>), SandboxError> {
        self.started(Command::Ballast { bytes }, &[])
    }
}

impl MemoryLimit<'_> {
    /// Which interface of the kernel it uses.
    pub fn version(&self) -> CgroupVersion {
        self.cgroup.version
    }

    /// Its directory in the cgroup filesystem.
    pub fn dir(&self) -> &Path {
        &self.cgroup.dir
    }

    /// Sets the limit in bytes; none takes it away.
    pub fn set(&self, bytes: Option<u64>) -> Result<(), SandboxError> {
        self.cgroup
            .set_limit(bytes)
            .map_err(|error| SandboxError::refused("set a memory limit", error))
    }

    /// What its processes use, in bytes.
    pub fn usage(&self) -> Result<u64, SandboxError> {
        self.cgroup
            .usage()
            .map_err(|error| SandboxError::refused("read the memory usage", error))
    }

    /// How many processes in it the kernel has killed for lack of memory.
    pub fn oom_kills(&self) -> Result<u64, SandboxError> {
        self.cgroup
            .oom_kills()
            .map_err(|error| SandboxError::refused("count OOM kills", error))
    }

    /// Has the kernel kill `target`, which was started with `cgroup: true`, and its children, for
    /// want of memory.
    ///
    /// The limit falls to a little above what is in use, and a process beside the target, the
    /// ballast, takes the rest and more. When the limit is hit the kernel kills by `oom_score_adj`
    /// and size (`oom_badness` in `mm/oom_kill.c`): first all that have the target's 1000, the
    /// ballast, which looks small, last. The ballast never outlives the call. The limit is taken away again.
    ///
    /// An error when the target is not dead of it by `deadline`.
    pub fn oom_kill(&self, target: &Child, deadline: Instant) -> Result<OomEvidence, SandboxError> {
        let before = self.oom_kills()?;
        let usage = self.usage()?;
        let limit = usage + SLACK;
        self.set(Some(limit))?;
        let ballast = self.sandbox.ballast(limit + BEYOND);
        let ended = ballast.and_then(|(pid, ballast)| {
            let ended = target.wait(deadline);
            // It may be dead already, of the same cause.
            match self.sandbox.signal(pid, libc::SIGKILL) {
                Ok(()) | Err(SandboxError::Refused { .. }) => {}
                Err(error) => return Err(error),
            }
            let gone = ballast.wait(Instant::now() + Duration::from_secs(10));
            gone.and(ended).map_err(|_| SandboxError::Gone)
        });
        let lifted = self.set(None);
        let code = ended?;
        lifted?;
        let kills = self.oom_kills()?.saturating_sub(before);
        match code {
            Some(code) if code == 128 + libc::SIGKILL && kills > 0 => Ok(OomEvidence {
                kills,
                limit,
                usage,
            }),
            Some(code) => Err(SandboxError::Unavailable(format!(
                "the target ended with code {code} and the kernel counts {kills} OOM kills"
            ))),
            None => Err(SandboxError::TimedOut(format!(
                "the target lives on at a limit of {limit} bytes, with {kills} OOM kills"
            ))),
        }
    }
}
