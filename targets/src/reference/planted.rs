//! The defects that can be switched on. Each is one `if` where the store would do the right thing.

use crate::Defect;

/// A planted defect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Planted {
    /// A commit is never synced.
    NoFsync,
    /// A commit is acknowledged first, and synced by the next one.
    AckBeforeFsync,
    /// The folder is not synced after a new log was made in it.
    NoDirFsync,
    /// A snapshot is renamed into place before its content was synced.
    RenameWithoutFsync,
    /// A record's checksum is not looked at.
    NoChecksum,
    /// A torn tail stays in the log, and new records go behind it.
    TailNotTruncated,
    /// Each write of a transaction is a record of its own.
    NonAtomicCommit,
    /// A transaction that found no space is acknowledged.
    EnospcAcked,
    /// A failed sync is taken for a good one.
    EioIgnored,
    /// A lock file that exists is a lock that is held.
    StaleLockRefused,
    /// Deletes are done in memory and not logged.
    DeleteNotLogged,
    /// Replaying takes seconds, and longer with all that was ever stored.
    SlowReplay,
    /// Recovery logs the oldest record again, behind the newest.
    NonIdempotentRecovery,
    /// Recovery empties the log and writes its records into it again.
    RecoveryInPlace,
    /// A store that holds anything never becomes ready.
    HangOnRecovery,
}

impl Planted {
    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        NAMED
            .iter()
            .find(|(_, planted)| *planted == self)
            .map_or("", |(name, _)| name)
    }
}

/// Every defect by name, in the order of [`DEFECTS`].
pub(crate) const NAMED: &[(&str, Planted)] = &[
    ("no-fsync", Planted::NoFsync),
    ("ack-before-fsync", Planted::AckBeforeFsync),
    ("no-dir-fsync", Planted::NoDirFsync),
    ("rename-without-fsync", Planted::RenameWithoutFsync),
    ("no-checksum", Planted::NoChecksum),
    ("tail-not-truncated", Planted::TailNotTruncated),
    ("non-atomic-commit", Planted::NonAtomicCommit),
    ("enospc-acked", Planted::EnospcAcked),
    ("eio-ignored", Planted::EioIgnored),
    ("stale-lock-refused", Planted::StaleLockRefused),
    ("delete-not-logged", Planted::DeleteNotLogged),
    ("slow-replay", Planted::SlowReplay),
    ("non-idempotent-recovery", Planted::NonIdempotentRecovery),
    ("recovery-in-place", Planted::RecoveryInPlace),
    ("hang-on-recovery", Planted::HangOnRecovery),
];

/// The defects planted in the reference store.
pub const DEFECTS: &[Defect] = &[
    Defect {
        name: "no-fsync",
        about: "commits are acknowledged without any sync of the log",
    },
    Defect {
        name: "ack-before-fsync",
        about: "a commit is acknowledged first; its sync comes with the next commit",
    },
    Defect {
        name: "no-dir-fsync",
        about: "the folder is not synced after a new log was made, so its name can be lost",
    },
    Defect {
        name: "rename-without-fsync",
        about: "a snapshot gets its name before its content was synced",
    },
    Defect {
        name: "no-checksum",
        about: "a record's checksum is not looked at, so a torn record is taken for data",
    },
    Defect {
        name: "tail-not-truncated",
        about: "a torn tail stays in the log and new records are written behind it",
    },
    Defect {
        name: "non-atomic-commit",
        about: "each write of a transaction is logged as a record of its own",
    },
    Defect {
        name: "enospc-acked",
        about: "a transaction is acknowledged although there was no space to log it",
    },
    Defect {
        name: "eio-ignored",
        about: "a failed sync of the log is taken for a good one",
    },
    Defect {
        name: "stale-lock-refused",
        about: "a lock file left by a dead process is taken for a lock that is held",
    },
    Defect {
        name: "delete-not-logged",
        about: "deletes are done in memory and not logged",
    },
    Defect {
        name: "slow-replay",
        about: "starting takes seconds once anything was stored, and longer with every transaction",
    },
    Defect {
        name: "non-idempotent-recovery",
        about: "each start logs the oldest record again, so the next start shows other data",
    },
    Defect {
        name: "recovery-in-place",
        about: "each start empties the log and writes its records again, so a crash then loses them",
    },
    Defect {
        name: "hang-on-recovery",
        about: "once anything was stored it never becomes ready again",
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_defect_is_listed_once_and_by_its_name() {
        let listed: Vec<&str> = DEFECTS.iter().map(|d| d.name).collect();
        let named: Vec<&str> = NAMED.iter().map(|(name, _)| *name).collect();
        assert_eq!(listed, named);
        for (name, planted) in NAMED {
            assert_eq!(planted.name(), *name);
        }
    }
}
