//! What vfab's guide promises, and what the fake adds.

use plugpull_workloads::{Durability, FailureClass, Guarantee, Promise};

use super::Settings;
use plugpull_driver::sdk::promise;

use FailureClass::{CleanStop, DiskFull, OutOfMemory, PowerLoss, ProcessCrash, Stall};

const GUIDE: &str = "docs/troubleshooting/recovery-scenarios.md of bkuri/vfab";
const NEEDS: &str = "the requirements of bkuri/vfab: the journal is fsynced";
const FAKE: &str = "the fake's documentation, targets/fakes/src/vfab/mod.rs, How it keeps them";

const CRASHES: &[FailureClass] = &[ProcessCrash, CleanStop, OutOfMemory, Stall];
const FAILURES: &[FailureClass] = &[
    ProcessCrash,
    CleanStop,
    OutOfMemory,
    Stall,
    PowerLoss,
    DiskFull,
];
/// The fake is back in milliseconds; a command of the real one takes a second.
const RECOVERY_MS: u64 = 5000;

pub(super) fn of(settings: &Settings) -> Vec<Promise> {
    let at_ack = Guarantee::Durable(Durability::AtAck);
    let mut promises = vec![
        promise(
            CRASHES,
            at_ack,
            "Interrupted jobs are found after any interruption; the journal survives",
            GUIDE,
        ),
        promise(
            &[PowerLoss],
            at_ack,
            "The journal survives: it is written with fsync",
            NEEDS,
        ),
        promise(
            &[DiskFull],
            at_ack,
            "A full disk gives a clear error, and what was there before stays",
            GUIDE,
        ),
        promise(
            FAILURES,
            Guarantee::Consistent,
            "Only valid state transitions; resume resumes an interrupted job, restart starts one \
             again",
            GUIDE,
        ),
    ];
    if settings.reference {
        promises.extend([
            promise(
                FAILURES,
                Guarantee::Atomic,
                "A job is made beside its place and renamed: it is there whole or not",
                FAKE,
            ),
            // Nothing is promised for I/O errors: after a sync of the journal that failed, a job's
            // document can be a state ahead of it.
            promise(
                FAILURES,
                Guarantee::RecoversWithinMs(RECOVERY_MS),
                "Every interrupted job is resumed within five seconds",
                FAKE,
            ),
        ]);
    }
    promises
}
