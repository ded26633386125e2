//! Making a directory durable, with all that is in it.

// tidy: small because drivers and fakes share it.

use std::fs::{self, File};
use std::path::Path;

/// Syncs every file and directory in a directory, and the directory.
///
/// # Errors
/// One of them cannot be read or synced.
pub fn sync_tree(directory: &Path) -> std::io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        match entry.file_type()?.is_dir() {
            true => sync_tree(&entry.path())?,
            false => File::open(entry.path())?.sync_all()?,
        }
    }
    File::open(directory)?.sync_all()
}
