//! A run that is read from its file, and its report.

use std::fmt;
use std::io;

use crate::fold::{Fold, settled};
use crate::report::Report;
use crate::rows::{Rows, Stored};
use crate::shard::ShardTrial;
use crate::spool::Stream;

use super::reader::{Parsed, Source};
use super::record::{Header, Line, Record};

/// A run that was read from its file.
#[derive(Clone, Debug)]
pub struct RecordedRun {
    /// All its records, folded.
    pub fold: Fold,
    source: Source,
}

impl RecordedRun {
    /// Reads a run. None when it does not begin with a header. What is damaged is not measured.
    pub fn read(source: Source) -> io::Result<Option<Self>> {
        let mut fold = Fold::default();
        let mut damaged: Vec<(u64, String)> = Vec::new();
        for parsed in source.lines()? {
            match parsed? {
                Parsed::Line(line) => {
                    if fold.header().is_none() && !matches!(line.record, Record::Header(_)) {
                        return Ok(None);
                    }
                    fold.record(line.at_us, &line.record);
                }
                Parsed::Damaged { .. } if fold.header().is_none() => return Ok(None),
                Parsed::Damaged { number, why } => {
                    if damaged.len() < 2 {
                        damaged.push((number, why));
                    }
                }
                Parsed::Unknown | Parsed::Cut => {}
            }
        }
        if let Some((number, why)) = damaged.first() {
            let more = if damaged.len() > 1 { " and others" } else { "" };
            fold.not_measured(
                "the run file",
                &format!(
                    "its line {number}{more} cannot be read ({why}), so nobody knows what it said"
                ),
            );
        }
        Ok(fold.header().is_some().then_some(Self { fold, source }))
    }

    /// The report of the run, as far as it came.
    pub fn report(&self) -> Report {
        report(&self.fold, &self.source)
    }

    /// Its header.
    pub fn header(&self) -> Option<&Header> {
        self.fold.header()
    }

    /// Its records, in order, without what is damaged.
    pub fn each(&self, mut take: impl FnMut(Line)) -> io::Result<()> {
        for parsed in self.source.lines()? {
            if let Parsed::Line(line) = parsed? {
                take(*line);
            }
        }
        Ok(())
    }
}

/// What certain records of a run file have.
#[derive(Debug)]
struct InFile<T> {
    source: Source,
    /// What of a record is an entry of the list.
    pick: fn(Record) -> Option<T>,
}

impl<T: fmt::Debug> Stored<T> for InFile<T> {
    fn entries(&self) -> io::Result<Stream<'_, T>> {
        let lines = self.source.lines()?;
        Ok(Box::new(lines.filter_map(|line| {
            let picked = line.map(|line| line.record().and_then(self.pick));
            picked.transpose()
        })))
    }
}

fn in_file<T: fmt::Debug + 'static>(source: &Source, pick: fn(Record) -> Option<T>) -> Rows<T> {
    let source = source.clone();
    Rows::stored(InFile { source, pick })
}

/// The report of what was folded, with lists that are read from the records.
pub(super) fn report(fold: &Fold, source: &Source) -> Report {
    let trials = in_file(source, |record| match record {
        Record::Trial(one) => Some(settled(one.trial)),
        _ => None,
    });
    let mut report = fold.report(trials);
    report.shard = fold.shard().map(|mut shard| {
        shard.trials = in_file(source, |record| match record {
            Record::Trial(one) => {
                let explored = one.explored?;
                Some(ShardTrial {
                    trial: one.trial.number,
                    position: explored.position,
                    depth: explored.depth,
                    signs: explored.signs,
                    minimised: explored.minimised,
                })
            }
            _ => None,
        });
        Box::new(shard)
    });
    report
}
