//! What a fault is, and what it may do to the machine that a trial runs on.

use std::io;
use std::time::Duration;

use plugpull_workloads::FailureClass;
use rand_chacha::ChaCha8Rng;
use thiserror::Error;

use crate::inject::Control;
use crate::trigger::{Trigger, When};
use plugpull_crashsim::persist::Loss;

/// What a fault needs of the machine it is injected on, and of the target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Need {
    /// The crash filesystem, and so FUSE.
    CrashFs,
    /// Storage of limited size: the crash filesystem or a tmpfs of the sandbox.
    LimitedStorage,
    /// A cgroup with a memory limit.
    MemoryCgroup,
    /// A target that follows a chain of blocks, which can be reorganised.
    Chain,
    /// A target that keeps snapshots of its state, in files that are known.
    Snapshots,
}

/// Why a fault could not be injected.
#[derive(Debug, Error)]
pub enum InjectError {
    /// The moment never came: the workload ended first, or the target did no such operation.
    #[error("its moment never came: {0}")]
    NeverReached(String),
    /// The target died, or did not start, before the fault struck.
    #[error("the target failed by itself before the fault struck: {0}")]
    TargetGone(String),
    /// The machine failed.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// What a power loss did.
#[derive(Clone, Debug, Default)]
pub struct PowerOff {
    /// Steps that were pending.
    pub pending: usize,
    /// Steps that did not reach the disk whole.
    pub lost: usize,
    /// Steps of which some sectors reached the disk.
    pub torn: usize,
}

/// How clients fared since the fault struck.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Acknowledged.
    pub ok: u64,
    /// Refused.
    pub fail: u64,
    /// Unknown.
    pub info: u64,
    /// Barriers that a workload of the target's own said were reached; not among the others.
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

/// When the target learns that its chain was reorganised.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told {
    /// The chain is another one now, and the target is still down.
    WhileDown,
    /// There was no other way than to start the target and tell it first of all: it is up.
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
    /// Waits until the moment comes. At an operation the whole filesystem stands still, until
    /// [`Machine::go_on`] or a verb that stops the machine.
    fn until(&mut self, when: &When) -> Result<(), InjectError>;
    /// Starts the target, which must be dead, and waits until the moment comes, as
    /// [`Machine::until`] does, while it recovers. An error when it is up before.
    fn start_until(&mut self, when: &When) -> Result<(), InjectError>;
    /// Lets the filesystem go on after [`Machine::until`].
    fn go_on(&mut self);
    /// SIGKILL for the whole process tree. Returns whether the target was alive.
    fn kill(&mut self) -> Result<bool, InjectError>;
    /// The power goes: every process dies, and the disk is left with what the persistence model
    /// and `loss` leave of what was not synced.
    fn power_off(&mut self, loss: Loss) -> Result<PowerOff, InjectError>;
    /// Unmounts and mounts the storage, so that nothing is left in the page cache. Every process
    /// must be dead.
    fn remount(&mut self) -> Result<(), InjectError>;
    /// The regular files of the data folder: path within it and size in bytes, sorted by path.
    /// Every process must be dead.
    fn files(&mut self) -> Result<Vec<(String, u64)>, InjectError>;
    /// Flips bit `bit` (0 to 7, 0 the lowest) of the byte at `offset` of a file that
    /// [`Machine::files`] named. Every process must be dead.
    fn flip(&mut self, path: &str, offset: u64, bit: u8) -> Result<(), InjectError>;
    /// Those of [`Machine::files`] that hold snapshots of the target's state. Every process must be
    /// dead.
    fn snapshots(&mut self) -> Result<Vec<(String, u64)>, InjectError>;
    /// Replaces the last `depth` blocks of the chain that the target follows, which must be dead.
    fn reorg(&mut self, depth: u32) -> Result<Told, InjectError>;
    /// A signal for every process of the target.
    fn signal(&mut self, signal: i32) -> Result<(), InjectError>;
    /// Waits until the target has ended by itself: its exit code or 128 + signal; none when it
    /// has not in time.
    fn wait_exit(&mut self, limit: Duration) -> Result<Option<i32>, InjectError>;
    /// Starts the target without clients, which must be dead.
    fn start(&mut self) -> Result<Started, InjectError>;
    /// Has the kernel kill the target for want of memory; returns the kernel's evidence.
    fn oom_kill(&mut self) -> Result<String, InjectError>;
    /// Limits the storage to what is in use and this many pages of 4 KiB more; none gives the
    /// space back.
    fn limit_space(&mut self, pages_left: Option<u64>) -> Result<(), InjectError>;
    /// Lets the workload go on until `done` says so or the time is over, and returns the outcomes
    /// since the call. Clients that lost their connection to a living target make a new one.
    fn work_until(
        &mut self,
        limit: Duration,
        done: &dyn Fn(&Tally) -> bool,
    ) -> Result<Tally, InjectError>;
}

/// How to tell whether a fault had an effect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Bite {
    /// It had, or had not.
    Known(bool),
    /// It has when a damaged range is read during recovery or read-back.
    WhenRead,
}

/// What a fault did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Injected {
    /// Whether it had an effect.
    pub bite: Bite,
    /// What it did, in words.
    pub what: String,
    /// Real damage that is still there when the target starts again: refusing is right then.
    pub damage: Option<String>,
    /// After the trouble was over the target still did not work: what it said.
    pub stays_down: Option<String>,
    /// The machine also lost power: only what is promised for that as well is owed.
    pub lost_power: bool,
}

impl Injected {
    /// Something that had an effect and left nothing damaged.
    pub fn bit(what: impl Into<String>) -> Self {
        Self {
            bite: Bite::Known(true),
            what: what.into(),
            damage: None,
            stays_down: None,
            lost_power: false,
        }
    }

    /// The same, if `bit`.
    pub fn if_bit(bit: bool, what: impl Into<String>) -> Self {
        Self {
            bite: Bite::Known(bit),
            ..Self::bit(what)
        }
    }
}

/// One way in which storage or processes fail.
pub struct Fault {
    /// Its name on the command line.
    pub name: &'static str,
    /// What it does, in one line.
    pub about: &'static str,
    /// The class of failure whose promises it puts to the test.
    pub class: FailureClass,
    /// What it needs.
    pub needs: &'static [Need],
    /// A seeded moment for it to strike, when the user names none.
    pub usual_trigger: fn(&mut ChaCha8Rng) -> Trigger,
    /// Waits for its moment and strikes. Returns with the target dead or alive; the harness then
    /// kills what is left, starts it again and checks it.
    pub inject: fn(&mut dyn Machine, &Trigger) -> Result<Injected, InjectError>,
}

impl Fault {
    /// Why an option of this trigger means nothing to it; none when it can take them all.
    pub fn cannot_take(&self, trigger: &Trigger) -> Option<String> {
        let name = self.name;
        if trigger.depth.is_some() && !self.needs.contains(&Need::Chain) {
            return Some(format!(
                "depth is how many blocks of a chain reorg replaces, and {name} replaces none"
            ));
        }
        if trigger.within.is_some() && self.class != FailureClass::CleanStop {
            return Some(format!(
                "within is how long term lets a target stop, and {name} is no orderly stop"
            ));
        }
        None
    }
}
