//! The guide's log: records back to back, a checksum each.
//!
//! A record's length is known only from the lengths within it. So behind a record that does not
//! fit, the next one is looked for where those lengths say; if no good record is there, nothing
//! more can be found.

use super::bytes::{Misfit, Reader};
use super::guide_row::{optional_row, row};

/// The version of every record.
const VERSION: u8 = 1;

/// What a record does to a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Adds it.
    Insert,
    /// Replaces it.
    Update,
    /// Removes it.
    Delete,
}

/// A good record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Its first byte.
    pub offset: usize,
    /// The byte behind its last.
    pub end: usize,
    /// What it does.
    pub change: Change,
    /// The module.
    pub module: String,
    /// The table.
    pub table: String,
    /// The logical time.
    pub timestamp: u64,
}

/// A record that is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bad {
    /// Its first byte.
    pub offset: usize,
    /// Where it stops fitting.
    pub at: usize,
    /// What kind of damage: torn, checksum, version, change, name, row, old-row.
    pub kind: &'static str,
    /// What is wrong.
    pub what: String,
    /// Where the next record would be, by the lengths within this one.
    next: Option<usize>,
}

/// What a log holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scan {
    /// The good records, in order.
    pub records: Vec<Record>,
    /// The others, in order.
    pub bad: Vec<Bad>,
    /// Records are good without a gap up to this byte: the length of a repaired log.
    pub sound_to: usize,
    /// Good records before that byte.
    pub sound_records: usize,
    /// Bytes behind the last record that was found, in which nothing can be distinguished.
    pub unread: usize,
}

/// All records of a log. Never fails.
pub fn scan(bytes: &[u8]) -> Scan {
    let mut scan = Scan::default();
    let mut at = 0;
    while at < bytes.len() {
        match record(bytes, at) {
            Ok(record) => {
                at = record.end;
                scan.records.push(record);
                if scan.bad.is_empty() {
                    scan.sound_to = at;
                    scan.sound_records += 1;
                }
            }
            Err(bad) => {
                let next = bad
                    .next
                    .filter(|next| *next == bytes.len() || record(bytes, *next).is_ok());
                let from = bad.offset;
                scan.bad.push(bad);
                match next {
                    Some(next) => at = next,
                    None => {
                        scan.unread = bytes.len() - from;
                        break;
                    }
                }
            }
        }
    }
    scan
}

/// A record as its lengths cut it.
struct Frame<'a> {
    version: u8,
    change: u8,
    module: (usize, &'a [u8]),
    table: (usize, &'a [u8]),
    row: (usize, usize),
    old_row: (usize, usize),
    timestamp: u64,
    /// Where the checksum is; four bytes behind it the record ends.
    summed_to: usize,
    checksum: u32,
}

fn frame(bytes: &[u8], offset: usize) -> Result<Frame<'_>, Misfit> {
    let mut reader = Reader::new(bytes, offset, bytes.len());
    let (version, change) = (reader.byte()?, reader.byte()?);
    let mut part = || -> Result<(usize, &[u8]), Misfit> {
        let length = reader.u32()?;
        let at = reader.at();
        Ok((at, reader.take(length.into())?))
    };
    let (module, table, row, old_row) = (part()?, part()?, part()?, part()?);
    let timestamp = reader.u64()?;
    let summed_to = reader.at();
    let checksum = reader.u32()?;
    let bounds = |(at, bytes): (usize, &[u8])| (at, at + bytes.len());
    Ok(Frame {
        version,
        change,
        module,
        table,
        row: bounds(row),
        old_row: bounds(old_row),
        timestamp,
        summed_to,
        checksum,
    })
}

/// The record at `offset`.
fn record(bytes: &[u8], offset: usize) -> Result<Record, Bad> {
    let frame = frame(bytes, offset).map_err(|misfit| {
        // A length that was damaged reaches behind the end just so: the version tells nothing of
        // it, but where it is wrong, this never was a record.
        let (kind, what) = match bytes.get(offset) {
            Some(version) if *version != VERSION => (
                "version",
                format!("a record's version is {version} and not {VERSION}"),
            ),
            _ => (
                "torn",
                format!("the file ends within the record: {}", misfit.what),
            ),
        };
        Bad {
            offset,
            at: if kind == "version" { offset } else { misfit.at },
            kind,
            what,
            next: None,
        }
    })?;
    let end = frame.summed_to + 4;
    let bad = |at: usize, kind: &'static str, what: String| Bad {
        offset,
        at,
        kind,
        what,
        next: Some(end),
    };
    let checksum = crc32fast::hash(&bytes[offset..frame.summed_to]);
    if frame.version != VERSION {
        let what = format!("a record's version is {} and not {VERSION}", frame.version);
        return Err(bad(offset, "version", what));
    }
    if checksum != frame.checksum {
        let what = format!(
            "the checksum is {:08x}, and the record's bytes have {checksum:08x}",
            frame.checksum
        );
        return Err(bad(frame.summed_to, "checksum", what));
    }
    let change = match frame.change {
        1 => Change::Insert,
        2 => Change::Update,
        3 => Change::Delete,
        other => {
            return Err(bad(
                offset + 1,
                "change",
                format!("there is no change {other}"),
            ));
        }
    };
    let name = |(at, name): (usize, &[u8])| {
        let text = std::str::from_utf8(name).map(str::to_owned);
        text.map_err(|error| {
            bad(
                at + error.valid_up_to(),
                "name",
                "a name is not UTF-8".into(),
            )
        })
    };
    let (module, table) = (name(frame.module)?, name(frame.table)?);
    let whole = |(from, to), kind, read: fn(&mut Reader<'_>) -> Result<(), Misfit>| {
        let mut reader = Reader::new(bytes, from, to);
        let read = read(&mut reader).and_then(|()| reader.done());
        read.map_err(|misfit| bad(misfit.at, kind, misfit.what))
    };
    whole(frame.row, "row", row)?;
    whole(frame.old_row, "old-row", |reader| {
        optional_row(reader).map(drop)
    })?;
    Ok(Record {
        offset,
        end,
        change,
        module,
        table,
        timestamp: frame.timestamp,
    })
}
