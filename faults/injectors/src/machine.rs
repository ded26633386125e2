//! The machine under a trial, as faults see it.

use std::io;
use std::time::Duration;

use plugpull_crashsim::persist::Loss;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use thiserror::Error;

use crate::control::Control;
use crate::rule::Matcher;
use crate::trigger::{Trigger, When};

/// Why a fault could not be injected.
#[derive(Debug, Error)]
pub enum InjectError {
    /// The moment never came: the workload ended first, or the target did no such operation.
    #[error("its moment never came: {0}")]
    NeverReached(String),
    /// The target died, or did not start, before the fault was injected.
    #[error("the target failed by itself before the fault was injected: {0}")]
    TargetGone(String),
    /// The machine failed.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// What a power loss did.
#[derive(Clone, Debug, Default)]
pub struct PowerOff {
    /// Updates that were pending.
    pub pending: usize,
    /// Updates that did not reach the disk whole.
    pub lost: usize,
    /// Updates of which some sectors reached the disk.
    pub torn: usize,
}

/// What clients were answered since the fault was injected.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Acknowledged.
    pub ok: u64,
    /// Refused.
    pub fail: u64,
    /// Unknown.
    pub info: u64,
    /// Barriers that the target's own workload reported as reached; not among the others.
    pub barriers: u64,
}

/// How an attempt to start the target went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Started {
    /// It is up.
    Up,
    /// It ended with a message.
    Refused(String),
    /// It neither came up nor ended in time.
    Hung(Duration),
}

/// What became of a reorganisation, and when the target learns of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReorgOutcome {
    /// The chain is another one now, and the target is still down.
    WhileDown,
    /// The target had to be started first and was sent the other chain before anything else: it
    /// is up.
    WhenUp,
    /// The chain is what it was: why.
    Refused(String),
}

/// The machine under a trial, as faults see it. The target runs and clients write to it, from the
/// beginning until a verb stops them.
pub trait Machine {
    /// Randomness, seeded by the trial.
    fn rng(&mut self) -> &mut ChaCha8Rng;
    /// The crash filesystem; none when the data lies on a plain tmpfs or disk.
    fn fs(&self) -> Option<Control>;
    /// Waits until the moment comes. At an operation the whole filesystem is paused, until
    /// [`Machine::go_on`] or a verb that stops the machine.
    fn until(&mut self, when: &When) -> Result<(), InjectError>;
    /// Starts the target, which must be dead, and waits until the moment comes, as
    /// [`Machine::until`] does, while it recovers. An error when it is up before.
    fn start_until(&mut self, when: &When) -> Result<(), InjectError>;
    /// Lets the filesystem go on after [`Machine::until`].
    fn go_on(&mut self);
    /// SIGKILL for the whole process tree. Returns whether the target was alive.
    fn kill(&mut self) -> Result<bool, InjectError>;
    /// What a power loss would lose now, at most: of [`Loss::TornLast`] what it would tear, of any
    /// other all that is not synced.
    fn at_stake(&mut self, loss: Loss) -> Result<PowerOff, InjectError>;
    /// The power goes: every process dies, and the disk is left with what the persistence model
    /// and `loss` leave of what was not synced: less than all of it where that is possible.
    fn power_off(&mut self, loss: Loss) -> Result<PowerOff, InjectError>;
    /// Unmounts and mounts the storage, so that nothing is left in the page cache. Every process
    /// must be dead.
    fn remount(&mut self) -> Result<(), InjectError>;
    /// The regular files of the data directory: path within it and size in bytes, sorted by path.
    /// Every process must be dead.
    fn files(&mut self) -> Result<Vec<(String, u64)>, InjectError>;
    /// Flips bit `bit` (0 to 7, 0 the lowest) of the byte at `offset` of a file that
    /// [`Machine::files`] named. Every process must be dead.
    fn flip(&mut self, path: &str, offset: u64, bit: u8) -> Result<(), InjectError>;
    /// Those of [`Machine::files`] that hold snapshots of the target's state. Every process must be
    /// dead.
    fn snapshots(&mut self) -> Result<Vec<(String, u64)>, InjectError>;
    /// Replaces the last `depth` blocks of the chain that the target follows, which must be dead.
    fn reorg(&mut self, depth: u32) -> Result<ReorgOutcome, InjectError>;
    /// A signal for every process of the target.
    fn signal(&mut self, signal: i32) -> Result<(), InjectError>;
    /// Waits until the target has ended by itself: its exit code or 128 + signal; none when it
    /// has not in time.
    fn wait_exit(&mut self, limit: Duration) -> Result<Option<i32>, InjectError>;
    /// Starts the target without clients, which must be dead.
    fn start(&mut self) -> Result<Started, InjectError>;
    /// Has the kernel kill the target for lack of memory; returns the kernel's evidence.
    fn oom_kill(&mut self) -> Result<String, InjectError>;
    /// Limits the storage to what is in use and this many pages of 4 KiB more; none gives the
    /// space back.
    fn limit_space(&mut self, pages_left: Option<u64>) -> Result<(), InjectError>;
    /// Lets the workload go on until `done` is true or the time is over, and returns the outcomes
    /// since the call. Clients that lost their connection to a living target make a new one.
    fn work_until(
        &mut self,
        limit: Duration,
        done: &dyn Fn(&Tally) -> bool,
    ) -> Result<Tally, InjectError>;
}

/// How the target is brought down first, for a fault that is injected during recovery.
pub(crate) enum FirstCrash {
    /// By SIGKILL.
    Kill,
    /// By a power loss, so that there is something to recover from.
    PowerLoss,
}

/// Waits for the fault's moment, in the workload or in the recovery from a first crash. Returns
/// what a first power loss did; nothing lost where there was none.
pub(crate) fn reach(
    machine: &mut dyn Machine,
    trigger: &Trigger,
    first: FirstCrash,
) -> Result<PowerOff, InjectError> {
    if !trigger.recovery {
        machine.until(&trigger.when)?;
        return Ok(PowerOff::default());
    }
    let acks = machine.rng().random_range(5..40);
    match machine.until(&When::Ack(acks)) {
        // A workload with fewer transactions has something to recover from as well.
        Ok(()) | Err(InjectError::NeverReached(_)) => {}
        Err(error) => return Err(error),
    }
    let off = match first {
        FirstCrash::Kill => {
            machine.kill()?;
            PowerOff::default()
        }
        FirstCrash::PowerLoss => {
            await_stake(machine, Loss::Subset)?;
            machine.power_off(Loss::Subset)?
        }
    };
    machine.start_until(&trigger.when)?;
    Ok(off)
}

/// How many operations on from its moment a power loss looks for something to lose.
const LOOK_ON: u64 = 200;
/// So many operations without anything to lose show that this target never has it.
const ENOUGH: u64 = 20;

/// What a power loss found to lose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stake {
    /// How many operations were let through since the moment.
    pub(crate) passed: u64,
    /// True when there is something to lose now.
    pub(crate) found: bool,
}

impl Stake {
    /// True when so many operations had nothing to lose that the target never has.
    pub(crate) fn is_never(self) -> bool {
        !self.found && self.passed >= ENOUGH
    }
}

/// From a moment on waits until a power loss would lose something, operation by operation, each
/// looked at before it happens. The filesystem is paused then.
pub(crate) fn await_stake(machine: &mut dyn Machine, loss: Loss) -> Result<Stake, InjectError> {
    let next = When::Op {
        matcher: Matcher::default(),
        nth: 1,
    };
    let mut passed = 0;
    loop {
        let off = machine.at_stake(loss)?;
        let found = match loss {
            Loss::TornLast => off.torn > 0,
            _ => off.lost > 0,
        };
        if found || passed == LOOK_ON {
            return Ok(Stake { passed, found });
        }
        match machine.until(&next) {
            Ok(()) => passed += 1,
            Err(InjectError::NeverReached(_)) => return Ok(Stake { passed, found }),
            Err(error) => return Err(error),
        }
    }
}
