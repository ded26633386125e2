//! Trying a crash state: what the explorer asks for, and what it gets. Whether a sandbox, a thread
//! or a simulation answers makes no difference to it.

use std::time::Duration;

use plugpull_crashsim::fs::{Log, Reads, Tree};
use plugpull_workloads::{FollowUp, Observed, Start};
use serde::{Deserialize, Serialize};

use super::follow_up::{FollowUpPlan, FollowedUp, Shown};
use crate::outcome::HarnessFailed;
use crate::trial::Acked;

/// A disk as a crash left it.
#[derive(Clone)]
pub struct CrashDisk {
    /// The name of the attempt: see [`Acked::key`].
    pub key: u128,
    /// What lies on the disk.
    pub tree: Tree,
    /// What a workload of the target's own saw acknowledged, which its check is given.
    pub acked: Acked,
    /// What is done once the target was read back.
    pub then: Option<FollowUpPlan>,
}

/// What a target made of a crash state.
pub struct Attempt {
    /// How it started and what it held.
    pub observed: Observed,
    /// What it and its check printed.
    pub output: String,
    /// How long the attempt took.
    pub took: Duration,
    /// What the first start did to the disk; none where that was more than can be kept.
    pub recovery: Option<Log>,
    /// True where the target was forked from one that was ready, and not started.
    pub forked: bool,
    /// How what a forked target showed differs from this, which a started one showed.
    pub differs: Option<String>,
    /// What was read of the disk, where that was noted.
    pub reads: Option<Reads>,
    /// What it showed when it was followed up; none where it was not to be, or where it did not serve what
    /// it holds.
    pub follow_up: Option<FollowedUp>,
}

impl Attempt {
    /// True where it was to be stopped in order and was not.
    pub(super) fn is_not_stopped(&self) -> bool {
        let follow_up = self.follow_up.as_ref();
        follow_up.is_some_and(|one| {
            one.follow_up == FollowUp::CleanStop && matches!(one.shown, Shown::NotDone(_))
        })
    }

    /// What it showed, with what a second start behind it did.
    pub fn observed_twice(&self) -> Observed {
        let follow_up = self.follow_up.as_ref();
        Observed {
            second: follow_up.and_then(|one| one.second(&self.observed)),
            ..self.observed.clone()
        }
    }

    /// How long a start was waited for that never ended, the first or the one behind it.
    pub(super) fn hung(&self) -> Option<Duration> {
        let hung = |observed: &Observed| match observed.start {
            Start::Hung { waited } => Some(waited),
            _ => None,
        };
        let later = self.follow_up.as_ref().and_then(|one| match &one.shown {
            Shown::Other(then) => hung(then),
            Shown::Life { observed, .. } => hung(observed),
            _ => None,
        });
        hung(&self.observed).or(later)
    }
}

/// Ends an attempt under way.
pub type Breaker = Box<dyn Fn() + Send + Sync>;

/// Tries one state at a time: puts it on a disk, starts the target on it, reads everything back, follows it
/// up as the disk says, and kills it.
pub trait TryState: Send {
    /// What came of a state.
    ///
    /// # Errors
    /// plugpull failed; nothing is known of the target.
    fn try_state(&mut self, disk: &CrashDisk) -> Result<Attempt, HarnessFailed>;

    /// The same in a started target, with all noted that is read of the disk. What recovery did is not kept.
    ///
    /// # Errors
    /// plugpull failed; nothing is known of the target.
    fn try_noting(&mut self, disk: &CrashDisk) -> Result<Attempt, HarnessFailed>;

    /// What the target's own check alone shows of a disk; none where it has none. Nothing is recovered
    /// before, where that is not what the check does.
    ///
    /// # Errors
    /// plugpull failed; nothing is known of the target.
    fn check_alone(&mut self, disk: &CrashDisk) -> Result<Option<Observed>, HarnessFailed> {
        let _ = disk;
        Ok(None)
    }

    /// What came of a state when the target is given all the time that it may ever take, where it is
    /// mostly given less; none where it always has that.
    ///
    /// # Errors
    /// plugpull failed; nothing is known of the target.
    fn try_patiently(&mut self, disk: &CrashDisk) -> Result<Option<Attempt>, HarnessFailed> {
        let _ = disk;
        Ok(None)
    }

    /// Ends an attempt under way from another thread, which then fails; as often as it is called.
    /// None where no attempt waits for anything.
    fn breaker(&self) -> Option<Breaker> {
        None
    }

    /// Called once, in the thread that it works in.
    ///
    /// # Errors
    /// It cannot work.
    fn begin(&mut self) -> Result<(), HarnessFailed> {
        Ok(())
    }

    /// Gets ready again after a failure, which may have left anything behind.
    ///
    /// # Errors
    /// It cannot work any more.
    fn renew(&mut self) -> Result<(), HarnessFailed> {
        Ok(())
    }
}

/// What came of a state that was handed out.
pub struct Answer {
    /// The name of the attempt.
    pub key: u128,
    /// What the target made of the state, unless plugpull failed.
    pub result: Result<Attempt, HarnessFailed>,
}

/// What the workers have for who asks.
pub enum Reply {
    /// The next answer.
    Answer(Box<Answer>),
    /// Nothing yet.
    Nothing,
    /// Nobody works any more: what was handed out will not be answered.
    Gone,
}

/// What became of a recovery.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RecoveryNote {
    /// It changed nothing on the disk.
    None,
    /// It changed the disk, and was not kept to be crashed.
    Passed,
    /// It was kept to be crashed.
    Kept,
}

/// Workers that try states side by side, as the explorer sees them.
pub trait Workers: Sync {
    /// How many states are tried side by side.
    fn count(&self) -> usize;

    /// Hands a state out.
    fn submit(&self, disk: CrashDisk);

    /// Hands a state out that is tried with all noted that is read of its disk.
    fn submit_noting(&self, disk: CrashDisk);

    /// The next answer, waited for so long.
    fn reply(&self, wait: Duration) -> Reply;

    /// Tries a state beside all others and waits for what comes of it: for minimising. The target is
    /// always started for it.
    ///
    /// # Errors
    /// plugpull failed; nothing is known of the target.
    fn try_now(&self, disk: &CrashDisk) -> Result<Attempt, HarnessFailed>;

    /// What the target's own check alone shows of a disk, beside all others; none where it has none.
    ///
    /// # Errors
    /// plugpull failed; nothing is known of the target.
    fn check_now(&self, disk: &CrashDisk) -> Result<Option<Observed>, HarnessFailed> {
        let _ = disk;
        Ok(None)
    }

    /// Tries a state beside all others and gives the target all the time that it may ever take; none
    /// where it always has that.
    ///
    /// # Errors
    /// plugpull failed; nothing is known of the target.
    fn try_patiently(&self, disk: &CrashDisk) -> Result<Option<Attempt>, HarnessFailed> {
        let _ = disk;
        Ok(None)
    }

    /// From here on targets are started and not forked: a forked one showed something else, in these words,
    /// or (none) most would be started all the same.
    fn stop_forking(&self, why: Option<&str>) {
        let _ = why;
    }

    /// Ends what is under way: nothing more is tried, and what was being tried fails. May be called
    /// again while something is still under way.
    fn abandon(&self) {}

    /// What became of the recovery of a state that an earlier part of this run tried; none where the
    /// state is new.
    fn knows(&self, key: u128) -> Option<RecoveryNote> {
        let _ = key;
        None
    }
}
