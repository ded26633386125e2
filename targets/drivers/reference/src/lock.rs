//! The lock file: one process works in a directory at a time.

// tidy: small because it is the whole of one file, with its mutant.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Write};
use std::process;

use super::directory::Directory;
use super::error::RecoveryError;
use super::mutant::Mutation;
use super::settings::Settings;

/// The directory is ours until this is dropped, or until the process ends in any way: the kernel
/// gives an flock back, so the file that a dead process leaves is no obstacle.
#[derive(Debug)]
pub(crate) struct Lock {
    _file: File,
}

impl Lock {
    pub(crate) fn take(directory: &Directory, settings: &Settings) -> Result<Self, RecoveryError> {
        let path = directory.lock();
        let held = || RecoveryError::Held { path: path.clone() };
        let failed = |source: io::Error| RecoveryError::File {
            path: path.clone(),
            what: "lock",
            source,
        };
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(false);
        // DEFECT stale-lock-refused: the file's existence is the lock.
        if settings.has(Mutation::StaleLockRefused) {
            options.create_new(true);
        }
        let mut file = options.open(&path).map_err(|e| match e.kind() {
            ErrorKind::AlreadyExists => held(),
            _ => failed(e),
        })?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(held()),
            Err(TryLockError::Error(e)) => return Err(failed(e)),
        }
        #[expect(
            clippy::let_underscore_must_use,
            reason = "who holds it is written for people; without space it is held all the same"
        )]
        let _ = file
            .set_len(0)
            .and_then(|()| writeln!(file, "{}", process::id()));
        Ok(Self { _file: file })
    }
}
