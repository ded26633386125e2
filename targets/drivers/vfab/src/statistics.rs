//! The statistics database, read from a copy.
//!
//! Opening a SQLite database in WAL mode writes: a shared-memory file, and what recovery of the log
//! changes. `immutable=1` would not write, but would not see the log either. So the database and
//! its log are copied, and the copy is opened.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, OpenFlags};

/// What the database tells.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Statistics {
    /// The words of each job's events, in the order in which they were written.
    pub(super) events: BTreeMap<String, Vec<String>>,
    /// What `PRAGMA integrity_check` says where it is not "ok".
    pub(super) complaint: Option<String>,
}

/// Reads the database. An error is what SQLite or the copying said.
pub(super) fn statistics(database: &Path) -> Result<Statistics, String> {
    let directory =
        tempfile::tempdir().map_err(|error| format!("no temporary directory: {error}"))?;
    let copy = directory.path().join("copy.db");
    // The log and a rollback journal are found by the database's name.
    for suffix in ["", "-wal", "-journal"] {
        copy_if_there(&with(database, suffix), &with(&copy, suffix))
            .map_err(|error| format!("it cannot be copied: {error}"))?;
    }
    read(&copy).map_err(|error| error.to_string())
}

fn with(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

fn copy_if_there(from: &Path, to: &Path) -> io::Result<()> {
    match fs::copy(from, to) {
        Err(error)
            if error.kind() == io::ErrorKind::NotFound
                && to.extension().is_some_and(|e| e != "db") =>
        {
            Ok(())
        }
        other => other.map(drop),
    }
}

fn read(copy: &Path) -> rusqlite::Result<Statistics> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(copy, flags)?;
    let said: String = connection.query_row("PRAGMA integrity_check", [], |row| row.get(0))?;
    let mut statistics = Statistics {
        complaint: (said != "ok").then_some(said),
        ..Statistics::default()
    };
    let mut query =
        connection.prepare("SELECT job_id, event_type FROM job_statistics ORDER BY id")?;
    let mut rows = query.query([])?;
    while let Some(row) = rows.next()? {
        let (job, event): (String, String) = (row.get(0)?, row.get(1)?);
        statistics.events.entry(job).or_default().push(event);
    }
    Ok(statistics)
}
