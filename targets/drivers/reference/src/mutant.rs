//! The mutants that can be switched on. Each is one `if` where the store would do the right thing.

use plugpull_driver::Mutant;

/// A mutant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mutation {
    /// A commit is never synced.
    NoFsync,
    /// A commit is acknowledged first, and synced by the next one.
    AckBeforeFsync,
    /// The directory is not synced after a new log was made in it.
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
    /// A compaction removes what it replaces before the snapshot is there.
    CompactRemovesFirst,
}

impl Mutation {
    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        NAMED
            .iter()
            .find(|(_, mutation)| *mutation == self)
            .map_or("", |(name, _)| name)
    }
}

/// Every mutant by name, in the order of [`MUTANTS`].
pub(crate) const NAMED: &[(&str, Mutation)] = &[
    ("no-fsync", Mutation::NoFsync),
    ("ack-before-fsync", Mutation::AckBeforeFsync),
    ("no-dir-fsync", Mutation::NoDirFsync),
    ("rename-without-fsync", Mutation::RenameWithoutFsync),
    ("no-checksum", Mutation::NoChecksum),
    ("tail-not-truncated", Mutation::TailNotTruncated),
    ("non-atomic-commit", Mutation::NonAtomicCommit),
    ("enospc-acked", Mutation::EnospcAcked),
    ("eio-ignored", Mutation::EioIgnored),
    ("stale-lock-refused", Mutation::StaleLockRefused),
    ("delete-not-logged", Mutation::DeleteNotLogged),
    ("slow-replay", Mutation::SlowReplay),
    ("non-idempotent-recovery", Mutation::NonIdempotentRecovery),
    ("recovery-in-place", Mutation::RecoveryInPlace),
    ("hang-on-recovery", Mutation::HangOnRecovery),
    ("compact-removes-first", Mutation::CompactRemovesFirst),
];

/// The mutants of the reference store.
pub const MUTANTS: &[Mutant] = &[
    Mutant {
        name: "no-fsync",
        about: "commits are acknowledged without any sync of the log",
    },
    Mutant {
        name: "ack-before-fsync",
        about: "a commit is acknowledged first; its sync comes with the next commit",
    },
    Mutant {
        name: "no-dir-fsync",
        about: "the directory is not synced after a new log was made, so its name can be lost",
    },
    Mutant {
        name: "rename-without-fsync",
        about: "a snapshot gets its name before its content was synced",
    },
    Mutant {
        name: "no-checksum",
        about: "a record's checksum is not looked at, so a torn record is taken for data",
    },
    Mutant {
        name: "tail-not-truncated",
        about: "a torn tail stays in the log and new records are written behind it",
    },
    Mutant {
        name: "non-atomic-commit",
        about: "each write of a transaction is logged as a record of its own",
    },
    Mutant {
        name: "enospc-acked",
        about: "a transaction is acknowledged although there was no space to log it",
    },
    Mutant {
        name: "eio-ignored",
        about: "a failed sync of the log is taken for a good one",
    },
    Mutant {
        name: "stale-lock-refused",
        about: "a lock file left by a dead process is taken for a lock that is held",
    },
    Mutant {
        name: "delete-not-logged",
        about: "deletes are done in memory and not logged",
    },
    Mutant {
        name: "slow-replay",
        about: "starting takes seconds once anything was stored, and longer with every transaction",
    },
    Mutant {
        name: "non-idempotent-recovery",
        about: "each start logs the oldest record again, so the next start shows other data",
    },
    Mutant {
        name: "recovery-in-place",
        about: "each start empties the log and writes its records again, so a crash then loses them",
    },
    Mutant {
        name: "hang-on-recovery",
        about: "once anything was stored it never becomes ready again",
    },
    Mutant {
        name: "compact-removes-first",
        about: "the action compact removes the log before the snapshot that replaces it is there",
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_mutant_is_listed_once_and_by_its_name() {
        let listed: Vec<&str> = MUTANTS.iter().map(|d| d.name).collect();
        let named: Vec<&str> = NAMED.iter().map(|(name, _)| *name).collect();
        assert_eq!(listed, named);
        for (name, mutation) in NAMED {
            assert_eq!(mutation.name(), *name);
        }
    }
}
