//! Opening the database, and one connection for each client.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use parking_lot::Mutex;
use rusqlite::Connection;

use super::session::SqliteSession;
use super::settings::{Settings, Synchronous};
use plugpull_driver::sdk::{Embedded, Store};
use plugpull_driver::{Client, ClientError};

/// The database's file in the data directory.
const FILE: &str = "kv.db";

/// An open database.
pub struct SqliteStore {
    path: PathBuf,
    settings: Settings,
    /// Kept open for as long as the worker lives: when the last connection to a database in WAL
    /// mode closes, the WAL is deleted, and a client that leaves must not be the cause of that.
    home: Arc<Mutex<Connection>>,
}

impl SqliteStore {
    /// Opens the database in `directory`, or makes it. A first start that a crash interrupted at any
    /// point is carried on: the table is made in a transaction and only where it is missing.
    pub fn open(directory: &Path, settings: Settings) -> rusqlite::Result<Self> {
        let path = directory.join(FILE);
        let home = connect(&path, &settings)?;
        home.execute_batch(
            "BEGIN IMMEDIATE;
             CREATE TABLE IF NOT EXISTS kv(key TEXT PRIMARY KEY, value TEXT);
             COMMIT;",
        )?;
        Ok(Self {
            path,
            settings,
            home: Arc::new(Mutex::new(home)),
        })
    }
}

impl Store for SqliteStore {
    fn connect(&self, _client: u32, _deadline: Instant) -> Result<Box<dyn Client>, ClientError> {
        let connection = if self.settings.exclusive {
            // A second connection would wait for the first one's locks for ever.
            Arc::clone(&self.home)
        } else {
            let own = connect(&self.path, &self.settings)
                .map_err(|e| ClientError::Fail(format!("cannot open a connection: {e}")))?;
            Arc::new(Mutex::new(own))
        };
        Ok(Box::new(Embedded(SqliteSession::new(
            connection,
            self.settings.journal,
        ))))
    }
}

/// A connection with every setting applied and those that SQLite may refuse silently looked at.
fn connect(path: &Path, settings: &Settings) -> rusqlite::Result<Connection> {
    let connection = Connection::open(path)?;
    connection.busy_timeout(settings.busy_timeout)?;
    // These two only count when given before the database is made, and before it enters WAL mode.
    connection.pragma_update(None, "page_size", settings.page_size)?;
    let locking = if settings.exclusive {
        "exclusive"
    } else {
        "normal"
    };
    connection.pragma_update_and_check(None, "locking_mode", locking, |_| Ok(()))?;
    // Before journal_mode, whose change is itself a transaction.
    let synchronous = match settings.synchronous {
        Synchronous::Off => 0,
        Synchronous::Normal => 1,
        Synchronous::Full => 2,
        Synchronous::Extra => 3,
    };
    connection.pragma_update(None, "synchronous", synchronous)?;
    let journal: String = connection.pragma_update_and_check(
        None,
        "journal_mode",
        settings.journal.word(),
        |row| row.get(0),
    )?;
    if journal != settings.journal.word() {
        return Err(refused("journal_mode", &journal, settings.journal.word()));
    }
    let now: u32 = connection.pragma_query_value(None, "synchronous", |row| row.get(0))?;
    if now != synchronous {
        return Err(refused(
            "synchronous",
            &now.to_string(),
            settings.synchronous.word(),
        ));
    }
    connection.pragma_update_and_check(
        None,
        "wal_autocheckpoint",
        settings.autocheckpoint,
        |_| Ok(()),
    )?;
    connection.pragma_update_and_check(None, "mmap_size", settings.mmap_size, |_| Ok(()))?;
    Ok(connection)
}

fn refused(pragma: &str, is: &str, wanted: &str) -> rusqlite::Error {
    rusqlite::Error::SqliteFailure(
        rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_ERROR),
        Some(format!(
            "SQLite keeps {pragma} at {is} where {wanted} was asked for"
        )),
    )
}
