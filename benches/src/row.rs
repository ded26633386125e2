//! The rows of the benchmark: which work, how much of it, and how fast it must be.

use anyhow::bail;

/// What an operation is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Work {
    /// Append 4 KiB, then fdatasync.
    Append,
    /// Write 1 MiB behind the last, into a new file, without a sync.
    Sequential,
    /// Write 4 KiB somewhere in a file of 64 MiB that is there already, without a sync.
    Random,
    /// Insert one row into SQLite in a transaction of its own, with synchronous=FULL.
    Sqlite {
        /// The journal mode.
        journal: &'static str,
    },
}

/// One row.
pub(crate) struct Row {
    /// What the command line calls it.
    pub(crate) name: &'static str,
    /// What the table calls it.
    pub(crate) title: &'static str,
    /// The operation.
    pub(crate) work: Work,
    /// Operations in a round.
    pub(crate) count: u32,
    /// The most that the crash filesystem may take, relative to ext4 on a RAM disk.
    pub(crate) against_ram_disk: f64,
}

/// The most that the crash filesystem may take in any row, relative to the minimal filesystem.
pub(crate) const AGAINST_MINIMAL: f64 = 1.2;

/// All rows.
pub(crate) const ROWS: [Row; 5] = [
    Row {
        name: "append",
        title: "append 4 KiB + fdatasync",
        work: Work::Append,
        count: 5_000,
        against_ram_disk: 0.25,
    },
    Row {
        name: "sequential",
        title: "sequential 1 MiB writes",
        work: Work::Sequential,
        count: 256,
        against_ram_disk: 3.2,
    },
    Row {
        name: "random",
        title: "random 4 KiB writes",
        work: Work::Random,
        count: 20_000,
        against_ram_disk: 4.5,
    },
    Row {
        name: "sqlite",
        title: "SQLite insert, DELETE + FULL",
        work: Work::Sqlite { journal: "DELETE" },
        count: 1_000,
        against_ram_disk: 1.5,
    },
    Row {
        name: "wal",
        title: "SQLite insert, WAL + FULL",
        work: Work::Sqlite { journal: "WAL" },
        count: 3_000,
        against_ram_disk: 0.75,
    },
];

/// The names of all rows.
pub(crate) const NAMES: [&str; ROWS.len()] = {
    let mut names = [""; ROWS.len()];
    let mut n = 0;
    while n < ROWS.len() {
        names[n] = ROWS[n].name;
        n += 1;
    }
    names
};

/// The row of this name, or which ones there are.
pub(crate) fn named(name: &str) -> anyhow::Result<&'static Row> {
    match ROWS.iter().find(|row| row.name == name) {
        Some(row) => Ok(row),
        None => bail!("no row is called {name:?}; there are {}", NAMES.join(", ")),
    }
}
