//! What Statehouse promises, as its own documents say it.
//!
//! Sources are files of <https://github.com/statehouse-dev/statehouse>.

use plugpull_workloads::{Durability, FailureClass, Guarantee, Promise};

use super::Settings;
use plugpull_driver::sdk::promise;

use FailureClass::{CleanStop, Corruption, DiskFull, OutOfMemory, PowerLoss, ProcessCrash, Stall};

const CRASH: &str = "website/docs/failure-modes/process-crash.md, Impact and Causes";
const PARTIAL: &str = "website/docs/failure-modes/partial-writes.md, The Guarantee";
const RECOVERY: &str = "website/docs/operations/recovery.md, Data Integrity";
const TIME: &str = "website/docs/operations/recovery.md, Recovery Time";
const CORRUPT: &str = "website/docs/operations/recovery.md, Corrupt Data";
const FULL: &str = "website/docs/failure-modes/disk-full.md, Data Safety";
const REPLAY: &str = "docs/replay_semantics.md, Core Guarantees";
const VERSIONS: &str = "website/docs/concepts/versions.md, Monotonic Increment";
const FAKE: &str = "the fake's documentation, targets/fakes/src/statehouse/mod.rs";

/// The ends of a process that its documents speak of. A stall ends by itself or by one of them.
const CRASHES: &[FailureClass] = &[ProcessCrash, CleanStop, OutOfMemory, Stall];

/// All that its documents give these guarantees for: "Process crash; Kill -9; Power failure (with
/// fsync enabled)". Release 0.1.0 has fsync on and no way to turn it off.
const FAILURES: &[FailureClass] = &[
    ProcessCrash,
    CleanStop,
    OutOfMemory,
    Stall,
    PowerLoss,
    DiskFull,
];

/// "Worst case: few seconds", read generously.
const RECOVERY_MS: u64 = 5000;

/// The promises with these settings.
pub(super) fn of(settings: &Settings) -> Vec<Promise> {
    let at_ack = Guarantee::Durable(Durability::AtAck);
    let mut promises = vec![
        promise(
            CRASHES,
            at_ack,
            "Transactions that received a commit response are durable: even if daemon crashes now, \
             this transaction is safe",
            CRASH,
        ),
        promise(
            &[PowerLoss],
            at_ack,
            "With fsync enabled: each commit is durable before acknowledgment, survives power \
             failure",
            RECOVERY,
        ),
        promise(
            &[DiskFull],
            at_ack,
            "Disk full does not corrupt existing data: committed transactions remain intact",
            FULL,
        ),
        promise(
            FAILURES,
            Guarantee::Atomic,
            "All operations succeed together, or none of them take effect: either both visible or \
             neither, never partial",
            PARTIAL,
        ),
        promise(
            &[ProcessCrash, CleanStop, OutOfMemory, Stall, PowerLoss],
            Guarantee::Consistent,
            "Recovery is automatic, no manual intervention required; committed transactions \
             survive restart, no partial transactions visible",
            RECOVERY,
        ),
        promise(
            &[DiskFull],
            Guarantee::Consistent,
            "RocksDB handles write failures gracefully, recovery works after space freed; reads \
             work, writes and commits fail with an error",
            FULL,
        ),
        promise(
            FAILURES,
            Guarantee::EventLog,
            "Replay returns all committed operations; aborted transactions are not included; \
             events are returned in commit timestamp order; apply them in order, and you will \
             reconstruct current state precisely",
            REPLAY,
        ),
        promise(
            FAILURES,
            Guarantee::RecoversWithinMs(RECOVERY_MS),
            "Typical recovery: < 1 second; worst case: few seconds",
            TIME,
        ),
        promise(
            &[Corruption],
            Guarantee::Detects,
            "If RocksDB detects corruption: daemon logs error and exits",
            CORRUPT,
        ),
    ];
    if settings.versions {
        promises.push(promise(
            FAILURES,
            Guarantee::Versions,
            "Versions never decrease, never skip values, increment exactly once per write; you can \
             read state at a specific version",
            VERSIONS,
        ));
    }
    if settings.reference {
        promises.push(promise(
            &[Corruption],
            Guarantee::Durable(Durability::AllButLast(1)),
            "A damaged last record cannot be told from one that a power cut tore: it is the one \
             transaction that damage can cost without being refused",
            FAKE,
        ));
    }
    promises
}
