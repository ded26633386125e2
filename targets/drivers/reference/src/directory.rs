//! The data directory: which files are in it, and when their names are durable.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

const LOG: &str = "log-";
const SNAPSHOT: &str = "snapshot-";
const TEMPORARY: &str = ".tmp";

/// The data directory.
#[derive(Clone, Debug)]
pub(crate) struct Directory {
    dir: PathBuf,
}

/// The store's files in the directory, by number. Files of no known name are left alone.
#[derive(Debug, Default)]
pub(crate) struct Listing {
    pub(crate) snapshots: Vec<u64>,
    pub(crate) logs: Vec<u64>,
    pub(crate) temporaries: Vec<PathBuf>,
}

impl Directory {
    pub(crate) fn new(dir: &Path) -> Self {
        Self {
            dir: dir.to_owned(),
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.dir
    }

    pub(crate) fn lock(&self) -> PathBuf {
        self.dir.join("lock")
    }

    pub(crate) fn log(&self, number: u64) -> PathBuf {
        self.dir.join(format!("{LOG}{number}"))
    }

    pub(crate) fn snapshot(&self, number: u64) -> PathBuf {
        self.dir.join(format!("{SNAPSHOT}{number}"))
    }

    /// Where a snapshot is written before it gets its name.
    pub(crate) fn temporary(&self, number: u64) -> PathBuf {
        self.dir.join(format!("{SNAPSHOT}{number}{TEMPORARY}"))
    }

    /// Makes the names in the directory durable, as they are now.
    pub(crate) fn sync(&self) -> io::Result<()> {
        File::open(&self.dir)?.sync_all()
    }

    pub(crate) fn list(&self) -> io::Result<Listing> {
        let mut listing = Listing::default();
        for entry in fs::read_dir(&self.dir)? {
            let entry = entry?;
            let name = entry.file_name();
            let Some(name) = name.to_str() else { continue };
            if let Some(number) = number(name, LOG) {
                listing.logs.push(number);
            } else if let Some(number) = number(name, SNAPSHOT) {
                listing.snapshots.push(number);
            } else if name.starts_with(SNAPSHOT) && name.ends_with(TEMPORARY) {
                listing.temporaries.push(entry.path());
            }
        }
        Ok(listing)
    }

    /// Removes what the snapshot or log `number` has made superfluous.
    pub(crate) fn clean(&self, number: u64) {
        let Ok(listing) = self.list() else { return };
        let old = |numbers: Vec<u64>| numbers.into_iter().filter(move |n| *n < number);
        for path in old(listing.logs)
            .map(|n| self.log(n))
            .chain(old(listing.snapshots).map(|n| self.snapshot(n)))
            .chain(listing.temporaries)
        {
            #[expect(clippy::let_underscore_must_use, reason = "the next start tries again")]
            let _ = fs::remove_file(path);
        }
    }
}

fn number(name: &str, prefix: &str) -> Option<u64> {
    name.strip_prefix(prefix)?.parse().ok()
}
