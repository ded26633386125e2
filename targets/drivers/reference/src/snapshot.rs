//! Snapshots: everything the store holds, in one file that is there whole or not at all.
//!
//! `plugsnap`, the snapshot's number (8 bytes), the sequence number of the first record in its log
//! (8), the number of entries (8), for each the key's length (4), the value's length (4), the key
//! and the value, and at the end a CRC-32 of all of it (4). Numbers are little-endian.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

use super::directory::Directory;
use super::error::RecoveryError;
use super::record::{u32_at, u64_at};

const MAGIC: &[u8; 8] = b"plugsnap";
const HEAD: usize = 32;

/// A snapshot that was not written.
#[derive(Debug)]
pub(crate) struct NotWritten {
    pub(crate) error: io::Error,
    /// True when it may have its name all the same: then it may rule after the next crash.
    pub(crate) in_doubt: bool,
}

/// Writes the snapshot `number` and returns when it is durable. With `content_first` false it gets
/// its name before its content was synced.
pub(crate) fn write(
    directory: &Directory,
    number: u64,
    next_seq: u64,
    map: &BTreeMap<String, String>,
    content_first: bool,
) -> Result<(), NotWritten> {
    let temporary = directory.temporary(number);
    let written = File::create(&temporary).and_then(|mut file| {
        file.write_all(&encode(number, next_seq, map))?;
        if content_first {
            file.sync_all()
        } else {
            Ok(())
        }
    });
    if let Err(error) = written {
        #[expect(
            clippy::let_underscore_must_use,
            reason = "what is left is removed by the next snapshot or the next start"
        )]
        let _ = fs::remove_file(&temporary);
        return Err(NotWritten {
            error,
            in_doubt: false,
        });
    }
    fs::rename(&temporary, directory.snapshot(number))
        .and_then(|()| directory.sync())
        .map_err(|error| NotWritten {
            error,
            in_doubt: true,
        })
}

fn encode(number: u64, next_seq: u64, map: &BTreeMap<String, String>) -> Vec<u8> {
    let mut bytes = MAGIC.to_vec();
    for n in [number, next_seq, map.len() as u64] {
        bytes.extend_from_slice(&n.to_le_bytes());
    }
    for (key, value) in map {
        bytes.extend_from_slice(&(key.len() as u32).to_le_bytes());
        bytes.extend_from_slice(&(value.len() as u32).to_le_bytes());
        bytes.extend_from_slice(key.as_bytes());
        bytes.extend_from_slice(value.as_bytes());
    }
    let crc = crc32fast::hash(&bytes);
    bytes.extend_from_slice(&crc.to_le_bytes());
    bytes
}

/// What a snapshot holds, and the sequence number of the first record in its log.
pub(crate) fn decode(
    bytes: &[u8],
    path: &Path,
    number: u64,
) -> Result<(BTreeMap<String, String>, u64), RecoveryError> {
    let damaged = |offset: usize, why| RecoveryError::Damaged {
        path: path.to_owned(),
        offset: offset as u64,
        why,
    };
    // It had its content before it had its name: nothing but damage can make it other than whole.
    if bytes.len() < HEAD + 4 {
        return Err(damaged(bytes.len(), "the snapshot is cut off"));
    }
    let (content, crc) = bytes.split_at(bytes.len() - 4);
    if &content[..8] != MAGIC || u64_at(content, 8) != number {
        return Err(damaged(0, "the snapshot's head is damaged"));
    }
    if crc32fast::hash(content) != u32_at(crc, 0) {
        return Err(damaged(0, "the snapshot's checksum does not fit"));
    }
    let mut map = BTreeMap::new();
    let mut rest = &content[HEAD..];
    for _ in 0..u64_at(content, 24) {
        let at = content.len() - rest.len();
        let (key, value, after) =
            entry(rest).ok_or_else(|| damaged(at, "the snapshot's content makes no sense"))?;
        map.insert(key, value);
        rest = after;
    }
    Ok((map, u64_at(content, 16)))
}

fn entry(bytes: &[u8]) -> Option<(String, String, &[u8])> {
    let (lengths, rest) = bytes.split_at_checked(8)?;
    let (key, rest) = rest.split_at_checked(u32_at(lengths, 0) as usize)?;
    let (value, rest) = rest.split_at_checked(u32_at(lengths, 4) as usize)?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Some((text(key), text(value), rest))
}
