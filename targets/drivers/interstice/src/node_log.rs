//! A table's log of the published node: frames of a length and an entry.

use super::bytes::{Misfit, Reader};
use super::node_row::{Key, key, row};

/// What an entry does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Op {
    Insert(Key),
    Update(Key),
    Delete(Key),
    Clear,
}

/// An entry that fits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) offset: usize,
    pub(super) seq: u64,
    pub(super) op: Op,
    /// The row's own primary key is another one than the entry's.
    pub(super) other_key: bool,
}

/// A log as far as it fits.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Log {
    pub(super) entries: Vec<Entry>,
    /// Frames whose entry does not fit.
    pub(super) bad: Vec<Misfit>,
    /// The frame that the file ends in.
    pub(super) torn: Option<Misfit>,
}

/// Reads all frames. An entry that does not fit costs that entry: its frame says where the next
/// begins.
pub(super) fn log(bytes: &[u8]) -> Log {
    let mut log = Log::default();
    let mut reader = Reader::new(bytes, 0, bytes.len());
    while reader.left() > 0 {
        let offset = reader.at();
        let payload = reader.u32().and_then(|length| reader.take(length.into()));
        match payload {
            Err(misfit) => {
                log.torn = Some(Misfit {
                    at: offset,
                    ..misfit
                });
                break;
            }
            Ok(payload) => {
                let to = reader.at();
                match entry(bytes, offset, to - payload.len(), to) {
                    Ok(entry) => log.entries.push(entry),
                    Err(misfit) => log.bad.push(misfit),
                }
            }
        }
    }
    log
}

fn entry(bytes: &[u8], offset: usize, from: usize, to: usize) -> Result<Entry, Misfit> {
    let mut reader = Reader::new(bytes, from, to);
    let seq = reader.varint(64)?;
    // Milliseconds since 1970 by the node's clock, which may go back.
    reader.varint(64)?;
    let at = reader.clone();
    let mut other_key = false;
    let mut with_row = |reader: &mut Reader<'_>| -> Result<Key, Misfit> {
        let key = key(reader)?;
        // Without a row, it lies in a file of its own.
        if reader.flag()? {
            other_key = row(reader)?.as_ref() != Some(&key);
        }
        Ok(key)
    };
    let op = match reader.varint(32)? {
        0 => Op::Insert(with_row(&mut reader)?),
        1 => Op::Update(with_row(&mut reader)?),
        2 => Op::Delete(key(&mut reader)?),
        3 => Op::Clear,
        other => return at.misfit(format!("there is no operation {other}")),
    };
    reader.done()?;
    Ok(Entry {
        offset,
        seq,
        op,
        other_key,
    })
}
