//! Several reports about the same target as one. The rules are in `docs/report.md`.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::builder::ReportBuilder;
use crate::evidence::{Fate, TimelineStep};
use crate::fold::gravest_first;
use crate::growth::{Growth, GrowthSample};
use crate::identity::of_entry;
use crate::merge_shards::merge_shards;
use crate::mergeable::{MergeError, belong, coverage, ended, loaded, plan, text};
use crate::report::{Report, ReportedFinding, Trial};

/// One report of several. Their order does not matter.
pub fn merge(reports: Vec<Report>) -> Result<Report, MergeError> {
    if reports.iter().any(|report| report.shard.is_some()) {
        return merge_shards(reports);
    }
    // An order of their own: the first decides where one must.
    let mut reports = loaded(reports)?;
    reports.sort_by_cached_key(|report| (report.seed, text(report)));
    for pair in reports.windows(2) {
        if let [one, other] = pair
            && one == other
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
    let mut builder = ReportBuilder::new(plan(&reports));
    let renumbered = renumbered(&reports);
    for trial in renumbered.iter().flat_map(|one| &one.trials) {
        builder.trial(trial);
    }
    let mut merged = builder.finish(Duration::from_micros(took), interrupted);
    merged.findings = findings(&reports, &renumbered);
    merged.coverage = coverage;
    merged.ended = ended(&reports);
    merged.growth = growth(&reports, &renumbered);
    merged.needs_growth();
    merged.needs_coverage();
    merged.merged = Some(reports.iter().map(|one| one.merged.unwrap_or(1)).sum());
    Ok(merged)
}

/// The trials of one report under the numbers that they have in the merged one.
struct Renumbered {
    trials: Vec<Trial>,
    /// From the number in the report to that in the merged one.
    numbers: BTreeMap<u64, u64>,
}

/// Numbers stay where no two reports use the same; otherwise all trials are counted anew, in the
/// order of the reports.
fn renumbered(reports: &[Report]) -> Vec<Renumbered> {
    let mut known = BTreeSet::new();
    let unique = reports
        .iter()
        .flat_map(|report| report.trial_log.in_memory())
        .all(|trial| known.insert(trial.number));
    let mut next = 0;
    reports
        .iter()
        .map(|report| {
            let mut numbers = BTreeMap::new();
            let trials = report.trial_log.in_memory().iter().map(|trial| {
                next += 1;
                let number = if unique { trial.number } else { next };
                numbers.insert(trial.number, number);
                let mut trial = Trial {
                    number,
                    ..trial.clone()
                };
                for finding in &mut trial.findings {
                    finding.trial = number;
                }
                trial
            });
            let trials = trials.collect();
            Renumbered { trials, numbers }
        })
        .collect()
}

/// One entry for each bug: told as in the report where it is smallest, counted over all.
fn findings(reports: &[Report], renumbered: &[Renumbered]) -> Vec<ReportedFinding> {
    let mut groups: BTreeMap<String, Vec<ReportedFinding>> = BTreeMap::new();
    for (report, new) in reports.iter().zip(renumbered) {
        for finding in &report.findings {
            let number = new.numbers.get(&finding.trial).copied();
            let finding = ReportedFinding {
                trial: number.unwrap_or(finding.trial),
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
fn growth(reports: &[Report], renumbered: &[Renumbered]) -> Option<Growth> {
    let first = reports.first()?.growth.as_ref()?;
    let samples = reports.iter().zip(renumbered).flat_map(|(report, new)| {
        let samples = report.growth.iter().flat_map(|growth| &growth.samples);
        samples.map(|sample| GrowthSample {
            trial: new
                .numbers
                .get(&sample.trial)
                .copied()
                .unwrap_or(sample.trial),
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
