//! A log file: a block that names it, then records.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::directory::Directory;
use super::error::RecoveryError;
use super::record::{BLOCK, Record, decode, u32_at, u64_at};

const MAGIC: &[u8; 8] = b"plugplog";

/// An open log. Appending and syncing is all one does with it.
#[derive(Debug)]
pub(crate) struct Log {
    file: File,
    number: u64,
    /// Behind the last good record; what the file holds beyond is rubbish.
    end: u64,
}

/// What was found in a log.
#[derive(Debug)]
pub(crate) struct Contents {
    pub(crate) records: Vec<Record>,
    /// Where the last record begins.
    pub(crate) last: u64,
    /// Behind the last record.
    pub(crate) end: u64,
    /// Why what follows is no record, where anything follows.
    pub(crate) torn: Option<&'static str>,
}

impl Log {
    /// Makes an empty log, durable with its name unless `name_durable` is false. A leftover of
    /// the same name is overwritten.
    pub(crate) fn create(
        directory: &Directory,
        number: u64,
        name_durable: bool,
    ) -> io::Result<Self> {
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .open(directory.log(number))?;
        file.write_all_at(&header(number), 0)?;
        file.sync_all()?;
        if name_durable {
            directory.sync()?;
        }
        Ok(Self {
            file,
            number,
            end: BLOCK as u64,
        })
    }

    /// Opens a log whose good records end at `end`.
    pub(crate) fn open(path: &Path, number: u64, end: u64) -> io::Result<Self> {
        let file = OpenOptions::new().write(true).open(path)?;
        Ok(Self { file, number, end })
    }

    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    pub(crate) fn end(&self) -> u64 {
        self.end
    }

    /// Writes a record behind the last one. When there is no space for all of it the log is cut
    /// back, and [`no_space`] says so of the error; after any other error the tail is in doubt.
    pub(crate) fn append(&mut self, record: &[u8]) -> io::Result<()> {
        match self.file.write_all_at(record, self.end) {
            Ok(()) => {
                self.end += record.len() as u64;
                Ok(())
            }
            Err(e) => {
                if no_space(&e) {
                    #[expect(
                        clippy::let_underscore_must_use,
                        reason = "should this fail, the next record overwrites what was written"
                    )]
                    let _ = self.file.set_len(self.end);
                }
                Err(e)
            }
        }
    }

    /// Takes back what was appended behind `end`.
    pub(crate) fn cut(&mut self, end: u64) -> io::Result<()> {
        self.end = end;
        self.file.set_len(end)
    }

    /// Writes again what is already there.
    pub(crate) fn rewrite(&self, bytes: &[u8], at: u64) -> io::Result<()> {
        self.file.write_all_at(bytes, at)
    }

    /// Returns when everything appended is durable.
    pub(crate) fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }
}

/// Whether nothing but space was missing: what was not written certainly is not there.
pub(crate) fn no_space(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded
    )
}

fn header(number: u64) -> Vec<u8> {
    let mut block = Vec::with_capacity(BLOCK);
    block.extend_from_slice(MAGIC);
    block.extend_from_slice(&number.to_le_bytes());
    let crc = crc32fast::hash(&block);
    block.extend_from_slice(&crc.to_le_bytes());
    block.resize(BLOCK, 0);
    block
}

fn header_fits(bytes: &[u8], number: u64) -> bool {
    bytes.len() >= BLOCK
        && &bytes[..8] == MAGIC
        && u64_at(bytes, 8) == number
        && u32_at(bytes, 16) == crc32fast::hash(&bytes[..16])
}

/// Whether the log was never finished: its first block is synced before anything is appended,
/// so a log that is longer was finished.
pub(crate) fn never_finished(bytes: &[u8], number: u64) -> bool {
    bytes.len() <= BLOCK && !header_fits(bytes, number)
}

/// The records in a log's bytes, the first with the sequence number `first`. Refuses what no power
/// cut can have done: a bad record with a good one behind it. With `checked` false checksums are
/// not looked at.
pub(crate) fn scan(
    bytes: &[u8],
    path: &Path,
    number: u64,
    first: u64,
    checked: bool,
) -> Result<Contents, RecoveryError> {
    let damaged = |at: usize, why| RecoveryError::Damaged {
        path: PathBuf::from(path),
        offset: at as u64,
        why,
    };
    if !header_fits(bytes, number) {
        return Err(damaged(0, "the log's first block is damaged"));
    }
    let mut found = Contents {
        records: Vec::new(),
        last: 0,
        end: BLOCK as u64,
        torn: None,
    };
    let mut at = BLOCK;
    while at < bytes.len() {
        let next = first + found.records.len() as u64;
        match decode(&bytes[at..], number, checked) {
            Ok((record, size)) if record.seq == next => {
                found.records.push(record);
                found.last = at as u64;
                at += size;
                found.end = at as u64;
            }
            Ok(_) => return Err(damaged(at, "the record's sequence number does not follow")),
            Err(why) => {
                let good_behind = (at + BLOCK..bytes.len()).step_by(BLOCK).any(|later| {
                    decode(&bytes[later..], number, checked).is_ok_and(|(r, _)| r.seq >= next)
                });
                if good_behind {
                    return Err(damaged(at, why));
                }
                found.torn = Some(why);
                break;
            }
        }
    }
    Ok(found)
}
