//! Logs of block writes in the form of the kernel's dm-log-writes, version 1
//! (drivers/md/dm-log-writes.c), which QEMU's `blklogwrites` writes as well. So a kernel developer replays
//! our crash with `replay-log` of xfstests, and theirs is judged here.
//!
//! The first sector has the magic number, the version, the number of entries and the size of a sector. Then
//! each entry has a sector of its own (where, how many sectors, flags, length of the text of a mark), and
//! behind that the sectors that were written; a discard has none. An entry with the flag for a flush was
//! flushed before it was written.

use std::io::{self, Read, Write};
use std::sync::Arc;

use plugpull_crashsim::fs::{Content, Log, Op, Record};
use thiserror::Error;

use crate::block_log::{BlockLog, image_bytes};
use crate::machine::{IMAGE, MachineFailed, empty_image};

/// `WRITE_LOG_MAGIC` and `WRITE_LOG_VERSION`.
const MAGIC: u64 = 0x006a_7366_7773_6872;
const VERSION: u64 = 1;
/// Flags of an entry.
const FLUSH: u64 = 1;
const FUA: u64 = 2;
const DISCARD: u64 = 4;
const MARK: u64 = 8;
/// What is known of flags; `METADATA` is 16.
const FLAGS: u64 = 31;
/// The sectors of a log that is written here.
const SECTOR: u64 = 512;
/// The text of the mark behind a target's last operation.
const LAST_OPERATION: &str = "plugpull: the last operation";
/// The most bytes that a log may write, and the largest device.
const WRITTEN_MAX: u64 = 2 << 30;
const DEVICE_MAX: u64 = 1 << 43;
/// The most entries.
const ENTRIES_MAX: u64 = 16 << 20;
/// The least size of a device whose log does not say how large it was. A filesystem takes one that is too
/// large, and none that is too small.
const DEVICE_LEAST: u64 = 4 << 30;
/// The most that is written as one entry.
const PIECE: u64 = 1 << 20;

/// Why a log cannot be read.
#[derive(Debug, Error)]
pub enum LogWritesError {
    /// The file ends too early, or cannot be read.
    #[error("it cannot be read behind entry {0}: {1}")]
    Io(u64, io::Error),
    /// It is something else, or damaged.
    #[error("{0}")]
    Damaged(String),
}

fn damaged<T>(why: impl Into<String>) -> Result<T, LogWritesError> {
    Err(LogWritesError::Damaged(why.into()))
}

/// Reads a log that began on an empty device. Behind the mark of the last operation, or at its end where it
/// has none, the power may go.
///
/// # Errors
/// It is no such log, or one that is not whole.
pub fn read_log_writes(mut from: impl Read) -> Result<BlockLog, LogWritesError> {
    let mut head = [0; 28];
    let short = |at| move |error| LogWritesError::Io(at, error);
    from.read_exact(&mut head).map_err(short(0))?;
    let (magic, version, entries) = (number(&head, 0), number(&head, 1), number(&head, 2));
    let sector = number(&[&head[24..], &[0; 4]].concat(), 0);
    if magic != MAGIC {
        return damaged("it is no log of dm-log-writes");
    }
    if version != VERSION {
        return damaged(format!("it has version {version}, and 1 is known"));
    }
    if !sector.is_power_of_two() || !(512..=65536).contains(&sector) {
        return damaged(format!("it has sectors of {sector} bytes"));
    }
    if entries > ENTRIES_MAX {
        return damaged(format!("it has {entries} entries"));
    }
    skip(&mut from, sector - head.len() as u64).map_err(short(0))?;
    let mut reading = Reading::default();
    for at in 0..entries {
        let mut entry = vec![0; sector as usize];
        from.read_exact(&mut entry).map_err(short(at))?;
        let fields = [0, 1, 2, 3].map(|field| number(&entry, field));
        let length = reading.entry(fields, &entry, sector)?;
        let mut bytes = Vec::new();
        let read = from.by_ref().take(length).read_to_end(&mut bytes);
        read.map_err(short(at))?;
        if bytes.len() as u64 != length {
            return Err(short(at)(io::ErrorKind::UnexpectedEof.into()));
        }
        reading.done(fields, &bytes, sector);
    }
    reading.finish()
}

fn number(bytes: &[u8], at: usize) -> u64 {
    let mut eight = [0; 8];
    eight.copy_from_slice(&bytes[8 * at..8 * at + 8]);
    u64::from_le_bytes(eight)
}

fn skip(from: &mut impl Read, length: u64) -> io::Result<()> {
    let skipped = io::copy(&mut from.take(length), &mut io::sink())?;
    match skipped == length {
        true => Ok(()),
        false => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

#[derive(Default)]
struct Reading {
    records: Vec<Record>,
    written: u64,
    end: u64,
    last: Option<usize>,
}

impl Reading {
    /// How many bytes come behind an entry.
    fn entry(
        &mut self,
        fields: [u64; 4],
        entry: &[u8],
        sector: u64,
    ) -> Result<u64, LogWritesError> {
        let [at, count, flags, data] = fields;
        if flags & !FLAGS != 0 {
            return damaged(format!("an entry has the flags {flags:#x}"));
        }
        if flags & MARK != 0 {
            let text = usize::try_from(data)
                .ok()
                .and_then(|len| entry.get(32..)?.get(..len));
            let Some(text) = text else {
                return damaged(format!("a mark has a text of {data} bytes"));
            };
            if text.strip_suffix(b"\0").unwrap_or(text) == LAST_OPERATION.as_bytes() {
                self.last = Some(self.records.len());
            }
            return Ok(0);
        }
        let range = at
            .checked_add(count)
            .and_then(|end| end.checked_mul(sector));
        let Some(end) = range.filter(|end| *end <= DEVICE_MAX) else {
            return damaged(format!("an entry is at sector {at}, and {count} long"));
        };
        self.end = self.end.max(end);
        if flags & DISCARD != 0 {
            return Ok(0);
        }
        self.written += count * sector;
        match self.written <= WRITTEN_MAX {
            true => Ok(count * sector),
            false => damaged("it writes more than 2 GiB"),
        }
    }

    fn done(&mut self, [at, count, flags, _]: [u64; 4], bytes: &[u8], sector: u64) {
        if flags & MARK != 0 {
            return;
        }
        if flags & FLUSH != 0 {
            self.flush();
        }
        let offset = at * sector;
        if flags & DISCARD != 0 {
            self.push(Op::Zero {
                ino: IMAGE,
                offset,
                len: count * sector,
                punch: true,
                old_size: self.end,
                size: self.end,
            });
        } else if !bytes.is_empty() {
            self.push(Op::Write {
                ino: IMAGE,
                data: Content::default().write(offset, bytes),
                old_size: self.end,
            });
        }
        // That it alone is durable is more than a model of files can say: all before it is, then.
        if flags & FUA != 0 {
            self.flush();
        }
    }

    fn flush(&mut self) {
        self.push(Op::Sync {
            ino: IMAGE,
            data_only: true,
            dir: false,
        });
    }

    fn push(&mut self, op: Op) {
        self.records.push(Record {
            seq: self.records.len() as u64,
            nanos: 0,
            pid: 0,
            path: Arc::from(""),
            op,
        });
    }

    fn finish(self) -> Result<BlockLog, LogWritesError> {
        let size = self.end.max(DEVICE_LEAST);
        let image =
            empty_image(size).map_err(|error| LogWritesError::Damaged(error.to_string()))?;
        let from = self.last.unwrap_or(self.records.len());
        Ok(BlockLog {
            log: Log::of(image, self.records, Vec::new()),
            from,
        })
    }
}

/// Writes a log: the image that it began with first, as writes to an empty device that are flushed.
///
/// # Errors
/// The file cannot be written.
pub fn write_log_writes(blocks: &BlockLog, to: &mut impl Write) -> Result<(), MachineFailed> {
    let mut entries = Vec::new();
    let mut count = 0u64;
    let mut put = |at: u64, len: u64, flags: u64, data: &[u8]| {
        let mark = flags & MARK != 0;
        let mut entry = vec![0; SECTOR as usize];
        let text = if mark { data.len() as u64 } else { 0 };
        for (field, value) in [at / SECTOR, len / SECTOR, flags, text]
            .into_iter()
            .enumerate()
        {
            entry[8 * field..8 * field + 8].copy_from_slice(&value.to_le_bytes());
        }
        if mark {
            entry[32..32 + data.len()].copy_from_slice(data);
        }
        entries.extend_from_slice(&entry);
        if !mark {
            entries.extend_from_slice(data);
        }
        count += 1;
    };
    let image = image_bytes(blocks.log.base())?;
    let mut at = 0;
    while let Some(start) = image.seek(at, true) {
        let end = image.seek(start, false).unwrap_or(image.size());
        at = start;
        while at < end {
            let mut bytes = Vec::new();
            image.read(at, (end - at).min(PIECE) as usize, &mut bytes);
            whole_sectors(&mut bytes);
            put(at, bytes.len() as u64, 0, &bytes);
            at += bytes.len() as u64;
        }
    }
    put(0, 0, FLUSH, &[]);
    for (number, record) in blocks.log.records().iter().enumerate() {
        if number == blocks.from {
            put(0, 0, MARK, LAST_OPERATION.as_bytes());
        }
        match &record.op {
            Op::Write { data, .. } => {
                let mut bytes = data.to_vec();
                whole_sectors(&mut bytes);
                put(data.offset(), bytes.len() as u64, 0, &bytes);
            }
            Op::Zero { offset, len, .. } => put(*offset, *len, DISCARD, &[]),
            Op::Sync { .. } => put(0, 0, FLUSH, &[]),
            _ => {}
        }
    }
    if blocks.from >= blocks.log.records().len() {
        put(0, 0, MARK, LAST_OPERATION.as_bytes());
    }
    let mut head = vec![0; SECTOR as usize];
    for (field, value) in [MAGIC, VERSION, count, SECTOR].into_iter().enumerate() {
        head[8 * field..8 * field + 8].copy_from_slice(&value.to_le_bytes());
    }
    to.write_all(&head)?;
    to.write_all(&entries)?;
    Ok(to.flush()?)
}

/// Block writes are whole sectors; the last page of an image may not be.
fn whole_sectors(bytes: &mut Vec<u8>) {
    bytes.resize(bytes.len().next_multiple_of(SECTOR as usize), 0);
}

#[cfg(test)]
mod tests {
    use super::*;
    use plugpull_crashsim::fs::apply;

    fn blocks() -> BlockLog {
        let mut reading = Reading {
            end: 1 << 20,
            ..Reading::default()
        };
        reading.done([1, 8, 0, 0], &[7; 4096], SECTOR);
        reading.done([0, 0, FLUSH, 0], &[], SECTOR);
        reading.last = Some(2);
        reading.done([3, 1, FUA, 0], &[8; 512], SECTOR);
        reading.done([1, 2, DISCARD, 0], &[], SECTOR);
        reading.finish().unwrap()
    }

    fn end(blocks: &BlockLog) -> u128 {
        let mut image = blocks.log.base().clone();
        for record in blocks.log.records() {
            apply(&mut image, record);
        }
        image.digest()
    }

    #[test]
    fn a_log_is_read_as_it_was_written() {
        let blocks = blocks();
        let mut bytes = Vec::new();
        write_log_writes(&blocks, &mut bytes).unwrap();
        let again = read_log_writes(&bytes[..]).unwrap();
        assert_eq!(end(&again), end(&blocks));
        // The flush behind the image that it began with comes first.
        assert_eq!(again.from, blocks.from + 1);
        let names = |blocks: &BlockLog| -> Vec<&str> {
            let records = blocks.log.records().iter();
            records.map(|record| record.op.name()).collect()
        };
        assert_eq!(names(&again)[1..], names(&blocks));
        assert_eq!(again.filesystem().map(|one| one.name), None);
    }

    #[test]
    fn what_is_no_whole_log_is_refused() {
        let mut bytes = Vec::new();
        write_log_writes(&blocks(), &mut bytes).unwrap();
        let refusal = |change: &dyn Fn(&mut Vec<u8>)| {
            let mut bytes = bytes.clone();
            change(&mut bytes);
            match read_log_writes(&bytes[..]) {
                Ok(_) => String::new(),
                Err(error) => error.to_string(),
            }
        };
        assert_eq!(refusal(&|_| ()), "");
        let short = bytes.len() - 1;
        assert!(refusal(&|bytes| bytes.truncate(short)).contains("behind entry"));
        assert!(refusal(&|bytes| bytes[0] = 1).contains("no log"));
        assert!(refusal(&|bytes| bytes[8] = 2).contains("version 2"));
        assert!(refusal(&|bytes| bytes[24] = 3).contains("sectors of"));
        assert!(refusal(&|bytes| bytes[23] = 1).contains("entries"));
        // The first entry: the flush of an empty image.
        assert!(refusal(&|bytes| bytes[512 + 17] = 1).contains("flags"));
        assert!(refusal(&|bytes| bytes[512 + 15] = 255).contains("long"));
        assert!(refusal(&|bytes| bytes[512 + 12] = 1).contains("2 GiB"));
        let mark = |bytes: &mut Vec<u8>| {
            bytes[512 + 16] = MARK as u8;
            bytes[512 + 24..512 + 32].fill(255);
        };
        assert!(refusal(&mark).contains("a text of"));
    }
}
