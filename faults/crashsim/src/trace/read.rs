//! Reading a trace back.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use thiserror::Error;
use xxhash_rust::xxh3::Xxh3;

use super::frame::{Bad, End, Item, Kind, MAGIC, MAGIC_1, PathRef, StoredEnds, What, take};
use super::limits::{self, Limits};
use crate::fs::page::{Bytes, Page};
use crate::fs::write_data::EndsPart;
use crate::fs::{Log, Mark, Op, PAGE, Record, Tree, WriteData};

/// Why a trace cannot be read.
#[derive(Debug, Error)]
pub enum TraceError {
    /// The file cannot be read at all.
    #[error("{}: {error}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// It is something else.
    #[error("{} is no trace of plugpull", .0.display())]
    NoTrace(PathBuf),
    /// It is of another version.
    #[error("{} has the form '{found}'; this plugpull reads plugpull.trace/1 and plugpull.trace/2", path.display())]
    Version {
        /// The file.
        path: PathBuf,
        /// Its first line.
        found: String,
    },
    /// It ends too soon: its recording was cut off, or it was not copied whole.
    #[error("{} is not whole: it ends after {records} records", path.display())]
    CutShort {
        /// The file.
        path: PathBuf,
        /// How many records it has.
        records: usize,
    },
    /// It is more than is read into memory.
    #[error("{} is too large: it holds {why}", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// How much it holds.
        why: String,
    },
    /// Its bytes are not those that were written.
    #[error("{} is damaged behind record {records}: {why}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// How many records are sound.
        records: usize,
        /// What is wrong.
        why: String,
    },
}

/// A trace that was read.
pub struct Traced {
    /// What happened, on an empty disk whose root belongs to nobody in particular.
    pub log: Log,
    /// What the owner said of it.
    pub about: Vec<u8>,
}

/// Reads a whole trace that began on `base`.
///
/// # Errors
/// See [`TraceError`]: a file that is not a whole and sound trace is refused.
pub fn read(path: &Path, base: impl FnOnce(&[u8]) -> Tree) -> Result<Traced, TraceError> {
    let io = |error| TraceError::Io {
        path: path.to_path_buf(),
        error,
    };
    let file = BufReader::with_capacity(1 << 20, File::open(path).map_err(io)?);
    read_from(file, path, base)
}

/// The same of what is in a file or elsewhere, where `path` is named.
///
/// # Errors
/// See [`TraceError`].
pub fn read_from(
    mut file: impl Read,
    path: &Path,
    base: impl FnOnce(&[u8]) -> Tree,
) -> Result<Traced, TraceError> {
    let io = |error| TraceError::Io {
        path: path.to_path_buf(),
        error,
    };
    first_line(&mut file, path)?;
    let mut reading = Reading::default();
    loop {
        let records = reading.records.len();
        let bad = |why: String| TraceError::Damaged {
            path: path.to_path_buf(),
            records,
            why,
        };
        let (kind, payload) = match take(&mut file) {
            Ok(Some(frame)) => frame,
            Ok(None) | Err(Bad::Short) => {
                return Err(TraceError::CutShort {
                    path: path.to_path_buf(),
                    records,
                });
            }
            Err(Bad::Damaged(why)) => return Err(bad(why.into())),
            Err(Bad::Io(error)) => return Err(io(error)),
        };
        let too_large = |why| TraceError::TooLarge {
            path: path.to_path_buf(),
            why,
        };
        reading.limits.frame(payload.len()).map_err(too_large)?;
        match reading.frame(kind, &payload) {
            Ok(false) => {}
            Ok(true) => break,
            Err(why) => return Err(bad(why)),
        }
    }
    let base = base(&reading.about);
    Ok(Traced {
        log: Log::of(base, reading.records, reading.marks),
        about: reading.about,
    })
}

fn first_line(file: &mut impl Read, path: &Path) -> Result<(), TraceError> {
    let mut line = [0; MAGIC.len()];
    let known = b"plugpull.trace/";
    let whole = file.read_exact(&mut line).is_ok();
    if whole && (line == MAGIC || line == *MAGIC_1) {
        return Ok(());
    }
    if whole && line.starts_with(known) {
        return Err(TraceError::Version {
            path: path.to_path_buf(),
            found: String::from_utf8_lossy(&line).trim().to_string(),
        });
    }
    Err(TraceError::NoTrace(path.to_path_buf()))
}

/// What was read so far.
#[derive(Default)]
struct Reading {
    pages: Vec<Page>,
    paths: Vec<Arc<str>>,
    records: Vec<Record>,
    marks: Vec<Mark>,
    about: Vec<u8>,
    at: u64,
    limits: Limits,
}

impl Reading {
    /// Takes a frame; true for the last. The error says what is wrong with it.
    fn frame(&mut self, kind: Kind, payload: &[u8]) -> Result<bool, String> {
        match kind {
            Kind::Pages => {
                let (pages, rest) = payload.as_chunks::<PAGE>();
                if !rest.is_empty() {
                    return Err("pages that are not whole".into());
                }
                self.pages.extend(pages.iter().map(page));
                Ok(false)
            }
            Kind::Records => {
                let mut rest = payload;
                while !rest.is_empty() {
                    let (item, more) = postcard::take_from_bytes::<Item>(rest)
                        .map_err(|error| format!("a record that cannot be read: {error}"))?;
                    self.item(item)?;
                    rest = more;
                }
                Ok(false)
            }
            Kind::About => {
                self.about.extend_from_slice(payload);
                Ok(false)
            }
            Kind::End => {
                let end: End = postcard::from_bytes(payload)
                    .map_err(|error| format!("an end that cannot be read: {error}"))?;
                let here = End {
                    records: self.records.len() as u64,
                    marks: self.marks.len() as u64,
                    pages: self.pages.len() as u64,
                };
                if end != here {
                    return Err(format!("it should hold {end:?} and holds {here:?}"));
                }
                Ok(true)
            }
        }
    }

    fn item(&mut self, item: Item) -> Result<(), String> {
        let seq = self.records.len() as u64;
        match item {
            Item::Mark { later, id } => {
                self.at = self.at.wrapping_add_signed(later);
                let nanos = self.at;
                self.marks.push(Mark { seq, nanos, id });
            }
            Item::Record {
                later,
                pid,
                path,
                what,
            } => {
                self.at = self.at.wrapping_add_signed(later);
                let path = match path {
                    PathRef::New(path) => {
                        self.paths.push(path.into());
                        self.paths.last().cloned()
                    }
                    PathRef::Known(number) => self.paths.get(number as usize).cloned(),
                };
                let path = path.ok_or("a path that was never said")?;
                let op = match what {
                    What::Other(op) => op,
                    What::Write {
                        ino,
                        offset,
                        len,
                        old_size,
                        ends,
                        pages,
                    } => Op::Write {
                        ino,
                        data: self.data(offset, len, ends, &pages)?,
                        old_size,
                    },
                };
                self.limits.record(&op, self.records.len())?;
                self.records.push(Record {
                    seq,
                    nanos: self.at,
                    pid,
                    path,
                    op,
                });
            }
        }
        Ok(())
    }

    fn data(
        &self,
        offset: u64,
        len: u64,
        ends: StoredEnds,
        runs: &[(u64, u64)],
    ) -> Result<WriteData, String> {
        let missing = "a page that was never stored";
        let mut pages = Vec::new();
        for (first, count) in runs {
            let all = count.saturating_add(pages.len() as u64);
            limits::pages(len, all)?;
            let range = usize::try_from(*first)
                .ok()
                .zip(first.checked_add(*count))
                .and_then(|(from, to)| self.pages.get(from..usize::try_from(to).ok()?));
            pages.extend_from_slice(range.ok_or(missing)?);
        }
        let ends = match ends {
            StoredEnds::Bytes(bytes) => EndsPart::Bytes(bytes),
            StoredEnds::Page(number) => {
                let page = usize::try_from(number).ok().and_then(|n| self.pages.get(n));
                EndsPart::Page(page.ok_or(missing)?.clone())
            }
        };
        WriteData::of_parts(offset, len, ends, pages)
            .ok_or_else(|| "a write of another length than it says".into())
    }
}

fn page(bytes: &Bytes) -> Page {
    Page::new(bytes)
}

/// The digest (XXH3, 128 bits) of a trace's file: two files with the same digest are copies of one.
///
/// # Errors
/// [`TraceError::Io`] when the file cannot be read. Whether it is a sound trace is not looked at.
pub fn fingerprint(path: &Path) -> Result<u128, TraceError> {
    let io = |error| TraceError::Io {
        path: path.to_path_buf(),
        error,
    };
    let mut file = File::open(path).map_err(io)?;
    let mut hash = Xxh3::new();
    let mut part = vec![0; 1 << 20];
    loop {
        match file.read(&mut part) {
            Ok(0) => return Ok(hash.digest128()),
            Ok(read) => hash.update(&part[..read]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(io(error)),
        }
    }
}
