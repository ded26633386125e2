//! A recovery as a recorded run of its own, so that a crash of it can be diagnosed as one of the run is: what
//! it did, on the disk that the crash before it had left, with all that was acknowledged before.

use std::sync::Arc;

use plugpull_crashsim::fs::Log;
use plugpull_crashsim::persist::Index;
use plugpull_workloads::History;

use super::super::crash::{Crash, CrashModel, RECOVERYS, RecoveryTrace};
use super::super::oracle::Oracle;
use super::super::retry::Minimised;
use super::super::trace::{Recorded, Trace};
use super::changes::SyncChanges;

/// A recovery that was crashed.
pub(super) struct RecoveryRun {
    trace: Trace,
    /// The crash point of the recorded run.
    crashed_at: u64,
    /// How many operations came before it, over all crashes.
    began: u64,
}

impl RecoveryRun {
    /// This recovery behind a crash of the oracle's run.
    pub(super) fn of(oracle: &Oracle<'_>, recovery: &Arc<RecoveryTrace>) -> Self {
        let log = &recovery.log;
        let sequence = recovery.after.sequence();
        Self {
            crashed_at: recovery.after.first().point,
            began: sequence.iter().map(|crash| crash.point).sum(),
            trace: Trace {
                log: Log::of(log.base().clone(), log.records().to_vec(), Vec::new()),
                about: Recorded {
                    history: History::default(),
                    end: None,
                    last_ack: None,
                    // Recoveries are recorded without.
                    stacks: None,
                    ..oracle.trace.about.clone()
                },
            },
        }
    }

    /// Its log under each model of an exploration.
    pub(super) fn indexes<'i>(&'i self, of: &Oracle<'_>) -> Vec<Index<'i>> {
        CrashModel::indexes(of.models, &self.trace.log, of.device)
    }

    /// An oracle over it, which holds it to what was acknowledged in the recorded run.
    pub(super) fn oracle<'b>(&'b self, of: &Oracle<'b>, indexes: &'b [Index<'b>]) -> Oracle<'b> {
        of.of_recovery(&self.trace, (of.models, indexes), self.crashed_at)
    }

    /// The changes of its syncs.
    pub(super) fn changes(&self) -> SyncChanges<'_> {
        SyncChanges::of(&self.trace, RECOVERYS)
    }

    /// How many operations came before it: the time line goes on counting there.
    pub(super) fn began(&self) -> u64 {
        self.began
    }

    /// A finding of a crash of it, as one of a run of its own.
    pub(super) fn without_what_came_before(&self, minimised: &Minimised) -> Minimised {
        let mut alone = minimised.clone();
        alone.crash = Crash {
            within: None,
            ..alone.crash
        };
        alone
    }

    /// The models that leave the disk of such a finding, the crash before it included: under another one there
    /// may be no such recovery. Its own is among them, also where there was no time to look at others.
    pub(super) fn models(&self, of: &Oracle<'_>, minimised: &Minimised) -> Vec<CrashModel> {
        let own = of.models[minimised.crash.model].name;
        let leaves =
            |model: &CrashModel| own == model.name || minimised.models.contains(&model.name);
        let all = CrashModel::all().into_iter();
        all.filter(|model| model.power && leaves(model)).collect()
    }
}
