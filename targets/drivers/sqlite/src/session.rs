//! One client's transactions on the database, and what an error of each step means.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;
use plugpull_workloads::{Txn, Write};
use rusqlite::types::ValueRef;
use rusqlite::{Connection, ErrorCode, OptionalExtension, Row};

use super::settings::Journal;
use plugpull_driver::sdk::{Session, StoreError, act};

/// How many of `integrity_check`'s complaints are listed.
const COMPLAINTS: usize = 5;

/// A connection to the database; shared by all clients when it locks exclusively.
pub(crate) struct SqliteSession {
    connection: Arc<Mutex<Connection>>,
    journal: Journal,
}

impl SqliteSession {
    pub(crate) fn new(connection: Arc<Mutex<Connection>>, journal: Journal) -> Self {
        Self {
            connection,
            journal,
        }
    }
}

impl Session for SqliteSession {
    fn apply(&mut self, txn: &Txn) -> Result<(), StoreError> {
        // "The ROLLBACK command no longer works; it behaves in an undefined way."
        // https://www.sqlite.org/pragma.html#pragma_journal_mode
        let can_roll_back = self.journal != Journal::Off;
        if txn.abort && !can_roll_back {
            return Err(StoreError::Fail("journal_mode=off cannot roll back".into()));
        }
        let db = self.connection.lock();
        db.execute_batch("BEGIN IMMEDIATE")
            .map_err(|e| failed("BEGIN", &e))?;
        if let Err(error) = write_all(&db, txn) {
            roll_back(&db);
            // COMMIT was never called, so nothing can have been committed.
            return Err(if can_roll_back {
                failed("the write", &error)
            } else {
                StoreError::Info(format!(
                    "the write failed with no journal to undo it: {error}"
                ))
            });
        }
        if txn.abort {
            return db
                .execute_batch("ROLLBACK")
                .map_err(|e| failed("ROLLBACK", &e));
        }
        db.execute_batch("COMMIT").map_err(|error| {
            roll_back(&db);
            commit_error(&error, can_roll_back)
        })
    }

    fn barrier(&mut self) -> Result<(), StoreError> {
        if self.journal != Journal::Wal {
            // Nothing waits for a checkpoint in the other modes.
            return Ok(());
        }
        let db = self.connection.lock();
        let busy: i64 = db
            .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0))
            .map_err(|e| failed("the checkpoint", &e))?;
        match busy {
            0 => Ok(()),
            _ => Err(StoreError::Fail(
                "the checkpoint was blocked by another connection".into(),
            )),
        }
    }

    fn get(&mut self, key: &str) -> Result<Option<String>, StoreError> {
        let db = self.connection.lock();
        db.prepare_cached("SELECT value FROM kv WHERE key = ?1")
            .and_then(|mut select| select.query_row([key], |row| text(row, 0)).optional())
            .map_err(|e| failed("the read", &e))
    }

    fn read_all(&mut self) -> Result<BTreeMap<String, String>, StoreError> {
        let db = self.connection.lock();
        // NOT INDEXED reads the table itself: an index that disagrees is integrity_check's to find.
        db.prepare_cached("SELECT key, value FROM kv NOT INDEXED")
            .and_then(|mut select| {
                select
                    .query_map([], |row| Ok((text(row, 0)?, text(row, 1)?)))?
                    .collect()
            })
            .map_err(|e| failed("the read", &e))
    }

    fn check(&mut self) -> Result<Option<String>, StoreError> {
        let db = self.connection.lock();
        let lines: rusqlite::Result<Vec<String>> =
            db.prepare("PRAGMA integrity_check").and_then(|mut check| {
                check
                    .query_map([], |row| text(row, 0))?
                    .take(COMPLAINTS)
                    .collect()
            });
        match lines {
            Ok(lines) if lines == ["ok"] => Ok(None),
            Ok(lines) => Ok(Some(lines.join("; "))),
            Err(e) => match e.sqlite_error_code() {
                Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
                    Ok(Some(e.to_string()))
                }
                _ => Err(failed("integrity_check", &e)),
            },
        }
    }

    fn act(&mut self, action: &str, amount: Option<u32>) -> Result<(), StoreError> {
        act(super::ACTIONS, &self.connection.lock(), action, amount)
    }
}

fn write_all(db: &Connection, txn: &Txn) -> rusqlite::Result<()> {
    for op in &txn.ops {
        match &op.write {
            Write::Put(value) => db
                .prepare_cached(
                    "INSERT INTO kv(key, value) VALUES(?1, ?2)
                     ON CONFLICT(key) DO UPDATE SET value = excluded.value",
                )?
                .execute([op.key.as_str(), &value.text()])?,
            Write::Delete => db
                .prepare_cached("DELETE FROM kv WHERE key = ?1")?
                .execute([&op.key])?,
        };
    }
    Ok(())
}

/// Ends the transaction where the error has not already done so ("some errors roll back
/// automatically": https://www.sqlite.org/lang_transaction.html).
fn roll_back(db: &Connection) {
    if !db.is_autocommit() {
        #[expect(
            clippy::let_underscore_must_use,
            reason = "a rollback that cannot be finished now is finished from the journal by the next reader"
        )]
        let _ = db.execute_batch("ROLLBACK");
    }
}

/// What an error of COMMIT says about the transaction.
///
/// BUSY leaves it open, to be tried again or rolled back. FULL comes from a write before the one
/// that commits, and rolls back. (Both: https://www.sqlite.org/lang_transaction.html.) With any
/// other error, of a sync above all, the commit may be on the disk all the same: a WAL frame whose
/// sync failed is not there for this process, and may be there for the next.
fn commit_error(error: &rusqlite::Error, can_roll_back: bool) -> StoreError {
    match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DiskFull) if can_roll_back => {
            failed("COMMIT", error)
        }
        _ => StoreError::Info(format!("COMMIT failed: {}", with_code(error))),
    }
}

pub(crate) fn failed(what: &str, error: &rusqlite::Error) -> StoreError {
    StoreError::Fail(format!("{what} failed: {}", with_code(error)))
}

/// The message with SQLite's extended code, which alone says which system call it was.
fn with_code(error: &rusqlite::Error) -> String {
    match error.sqlite_error() {
        Some(code) => format!("{error} (code {})", code.extended_code),
        None => error.to_string(),
    }
}

fn text(row: &Row, column: usize) -> rusqlite::Result<String> {
    Ok(match row.get_ref(column)? {
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => {
            String::from_utf8_lossy(bytes).into_owned()
        }
        // Never written by us, so given as it is.
        ValueRef::Null => "NULL".to_owned(),
        ValueRef::Integer(n) => n.to_string(),
        ValueRef::Real(n) => n.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use rusqlite::ffi;

    use super::*;

    fn commit(code: i32, can_roll_back: bool) -> StoreError {
        commit_error(
            &rusqlite::Error::SqliteFailure(ffi::Error::new(code), None),
            can_roll_back,
        )
    }

    #[test]
    fn only_a_commit_that_certainly_did_not_happen_is_a_fail() {
        for code in [ffi::SQLITE_BUSY, ffi::SQLITE_FULL] {
            assert!(matches!(commit(code, true), StoreError::Fail(_)));
            assert!(matches!(commit(code, false), StoreError::Info(_)));
        }
        for code in [
            ffi::SQLITE_IOERR_FSYNC,
            ffi::SQLITE_IOERR_WRITE,
            ffi::SQLITE_NOMEM,
        ] {
            assert!(matches!(commit(code, true), StoreError::Info(_)));
        }
    }
}
