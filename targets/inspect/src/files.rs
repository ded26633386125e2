//! Reading files to look at, and writing copies.

// tidy: small because every inspector reads and writes by it.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::Path;

use crate::InspectError;

/// All bytes of a file.
///
/// # Errors
/// It cannot be read.
pub fn read(path: &Path) -> Result<Vec<u8>, InspectError> {
    fs::read(path).map_err(|error| InspectError::Unreadable {
        path: path.to_owned(),
        error,
    })
}

/// Writes a file that does not exist yet, and waits until it is on the disk. A link is not
/// followed, so the original cannot be hit under another name (open(2), O_EXCL).
///
/// # Errors
/// It is there already, or cannot be written.
pub fn write_new(path: &Path, bytes: &[u8]) -> Result<(), InspectError> {
    let write = || {
        let mut file = OpenOptions::new().write(true).create_new(true).open(path)?;
        file.write_all(bytes)?;
        file.sync_all()
    };
    write().map_err(|error| InspectError::Unwritable {
        path: path.to_owned(),
        error,
    })
}
