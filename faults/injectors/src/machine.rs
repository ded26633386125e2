//! The machine under a trial, as faults see it.

use std::collections::BTreeMap;
use std::io;
use std::time::Duration;

use plugpull_crashsim::fs::{Ino, Node};
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

/// A sector that holds anything other than zeros, and was read.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Read {
    /// The file's path within the data directory.
    pub path: String,
    /// The file.
    pub ino: Ino,
    /// The sector's offset in it, in bytes.
    pub offset: u64,
    /// True when the target read it as it started; false when that was only to show what it holds.
    pub at_start: bool,
}

/// How much space a workload took.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SpaceTaken {
    /// Pages.
    pub pages: u64,
    /// Transactions that were acknowledged meanwhile.
    pub acks: u64,
    /// The size of each file when it began, by its path.
    pub sizes_before: BTreeMap<String, u64>,
}

/// The size of each file that has a name, by its path within the data directory, in bytes.
pub fn sizes(fs: &Control) -> BTreeMap<String, u64> {
    fs.inspect(|tree, _| {
        let files = tree.inodes().filter_map(|(_, inode)| match &inode.node {
            Node::File(content) if inode.nlink > 0 => {
                Some((inode.path.to_string(), content.size()))
            }
            _ => None,
        });
        files.collect()
    })
}

impl Tally {
    /// What came after the other, which was taken earlier.
    #[must_use]
    pub fn since(self, earlier: Self) -> Self {
        Self {
            ok: self.ok - earlier.ok,
            fail: self.fail - earlier.fail,
            info: self.info - earlier.info,
            barriers: self.barriers - earlier.barriers,
        }
    }

    /// Both together.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            ok: self.ok + other.ok,
            fail: self.fail + other.fail,
            info: self.info + other.info,
            barriers: self.barriers + other.barriers,
        }
    }
}

/// How a target fares when the trouble is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Afterwards {
    /// It acknowledges transactions.
    Works,
    /// Its workload had done all that it does.
    Done,
    /// The target had ended by itself, and how: what it shows is what its restart shows.
    Ended(String),
    /// The workload, which is the target itself, acknowledged nothing for this time, and goes on.
    Silent(Duration),
    /// A new session of the workload was acknowledged nothing either, for the whole time.
    Refuses(String),
}

impl Afterwards {
    /// What there is to say of it where it is no finding; begins with "; " where there is something.
    pub fn describe(&self) -> String {
        match self {
            Self::Works | Self::Refuses(_) => String::new(),
            Self::Silent(time) => format!("; it acknowledged nothing for {time:?}"),
            Self::Done => "; the workload had come to its end".into(),
            Self::Ended(how) => format!("; the target had ended by itself ({how})"),
        }
    }

    /// Why it is down although the trouble is over; none where it is not.
    pub fn stays_down(self) -> Option<String> {
        match self {
            Self::Refuses(how) => Some(how),
            Self::Works | Self::Done | Self::Ended(_) | Self::Silent(_) => None,
        }
    }
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

/// What became of an action of the target's driver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Acted {
    /// It was done, or the target was killed in its midst: which and how.
    Done(String),
    /// It was not, or nobody knows: why.
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
    /// What a recovery from what lies on the disk now reads of it, and what reading everything back
    /// reads besides, as far as it holds anything: both are done once, and undone. Nothing without a
    /// crash filesystem. Every process must be dead.
    fn rehearse(&mut self) -> Result<Vec<Read>, InjectError>;
    /// Those of [`Machine::files`] that hold snapshots of the target's state. Every process must be
    /// dead.
    fn snapshots(&mut self) -> Result<Vec<(String, u64)>, InjectError>;
    /// Whether the action of this trial is done while the target is up.
    fn acts_while_up(&self) -> bool;
    /// Does the action of this trial, with this amount or a seeded one: while the target is up by a
    /// client beside the others, or else after a SIGKILL. `killed_at` is the moment of a SIGKILL,
    /// counted from the beginning of an action that is done while the target is up.
    fn act(&mut self, amount: Option<u32>, killed_at: Option<&When>) -> Result<Acted, InjectError>;
    /// A signal for every process of the target.
    fn signal(&mut self, signal: i32) -> Result<(), InjectError>;
    /// Waits until the target has ended by itself: its exit code or 128 + signal; none when it
    /// has not in time.
    fn wait_exit(&mut self, limit: Duration) -> Result<Option<i32>, InjectError>;
    /// Starts the target without clients, which must be dead.
    fn start(&mut self) -> Result<Started, InjectError>;
    /// Has the kernel kill the target for lack of memory; returns the kernel's evidence.
    fn oom_kill(&mut self) -> Result<String, InjectError>;
    /// How much more space the data takes than when the workload began; none without a crash
    /// filesystem.
    fn growth(&mut self) -> Option<SpaceTaken>;
    /// Limits the storage to what is in use and this many pages of 4 KiB more; none gives the
    /// space back.
    fn limit_space(&mut self, pages_left: Option<u64>) -> Result<(), InjectError>;
    /// True while the workload goes on: it has not come to its end, and the target lives.
    fn works(&mut self) -> bool;
    /// How the target fares now that the trouble is over: whether it acknowledges transactions within
    /// `limit`; where it does not, and lives, also those of a new session of the workload.
    fn afterwards(&mut self, limit: Duration) -> Result<Afterwards, InjectError>;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_session_that_was_refused_is_down() {
        let down = |after: Afterwards| (after.describe(), after.stays_down());
        let (words, down_for) = down(Afterwards::Refuses("none in 10 s".into()));
        assert_eq!(
            (words.as_str(), down_for.as_deref()),
            ("", Some("none in 10 s"))
        );
        let others = [
            (Afterwards::Works, ""),
            (Afterwards::Done, "come to its end"),
            (
                Afterwards::Ended("ended by SIGABRT: no space".into()),
                "SIGABRT",
            ),
            (Afterwards::Silent(Duration::from_secs(10)), "for 10s"),
        ];
        for (after, says) in others {
            let (words, down_for) = down(after);
            assert!(words.contains(says) && down_for.is_none(), "{words}");
        }
    }
}
