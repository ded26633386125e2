//! Reading files ahead, so that a program finds them in the kernel's cache.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use nix::fcntl::{PosixFadviseAdvice, posix_fadvise};

/// Files and directories that are looked at, at most.
const ENTRIES: usize = 256;

/// Reads the files in a directory that fit into `bytes` together. What cannot be read is left to
/// the program, which will meet the error itself.
pub(super) fn read(directory: &Path, bytes: u64) {
    for path in fitting(directory, bytes) {
        if let Ok(file) = File::open(path) {
            #[expect(
                clippy::let_underscore_must_use,
                reason = "a file that is not read ahead is read later"
            )]
            // In the largest pieces that there are, and without waiting for them.
            let _ = posix_fadvise(&file, 0, 0, PosixFadviseAdvice::POSIX_FADV_WILLNEED);
        }
    }
}

/// The regular files below a directory that fit into `bytes` together, the first ones by the
/// directory's own order.
fn fitting(directory: &Path, bytes: u64) -> Vec<PathBuf> {
    let mut directories = vec![directory.to_path_buf()];
    let (mut left, mut entries) = (bytes, ENTRIES);
    let mut files = Vec::new();
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
            let Some(fewer) = entries.checked_sub(1) else {
                return files;
            };
            entries = fewer;
            let Ok(metadata) = entry.metadata() else {
                continue;
            };
            if metadata.is_dir() {
                directories.push(entry.path());
            } else if metadata.is_file() && metadata.len() <= left {
                left -= metadata.len();
                files.push(entry.path());
            }
        }
    }
    files
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_is_read_than_fits() {
        let top = tempfile::tempdir().expect("a directory");
        let below = top.path().join("below");
        fs::create_dir(&below).expect("a directory");
        for (path, size) in [(top.path().join("a"), 600), (below.join("b"), 500)] {
            fs::write(path, vec![0; size]).expect("a file");
        }
        assert_eq!(fitting(top.path(), 1100).len(), 2);
        assert_eq!(fitting(top.path(), 1099).len(), 1);
        assert!(fitting(top.path(), 499).is_empty());
        assert!(fitting(&top.path().join("missing"), 1100).is_empty());
    }
}
