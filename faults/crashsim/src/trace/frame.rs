//! Frames: a kind, a payload, a checksum; and the records as they are stored in one.

use std::io::{self, Read, Write};

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::Xxh3;

use crate::fs::{Ino, Op};

/// The first line of a trace.
pub(super) const MAGIC: &[u8] = b"plugpull.trace/2\n";
/// That of version 1, which knows fewer operations and is read as well.
pub(super) const MAGIC_1: &[u8; MAGIC.len()] = b"plugpull.trace/1\n";
/// The most that a payload may hold, in bytes, as a guard against a damaged length. What the owner
/// says is cut into pieces of half of it.
pub(super) const PAYLOAD_MAX: usize = 64 << 20;
/// Bytes of a frame before its payload.
const HEAD: usize = 1 + 4 + 4 + 8;

/// What a frame holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Pages = b'P' as isize,
    Records = b'R' as isize,
    About = b'A' as isize,
    End = b'E' as isize,
}

impl Kind {
    fn of(byte: u8) -> Option<Self> {
        [Self::Pages, Self::Records, Self::About, Self::End]
            .into_iter()
            .find(|kind| *kind as u8 == byte)
    }
}

/// Writes one frame; the payload is at most [`PAYLOAD_MAX`] bytes.
pub(super) fn put(into: &mut impl Write, kind: Kind, payload: &[u8]) -> io::Result<()> {
    let packed = lz4_flex::block::compress(payload);
    let too_long = |_| io::Error::other("a frame of more than 4 GiB");
    let mut head = [0; HEAD];
    head[0] = kind as u8;
    head[1..5].copy_from_slice(&u32::try_from(packed.len()).map_err(too_long)?.to_le_bytes());
    head[5..9].copy_from_slice(
        &u32::try_from(payload.len())
            .map_err(too_long)?
            .to_le_bytes(),
    );
    let sum = checksum(&head[..9], &packed);
    head[9..].copy_from_slice(&sum.to_le_bytes());
    into.write_all(&head)?;
    into.write_all(&packed)
}

/// Why a frame cannot be read.
pub(super) enum Bad {
    /// The file ends inside it.
    Short,
    /// Its bytes are not those that were written.
    Damaged(&'static str),
    Io(io::Error),
}

/// Reads one frame; none at the end of the file.
pub(super) fn take(from: &mut impl Read) -> Result<Option<(Kind, Vec<u8>)>, Bad> {
    let mut head = [0; HEAD];
    if !fill(from, &mut head)? {
        return Ok(None);
    }
    let number = |at: usize| {
        let bytes = [head[at], head[at + 1], head[at + 2], head[at + 3]];
        u32::from_le_bytes(bytes) as usize
    };
    let (packed_len, len) = (number(1), number(5));
    let kind = Kind::of(head[0]).ok_or(Bad::Damaged("an unknown kind of frame"))?;
    // LZ4 makes incompressible bytes longer by less than a hundredth.
    if len > PAYLOAD_MAX || packed_len > PAYLOAD_MAX + PAYLOAD_MAX / 64 {
        return Err(Bad::Damaged("a frame of an impossible length"));
    }
    let mut packed = vec![0; packed_len];
    if packed_len > 0 && !fill(from, &mut packed)? {
        return Err(Bad::Short);
    }
    if checksum(&head[..9], &packed).to_le_bytes() != head[9..] {
        return Err(Bad::Damaged("a checksum that does not fit"));
    }
    let payload = lz4_flex::block::decompress(&packed, len)
        .map_err(|_| Bad::Damaged("bytes that do not decompress"))?;
    if payload.len() != len {
        return Err(Bad::Damaged("a payload of another length than it says"));
    }
    Ok(Some((kind, payload)))
}

fn checksum(head: &[u8], packed: &[u8]) -> u64 {
    let mut hash = Xxh3::new();
    hash.update(head);
    hash.update(packed);
    hash.digest()
}

/// Fills the buffer; false when the file ended before it.
fn fill(from: &mut impl Read, buffer: &mut [u8]) -> Result<bool, Bad> {
    let mut at = 0;
    while at < buffer.len() {
        match from.read(&mut buffer[at..]) {
            Ok(0) if at == 0 => return Ok(false),
            Ok(0) => return Err(Bad::Short),
            Ok(n) => at += n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(Bad::Io(error)),
        }
    }
    Ok(true)
}

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
        ends: StoredEnds,
        /// Runs of the whole pages: number of the first, how many.
        pages: Vec<(u64, u64)>,
    },
    Other(Op),
}

#[derive(Serialize, Deserialize)]
pub(super) enum StoredEnds {
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
