//! Why a start ends in an error.

// tidy: small because lock, log, snapshot and recovery share it.

use std::io;
use std::path::PathBuf;

use thiserror::Error;

/// Why the store does not start. Each names the file.
#[derive(Debug, Error)]
pub enum RecoveryError {
    /// Another process works in the directory.
    #[error("{path} is held by another process")]
    Held {
        /// The lock file.
        path: PathBuf,
    },
    /// A file cannot be used.
    #[error("cannot {what} {path}: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// What was tried.
        what: &'static str,
        /// The system's error.
        source: io::Error,
    },
    /// A file cannot be read at one place: a bad sector, say.
    #[error("cannot read {path} at offset {offset}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// In bytes: where the unreadable block begins.
        offset: u64,
        /// The system's error.
        source: io::Error,
    },
    /// A file holds what no crash can have left there.
    #[error("{path} is damaged at offset {offset}: {why}")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// In bytes.
        offset: u64,
        /// What is wrong there.
        why: &'static str,
    },
    /// A log without the snapshot that it continues.
    #[error("{log} is there and {snapshot} is not")]
    Orphan {
        /// The log.
        log: PathBuf,
        /// The missing snapshot.
        snapshot: PathBuf,
    },
}
