//! A table's snapshot of the published node, and the file of a single row.

// tidy: small because it is the whole of one file format.

use super::bytes::{Misfit, Reader};
use super::node_row::{Key, row};

/// The version of every snapshot.
const VERSION: u64 = 1;

/// A snapshot: everything up to an entry of the log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Snapshot {
    /// The last entry that is in it.
    pub(super) last_seq: u64,
    /// The keys of its rows, in order; none where a row's key is of a kind that keys cannot have.
    pub(super) keys: Vec<(usize, Option<Key>)>,
}

/// Reads a snapshot.
pub(super) fn snapshot(bytes: &[u8]) -> Result<Snapshot, Misfit> {
    let mut reader = Reader::new(bytes, 0, bytes.len());
    let at = reader.clone();
    let version = reader.varint(32)?;
    if version != VERSION {
        return at.misfit(format!("the version is {version} and not {VERSION}"));
    }
    let last_seq = reader.varint(64)?;
    let mut keys = Vec::new();
    for _ in 0..reader.varint(64)? {
        let at = reader.at();
        keys.push((at, row(&mut reader)?));
    }
    reader.done()?;
    Ok(Snapshot { last_seq, keys })
}

/// Reads the file of a single row.
pub(super) fn row_file(bytes: &[u8]) -> Result<(), Misfit> {
    let mut reader = Reader::new(bytes, 0, bytes.len());
    row(&mut reader)?;
    reader.done()
}
