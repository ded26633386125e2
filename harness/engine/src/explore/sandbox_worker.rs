//! A worker with a sandbox, in which a target is started on one crash state after the other.

use std::sync::Arc;
use std::time::{Duration, Instant};

use nix::unistd::{getegid, geteuid};
use parking_lot::Mutex;
use plugpull_crashsim::fs::Tree;
use plugpull_driver::Target;
use plugpull_faults::control::Injector;
use plugpull_sandbox::pin;
use plugpull_workloads::{Observed, Start};

use super::attempt::{Attempt, CrashDisk, TryState};
use super::crash::changes_disk;
use super::recording::LOG_LIMIT;
use crate::outcome::HarnessFailed;
use crate::trial::storage::Storage;
use crate::trial::{Acked, SandboxHost, restart};

/// The number of the first process of an attempt: the same each time, because programs write it
/// into lock files; and another than the recorded one had, as after a reboot.
const FIRST_PID: i32 = 1000;

/// Held while a target runs. Workers that share one alternate: while the target of one starts and
/// is read, the others take down what they had and set up what comes next.
pub type CpuLease = Arc<Mutex<()>>;

/// Makes a sandbox.
pub type NewSandbox = Arc<dyn Fn() -> anyhow::Result<SandboxHost> + Send + Sync>;

/// A sandbox in which a target is started on one state after the other.
pub struct SandboxWorker {
    lease: CpuLease,
    host: Arc<SandboxHost>,
    target: Arc<dyn Target>,
    start_limit: Duration,
    /// Makes another sandbox when this one failed.
    another: NewSandbox,
}

impl SandboxWorker {
    /// A worker with a sandbox of its own.
    ///
    /// # Errors
    /// There can be no sandbox.
    pub fn new(
        another: NewSandbox,
        target: Arc<dyn Target>,
        start_limit: Duration,
        lease: CpuLease,
    ) -> anyhow::Result<Self> {
        Ok(Self {
            lease,
            host: Arc::new(another()?),
            target,
            start_limit,
            another,
        })
    }

    /// Its sandbox.
    pub fn host(&self) -> &Arc<SandboxHost> {
        &self.host
    }

    /// Starts the target on this content, reads everything back and kills it; where `twice`, it is
    /// started and read a second time. A target with a check of its own is asked for what was
    /// acknowledged. Also what the first start did to the disk.
    ///
    /// # Errors
    /// plugpull failed; nothing is known of the target.
    pub fn attempt(&self, disk: &CrashDisk, twice: bool) -> Result<Attempt, HarnessFailed> {
        let attempt = self.attempt_once(disk, twice)?;
        if let Start::Hung { waited } = attempt.observed.start {
            restart::confirm_hung(waited, self.unharmed_start()?)?;
        }
        Ok(attempt)
    }

    /// How long the target takes now to start on an empty directory; none where it does not come up.
    fn unharmed_start(&self) -> Result<Option<Duration>, HarnessFailed> {
        let empty = CrashDisk {
            key: 0,
            tree: Tree::new(geteuid().as_raw(), getegid().as_raw(), 0),
            acked: Acked::default(),
        };
        let attempt = self.attempt_once(&empty, false)?;
        // Without a recovery that was timed, with the waiting for the CPU.
        let took = attempt.observed.recovery.unwrap_or(attempt.took);
        Ok((attempt.observed.start == Start::Started).then_some(took))
    }

    fn attempt_once(&self, disk: &CrashDisk, twice: bool) -> Result<Attempt, HarnessFailed> {
        let began = Instant::now();
        let sandbox = &self.host.sandbox;
        let fs = Injector::new(disk.tree.clone(), began, 0, 0);
        fs.limit_log(LOG_LIMIT);
        fs.settle_mappings();
        let mut storage = Storage::crash(sandbox, fs.clone(), self.host.cpu)?;
        self.host.begin(FIRST_PID);
        let mut observed = Observed::default();
        let lease = self.lease.lock();
        let printed = self.look(&disk.acked, &mut observed)?;
        let lease = twice.then_some(lease);
        sandbox.kill_all()?;
        let log = fs.take_log();
        let recovery = Some(log).filter(|log| log.is_complete() && changes_disk(log));
        let last = self.host.take_last();
        let mut output = last.map(|child| child.output()).unwrap_or_default();
        output.push_str(&printed);
        if twice && matches!(observed.state, Some(Ok(_))) {
            let mut second = Observed::default();
            let printed = self.look(&disk.acked, &mut second)?;
            sandbox.kill_all()?;
            if let Some(child) = self.host.take_last() {
                output.push_str(&child.output());
            }
            output.push_str(&printed);
            observed.second = Some(match (second.start, second.state) {
                (Start::Started, Some(state)) => state,
                (Start::Refused { message }, _) => Err(message),
                (start, _) => Err(format!("{start:?}")),
            });
        }
        drop(lease);
        fs.cut();
        storage.unmount(sandbox)?;
        Ok(Attempt {
            observed,
            output,
            took: began.elapsed(),
            recovery,
        })
    }

    /// Returns what the target's own check printed, where it has one.
    fn look(&self, acked: &Acked, observed: &mut Observed) -> Result<String, HarnessFailed> {
        let (target, limit) = (&*self.target, self.start_limit);
        restart::observe(target, &self.host, limit, acked.clone(), observed)
    }
}

impl TryState for SandboxWorker {
    fn begin(&mut self) -> Result<(), HarnessFailed> {
        // Without it, it is slower and not wrong.
        self.host.cpu.map(pin::this_thread);
        Ok(())
    }

    fn try_state(&mut self, disk: &CrashDisk, twice: bool) -> Result<Attempt, HarnessFailed> {
        self.attempt(disk, twice)
    }

    fn renew(&mut self) -> Result<(), HarnessFailed> {
        self.host = Arc::new((self.another)()?);
        Ok(())
    }
}
