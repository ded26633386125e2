//! What the published node promises, by its own sources.

use plugpull_workloads::{Durability, FailureClass, Guarantee, Promise};

use plugpull_driver::sdk::promise;

use FailureClass::{CleanStop, Corruption, OutOfMemory, PowerLoss, ProcessCrash, Stall};

const PERSISTENCE: &str = "interstice-core 0.5.0, src/persistence/mod.rs";
const WAL: &str = "interstice-core 0.5.0, src/persistence/table_store.rs, TableStore::wal_writers";

const CRASHES: &[FailureClass] = &[ProcessCrash, CleanStop, OutOfMemory, Stall];
/// Where the log is replayed.
const RESTARTS: &[FailureClass] = &[ProcessCrash, CleanStop, OutOfMemory, Stall, PowerLoss];

/// The log is synced every 10 ms by a thread that sleeps in between; a sync takes its time, and a busy
/// machine too. So that nobody is accused of either, ten times that.
const SYNCED_MS: u64 = 100;

pub(in crate::interstice) fn all() -> Vec<Promise> {
    vec![
        promise(
            CRASHES,
            Guarantee::Durable(Durability::AtAck),
            "Write mutations to disk before acknowledging them",
            PERSISTENCE,
        ),
        promise(
            &[PowerLoss],
            Guarantee::Durable(Durability::WithinMs(SYNCED_MS)),
            "Background WAL thread fsyncs every 10ms (taken as 100 ms)",
            WAL,
        ),
        promise(
            RESTARTS,
            Guarantee::Consistent,
            "Enable replay of the log to reconstruct state; validate and recover from corrupted logs",
            PERSISTENCE,
        ),
        promise(
            &[Corruption],
            Guarantee::Detects,
            "Validate and recover from corrupted logs",
            PERSISTENCE,
        ),
    ]
}
