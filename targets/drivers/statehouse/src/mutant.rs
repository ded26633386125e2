//! The mutants of the fake: what state stores with an event log get wrong. Each is one `if` where the
//! fake would do the right thing.

/// A mutant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mutant {
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
    /// The log begins again after each snapshot.
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

/// Every mutant by name, in the order of [`MUTANTS`].
const NAMED: &[(&str, Mutant)] = &[
    ("ack-before-sync", Mutant::AckBeforeSync),
    ("commit-in-parts", Mutant::CommitInParts),
    ("torn-tail-kept", Mutant::TornTailKept),
    ("timestamps-restart", Mutant::TimestampsRestart),
    ("versions-restart", Mutant::VersionsRestart),
    ("deletes-not-replayed", Mutant::DeletesNotReplayed),
    ("snapshot-gap", Mutant::SnapshotGap),
    ("log-dropped-at-snapshot", Mutant::LogDroppedAtSnapshot),
    ("abort-logged", Mutant::AbortLogged),
    ("damage-accepted", Mutant::DamageAccepted),
    ("full-disk-acked", Mutant::FullDiskAcked),
    ("full-for-good", Mutant::FullForGood),
    ("slow-recovery", Mutant::SlowRecovery),
];

/// The mutants, as they are listed.
pub const MUTANTS: &[plugpull_driver::Mutant] = &[
    plugpull_driver::Mutant {
        name: "ack-before-sync",
        about: "a commit is answered first, and synced by the next one",
    },
    plugpull_driver::Mutant {
        name: "commit-in-parts",
        about: "each write of a transaction is a record of its own, synced by itself",
    },
    plugpull_driver::Mutant {
        name: "torn-tail-kept",
        about: "a torn tail stays in the log, and the next record is glued to it",
    },
    plugpull_driver::Mutant {
        name: "timestamps-restart",
        about: "after a restart the commit timestamps begin at 1 again",
    },
    plugpull_driver::Mutant {
        name: "versions-restart",
        about: "after a restart the versions of each key begin at 1 again (see versions=on)",
    },
    plugpull_driver::Mutant {
        name: "deletes-not-replayed",
        about: "recovery replays what was put, and not what was deleted",
    },
    plugpull_driver::Mutant {
        name: "snapshot-gap",
        about: "a snapshot says that it has the transaction after its last one too",
    },
    plugpull_driver::Mutant {
        name: "log-dropped-at-snapshot",
        about: "the log begins again after each snapshot",
    },
    plugpull_driver::Mutant {
        name: "abort-logged",
        about: "an aborted transaction is logged",
    },
    plugpull_driver::Mutant {
        name: "damage-accepted",
        about: "checksums are not looked at, and what cannot be read is passed over",
    },
    plugpull_driver::Mutant {
        name: "full-disk-acked",
        about: "a commit that finds no space is answered as if it had",
    },
    plugpull_driver::Mutant {
        name: "full-for-good",
        about: "after a commit that found no space, none is taken until a restart",
    },
    plugpull_driver::Mutant {
        name: "slow-recovery",
        about: "recovery takes more than a second",
    },
];

impl Mutant {
    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        let named = NAMED.iter().find(|(_, mutant)| *mutant == self);
        named.map_or("", |(name, _)| name)
    }

    /// The mutant of this name.
    pub fn named(name: &str) -> Option<Self> {
        let named = NAMED.iter().find(|(known, _)| *known == name);
        named.map(|(_, mutant)| *mutant)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_mutant_listed_can_be_named() {
        let listed: Vec<_> = MUTANTS.iter().map(|defect| defect.name).collect();
        let named: Vec<_> = NAMED.iter().map(|(name, _)| *name).collect();
        assert_eq!(listed, named);
        for name in named {
            assert_eq!(Mutant::named(name).map(Mutant::name), Some(name));
        }
    }
}
