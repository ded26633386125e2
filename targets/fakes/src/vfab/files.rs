//! Writing files so that they are on the disk.

// tidy: small because engine and plotter share it.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;

/// Makes the names in a directory durable, as they are now.
pub(super) fn sync_directory(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}

/// Makes a file of these bytes; on the disk when this returns, if `synced`.
pub(super) fn make(path: &Path, bytes: &[u8], synced: bool) -> io::Result<()> {
    let mut file = File::create(path)?;
    file.write_all(bytes)?;
    if synced {
        file.sync_all()?;
    }
    Ok(())
}

/// Puts these bytes in the place of a file, whole or not at all.
pub(super) fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let beside = path.with_extension("tmp");
    make(&beside, bytes, true)?;
    fs::rename(&beside, path)?;
    path.parent().map_or(Ok(()), sync_directory)
}

/// Appends bytes to a file, and makes it if there is none; on the disk when this returns, if
/// `synced`. The file's name is the caller's to sync.
pub(super) fn append(path: &Path, bytes: &[u8], synced: bool) -> io::Result<()> {
    let mut file = OpenOptions::new().append(true).create(true).open(path)?;
    file.write_all(bytes)?;
    if synced {
        file.sync_all()?;
    }
    Ok(())
}

/// Cuts a file, for good.
pub(super) fn cut(path: &Path, length: u64) -> io::Result<()> {
    let file = OpenOptions::new().write(true).open(path)?;
    file.set_len(length)?;
    file.sync_all()
}
