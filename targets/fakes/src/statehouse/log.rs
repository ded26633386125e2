//! The log: one line a transaction.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::Path;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// One transaction.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Record {
    pub(super) txn: String,
    pub(super) ts: u64,
    pub(super) writes: Vec<LoggedWrite>,
}

/// One write of a transaction.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct LoggedWrite {
    pub(super) namespace: String,
    pub(super) agent: String,
    pub(super) key: String,
    pub(super) version: u64,
    /// None where it was deleted. A protobuf Struct, as base 16.
    pub(super) value: Option<String>,
}

/// A line: the CRC-32 of the JSON that follows it, eight hexadecimal digits.
pub(super) fn line<T: Serialize>(value: &T) -> io::Result<Vec<u8>> {
    let json = serde_json::to_vec(value)?;
    let mut line = format!("{:08x} ", crc32fast::hash(&json)).into_bytes();
    line.extend_from_slice(&json);
    line.push(b'\n');
    Ok(line)
}

/// What a line (without its end) holds, if it is whole; whatever its checksum is when `lenient`.
pub(super) fn read_line<T: DeserializeOwned>(line: &[u8], lenient: bool) -> Option<T> {
    let (crc, json) = (line.get(..8)?, line.get(9..)?);
    let good = crc == format!("{:08x}", crc32fast::hash(json)).as_bytes() && line[8] == b' ';
    (good || lenient)
        .then(|| serde_json::from_slice(json).ok())
        .flatten()
}

/// The log's file, open for appending.
pub(super) struct Log {
    file: File,
    /// Bytes that are good.
    length: u64,
    /// True while bytes that are not good lie behind them.
    dirty: bool,
}

/// How the log is read where it is not what it should be.
#[derive(Clone, Copy, Default)]
pub(super) struct Reading {
    /// Take what fails its checksum, and pass over what cannot be read.
    pub(super) lenient: bool,
    /// Leave a torn tail where it is.
    pub(super) keep_tail: bool,
}

impl Log {
    /// Opens the log, or makes it, and reads every transaction. A torn last line is cut off. The
    /// caller syncs the directory.
    pub(super) fn open(path: &Path, reading: Reading) -> io::Result<(Self, Vec<Record>)> {
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        let mut records = Vec::new();
        // Where the good lines end, and the bad line behind them.
        let (mut good, mut at, mut bad) = (0, 0, None);
        for line in bytes.split_inclusive(|b| *b == b'\n') {
            let whole = line
                .strip_suffix(b"\n")
                .and_then(|line| read_line::<Record>(line, reading.lenient));
            match (whole, bad) {
                (Some(_), Some(bad)) if !reading.lenient => {
                    return Err(io::Error::new(
                        ErrorKind::InvalidData,
                        format!(
                            "Corruption: {} is damaged at byte {bad}, and goes on behind it",
                            path.display()
                        ),
                    ));
                }
                (Some(record), _) => {
                    records.push(record);
                    good = at + line.len();
                }
                (None, None) => bad = Some(at),
                (None, Some(_)) => {}
            }
            at += line.len();
        }
        let mut log = Self {
            file,
            length: good as u64,
            dirty: good < bytes.len(),
        };
        if reading.keep_tail {
            (log.length, log.dirty) = (bytes.len() as u64, false);
        }
        log.clean()?;
        Ok((log, records))
    }

    /// Cuts off what is not good, for good: what is appended next must not meet it again.
    fn clean(&mut self) -> io::Result<()> {
        if self.dirty {
            self.file.set_len(self.length)?;
            self.file.sync_all()?;
            self.dirty = false;
        }
        Ok(())
    }

    /// Appends a transaction. It is not on the disk before [`Log::sync`]. After an error nothing
    /// of it is in the log.
    pub(super) fn append(&mut self, record: &Record) -> io::Result<()> {
        self.clean()?;
        let line = line(record)?;
        self.dirty = true;
        let wrote = self
            .file
            .seek(SeekFrom::Start(self.length))
            .and_then(|_| self.file.write_all(&line));
        if let Err(e) = wrote {
            #[expect(
                clippy::let_underscore_must_use,
                reason = "if this fails too, the next append begins with it"
            )]
            let _ = self.clean();
            return Err(e);
        }
        self.dirty = false;
        self.length += line.len() as u64;
        Ok(())
    }

    /// Puts everything that was appended on the disk.
    pub(super) fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    /// Forgets everything.
    pub(super) fn begin_again(&mut self) -> io::Result<()> {
        self.length = 0;
        self.dirty = true;
        self.clean()
    }
}
