//! A crash: under which model and where it happened, what the disk did not get, and what the
//! recovery after it wrote.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use plugpull_crashsim::fs::{Log, Record};
use plugpull_crashsim::persist::{Device, Index, LossSet, LostUpdate, MODELS, Model, XFS};
use plugpull_workloads::FailureClass;

use super::names::pattern;

/// A way to crash: the process dies, or the machine loses power under a persistence model. The
/// first of an exploration is `kill`.
#[derive(Clone, Copy)]
pub struct CrashModel {
    /// Its name on the command line.
    pub name: &'static str,
    /// The model that decides what is pending. For `kill` it only matters where the kernel ended a
    /// write early: its length then goes as far as its data.
    pub model: &'static dyn Model,
    /// True when the machine loses power, false when only the process dies.
    pub power: bool,
}

impl CrashModel {
    /// `kill`: the process dies, and the disk has every operation up to that moment.
    pub const KILL: CrashModel = CrashModel {
        name: "kill",
        model: &XFS,
        power: false,
    };

    /// Every model: `kill`, then the persistence models.
    pub fn all() -> Vec<CrashModel> {
        let power = MODELS.into_iter().map(|model| CrashModel {
            name: model.name(),
            model,
            power: true,
        });
        std::iter::once(Self::KILL).chain(power).collect()
    }

    /// The log, read once under each of these.
    pub fn indexes<'a>(models: &[CrashModel], log: &'a Log, device: Device) -> Vec<Index<'a>> {
        let read = |one: &CrashModel| Index::new(log, one.model, device);
        models.iter().map(read).collect()
    }

    /// How little it takes for this crash to happen: a kill comes first, then what users' filesystems
    /// do, and last what no filesystem need do.
    pub fn strength(self) -> usize {
        const WEAKEST_FIRST: [&str; 6] = [
            "ext4",
            "xfs",
            "btrfs",
            "ext4-writeback",
            "journaled",
            "strict",
        ];
        if !self.power {
            return 0;
        }
        let known = WEAKEST_FIRST.iter().position(|name| *name == self.name);
        1 + known.unwrap_or(WEAKEST_FIRST.len())
    }

    /// The class of failure whose promises must hold.
    pub fn class(self) -> FailureClass {
        if self.power {
            FailureClass::PowerLoss
        } else {
            FailureClass::ProcessCrash
        }
    }
}

impl fmt::Debug for CrashModel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

/// A crash: where it happened, and which of the unsynced updates the disk did not get.
#[derive(Clone)]
pub struct Crash {
    /// Index of the model.
    pub model: usize,
    /// How many operations of the log had happened.
    pub point: u64,
    /// Which of the pending updates are missing.
    pub loss: LossSet,
    /// The same for people.
    pub lost: Vec<LostUpdate>,
    /// The recovery that it interrupted; none in the recorded run itself.
    pub within: Option<Arc<RecoveryTrace>>,
}

/// Stands before the number of an operation of a recovery.
pub(super) const RECOVERYS: &str = "recovery's ";

/// A recovery: the crash before it, and what it did to the disk.
pub struct RecoveryTrace {
    /// The crash that made it necessary.
    pub after: Crash,
    /// The position of that crash's state in the order of the exploration.
    pub position: u64,
    /// The digest of the disk that it left.
    pub digest: u128,
    /// Every operation of the recovery, on the disk that the crash left.
    pub log: Log,
    /// What was read back of the target when this recovery had ended; none where that is not known, or failed.
    pub served: Option<Arc<BTreeMap<String, String>>>,
}

impl Crash {
    /// How many recoveries it is deep: 0 in the recorded run.
    pub fn depth(&self) -> u32 {
        self.within
            .as_ref()
            .map_or(0, |recovery| 1 + recovery.after.depth())
    }

    /// Whose operations it interrupted, before their numbers: nothing for those of the recorded run.
    pub(super) fn whose(&self) -> &'static str {
        match self.within {
            Some(_) => RECOVERYS,
            None => "",
        }
    }

    /// The crash of the recorded run that everything began with.
    pub fn first(&self) -> &Crash {
        self.within
            .as_ref()
            .map_or(self, |recovery| recovery.after.first())
    }

    /// The crashes one after the other, that of the recorded run first and this one last.
    pub fn sequence(&self) -> Vec<&Crash> {
        let mut sequence = match &self.within {
            Some(recovery) => recovery.after.sequence(),
            None => Vec::new(),
        };
        sequence.push(self);
        sequence
    }

    /// How much there is to explain: missing updates, over all crashes.
    pub fn size(&self) -> usize {
        let before = self.within.as_ref().map_or(0, |one| one.after.size());
        before + self.loss.len()
    }
}

impl RecoveryTrace {
    /// True when this recovery began as `other` did: the same operations on the same files, up to
    /// the one at index `point`. What interrupted the other can interrupt it.
    pub fn begins_as(&self, other: &RecoveryTrace, point: u64) -> bool {
        let point = point as usize;
        let (own, others) = (self.log.records(), other.log.records());
        let alike = |(own, other): (&Record, &Record)| {
            own.op.name() == other.op.name() && pattern(&own.path) == pattern(&other.path)
        };
        own.len() >= point && own.iter().zip(others).take(point).all(alike)
    }
}

/// True when a recovery changed its disk in a way that a crash could leave half done.
pub fn changes_disk(log: &Log) -> bool {
    log.records().iter().any(|record| record.op.changes())
}
