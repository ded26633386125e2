//! What AILEE's guide promises of its persistence, and what the fake adds.

use plugpull_workloads::{Durability, FailureClass, Guarantee, Promise};

use plugpull_driver::sdk::promise;

use FailureClass::{CleanStop, Corruption, DiskFull, OutOfMemory, PowerLoss, ProcessCrash, Stall};

const GUIDE: &str = "docs/NODE_CRASH_RECOVERY.md of dfeen87/AILEE-Protocol-Core-For-Bitcoin";
const FAKE: &str = "the fake's documentation, targets/fakes/src/ailee/mod.rs, How it keeps them";

const CRASHES: &[FailureClass] = &[ProcessCrash, CleanStop, OutOfMemory, Stall, PowerLoss];
const FAILURES: &[FailureClass] = &[
    ProcessCrash,
    CleanStop,
    OutOfMemory,
    Stall,
    PowerLoss,
    DiskFull,
];

/// The guide gives no bound.
const RECOVERY_MS: u64 = 5000;

pub(super) fn all() -> Vec<Promise> {
    vec![
        promise(
            CRASHES,
            Guarantee::Durable(Durability::AtBarrier),
            "The last anchored state is always recoverable; what is in flight and not anchored \
             may be lost",
            GUIDE,
        ),
        promise(
            CRASHES,
            Guarantee::Consistent,
            "Historical snapshots are never corrupted, an incomplete last one is ignored; anchors, \
             their confirmations and reorgs survive",
            GUIDE,
        ),
        promise(
            &[Corruption],
            Guarantee::Detects,
            "A corrupted snapshot is found, by its state root and its anchor",
            GUIDE,
        ),
        promise(
            &[Corruption],
            Guarantee::Durable(Durability::AtBarrier),
            "What is not anchored may be lost",
            GUIDE,
        ),
        promise(
            &[DiskFull],
            Guarantee::Durable(Durability::AtBarrier),
            "An anchor that finds no space is refused, and what is anchored stays",
            FAKE,
        ),
        promise(
            &[DiskFull],
            Guarantee::Consistent,
            "An anchor that finds no space is taken back; the next one that finds some is taken",
            FAKE,
        ),
        promise(
            FAILURES,
            Guarantee::Atomic,
            "A snapshot has whole transactions only",
            FAKE,
        ),
        promise(
            FAILURES,
            Guarantee::RecoversWithinMs(RECOVERY_MS),
            "It is back within five seconds",
            FAKE,
        ),
    ]
}
