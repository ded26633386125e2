//! What a fault is, and what it did.

use plugpull_workloads::FailureClass;
use rand_chacha::ChaCha8Rng;

use crate::machine::{InjectError, Machine};
use crate::trigger::Trigger;

/// What a fault needs of the machine it is injected on, and of the target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Need {
    /// The crash filesystem, and so FUSE.
    CrashFs,
    /// Storage of limited size: the crash filesystem or a tmpfs of the sandbox.
    LimitedStorage,
    /// A cgroup with a memory limit.
    MemoryCgroup,
    /// A target whose start runs something.
    Start,
    /// A driver of the target that offers actions.
    Action,
    /// A target that keeps snapshots of its state, in files that are known.
    Snapshots,
}

impl Need {
    /// What it is, in words: "needs ...".
    pub fn label(self) -> &'static str {
        match self {
            Self::CrashFs => "FUSE",
            Self::LimitedStorage => "FUSE or mounts of its own",
            Self::MemoryCgroup => "a cgroup with a memory limit",
            Self::Start => "a target whose start runs something",
            Self::Action => "a driver that offers actions",
            Self::Snapshots => "a target that keeps snapshots in files of their own",
        }
    }

    /// The name of the capability of a machine that meets it; none where the target must.
    pub fn capability(self) -> Option<&'static str> {
        match self {
            Self::CrashFs => Some("fuse"),
            Self::LimitedStorage => Some("mount-namespace"),
            Self::MemoryCgroup => Some("cgroup-memory"),
            Self::Start | Self::Action | Self::Snapshots => None,
        }
    }
}

/// Whether a fault had an effect: whether it hit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// It hit.
    Hit,
    /// It did nothing to the target, where it could have.
    Nothing,
    /// It cannot do anything to this target: all that it could have hit was looked at, and there was
    /// nothing.
    NotApplicable,
    /// It hits when a damaged range is read during recovery or read-back.
    HitIfRead,
}

/// What a fault did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Injected {
    /// Whether it hit.
    pub effect: Effect,
    /// What it did, in words.
    pub what: String,
    /// Real damage that is still there when the target starts again: refusing is right then.
    pub damage: Option<String>,
    /// The target still did not work when the fault was over: what it answered.
    pub stays_down: Option<String>,
    /// The machine also lost power: only what is promised for that as well is required.
    pub lost_power: bool,
}

impl Injected {
    /// A fault that hit and left nothing damaged.
    pub fn hit(what: impl Into<String>) -> Self {
        Self {
            effect: Effect::Hit,
            what: what.into(),
            damage: None,
            stays_down: None,
            lost_power: false,
        }
    }

    /// A fault that has nothing to hit in this target, and how that is known.
    pub fn not_applicable(why: impl Into<String>) -> Self {
        Self {
            effect: Effect::NotApplicable,
            ..Self::hit(why)
        }
    }

    /// The same as [`Injected::hit`], if `hit`; else a fault that did nothing.
    pub fn hit_if(hit: bool, what: impl Into<String>) -> Self {
        Self {
            effect: if hit { Effect::Hit } else { Effect::Nothing },
            ..Self::hit(what)
        }
    }

    /// A fault that did nothing, and why.
    pub fn nothing(why: impl Into<String>) -> Self {
        Self::hit_if(false, why)
    }

    /// A fault that did nothing, because it needs the crash filesystem.
    pub(crate) fn without_crash_fs() -> Self {
        Self::nothing("there is no crash filesystem")
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
    /// A seeded moment for it, when the user names none.
    pub default_trigger: fn(&mut ChaCha8Rng) -> Trigger,
    /// Waits for the moment and does it. Returns with the target dead or alive; the harness then
    /// kills what is left, starts it again and checks it.
    pub inject: fn(&mut dyn Machine, &Trigger) -> Result<Injected, InjectError>,
}

impl Fault {
    /// Why an option of this trigger means nothing to it; none when it can take them all.
    pub fn cannot_take(&self, trigger: &Trigger) -> Option<String> {
        let name = self.name;
        if let Some(amount) = &trigger.amount
            && !self.needs.contains(&Need::Action)
        {
            let known = crate::trigger::KNOWN;
            let other = &amount.name;
            return Some(format!(
                "{name} takes no {other}; a trigger is a list of {known}"
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
