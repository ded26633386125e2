//! How a start goes on a directory that nothing happened to, to hold one beside it that did not end.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use nix::unistd::{getegid, geteuid};
use plugpull_crashsim::fs::Tree;
use plugpull_faults::machine::Machine;
use plugpull_workloads::Start;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use super::{Stopped, Testbed};
use crate::outcome::{HarnessFailed, Observed, TargetFailed, guard};
use crate::trial::restart;
use crate::trial::script::Acked;
use crate::trial::{PROBE, controls::STOP_LIMIT};

/// So many times the limit a start after a clean stop may take: what is slow by nature can then be
/// distinguished from what never ends.
const PATIENCE: u32 = 2;

impl Testbed<'_> {
    /// What a failed start says of the target. A limit that was reached is its failure only where the
    /// same start on an unharmed directory, now, takes less than a tenth of it. That directory is the
    /// one after a clean stop of the same workload, with as much in it, or the empty one where the target
    /// cannot be stopped so, or does not come up after that either. The disk is then as it was, and the
    /// target dead.
    ///
    /// Without a crash filesystem, where a disk cannot be put back, it is the first start of the trial.
    ///
    /// # Errors
    /// The limit is too short for this target on this machine, or plugpull failed.
    pub fn confirmed(&mut self, failed: TargetFailed) -> Result<TargetFailed, HarnessFailed> {
        self.storage.check()?;
        if let TargetFailed::Hung(waited) = failed {
            self.used = Some(self.host.sandbox.usage()?);
            self.kill()?;
            let Some(disk) = self.snapshot() else {
                restart::confirm_hung(waited, self.first_start)?;
                return Ok(failed);
            };
            let lives = self.outputs.len();
            self.storage.unmount(&self.host.sandbox)?;
            let known = self.host.no_clean_start.load(Ordering::Relaxed);
            let clean = if known {
                None
            } else {
                self.after_clean_stop()?
            };
            match clean {
                Some(took) => restart::confirm_hung_beside_clean(waited, took)?,
                None => {
                    // Each time it would take as long again.
                    self.host.no_clean_start.store(true, Ordering::Relaxed);
                    restart::confirm_hung(waited, self.on_empty()?)?;
                }
            }
            self.outputs.truncate(lives);
            self.restore(disk)?;
        }
        Ok(failed)
    }

    /// How long the target takes now to start on an empty directory and to show what it holds; none
    /// where it does not come up.
    fn on_empty(&mut self) -> Result<Option<Duration>, HarnessFailed> {
        self.restore(Tree::new(geteuid().as_raw(), getegid().as_raw(), 0))?;
        let took = self.timed(self.start_limit, Acked::default())?;
        self.kill()?;
        Ok(took)
    }

    /// The same after it was written to as often as in this trial, and stopped in order; none also where
    /// it cannot be stopped so.
    fn after_clean_stop(&self) -> Result<Option<Duration>, HarnessFailed> {
        let acks = self.recorder.history().acked() as u64;
        let patience = self.start_limit.saturating_mul(PATIENCE);
        let host = self.host.clone();
        let mut twin = Testbed::new(
            &host,
            &self.target,
            self.rules,
            &self.workload,
            self.seed,
            ChaCha8Rng::seed_from_u64(self.seed),
            patience,
        )?;
        let took = guard(|| {
            if twin.bring_up(PROBE)?.is_err() {
                return Ok(None);
            }
            twin.work()?;
            twin.work_until(patience, &|tally| tally.ok >= acks)?;
            if twin.stop(libc::SIGTERM, STOP_LIMIT)? != Stopped::Ended(0) {
                return Ok(None);
            }
            let acked = Acked::of(&twin.history(), &*twin.target);
            twin.timed(patience, acked)
        });
        let cleaned = twin.tear_down();
        let took = took?;
        cleaned?;
        Ok(took)
    }

    fn timed(&self, limit: Duration, acked: Acked) -> Result<Option<Duration>, HarnessFailed> {
        let began = Instant::now();
        let mut fresh = Observed::default();
        restart::observe(&*self.target, self.borrowed, limit, acked, &mut fresh)?;
        Ok((fresh.start == Start::Started).then(|| began.elapsed()))
    }
}
