//! What the guide promises of its log, and what the fake adds.

use plugpull_workloads::{Durability, FailureClass, Guarantee, Promise};

use plugpull_driver::sdk::promise;

use FailureClass::{
    CleanStop, Corruption, DiskFull, IoError, OutOfMemory, PowerLoss, ProcessCrash, Stall,
};

const GUIDE: &str = "docs/RECOVERY_MODE.md of Naloween/interstice, branch AI";
const FAKE: &str =
    "the fake's documentation, targets/fakes/src/interstice/mod.rs, How it keeps them";

const CRASHES: &[FailureClass] = &[ProcessCrash, CleanStop, OutOfMemory, Stall];
/// The guide syncs each append and speaks of partial writes, so power loss is meant too.
const FAILURES: &[FailureClass] = &[
    ProcessCrash,
    CleanStop,
    OutOfMemory,
    Stall,
    PowerLoss,
    DiskFull,
];
/// What the fake keeps, a device that fails included.
const ALL: &[FailureClass] = &[
    ProcessCrash,
    CleanStop,
    OutOfMemory,
    Stall,
    PowerLoss,
    DiskFull,
    IoError,
];

/// The guide gives no bound. A log of this workload is replayed in milliseconds.
const RECOVERY_MS: u64 = 2000;

pub(super) fn all() -> Vec<Promise> {
    let at_ack = Guarantee::Durable(Durability::AtAck);
    vec![
        promise(
            CRASHES,
            at_ack,
            "No data is lost on a process crash: the log is replayed before the application serves",
            GUIDE,
        ),
        promise(
            &[PowerLoss],
            at_ack,
            "Each append is one write and one fsync; partial writes never damage earlier records",
            GUIDE,
        ),
        promise(
            &[DiskFull],
            at_ack,
            "A full disk leaves the existing log untouched; operation resumes after space is freed",
            GUIDE,
        ),
        promise(
            FAILURES,
            Guarantee::Prefix,
            "A failure in the middle of a transaction leaves the earlier transactions safe; the \
             rotated logs and the log, replayed in order, are the whole history",
            GUIDE,
        ),
        promise(
            FAILURES,
            Guarantee::Consistent,
            "Corruption at the end is found and cut to the last valid record; the log opens",
            GUIDE,
        ),
        promise(
            &[Corruption],
            Guarantee::Detects,
            "Corruption elsewhere is reported, with the count of valid records and the offset",
            GUIDE,
        ),
        promise(
            ALL,
            Guarantee::Atomic,
            "A transaction counts once the record that ends it is there",
            FAKE,
        ),
        promise(
            &[IoError],
            at_ack,
            "What was not certainly written is cut off again before the next append",
            FAKE,
        ),
        promise(
            &[Corruption],
            Guarantee::Durable(Durability::AllButLast(1)),
            "A damaged last transaction looks like one that a power cut tore, and is cut off",
            FAKE,
        ),
        promise(
            ALL,
            Guarantee::RecoversWithinMs(RECOVERY_MS),
            "The log is replayed within two seconds",
            FAKE,
        ),
    ]
}
