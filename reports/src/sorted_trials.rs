//! The trials of several reports in the order of the merged one, of which so many at once are in
//! memory as [`Sorter`] holds.

use std::io;

use serde::{Deserialize, Serialize};

use crate::fold::{Fold, evidence_once, settled};
use crate::report::{Plan, Report};
use crate::rows::{Rows, RowsWriter};
use crate::shard::ShardTrial;
use crate::spool::{Sorted, Sorter};
use crate::trial::{ReportedFinding, Trial};

/// What trials are sorted by: the place in the order of the whole, then whatever makes it the same
/// order each time.
type Key = [u64; 4];

/// A trial of one of several reports.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct SourcedTrial {
    key: Key,
    /// The trial, with the number that it has in the merged report.
    pub(crate) trial: Trial,
    /// The number that it had in its own.
    pub(crate) was: u64,
    /// Which of the reports it is from.
    pub(crate) source: usize,
    /// Where it belongs, in an exploration by shards.
    pub(crate) place: Option<ShardTrial>,
}

/// Puts trials in order.
pub(crate) struct TrialSorter {
    sorter: Sorter<SourcedTrial, Key>,
    renumber: bool,
}

impl TrialSorter {
    /// Trials keep their numbers, or are numbered again in their new order.
    pub(crate) fn new(renumber: bool) -> Self {
        Self {
            sorter: Sorter::new(|one| one.key),
            renumber,
        }
    }

    /// Takes a trial of this report.
    pub(crate) fn push(
        &mut self,
        key: Key,
        source: usize,
        trial: Trial,
        place: Option<ShardTrial>,
    ) -> io::Result<()> {
        self.sorter.push(SourcedTrial {
            key,
            was: trial.number,
            trial,
            source,
            place,
        })
    }

    pub(crate) fn finish(self) -> SortedTrials {
        SortedTrials {
            sorted: self.sorter.finish(),
            renumber: self.renumber,
        }
    }
}

/// Trials in order.
pub(crate) struct SortedTrials {
    sorted: Sorted<SourcedTrial, Key>,
    renumber: bool,
}

impl SortedTrials {
    /// One by one, with the numbers that they have in the merged report.
    fn iter(&self) -> impl Iterator<Item = io::Result<SourcedTrial>> + '_ {
        (1..).zip(self.sorted.iter()).map(|(next, one)| {
            let mut one = one?;
            if self.renumber {
                one.trial.number = next;
            }
            one.trial = settled(one.trial);
            Ok(one)
        })
    }

    /// The report of all of them; each is handed out once on the way, in order.
    pub(crate) fn report(
        &self,
        plan: Plan,
        took_us: u64,
        interrupted: bool,
        mut take: impl FnMut(&SourcedTrial),
    ) -> io::Result<Report> {
        let mut fold = Fold::new(plan);
        for one in self.iter() {
            let one = one?;
            fold.trial(&one.trial);
            take(&one);
        }
        let mut report = fold.report_of(took_us, interrupted, Rows::default());
        report.trial_log = self.trial_log(&report.findings)?;
        Ok(report)
    }

    /// The list of a report, with the evidence of what its findings have in full.
    fn trial_log(&self, findings: &[ReportedFinding]) -> io::Result<Rows<Trial>> {
        let mut all = RowsWriter::new();
        for one in self.iter() {
            let mut trial = one?.trial;
            evidence_once(std::slice::from_mut(&mut trial), findings);
            all.push(trial)?;
        }
        all.finish()
    }
}
