//! Reading a run file under limits: line by line, so that its length does not matter.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Cursor, Read};
use std::path::Path;
use std::sync::Arc;

use serde_json::Value;

use super::record::{Line, Record};
use crate::spool::Positioned;

/// The longest line that is read, in bytes. Longer ones count as damaged. Nesting is limited to 128
/// levels by serde_json.
pub const LONGEST_LINE: u64 = 64 << 20;

/// The kinds of records that this version knows, as the field `record` names them.
const KINDS: [&str; 11] = [
    "header",
    "recording",
    "trial-started",
    "trial",
    "finding",
    "coverage",
    "growth-sample",
    "not-measured",
    "progress",
    "resumed",
    "end",
];

/// What a line of a run file is.
#[derive(Clone, Debug, PartialEq)]
pub enum Parsed {
    /// A record.
    Line(Box<Line>),
    /// A record of a kind that this version does not know, or an empty line: to be skipped.
    Unknown,
    /// No record at all, although it has an end.
    Damaged {
        /// The line's number, from 1.
        number: u64,
        /// What is wrong with it.
        why: String,
    },
    /// The last line, which was not written to its end.
    Cut,
}

impl Parsed {
    /// The record, where there is one.
    pub fn record(self) -> Option<Record> {
        match self {
            Parsed::Line(line) => Some(line.record),
            _ => None,
        }
    }
}

/// The lines of a run file, in order. Memory is that of one line.
pub struct Lines<R> {
    from: R,
    number: u64,
    buffer: Vec<u8>,
    over: bool,
}

impl<R: BufRead> Lines<R> {
    /// Of what is read from here.
    pub fn new(from: R) -> Self {
        Self {
            from,
            number: 0,
            buffer: Vec::new(),
            over: false,
        }
    }

    fn read(&mut self) -> io::Result<Option<Parsed>> {
        self.buffer.clear();
        let mut limited = (&mut self.from).take(LONGEST_LINE);
        if limited.read_until(b'\n', &mut self.buffer)? == 0 {
            return Ok(None);
        }
        self.number += 1;
        if self.buffer.last() == Some(&b'\n') {
            return Ok(Some(parse_line(&self.buffer, self.number)));
        }
        if (self.buffer.len() as u64) < LONGEST_LINE {
            self.over = true;
            return Ok(Some(Parsed::Cut));
        }
        // The rest of it, in pieces.
        self.buffer = Vec::new();
        loop {
            let piece = self.from.fill_buf()?;
            if piece.is_empty() {
                self.over = true;
                return Ok(Some(Parsed::Cut));
            }
            let end = piece.iter().position(|byte| *byte == b'\n');
            let used = end.map_or(piece.len(), |at| at + 1);
            self.from.consume(used);
            if end.is_some() {
                let why = format!("it is longer than {} MiB", LONGEST_LINE >> 20);
                let number = self.number;
                return Ok(Some(Parsed::Damaged { number, why }));
            }
        }
    }
}

impl<R: BufRead> Iterator for Lines<R> {
    type Item = io::Result<Parsed>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.over {
            return None;
        }
        let read = self.read().transpose();
        self.over |= matches!(read, Some(Err(_)));
        read
    }
}

fn parse_line(line: &[u8], number: u64) -> Parsed {
    if line.trim_ascii().is_empty() {
        return Parsed::Unknown;
    }
    let error = match serde_json::from_slice::<Line>(line) {
        Ok(line) => return Parsed::Line(Box::new(line)),
        Err(error) => error,
    };
    // Of a later version of the format, or damaged?
    match serde_json::from_slice::<Value>(line) {
        Ok(value)
            if value
                .get("record")
                .and_then(Value::as_str)
                .is_some_and(unknown) =>
        {
            Parsed::Unknown
        }
        _ => Parsed::Damaged {
            number,
            why: error.to_string(),
        },
    }
}

fn unknown(kind: &str) -> bool {
    !KINDS.contains(&kind)
}

/// Every line of a run file in memory. Never fails and never panics, whatever the bytes are.
pub fn parse(bytes: &[u8]) -> Vec<Parsed> {
    Lines::new(bytes).map_while(Result::ok).collect()
}

/// Where the records of a run can be read again: the run file up to some length, and where that
/// could not be written to its end what follows.
#[derive(Clone, Debug, Default)]
pub struct Source {
    parts: Vec<Piece>,
}

/// A part of the records.
#[derive(Clone, Debug)]
pub(super) enum Piece {
    /// The first bytes of a file, which may have lost its name.
    File { file: Arc<File>, len: u64 },
    /// Where no file can be written.
    Memory(Arc<Vec<u8>>),
}

impl Source {
    /// The run file of this name, as long as it is now.
    pub fn open(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        let len = file.metadata()?.len();
        let file = Arc::new(file);
        Ok(Self::of(vec![Piece::File { file, len }]))
    }

    pub(super) fn of(parts: Vec<Piece>) -> Self {
        Self { parts }
    }

    /// The lines, from the first on.
    pub fn lines(&self) -> io::Result<Lines<impl BufRead + use<>>> {
        let mut all: Box<dyn Read> = Box::new(io::empty());
        for part in &self.parts {
            all = match part {
                Piece::File { file, len } => {
                    let from = Positioned {
                        file: file.clone(),
                        at: 0,
                    };
                    Box::new(all.chain(from.take(*len)))
                }
                Piece::Memory(bytes) => Box::new(all.chain(Cursor::new(Bytes(bytes.clone())))),
            };
        }
        Ok(Lines::new(BufReader::with_capacity(1 << 16, all)))
    }
}

struct Bytes(Arc<Vec<u8>>);

impl AsRef<[u8]> for Bytes {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}
