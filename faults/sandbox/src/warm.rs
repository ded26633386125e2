//! Reading files ahead, so that a program finds them in the kernel's cache.

use std::fs::{self, File};
use std::path::Path;

use nix::fcntl::{PosixFadviseAdvice, posix_fadvise};

/// Files and folders that are looked at, at most.
const ENTRIES: usize = 256;

/// Reads the files in a folder that fit into `bytes` together, the first ones by the folder's own
/// order. What cannot be read is left to the program, which will be told why.
pub(super) fn read(folder: &Path, bytes: u64) {
    let mut folders = vec![folder.to_path_buf()];
    let (mut left, mut entries) = (bytes, ENTRIES);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let Some(fewer) = entries.checked_sub(1) else {
                return;
            };
            entries = fewer;
            let Ok(about) = entry.metadata() else {
                continue;
            };
            if about.is_dir() {
                folders.push(entry.path());
            } else if about.is_file() && about.len() <= left {
                left -= about.len();
                // In the largest pieces that there are, and without waiting for them.
                let _ = File::open(entry.path()).map(|file| {
                    posix_fadvise(&file, 0, 0, PosixFadviseAdvice::POSIX_FADV_WILLNEED)
                });
            }
        }
    }
}
