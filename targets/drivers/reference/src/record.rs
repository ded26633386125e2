//! A record of the log: one transaction as bytes, in blocks of its own.
//!
//! | bytes | what |
//! | --- | --- |
//! | 4 | length of the payload |
//! | 4 | CRC-32 of everything else up to the end of the payload |
//! | 8 | the log's number, so that a record of another log is no record of this one |
//! | 8 | the record's sequence number: 1 more than that of the record before |
//! | | payload: number of writes (4); for each the key's length (4), 1 for put or 0 for delete (1), the value's length (4), the key, the value |
//! | | zeros up to a whole number of blocks |
//!
//! Numbers are little-endian.

use plugpull_workloads::{Op, Write};

/// Records begin at multiples of this many bytes: damage to one block is damage to one record.
pub(crate) const BLOCK: usize = 4096;
const HEAD: usize = 24;

/// One transaction in the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) seq: u64,
    pub(crate) ops: Vec<Op>,
}

/// The record as whole blocks.
pub(crate) fn encode(log: u64, seq: u64, ops: &[Op]) -> Vec<u8> {
    let mut bytes = vec![0; HEAD];
    put_len(&mut bytes, ops.len());
    for op in ops {
        let (kind, value) = match &op.write {
            Write::Put(value) => (1, value.text()),
            Write::Delete => (0, "".into()),
        };
        put_len(&mut bytes, op.key.len());
        bytes.push(kind);
        put_len(&mut bytes, value.len());
        bytes.extend_from_slice(op.key.as_bytes());
        bytes.extend_from_slice(value.as_bytes());
    }
    let length = (bytes.len() - HEAD) as u32;
    bytes[0..4].copy_from_slice(&length.to_le_bytes());
    bytes[8..16].copy_from_slice(&log.to_le_bytes());
    bytes[16..24].copy_from_slice(&seq.to_le_bytes());
    let crc = checksum(&bytes);
    bytes[4..8].copy_from_slice(&crc.to_le_bytes());
    bytes.resize(bytes.len().next_multiple_of(BLOCK), 0);
    bytes
}

/// The record that begins at the start of `bytes`, with the number of bytes that its blocks take;
/// or why there is none. With `checked` false the checksum is not looked at.
pub(crate) fn decode(
    bytes: &[u8],
    log: u64,
    checked: bool,
) -> Result<(Record, usize), &'static str> {
    if bytes.len() < HEAD {
        return Err("the record's head is cut off");
    }
    let length = u32_at(bytes, 0) as usize;
    let end = HEAD + length;
    let blocks = end.next_multiple_of(BLOCK);
    if bytes.len() < blocks {
        return Err("the record is cut off");
    }
    if checked && checksum(&bytes[..end]) != u32_at(bytes, 4) {
        return Err("the record's checksum does not fit");
    }
    if u64_at(bytes, 8) != log {
        return Err("the record is not one of this log");
    }
    let ops = decode_ops(&bytes[HEAD..end]).ok_or("the record's content makes no sense")?;
    Ok((
        Record {
            seq: u64_at(bytes, 16),
            ops,
        },
        blocks,
    ))
}

/// The CRC-32 of a record without padding, leaving out the place of the CRC itself.
fn checksum(record: &[u8]) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    crc.update(&record[..4]);
    crc.update(&record[8..]);
    crc.finalize()
}

fn decode_ops(mut rest: &[u8]) -> Option<Vec<Op>> {
    let count = take_u32(&mut rest)?;
    let mut ops = Vec::new();
    for _ in 0..count {
        let key_length = take_u32(&mut rest)? as usize;
        let (kind, after) = rest.split_first()?;
        rest = after;
        let value_length = take_u32(&mut rest)? as usize;
        let key = text(take(&mut rest, key_length)?);
        let value = text(take(&mut rest, value_length)?);
        let write = if *kind == 1 {
            Write::Put(value.into())
        } else {
            Write::Delete
        };
        ops.push(Op { key, write });
    }
    // A record with no write is written by nobody: zeros must not be taken for one.
    (count > 0 && rest.is_empty()).then_some(ops)
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn put_len(bytes: &mut Vec<u8>, length: usize) {
    bytes.extend_from_slice(&(length as u32).to_le_bytes());
}

fn take<'a>(rest: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
    let (taken, after) = rest.split_at_checked(length)?;
    *rest = after;
    Some(taken)
}

fn take_u32(rest: &mut &[u8]) -> Option<u32> {
    Some(u32_at(take(rest, 4)?, 0))
}

/// The number at `at`, which the caller has made sure is there.
pub(crate) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    let mut four = [0; 4];
    four.copy_from_slice(&bytes[at..at + 4]);
    u32::from_le_bytes(four)
}

/// The number at `at`, which the caller has made sure is there.
pub(crate) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    let mut eight = [0; 8];
    eight.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(eight)
}
