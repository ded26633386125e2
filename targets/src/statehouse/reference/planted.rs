//! The defects that can be planted in the stand-in: what state stores with an event log get wrong.
//! Each is one `if` where the stand-in would do the right thing.

use crate::Defect;

/// A planted defect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Planted {
    /// A commit is answered first, and synced by the next one.
    AckBeforeSync,
    /// Each write of a transaction is a record of its own, synced by itself.
    CommitInParts,
    /// A torn tail stays in the log, and the next record is glued to it.
    TornTailKept,
    /// After a restart the commit timestamps begin at 1 again.
    TimestampsRestart,
    /// After a restart the versions of each key begin at 1 again.
    VersionsRestart,
    /// Recovery replays what was put, and not what was deleted.
    DeletesNotReplayed,
    /// A snapshot says that it has the transaction after its last one too.
    SnapshotGap,
    /// The log begins anew after each snapshot.
    LogDroppedAtSnapshot,
    /// An aborted transaction is logged.
    AbortLogged,
    /// Checksums are not looked at, and what cannot be read is passed over.
    DamageAccepted,
    /// A commit that finds no space is answered as if it had.
    FullDiskAcked,
    /// After a commit that found no space, none is taken until a restart.
    FullForGood,
    /// Recovery takes more than a second.
    SlowRecovery,
}

/// Every defect by name, in the order of [`DEFECTS`].
const NAMED: &[(&str, Planted)] = &[
    ("ack-before-sync", Planted::AckBeforeSync),
    ("commit-in-parts", Planted::CommitInParts),
    ("torn-tail-kept", Planted::TornTailKept),
    ("timestamps-restart", Planted::TimestampsRestart),
    ("versions-restart", Planted::VersionsRestart),
    ("deletes-not-replayed", Planted::DeletesNotReplayed),
    ("snapshot-gap", Planted::SnapshotGap),
    ("log-dropped-at-snapshot", Planted::LogDroppedAtSnapshot),
    ("abort-logged", Planted::AbortLogged),
    ("damage-accepted", Planted::DamageAccepted),
    ("full-disk-acked", Planted::FullDiskAcked),
    ("full-for-good", Planted::FullForGood),
    ("slow-recovery", Planted::SlowRecovery),
];

/// The planted defects, as they are listed.
pub const DEFECTS: &[Defect] = &[
    Defect {
        name: "ack-before-sync",
        about: "a commit is answered first, and synced by the next one",
    },
    Defect {
        name: "commit-in-parts",
        about: "each write of a transaction is a record of its own, synced by itself",
    },
    Defect {
        name: "torn-tail-kept",
        about: "a torn tail stays in the log, and the next record is glued to it",
    },
    Defect {
        name: "timestamps-restart",
        about: "after a restart the commit timestamps begin at 1 again",
    },
    Defect {
        name: "versions-restart",
        about: "after a restart the versions of each key begin at 1 again (see versions=on)",
    },
    Defect {
        name: "deletes-not-replayed",
        about: "recovery replays what was put, and not what was deleted",
    },
    Defect {
        name: "snapshot-gap",
        about: "a snapshot says that it has the transaction after its last one too",
    },
    Defect {
        name: "log-dropped-at-snapshot",
        about: "the log begins anew after each snapshot",
    },
    Defect {
        name: "abort-logged",
        about: "an aborted transaction is logged",
    },
    Defect {
        name: "damage-accepted",
        about: "checksums are not looked at, and what cannot be read is passed over",
    },
    Defect {
        name: "full-disk-acked",
        about: "a commit that finds no space is answered as if it had",
    },
    Defect {
        name: "full-for-good",
        about: "after a commit that found no space, none is taken until a restart",
    },
    Defect {
        name: "slow-recovery",
        about: "recovery takes more than a second",
    },
];

impl Planted {
    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        let named = NAMED.iter().find(|(_, planted)| *planted == self);
        named.map_or("", |(name, _)| name)
    }

    /// The defect of this name.
    pub fn named(name: &str) -> Option<Self> {
        let named = NAMED.iter().find(|(known, _)| *known == name);
        named.map(|(_, planted)| *planted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_defect_listed_can_be_planted() {
        let listed: Vec<_> = DEFECTS.iter().map(|defect| defect.name).collect();
        let named: Vec<_> = NAMED.iter().map(|(name, _)| *name).collect();
        assert_eq!(listed, named);
        for name in named {
            assert_eq!(Planted::named(name).map(Planted::name), Some(name));
        }
    }
}
