//! SQLite's settings: which exist, what they take, and how they are given to a connection.

use std::collections::BTreeMap;
use std::time::Duration;

use plugpull_driver::{Given, Setting, UsageError};

/// The settings of the `sqlite` target.
pub const SETTINGS: &[Setting] = &[
    Setting {
        name: "journal_mode",
        values: "wal, delete, truncate, persist, memory, off",
        default: "wal",
        about: "how a commit is made atomic",
    },
    Setting {
        name: "synchronous",
        values: "full, extra, normal, off",
        default: "full",
        about: "how often the disk is waited for",
    },
    Setting {
        name: "page_size",
        values: "a power of two from 512 to 65536",
        default: "4096",
        about: "bytes in a page of a new database",
    },
    Setting {
        name: "autocheckpoint",
        values: "pages, 0 for never",
        default: "100",
        about: "length of the WAL that starts a checkpoint (SQLite's own default is 1000; \
                smaller, so that short runs have checkpoints)",
    },
    Setting {
        name: "busy_timeout",
        values: "milliseconds",
        default: "10000",
        about: "how long a connection waits for a lock",
    },
    Setting {
        name: "mmap_size",
        values: "bytes",
        default: "0",
        about: "how much of the database is read through a memory map",
    },
    Setting {
        name: "locking_mode",
        values: "normal, exclusive",
        default: "normal",
        about: "whether locks are given back after a transaction; when exclusive, all clients \
                share one connection",
    },
];

/// SQLite's `journal_mode`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Journal {
    /// A write-ahead log.
    Wal,
    /// A rollback journal, deleted at the commit.
    Delete,
    /// A rollback journal, truncated at the commit.
    Truncate,
    /// A rollback journal, its header zeroed at the commit.
    Persist,
    /// A rollback journal in memory.
    Memory,
    /// No journal.
    Off,
}

/// SQLite's `synchronous`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Synchronous {
    /// As full, and the journal's directory is synced after the journal is deleted.
    Extra,
    /// Synced at every commit.
    Full,
    /// Synced at the most critical moments only.
    Normal,
    /// Never synced.
    Off,
}

const JOURNALS: &[(&str, Journal)] = &[
    ("wal", Journal::Wal),
    ("delete", Journal::Delete),
    ("truncate", Journal::Truncate),
    ("persist", Journal::Persist),
    ("memory", Journal::Memory),
    ("off", Journal::Off),
];

const SYNCHRONOUS: &[(&str, Synchronous)] = &[
    ("full", Synchronous::Full),
    ("extra", Synchronous::Extra),
    ("normal", Synchronous::Normal),
    ("off", Synchronous::Off),
];

fn word_of<T: PartialEq>(words: &[(&'static str, T)], value: &T) -> &'static str {
    words
        .iter()
        .find(|(_, t)| t == value)
        .map_or("", |(word, _)| word)
}

impl Journal {
    /// Its word in SQLite's language.
    pub fn word(self) -> &'static str {
        word_of(JOURNALS, &self)
    }
}

impl Synchronous {
    /// Its word in SQLite's language.
    pub fn word(self) -> &'static str {
        word_of(SYNCHRONOUS, &self)
    }
}

/// SQLite's settings, checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// `journal_mode`.
    pub journal: Journal,
    /// `synchronous`.
    pub synchronous: Synchronous,
    /// `page_size` of a new database, in bytes.
    pub page_size: u32,
    /// `wal_autocheckpoint`, in pages; 0 for never.
    pub autocheckpoint: u32,
    /// How long a connection waits for a lock.
    pub busy_timeout: Duration,
    /// `mmap_size`, in bytes.
    pub mmap_size: i64,
    /// `locking_mode=exclusive`.
    pub exclusive: bool,
}

impl Settings {
    /// Reads and checks the values given by `--set`.
    pub fn parse(values: &BTreeMap<String, String>) -> Result<Self, UsageError> {
        let given = Given::new(super::NAME, SETTINGS, values)?;
        let page_size: u32 = given.number("page_size", 0..=u32::MAX)?;
        if !page_size.is_power_of_two() || !(512..=65536).contains(&page_size) {
            return Err(given.bad("page_size", "a power of two from 512 to 65536", None));
        }
        Ok(Self {
            journal: given.one_of("journal_mode", JOURNALS)?,
            synchronous: given.one_of("synchronous", SYNCHRONOUS)?,
            page_size,
            autocheckpoint: given.number("autocheckpoint", 0..=1_000_000)?,
            busy_timeout: Duration::from_millis(given.number("busy_timeout", 0..=600_000)?),
            mmap_size: given.number("mmap_size", 0..=1 << 30)?,
            exclusive: given.one_of("locking_mode", &[("normal", false), ("exclusive", true)])?,
        })
    }
}
