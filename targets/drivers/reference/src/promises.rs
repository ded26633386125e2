//! What the reference store promises: everything, but for one transaction where damage cannot be
//! unfit from a power cut.

use plugpull_workloads::{Durability, FailureClass, Guarantee, Promise};

use plugpull_driver::sdk::promise;

use FailureClass::{
    CleanStop, Corruption, DiskFull, IoError, OutOfMemory, PowerLoss, ProcessCrash, Stall,
    SyncFailure,
};

const SOURCE: &str =
    "the reference store's documentation, targets/drivers/reference/src/lib.rs, Promises";

/// Every failure that is not damage to what was stored.
const FAILURES: &[FailureClass] = &[
    ProcessCrash,
    PowerLoss,
    CleanStop,
    DiskFull,
    IoError,
    SyncFailure,
    Stall,
    OutOfMemory,
];

/// Its recovery replays at most one log of small records, which takes milliseconds; the bound
/// leaves room for a machine that is busy with many trials.
const RECOVERY_MS: u64 = 2000;

pub(crate) fn all() -> Vec<Promise> {
    let of = |guarantee, words| promise(FAILURES, guarantee, words, SOURCE);
    vec![
        of(
            Guarantee::Durable(Durability::AtAck),
            "A transaction is acknowledged after its record was written and synced",
        ),
        of(
            Guarantee::Atomic,
            "A transaction is one record: whole, or no record",
        ),
        of(
            Guarantee::Prefix,
            "One writer works at a time, and records are replayed in order",
        ),
        of(
            Guarantee::Consistent,
            "The store opens and serves what was written",
        ),
        of(
            Guarantee::RecoversWithinMs(RECOVERY_MS),
            "The store is back within two seconds",
        ),
        promise(
            &[Corruption],
            Guarantee::Detects,
            "Damage is refused, or is to the last record, which is dropped",
            SOURCE,
        ),
        promise(
            &[Corruption],
            Guarantee::Durable(Durability::AllButLast(1)),
            "A damaged last record is the one transaction that damage can cost without being \
             refused",
            SOURCE,
        ),
    ]
}
