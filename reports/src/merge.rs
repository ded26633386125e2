//! Several reports about the same target as one. The rules are in `docs/report.md`.

use std::collections::BTreeMap;
use std::io;

use crate::evidence::{Fate, TimelineStep};
use crate::fold::gravest_first;
use crate::growth::{Growth, GrowthSample};
use crate::identity::of_entry;
use crate::merge_shards::merge_shards;
use crate::mergeable::{MergeError, belong, coverage, ended, plan, text};
use crate::report::Report;
use crate::rows::Rows;
use crate::sorted_trials::{SortedTrials, SourcedTrial, TrialSorter};
use crate::spool::{InOrder, Stream};
use crate::trial::{ReportedFinding, Trial};

/// One report of several. Their order does not matter. Memory does not grow with the number of trials.
pub fn merge(mut reports: Vec<Report>) -> Result<Report, MergeError> {
    if reports.iter().any(|report| report.shard.is_some()) {
        return merge_shards(reports);
    }
    // An order of their own: the first decides where one must.
    reports.sort_by_cached_key(|report| (report.seed, text_without_trials(report)));
    for pair in reports.windows(2) {
        if let [one, other] = pair
            && text_without_trials(one) == text_without_trials(other)
            && one.trial_log.same(&other.trial_log)?
        {
            return Err(MergeError::Twice(one.seed));
        }
    }
    let Some(first) = reports.first() else {
        return Err(MergeError::Nothing);
    };
    for other in &reports[1..] {
        belong(first, other)?;
    }
    let coverage = coverage(&reports)?;
    let took: u64 = reports.iter().map(|report| report.took_us).sum();
    let interrupted = reports.iter().any(|report| report.interrupted);
    let mut numbers = Numbers::named(&reports);
    let sorted = sorted(&reports)?;
    let mut merged = sorted.report(plan(&reports), took, interrupted, |one| numbers.note(one))?;
    merged.findings = findings(&reports, &numbers);
    merged.coverage = coverage;
    merged.ended = ended(&reports);
    merged.growth = growth(&reports, &numbers);
    merged.needs_growth();
    merged.needs_coverage();
    merged.merged = Some(reports.iter().map(|one| one.merged.unwrap_or(1)).sum());
    Ok(merged)
}

/// All of a report but its trials, written out.
fn text_without_trials(report: &Report) -> String {
    text(&Report {
        trial_log: Rows::default(),
        ..report.clone()
    })
}

/// All trials. Numbers stay where no two reports use the same; otherwise all trials are counted again,
/// in the order of the reports.
fn sorted(reports: &[Report]) -> io::Result<SortedTrials> {
    let unique = unique(reports)?;
    let mut sorter = TrialSorter::new(!unique);
    for (source, report) in (0..).zip(reports) {
        for (index, trial) in (0..).zip(report.trial_log.iter()?) {
            let trial = trial?;
            let key = match unique {
                true => [trial.number, 0, 0, 0],
                false => [source as u64, index, 0, 0],
            };
            sorter.push(key, source, trial, None)?;
        }
    }
    Ok(sorter.finish())
}

/// Whether no number is used twice. A report has its trials in the order of their numbers; where one
/// has not, as no plugpull writes it, they count as used twice.
fn unique(reports: &[Report]) -> io::Result<bool> {
    let streams = reports.iter().map(|report| report.trial_log.iter());
    let streams: Vec<Stream<'_, Trial>> = streams.collect::<io::Result<_>>()?;
    let mut last = None;
    for trial in InOrder::of(streams, |trial: &Trial| trial.number) {
        let number = Some(trial?.number);
        if last >= number {
            return Ok(false);
        }
        last = number;
    }
    Ok(true)
}

/// The numbers of the trials that findings and samples name: from that in the report to that in the
/// merged one.
struct Numbers(Vec<BTreeMap<u64, u64>>);

impl Numbers {
    /// What the reports name, with the numbers that they have there.
    fn named(reports: &[Report]) -> Self {
        let of = |report: &Report| {
            let samples = report.growth.iter().flat_map(|growth| &growth.samples);
            let found = report.findings.iter().map(|finding| finding.trial);
            let all = found.chain(samples.map(|sample| sample.trial));
            all.map(|number| (number, number)).collect()
        };
        Self(reports.iter().map(of).collect())
    }

    fn note(&mut self, one: &SourcedTrial) {
        if let Some(number) = self.0[one.source].get_mut(&one.was) {
            *number = one.trial.number;
        }
    }

    fn of(&self, source: usize, was: u64) -> u64 {
        self.0[source].get(&was).copied().unwrap_or(was)
    }
}

/// One entry for each bug: as in the report where it is smallest, counted over all.
fn findings(reports: &[Report], numbers: &Numbers) -> Vec<ReportedFinding> {
    let mut groups: BTreeMap<String, Vec<ReportedFinding>> = BTreeMap::new();
    for (source, report) in (0..).zip(reports) {
        for finding in &report.findings {
            let finding = ReportedFinding {
                trial: numbers.of(source, finding.trial),
                ..finding.clone()
            };
            groups.entry(of_entry(&finding)).or_default().push(finding);
        }
    }
    let mut merged: Vec<ReportedFinding> = groups
        .into_values()
        .filter_map(|group| {
            let count = group.iter().map(|one| one.count).sum();
            let smallest = group.into_iter().min_by_key(|one| (size(one), text(one)))?;
            Some(ReportedFinding { count, ..smallest })
        })
        .collect();
    gravest_first(&mut merged);
    merged
}

/// How much there is to understand: operations lost or torn, then the place of the crash, then the
/// trial. Of a live run, where nothing was made small, the trial alone.
fn size(finding: &ReportedFinding) -> (usize, u64, u64) {
    let evidence = finding.evidence.as_deref().filter(|e| !e.cause.is_empty());
    let lost = evidence.map_or(0, |evidence| {
        let missing = |one: &&TimelineStep| matches!(one.fate, Fate::Lost | Fate::Torn);
        evidence.timeline.iter().filter(missing).count()
    });
    (lost, evidence.map_or(0, |e| e.point), finding.trial)
}

/// What the samples of all of them say together; none for reports that measured no growth.
fn growth(reports: &[Report], numbers: &Numbers) -> Option<Growth> {
    let first = reports.first()?.growth.as_ref()?;
    let samples = (0..).zip(reports).flat_map(|(source, report)| {
        let samples = report.growth.iter().flat_map(|growth| &growth.samples);
        samples.map(move |sample| GrowthSample {
            trial: numbers.of(source, sample.trial),
            ..sample.clone()
        })
    });
    let samples = samples.collect();
    Some(Growth::of(
        first.unit,
        samples,
        first.bound_us,
        reports[0].seed,
    ))
}
