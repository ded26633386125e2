//! What the node's documents promise of what it says over HTTP.

use plugpull_workloads::{Durability, FailureClass, Guarantee, Promise};

use plugpull_driver::sdk::promise;

use FailureClass::{CleanStop, Corruption, OutOfMemory, PowerLoss, ProcessCrash, Stall};

const GUIDE: &str = "docs/NODE_CRASH_RECOVERY.md, Recovery Guarantees, and \
     docs/L2_PROTOCOL_SPECIFICATION.md, 3.1, of dfeen87/AILEE-Protocol-Core-For-Bitcoin";
const CLEAN: &str = "docs/NODE_CRASH_RECOVERY.md, Recovery from Clean Shutdown, of \
     dfeen87/AILEE-Protocol-Core-For-Bitcoin";
const DATABASES: &str = "docs/NODE_CRASH_RECOVERY.md, Recovery Guarantees and RocksDB Integrity, of \
     dfeen87/AILEE-Protocol-Core-For-Bitcoin";
const VALIDATION: &str = "docs/NODE_CRASH_RECOVERY.md, On Normal Startup and Data Validation, of \
     dfeen87/AILEE-Protocol-Core-For-Bitcoin";

/// "If the node crashed (SIGKILL, power loss, kernel panic)".
const CRASHES: &[FailureClass] = &[ProcessCrash, OutOfMemory, Stall, PowerLoss];

/// They name no bound on recovery, no full disk and no failing device.
pub(super) fn all() -> Vec<Promise> {
    vec![
        promise(
            CRASHES,
            Guarantee::Durable(Durability::AtBarrier),
            "The last anchored state is always recoverable; only anchored states are considered \
             durable",
            GUIDE,
        ),
        promise(
            &[CleanStop],
            Guarantee::Durable(Durability::AtBarrier),
            "State is already persisted; the node resumes from its last snapshot",
            CLEAN,
        ),
        promise(
            &[ProcessCrash, OutOfMemory, Stall, PowerLoss, CleanStop],
            Guarantee::Consistent,
            "Reorg detection state survives crashes; its database opens to the last committed state",
            DATABASES,
        ),
        promise(
            &[Corruption],
            Guarantee::Detects,
            "A corrupted snapshot is detected, and a database that does not open is called corrupted",
            VALIDATION,
        ),
    ]
}
