//! Records as they are stored.

use serde::{Deserialize, Serialize};

use crate::fs::{Ino, Op};

/// One thing that happened.
#[derive(Serialize, Deserialize)]
pub(super) enum Item {
    Record {
        /// Nanoseconds since the item before.
        later: i64,
        pid: u32,
        path: PathRef,
        what: What,
    },
    Mark {
        /// Nanoseconds since the item before.
        later: i64,
        id: u64,
    },
}

/// A path, said in full once and by its number from then on.
#[derive(Serialize, Deserialize)]
pub(super) enum PathRef {
    New(String),
    Known(u32),
}

#[derive(Serialize, Deserialize)]
pub(super) enum What {
    Write {
        ino: Ino,
        offset: u64,
        len: u64,
        old_size: u64,
        /// The bytes that fill no page.
        ends: Ends,
        /// Runs of the whole pages: number of the first, how many.
        pages: Vec<(u64, u64)>,
    },
    Other(Op),
}

#[derive(Serialize, Deserialize)]
pub(super) enum Ends {
    Bytes(Vec<u8>),
    Page(u64),
}

/// What the last frame says.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct End {
    pub(super) records: u64,
    pub(super) marks: u64,
    pub(super) pages: u64,
}
