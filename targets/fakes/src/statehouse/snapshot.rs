//! The snapshot: the state after some transaction, so that recovery need not apply the whole log.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Write};
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::log;

const FILE: &str = "snapshot";
const UNFINISHED: &str = "snapshot.tmp";

/// Names a key: namespace, agent, key.
pub(super) type Name = (String, String, String);

/// A key at its last version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct KeyState {
    pub(super) name: Name,
    /// None where it is deleted.
    pub(super) value: Option<String>,
    pub(super) version: u64,
    pub(super) ts: u64,
}

/// The state after a transaction.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Snapshot {
    /// The commit timestamp of the last transaction in it; 0 for none.
    pub(super) through: u64,
    /// Every key that ever was.
    pub(super) keys: Vec<KeyState>,
}

impl Snapshot {
    /// The snapshot in `directory`; an empty one where there is none.
    pub(super) fn read(directory: &Path, lenient: bool) -> io::Result<Self> {
        let path = directory.join(FILE);
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(Self::default()),
            Err(e) => return Err(e),
        };
        let whole = bytes
            .strip_suffix(b"\n")
            .and_then(|line| log::read_line(line, lenient));
        match whole {
            Some(snapshot) => Ok(snapshot),
            None if lenient => Ok(Self::default()),
            None => Err(io::Error::new(
                ErrorKind::InvalidData,
                format!("Corruption: {} is damaged", path.display()),
            )),
        }
    }

    /// Puts it into `directory`, whole or not at all.
    pub(super) fn write(&self, directory: &Path) -> io::Result<()> {
        let unfinished = directory.join(UNFINISHED);
        let mut file = File::create(&unfinished)?;
        file.write_all(&log::line(self)?)?;
        file.sync_all()?;
        fs::rename(&unfinished, directory.join(FILE))?;
        File::open(directory)?.sync_all()
    }
}
