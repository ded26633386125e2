//! What SQLite's own documentation promises for each setting.

use plugpull_workloads::{Durability, FailureClass, Guarantee, Promise};

use super::settings::{Journal, Settings, Synchronous};
use plugpull_driver::sdk::promise;

use FailureClass::{CleanStop, DiskFull, IoError, OutOfMemory, PowerLoss, ProcessCrash, Stall};

const PRAGMA: &str = "https://www.sqlite.org/pragma.html#pragma_synchronous";
const TRANSACTIONAL: &str = "https://www.sqlite.org/transactional.html";
const ISOLATION: &str = "https://www.sqlite.org/isolation.html";
const WAL_FORMAT: &str = "https://www.sqlite.org/fileformat2.html#wal_file_format";
const CHECKPOINT: &str = "https://www.sqlite.org/c3ref/wal_checkpoint_v2.html";
const COMMIT: &str = "https://www.sqlite.org/lang_transaction.html";
const IO_ERRORS: &str = "https://www.sqlite.org/testing.html#i_o_error_testing";

/// Why what survives is a prefix, in words and document: in general, and in the WAL.
const SERIALIZABLE: (&str, &str) = (
    "All transactions are serializable: writes happen one after the other",
    ISOLATION,
);
const CHAINED: (&str, &str) = (
    "Frames count up to the last commit frame before the first whose checksum, which runs over \
     all frames before it, does not fit",
    WAL_FORMAT,
);

/// The promises for these settings.
///
/// None of them covers corruption: "SQLite assumes that the detection and/or correction of bit
/// errors caused by cosmic rays, thermal noise, quantum fluctuations, device driver bugs, or other
/// mechanisms, is the responsibility of the underlying hardware and operating system"
/// (<https://www.sqlite.org/atomiccommit.html>, section 2), and its pages carry no checksum unless the cksumvfs extension
/// is used.
pub(crate) fn of(settings: &Settings) -> Vec<Promise> {
    let mut promises = Vec::new();
    if matches!(settings.journal, Journal::Memory | Journal::Off) {
        // "If the application crashes in the middle of a transaction [...] the database file will
        // very likely go corrupt" (https://www.sqlite.org/pragma.html#pragma_journal_mode), and
        // every stop of ours, the orderly one included, may be in the middle of one.
        whole(
            &mut promises,
            &[Stall],
            "A transaction is atomic, consistent, isolated and durable",
            TRANSACTIONAL,
        );
        return promises;
    }
    whole(
        &mut promises,
        &[ProcessCrash, CleanStop, OutOfMemory, Stall],
        "Transactions are durable across application crashes regardless of the synchronous \
         setting or journal mode",
        PRAGMA,
    );
    whole(
        &mut promises,
        &[DiskFull],
        "An error like SQLITE_FULL rolls the transaction back; a full disk is one of the I/O \
         errors after which the database is tested to be sound",
        COMMIT,
    );
    // Only where SQLite waits for the disk before the ack can it hear that the disk has failed.
    if matches!(settings.synchronous, Synchronous::Full | Synchronous::Extra) {
        whole(
            &mut promises,
            &[IoError],
            "After I/O errors the database is not corrupted, and transactions are whole",
            IO_ERRORS,
        );
    }
    // For a failed sync whose pages the kernel gives up, followed by a power loss, SQLite promises
    // nothing: it relies on the sync (https://www.sqlite.org/atomiccommit.html, section 2.0, and
    // https://www.sqlite.org/howtocorrupt.html, section 3). A checkpoint ignores the error, and the
    // next one takes the pages for written.
    power_loss(&mut promises, settings);
    promises
}

/// Everything at once: durable at the ack, atomic, a prefix, consistent.
fn whole(promises: &mut Vec<Promise>, classes: &[FailureClass], words: &str, source: &str) {
    promises.push(promise(
        classes,
        Guarantee::Durable(Durability::AtAck),
        words,
        source,
    ));
    intact(promises, classes, SERIALIZABLE, (words, source));
}

/// Everything but durability.
fn intact(
    promises: &mut Vec<Promise>,
    classes: &[FailureClass],
    prefix: (&str, &str),
    consistent: (&str, &str),
) {
    promises.push(promise(
        classes,
        Guarantee::Atomic,
        "All changes within a single transaction occur completely or not at all",
        TRANSACTIONAL,
    ));
    promises.push(promise(classes, Guarantee::Prefix, prefix.0, prefix.1));
    promises.push(promise(
        classes,
        Guarantee::Consistent,
        consistent.0,
        consistent.1,
    ));
}

fn power_loss(promises: &mut Vec<Promise>, settings: &Settings) {
    use Journal::{Delete, Persist, Truncate, Wal};
    use Synchronous::{Extra, Full, Normal, Off};

    let class = &[PowerLoss];
    let mut durable = |durability, words: &str, source: &str| {
        promises.push(promise(
            class,
            Guarantee::Durable(durability),
            words,
            source,
        ));
    };
    match (settings.journal, settings.synchronous) {
        // "The database might become corrupted if the operating system crashes or the computer
        // loses power": no promise at all.
        (_, Off) => return,
        // "A very small (though non-zero) chance that a power failure at just the wrong time could
        // corrupt the database": no promise at all.
        (Delete | Truncate | Persist, Normal) => return,
        (Journal::Memory | Journal::Off, _) => return,

        (Wal, Full | Extra) => durable(
            Durability::AtAck,
            "The WAL is synced on every commit when synchronous is FULL",
            "https://www.sqlite.org/wal.html#performance_considerations",
        ),
        (Wal, Normal) => durable(
            Durability::AtBarrier,
            "A transaction committed in WAL mode with synchronous=NORMAL might roll back \
             following a power loss; a checkpoint copies all frames and syncs the database file",
            CHECKPOINT,
        ),
        (Delete, Extra) => durable(
            Durability::AtAck,
            "EXTRA syncs the directory of the rollback journal after the journal is unlinked to \
             commit a transaction in DELETE mode",
            PRAGMA,
        ),
        // The last journal's removal waits for the directory's next sync, which is that of the
        // next transaction's journal, made before it touches the database: so it is one at most.
        (Delete, Full) => durable(
            Durability::AllButLast(1),
            "What EXTRA adds to FULL in DELETE mode, the sync of the directory after the journal \
             is unlinked, is missing when the commit is followed closely by a power loss",
            PRAGMA,
        ),
        // Here the commit is a write to the journal's own file, and FULL means that "all content
        // is safely written to the disk surface prior to continuing"; what EXTRA adds is said for
        // DELETE alone. The code agrees: pager_end_transaction syncs the truncated journal when
        // FULL, and zeroJournalHdr syncs the zeroed header.
        (Truncate | Persist, Full | Extra) => durable(
            Durability::AtAck,
            "FULL ensures that all content is safely written to the disk surface prior to \
             continuing",
            PRAGMA,
        ),
    }
    let (prefix, sound) = match settings.journal {
        Wal => (
            CHAINED,
            "WAL mode is always consistent with synchronous=NORMAL, and with more",
        ),
        _ => (
            SERIALIZABLE,
            "FULL ensures that a power failure will not corrupt the database",
        ),
    };
    intact(promises, class, prefix, (sound, PRAGMA));
}
