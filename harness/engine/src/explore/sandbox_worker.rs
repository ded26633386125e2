//! A worker with a sandbox, in which a target is started on one crash state after the other.

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use nix::unistd::{getegid, geteuid};
use parking_lot::Mutex;
use plugpull_crashsim::fs::Tree;
use plugpull_driver::Target;
use plugpull_faults::control::Injector;
use plugpull_sandbox::pin;
use plugpull_workloads::{FollowUp, Observed, Start};

use super::attempt::{Attempt, Breaker, CrashDisk, TryState};
use super::crash::changes_disk;
use super::follow_up::{FollowUpPlan, Shown};
use super::forked::what_counts;
use super::recording::LOG_LIMIT;
use super::sandbox_follow_up::{FirstLife, StopBy, not_applicable};
use crate::outcome::HarnessFailed;
use crate::trial::restart::observe_then;
use crate::trial::script::look as script_check;
use crate::trial::storage::Storage;
use crate::trial::{Acked, SandboxHost, restart};

/// The number of the first process of an attempt: the same each time, because programs write it
/// into lock files; and another than the recorded one had, as after a reboot.
const FIRST_PID: i32 = 1000;
/// The number of the first process of a second start that is forked: far from those of the first.
const SECOND_PID: i32 = 2000;

/// Held while a target runs. Workers that share one alternate: while the target of one starts and
/// is read, the others take down what they had and set up what comes next.
pub type CpuLease = Arc<Mutex<()>>;

/// How much longer than on the disk of the recorded run a start and a check may take.
const FACTOR: u32 = 20;
/// But not less than this: a machine may be busy.
const LEAST: Duration = Duration::from_secs(2);

/// How long starts and checks may take before they count as hung. Workers share it.
pub struct StartLimits {
    /// What the user or the target allows.
    most: Duration,
    /// What the recorded run calls for, where that is less.
    usual: Mutex<Option<Duration>>,
    /// The disk of the recorded run, where the target came up on it.
    whole: OnceLock<CrashDisk>,
    /// How the target is stopped in order, once that is known.
    stop_by: OnceLock<StopBy>,
}

impl StartLimits {
    /// No less than this.
    pub fn new(most: Duration) -> Arc<Self> {
        Arc::new(Self {
            most,
            usual: Mutex::new(None),
            whole: OnceLock::new(),
            stop_by: OnceLock::new(),
        })
    }

    /// The disk of the recorded run, from which nothing was lost: the target comes up on it. Where a
    /// start hangs, one on this is held beside it.
    pub fn comes_up_on(&self, whole: CrashDisk) {
        // The first one is as good as a second.
        self.whole.get_or_init(|| whole);
    }

    /// From now on a start and a check may take so many times what they took on the disk of the
    /// recorded run, each.
    pub fn learn(&self, took: Duration) {
        let usual = took.saturating_mul(FACTOR).max(LEAST);
        *self.usual.lock() = (usual < self.most).then_some(usual);
    }

    fn usual(&self) -> Option<Duration> {
        *self.usual.lock()
    }
}

/// How a target is started on a state.
#[derive(Clone, Copy, PartialEq, Eq)]
enum How {
    /// As always.
    Started,
    /// Forked from one that is ready, where it can be.
    Forked,
    /// The same for one that is stopped in order: the first time only where it ends as a started one does.
    ForkedToStop,
    /// With what is read noted, and nothing read ahead for it.
    Noting,
}

/// Makes a sandbox.
pub type NewSandbox = Arc<dyn Fn() -> anyhow::Result<SandboxHost> + Send + Sync>;

/// A sandbox in which a target is started on one state after the other.
pub struct SandboxWorker {
    lease: CpuLease,
    host: Arc<SandboxHost>,
    /// The same for what ends an attempt.
    shared: Arc<Mutex<Arc<SandboxHost>>>,
    target: Arc<dyn Target>,
    limits: Arc<StartLimits>,
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
        limits: Arc<StartLimits>,
        lease: CpuLease,
    ) -> anyhow::Result<Self> {
        let host = Arc::new(another()?);
        Ok(Self {
            lease,
            shared: Arc::new(Mutex::new(host.clone())),
            host,
            target,
            limits,
            another,
        })
    }

    /// Its sandbox.
    pub fn host(&self) -> &Arc<SandboxHost> {
        &self.host
    }

    /// Starts the target on this content, reads everything back, follows it up as the disk says, and kills it.
    /// A target with a check of its own is asked for what was acknowledged. Also what the first start did to
    /// the disk.
    ///
    /// # Errors
    /// plugpull failed; nothing is known of the target.
    pub fn attempt(&self, disk: &CrashDisk) -> Result<Attempt, HarnessFailed> {
        self.attempt_within(disk, self.limits.usual())
    }

    /// Why the target cannot have this follow-up; tried on the disk of the recorded run, where that is known.
    ///
    /// # Errors
    /// Why not.
    pub fn can_follow_up(&self, follow_up: FollowUp) -> Result<(), String> {
        if let Some(why) = not_applicable(&*self.target, follow_up) {
            return Err(why.to_owned());
        }
        let Some(whole) = self.limits.whole.get() else {
            return Ok(());
        };
        if follow_up != FollowUp::CleanStop {
            return Ok(());
        }
        let disk = CrashDisk {
            then: Some(FollowUpPlan {
                follow_up,
                life: Arc::new([]),
            }),
            ..whole.clone()
        };
        let attempt = self.attempt(&disk);
        let came = attempt.ok().and_then(|attempt| attempt.follow_up);
        match came.map(|came| came.shown) {
            Some(Shown::NotDone(why)) => Err(why),
            _ => Ok(()),
        }
    }

    /// The same where starts and checks may take so long; none for as long as they ever may.
    fn attempt_within(
        &self,
        disk: &CrashDisk,
        limit: Option<Duration>,
    ) -> Result<Attempt, HarnessFailed> {
        self.host.limit_check(limit);
        let limit = limit.unwrap_or(self.limits.most);
        let mut attempt = self.attempt_once(disk, limit, How::Started, self.stop_by())?;
        if attempt.is_not_stopped() && self.limits.stop_by.get().is_none() {
            let other = self.attempt_once(disk, limit, How::Started, StopBy::EndOfInput)?;
            if !other.is_not_stopped() {
                self.limits.stop_by.get_or_init(|| StopBy::EndOfInput);
                attempt = other;
            }
        }
        if let Some(waited) = attempt.hung() {
            match self.limits.whole.get() {
                Some(whole) => {
                    let took = self.unharmed_start(whole, limit)?;
                    restart::confirm_hung_beside_whole(waited, took)?;
                }
                None => {
                    let empty = CrashDisk {
                        key: 0,
                        tree: Tree::new(geteuid().as_raw(), getegid().as_raw(), 0),
                        acked: Acked::default(),
                        then: None,
                    };
                    restart::confirm_hung(waited, self.unharmed_start(&empty, limit)?)?;
                }
            }
        }
        Ok(attempt)
    }

    /// How long the target takes now to start on a disk that nothing happened to; none where it does not
    /// come up.
    fn unharmed_start(
        &self,
        disk: &CrashDisk,
        limit: Duration,
    ) -> Result<Option<Duration>, HarnessFailed> {
        let attempt = self.attempt_once(disk, limit, How::Started, self.stop_by())?;
        // Without a recovery that was timed, with the waiting for the CPU.
        let took = attempt.observed.recovery.unwrap_or(attempt.took);
        Ok((attempt.observed.start == Start::Started).then_some(took))
    }

    fn attempt_once(
        &self,
        disk: &CrashDisk,
        limit: Duration,
        how: How,
        by: StopBy,
    ) -> Result<Attempt, HarnessFailed> {
        self.attempt_timed(disk, limit, how, by)
            .map(|(attempt, _)| attempt)
    }

    /// The same, and whether the first life was that of a started target: how long its recovery took says
    /// something then.
    fn attempt_timed(
        &self,
        disk: &CrashDisk,
        limit: Duration,
        how: How,
        by: StopBy,
    ) -> Result<(Attempt, bool), HarnessFailed> {
        let began = Instant::now();
        self.host.usable()?;
        let sandbox = &self.host.sandbox;
        let fs = Injector::new(disk.tree.clone(), began, 0, 0);
        fs.limit_log(LOG_LIMIT);
        fs.note_mappings();
        if how == How::Noting {
            fs.note_reads();
        }
        let mut storage = Storage::crash(sandbox, fs.clone(), self.host.cpu)?;
        match how {
            How::Started => self.host.begin(FIRST_PID),
            How::Forked => self.host.begin_forked(FIRST_PID),
            How::ForkedToStop => self.host.begin_forked_to_stop(FIRST_PID),
            How::Noting => self.host.begin_cold(FIRST_PID),
        }
        let mut observed = Observed::default();
        let lease = self.lease.lock();
        let mut first = FirstLife::new(disk.then.as_ref(), &fs);
        let limits = (limit, disk.acked.clone());
        let then = |observed: &Observed, up| first.follow_up(&self.host, observed, up, by);
        let printed = observe_then(&*self.target, &self.host, limits, &mut observed, then)?;
        let timed = !self.host.has_forked();
        let mut forked = !timed;
        let lease = disk.then.is_some().then_some(lease);
        sandbox.kill_all()?;
        fs.processes_gone();
        let (log, ending) = first.end();
        let recovery = Some(log).filter(|log| log.is_complete() && changes_disk(log));
        let mut output = self.output(&printed);
        let mut follow_up = None;
        if let (Some(then), Some(ending)) = (&disk.then, ending) {
            let mut second = Observed::default();
            let begins_again = ending.begins_again();
            if begins_again {
                if matches!(how, How::Forked | How::ForkedToStop) {
                    self.host.begin_forked(SECOND_PID);
                }
                let printed = self.look(&disk.acked, limit, &mut second)?;
                forked |= self.host.has_forked();
                sandbox.kill_all()?;
                output.push_str(&self.output(&printed));
            }
            follow_up = Some(ending.came(then.follow_up, &observed, second));
        }
        drop(lease);
        fs.cut();
        storage.unmount(sandbox)?;
        let attempt = Attempt {
            observed,
            output,
            took: began.elapsed(),
            recovery,
            forked,
            differs: None,
            reads: fs.take_noted(),
            follow_up,
        };
        Ok((attempt, timed))
    }

    /// How the target is stopped in order: by SIGTERM, as long as nobody knows better.
    fn stop_by(&self) -> StopBy {
        let known = self.limits.stop_by.get();
        known.copied().unwrap_or(StopBy::Signal)
    }

    /// What the target printed until it was killed, and what its check did.
    fn output(&self, by_check: &str) -> String {
        let last = self.host.take_last();
        let mut output = last.map(|child| child.output()).unwrap_or_default();
        output.push_str(by_check);
        output
    }

    /// What a forked target makes of a state, where one can be forked; a started one where it is the first.
    fn attempt_forked(&mut self, disk: &CrashDisk) -> Result<Option<Attempt>, HarnessFailed> {
        if self.host.forking().is_none() {
            return Ok(None);
        }
        let how = match disk.then.as_ref().map(|then| then.follow_up) {
            Some(FollowUp::CleanStop) => How::ForkedToStop,
            Some(FollowUp::SecondRestart | FollowUp::SecondLife) | None => How::Forked,
        };
        let limit = self.limits.usual();
        self.host.limit_check(limit);
        let attempt =
            self.attempt_timed(disk, limit.unwrap_or(self.limits.most), how, self.stop_by());
        match (attempt, self.host.forking()) {
            (Err(failure), Some(forking)) => {
                forking.turn_off(&failure.to_string());
                self.renew()?;
                Ok(None)
            }
            (Err(failure), None) => Err(failure),
            // How else it may be stopped is not tried here. A forked one is not stopped again: its kernel
            // may not tell how it ended.
            (Ok((attempt, timed)), forking) if attempt.is_not_stopped() => {
                if let Some(forking) = forking.filter(|_| !timed) {
                    forking.start_to_stop();
                }
                Ok(None)
            }
            // Whether it hangs is seen by starting it.
            (Ok((attempt, _)), _) if !attempt.forked => {
                let hung = matches!(attempt.observed.start, Start::Hung { .. });
                Ok((!hung).then_some(attempt))
            }
            (Ok((attempt, true)), _) => Ok(Some(attempt)),
            (Ok((mut attempt, false)), forking) => {
                // It is no start that was timed.
                let took = attempt.observed.recovery.take();
                let within = forking.is_some_and(|forking| forking.is_within(took));
                let slow = attempt.observed.start == Start::Started && !within;
                Ok((!slow).then_some(attempt))
            }
        }
    }

    /// Returns what the target's own check printed, where it has one.
    fn look(
        &self,
        acked: &Acked,
        limit: Duration,
        observed: &mut Observed,
    ) -> Result<String, HarnessFailed> {
        restart::observe(&*self.target, &self.host, limit, acked.clone(), observed)
    }
}

impl TryState for SandboxWorker {
    fn begin(&mut self) -> Result<(), HarnessFailed> {
        // Without it, it is slower and not wrong.
        self.host.cpu.map(pin::this_thread);
        Ok(())
    }

    fn try_state(&mut self, disk: &CrashDisk) -> Result<Attempt, HarnessFailed> {
        let forked = self.attempt_forked(disk)?;
        what_counts(disk, forked, || self.attempt(disk))
    }

    fn try_noting(&mut self, disk: &CrashDisk) -> Result<Attempt, HarnessFailed> {
        let limit = self.limits.usual();
        self.host.limit_check(limit);
        let limit = limit.unwrap_or(self.limits.most);
        let attempt = self.attempt_once(disk, limit, How::Noting, self.stop_by())?;
        // Whether it hangs is seen in a start like all others.
        let hung = matches!(attempt.observed.start, Start::Hung { .. });
        let started = match hung {
            true => self.attempt(disk)?,
            false => attempt,
        };
        Ok(Attempt {
            recovery: None,
            ..started
        })
    }

    fn renew(&mut self) -> Result<(), HarnessFailed> {
        self.host = Arc::new((self.another)()?);
        *self.shared.lock() = self.host.clone();
        Ok(())
    }

    fn check_alone(&mut self, disk: &CrashDisk) -> Result<Option<Observed>, HarnessFailed> {
        let Some(script) = self.target.scripted() else {
            return Ok(None);
        };
        // A check that asks a daemon needs it.
        if script.serves() {
            return Ok(Some(self.attempt(disk)?.observed));
        }
        self.host.usable()?;
        let sandbox = &self.host.sandbox;
        let fs = Injector::new(disk.tree.clone(), Instant::now(), 0, 0);
        let mut storage = Storage::crash(sandbox, fs.clone(), self.host.cpu)?;
        self.host.begin(FIRST_PID);
        let mut observed = Observed::default();
        let lease = self.lease.lock();
        script_check(&*self.target, &self.host, &disk.acked, &mut observed)?;
        sandbox.kill_all()?;
        drop(lease);
        fs.cut();
        storage.unmount(sandbox)?;
        Ok(Some(observed))
    }

    fn try_patiently(&mut self, disk: &CrashDisk) -> Result<Option<Attempt>, HarnessFailed> {
        if self.limits.usual().is_none() {
            return Ok(None);
        }
        let attempt = self.attempt_within(disk, None)?;
        if !matches!(attempt.observed.start, Start::Hung { .. }) {
            // The recorded run was no measure of what a recovery takes.
            *self.limits.usual.lock() = None;
        }
        Ok(Some(attempt))
    }

    fn breaker(&self) -> Option<Breaker> {
        let shared = self.shared.clone();
        Some(Box::new(move || {
            let host = shared.lock().clone();
            host.give_up(&HarnessFailed::new("the exploration ends"));
            // Where it cannot, the attempt ends at its own limit.
            drop(host.sandbox.kill_all());
        }))
    }
}
