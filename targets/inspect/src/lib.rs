//! Looking at the files that a system left, with a parser of plugpull's own that trusts nothing the
//! system says: what an inspector finds, and the command that prints it.
//!
//! The inspectors are the drivers'. One reads, and never writes: `repair` writes a copy elsewhere.

mod command;
mod files;
mod table;

use std::io;
use std::path::PathBuf;

use serde::Serialize;
use thiserror::Error;

pub use command::main;
pub use files::{read, write_new};

/// What to look at, and what is known about it.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// The file or directory.
    pub path: PathBuf,
    /// What must be in it, in the system's own words: see [`Inspector::expect`].
    pub expect: Vec<String>,
    /// The files are as a crash left them, and recovery has not run: what it is promised to mend
    /// is a note and no damage.
    pub after_crash: bool,
}

/// A place in a file, and what is to be said about it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Spot {
    /// What kind, a word for machines: "root-mismatch".
    pub kind: &'static str,
    /// The file.
    pub file: String,
    /// The line, from 1, where the file has lines.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<u64>,
    /// The byte, from 0, where one is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub offset: Option<u64>,
    /// What is wrong, in plain words.
    pub what: String,
}

/// Rows to be shown side by side.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Table {
    /// The names of the columns.
    pub head: Vec<String>,
    /// The rows, each as long as the head.
    pub rows: Vec<Vec<String>>,
}

/// What a look found.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Inspection {
    /// The system, as on the command line.
    pub system: &'static str,
    /// What was looked at.
    pub path: String,
    /// As which format it was read.
    pub format: &'static str,
    /// True when there is no damage.
    pub sound: bool,
    /// What was counted or computed: name and value.
    pub facts: Vec<(String, String)>,
    /// The parts, where there are several of a kind.
    pub table: Table,
    /// What is worth knowing and no damage.
    pub notes: Vec<Spot>,
    /// What is wrong, in the order of the files and of the bytes in them.
    pub damage: Vec<Spot>,
    /// All of it for machines, in a form of the system's own.
    pub detail: serde_json::Value,
}

/// What a repair wrote.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Repaired {
    /// The copy.
    pub path: String,
    /// Bytes of the original that are in it.
    pub kept: u64,
    /// Bytes of the original that are not.
    pub cut: u64,
}

/// Why nothing could be looked at: wrong use, exit code 2.
#[derive(Debug, Error)]
pub enum InspectError {
    /// The file or directory cannot be read.
    #[error("{} cannot be read: {error}", path.display())]
    Unreadable {
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// The copy cannot be written.
    #[error("{} cannot be written: {error}", path.display())]
    Unwritable {
        /// The copy.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// What is there is not what this inspector looks at.
    #[error("{}: {why}", path.display())]
    NotThis {
        /// The file or directory.
        path: PathBuf,
        /// What it should be.
        why: String,
    },
}

/// Looks at files. Never writes.
pub type Inspect = fn(&Request) -> Result<Inspection, InspectError>;

/// Writes a repaired copy of a file, which must not exist yet. Never touches the original.
pub type Repair = fn(&Request, &std::path::Path) -> Result<Repaired, InspectError>;

/// Asks a checker of the system's own, where it is installed, and adds what it says to a look that
/// is done.
pub type SecondOpinion = fn(&Request, &mut Inspection);

/// A system whose files can be looked at.
#[derive(Clone, Copy, Debug)]
pub struct Inspector {
    /// Its name on the command line.
    pub name: &'static str,
    /// What it looks at, in one line.
    pub about: &'static str,
    /// What may be expected to be there; none where it takes no expectations.
    pub expect: Option<&'static str>,
    /// The look.
    pub inspect: Inspect,
    /// The repair, where there is one.
    pub repair: Option<Repair>,
    /// The system's own checker, where it has one.
    pub second_opinion: Option<SecondOpinion>,
}
