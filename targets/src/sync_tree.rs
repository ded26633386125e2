//! Making a folder durable, with all that is in it.

use std::fs::{self, File};
use std::path::Path;

/// Syncs every file and folder in a folder, and the folder.
pub(crate) fn sync_tree(folder: &Path) -> std::io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        match entry.file_type()?.is_dir() {
            true => sync_tree(&entry.path())?,
            false => File::open(entry.path())?.sync_all()?,
        }
    }
    File::open(folder)?.sync_all()
}
