//! Lists that may be too long for memory: what does not fit goes to a file without a name.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, BufWriter, Read, Write as _};
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;

/// So many entries of a list are in memory at once.
pub(crate) const IN_MEMORY: usize = 1_000;
/// So many sorted runs of one level are made one of the next: each that is read has a buffer.
const FAN: usize = 16;

/// Entries in a file without a name, to be read as often as one likes. Memory is that of a buffer.
#[derive(Clone, Debug)]
pub(crate) struct Spool {
    file: Arc<File>,
}

impl Spool {
    /// All of these.
    pub(crate) fn of<T: Serialize>(
        all: impl IntoIterator<Item = io::Result<T>>,
    ) -> io::Result<Self> {
        let mut writer = SpoolWriter::new()?;
        all.into_iter().try_for_each(|one| writer.push(&one?))?;
        writer.finish()
    }

    /// The entries in the order in which they were written.
    pub(crate) fn iter<T: DeserializeOwned>(&self) -> impl Iterator<Item = io::Result<T>> + use<T> {
        let mut from = BufReader::new(Positioned {
            file: self.file.clone(),
            at: 0,
        });
        let mut line = Vec::new();
        std::iter::from_fn(move || {
            line.clear();
            match from.read_until(b'\n', &mut line) {
                Ok(0) => None,
                Ok(_) => Some(serde_json::from_slice(&line).map_err(io::Error::from)),
                Err(error) => Some(Err(error)),
            }
        })
    }
}

/// A [`Spool`] that is being written.
#[derive(Debug)]
pub(crate) struct SpoolWriter {
    to: BufWriter<File>,
}

impl SpoolWriter {
    pub(crate) fn new() -> io::Result<Self> {
        let to = BufWriter::new(tempfile::tempfile()?);
        Ok(Self { to })
    }

    pub(crate) fn push<T: Serialize>(&mut self, one: &T) -> io::Result<()> {
        serde_json::to_writer(&mut self.to, one)?;
        self.to.write_all(b"\n")
    }

    pub(crate) fn finish(self) -> io::Result<Spool> {
        let file = self.to.into_inner().map_err(|error| error.into_error())?;
        let file = Arc::new(file);
        Ok(Spool { file })
    }
}

/// Reads a file at a place of its own, so that others may read and write it meanwhile.
pub(crate) struct Positioned {
    pub(crate) file: Arc<File>,
    pub(crate) at: u64,
}

impl Read for Positioned {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read_at(into, self.at)?;
        self.at += read as u64;
        Ok(read)
    }
}

/// Sorts entries of which there may be more than memory holds. Equal ones stay in their order.
pub(crate) struct Sorter<T, K> {
    key: fn(&T) -> K,
    newest: Vec<T>,
    /// Sorted runs, each with how often it was merged: the levels never rise.
    runs: Vec<(u32, Spool)>,
}

impl<T: Serialize + DeserializeOwned, K: Ord> Sorter<T, K> {
    pub(crate) fn new(key: fn(&T) -> K) -> Self {
        Self {
            key,
            newest: Vec::new(),
            runs: Vec::new(),
        }
    }

    pub(crate) fn push(&mut self, one: T) -> io::Result<()> {
        self.newest.push(one);
        if self.newest.len() < IN_MEMORY {
            return Ok(());
        }
        self.newest.sort_by_key(self.key);
        let run = Spool::of(self.newest.drain(..).map(Ok))?;
        self.runs.push((0, run));
        while let Some(first) = self.runs.len().checked_sub(FAN)
            && self.runs[first].0 == self.runs[self.runs.len() - 1].0
        {
            let level = self.runs[first].0;
            let streams = self.runs[first..].iter().map(|(_, run)| run.iter());
            let merged = Spool::of(InOrder::of(streams, self.key))?;
            self.runs.truncate(first);
            self.runs.push((level + 1, merged));
        }
        Ok(())
    }

    /// All of them, to be read in order as often as one likes.
    pub(crate) fn finish(mut self) -> Sorted<T, K> {
        self.newest.sort_by_key(self.key);
        Sorted {
            key: self.key,
            runs: self.runs.into_iter().map(|(_, run)| run).collect(),
            newest: self.newest,
        }
    }
}

/// Entries in order.
pub(crate) struct Sorted<T, K> {
    key: fn(&T) -> K,
    runs: Vec<Spool>,
    newest: Vec<T>,
}

/// Entries that are read one after the other.
pub(crate) type Stream<'a, T> = Box<dyn Iterator<Item = io::Result<T>> + 'a>;

impl<T: Clone + DeserializeOwned, K: Ord> Sorted<T, K> {
    pub(crate) fn iter(&self) -> impl Iterator<Item = io::Result<T>> + '_ {
        let runs = self
            .runs
            .iter()
            .map(|run| Box::new(run.iter()) as Stream<'_, T>);
        let newest = Box::new(self.newest.iter().cloned().map(Ok)) as Stream<'_, T>;
        InOrder::of(runs.chain(std::iter::once(newest)), self.key)
    }
}

/// Several streams, each of them sorted, as one. Of equal entries those of earlier streams come first.
/// Memory is that of one entry for each.
pub(crate) struct InOrder<I, T, K> {
    streams: Vec<I>,
    /// The next entry of each; none behind its last.
    heads: Vec<Option<T>>,
    key: fn(&T) -> K,
    failed: Option<io::Error>,
}

impl<T, K: Ord, I: Iterator<Item = io::Result<T>>> InOrder<I, T, K> {
    pub(crate) fn of(streams: impl IntoIterator<Item = I>, key: fn(&T) -> K) -> Self {
        let streams: Vec<I> = streams.into_iter().collect();
        let mut all = Self {
            heads: streams.iter().map(|_| None).collect(),
            streams,
            key,
            failed: None,
        };
        (0..all.streams.len()).for_each(|at| {
            all.advance(at);
        });
        all
    }

    /// Hands out the head of a stream, and reads the next.
    fn advance(&mut self, at: usize) -> Option<T> {
        let next = self.streams[at].next();
        let next = next.transpose().unwrap_or_else(|error| {
            self.failed.get_or_insert(error);
            None
        });
        std::mem::replace(&mut self.heads[at], next)
    }
}

impl<T, K: Ord, I: Iterator<Item = io::Result<T>>> Iterator for InOrder<I, T, K> {
    type Item = io::Result<T>;

    fn next(&mut self) -> Option<Self::Item> {
        if let Some(error) = self.failed.take() {
            self.streams.clear();
            self.heads.clear();
            return Some(Err(error));
        }
        let heads = self.heads.iter().enumerate();
        let keys = heads.filter_map(|(at, head)| Some((at, (self.key)(head.as_ref()?))));
        let (first, _) = keys.min_by(|one, other| one.1.cmp(&other.1))?;
        self.advance(first).map(Ok)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Many more than are in memory at once, in no order.
    fn shuffled(count: u64) -> impl Iterator<Item = (u64, u64)> {
        // 7919 is prime to every count here, so each number comes once.
        (0..count).map(move |at| (at * 7919 % count / 3, at))
    }

    #[test]
    fn what_does_not_fit_is_sorted_like_what_does() {
        for count in [0, 1, 999, 1_000, 1_001, 40_000] {
            let mut sorter = Sorter::new(|one: &(u64, u64)| one.0);
            for one in shuffled(count) {
                sorter.push(one).expect("room");
                assert!(sorter.newest.len() < IN_MEMORY);
                assert!(sorter.runs.len() < 2 * FAN);
            }
            let sorted = sorter.finish();
            let mut all: Vec<(u64, u64)> = shuffled(count).collect();
            all.sort_by_key(|one| one.0);
            for _ in 0..2 {
                let read: Vec<(u64, u64)> = sorted.iter().map(|one| one.expect("read")).collect();
                assert_eq!(read, all, "{count}");
            }
        }
    }

    #[test]
    fn a_stream_that_cannot_be_read_ends_all_with_its_error() {
        let broken = || Err(io::Error::other("gone"));
        let one: Vec<io::Result<u64>> = vec![Ok(1), broken(), Ok(9)];
        let other = vec![Ok(2), Ok(3)];
        let all: Vec<io::Result<u64>> =
            InOrder::of([one.into_iter(), other.into_iter()], |n| *n).collect();
        assert!(all.iter().any(Result::is_err));
        assert!(all.iter().flatten().all(|n| *n < 3));
    }
}
