//! Writing and reading records of the guide's format, by code that shares nothing with the parser
//! that checks them.

use plugpull_workloads::{Op, Write};

/// The module and table of the workload's rows.
const ROWS: (&str, &str) = ("plugpull", "rows");
/// The table of the records that end a transaction.
const COMMITS: &str = "commits";

/// What a record says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    /// A row has this value, or is gone.
    Change(String, Option<String>),
    /// The transaction is whole: so many records before this one.
    Commit(u64),
}

/// A record that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Read {
    pub(super) meaning: Meaning,
    pub(super) time: u64,
    /// The byte behind it.
    pub(super) end: usize,
}

/// A row of bincode 1.3: a key that is text, and one entry of text or none.
fn row(key: &str, value: Option<&str>) -> Vec<u8> {
    let mut bytes = text(key);
    match value {
        Some(value) => {
            bytes.extend(1_u64.to_le_bytes());
            bytes.extend(text(value));
        }
        None => bytes.extend(0_u64.to_le_bytes()),
    }
    bytes
}

/// The value `String` (index 8) of bincode 1.3.
fn text(words: &str) -> Vec<u8> {
    let mut bytes = 8_u32.to_le_bytes().to_vec();
    bytes.extend((words.len() as u64).to_le_bytes());
    bytes.extend(words.as_bytes());
    bytes
}

fn record(change: u8, table: &str, row: &[u8], old: Option<&[u8]>, time: u64) -> Vec<u8> {
    let mut bytes = vec![1, change];
    let mut part = |part: &[u8]| {
        // A row is far below 4 GiB: values are.
        bytes.extend((part.len() as u32).to_le_bytes());
        bytes.extend(part);
    };
    part(ROWS.0.as_bytes());
    part(table.as_bytes());
    part(row);
    match old {
        Some(old) => part(&[&[1], old].concat()),
        None => part(&[0]),
    }
    bytes.extend(time.to_le_bytes());
    let sum = crc32fast::hash(&bytes);
    bytes.extend(sum.to_le_bytes());
    bytes
}

/// The record of a write to a key that has the value `old`; none where there is nothing to do.
pub(super) fn change(op: &Op, old: Option<&str>, time: u64) -> Option<Vec<u8>> {
    let before = old.map(|old| row(&op.key, Some(old)));
    match (&op.write, before) {
        (Write::Put(value), None) => Some(record(
            1,
            ROWS.1,
            &row(&op.key, Some(&value.text())),
            None,
            time,
        )),
        (Write::Put(value), Some(before)) => Some(record(
            2,
            ROWS.1,
            &row(&op.key, Some(&value.text())),
            Some(&before),
            time,
        )),
        (Write::Delete, Some(before)) => Some(record(3, ROWS.1, &before, None, time)),
        (Write::Delete, None) => None,
    }
}

/// The record that ends a transaction of so many records.
pub(super) fn commit(records: usize, time: u64) -> Vec<u8> {
    let row = row(&time.to_string(), Some(&records.to_string()));
    record(1, COMMITS, &row, None, time)
}

struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let end = self.at.checked_add(length)?;
        let taken = self.bytes.get(self.at..end)?;
        self.at = end;
        Some(taken)
    }

    fn u32(&mut self) -> Option<u32> {
        Some(u32::from_le_bytes(self.take(4)?.try_into().ok()?))
    }

    fn u64(&mut self) -> Option<u64> {
        Some(u64::from_le_bytes(self.take(8)?.try_into().ok()?))
    }

    fn part(&mut self) -> Option<&'a [u8]> {
        let length = usize::try_from(self.u32()?).ok()?;
        self.take(length)
    }

    fn text(&mut self) -> Option<String> {
        if self.u32()? != 8 {
            return None;
        }
        let length = usize::try_from(self.u64()?).ok()?;
        // What fails its checksum and is taken all the same may be no UTF-8.
        Some(String::from_utf8_lossy(self.take(length)?).into_owned())
    }
}

/// The record at `at`, if there is a whole one; whatever its checksum is when `lenient`.
pub(super) fn read(bytes: &[u8], at: usize, lenient: bool) -> Option<Read> {
    let mut cursor = Cursor { bytes, at };
    let head = cursor.take(2)?;
    let (version, change) = (head[0], head[1]);
    let (_module, table, row, _old) = (
        cursor.part()?,
        cursor.part()?,
        cursor.part()?,
        cursor.part()?,
    );
    let time = cursor.u64()?;
    let summed = cursor.at;
    let good = cursor.u32()? == crc32fast::hash(&bytes[at..summed]);
    if version != 1 || !(good || lenient) {
        return None;
    }
    let end = cursor.at;
    let mut row = Cursor { bytes: row, at: 0 };
    let key = row.text()?;
    let value = match row.u64()? {
        0 => None,
        _ => Some(row.text()?),
    };
    let meaning = match (table == COMMITS.as_bytes(), change) {
        (true, _) => Meaning::Commit(value?.parse().ok()?),
        (false, 1 | 2) => Meaning::Change(key, Some(value?)),
        (false, 3) => Meaning::Change(key, None),
        _ => return None,
    };
    Some(Read { meaning, time, end })
}
