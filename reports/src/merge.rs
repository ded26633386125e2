//! Several reports about the same target as one. The rules are in `docs/report.md`.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use thiserror::Error;

use crate::identity::of_entry;
use crate::shards::together;
use crate::summary::gravest_first;
use crate::{
    Coverage, Growth, GrowthSample, ModelCoverage, Plan, PointCoverage, Report, ReportBuilder,
    ReportedFinding, Trial,
};

/// Why reports cannot be merged.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum MergeError {
    /// There is none.
    #[error("there is no report to merge")]
    Nothing,
    /// Two of them are not about the same thing.
    #[error("the reports do not belong together: {what} is {one} in one and {other} in another")]
    Mixed {
        /// What differs.
        what: &'static str,
        /// As it is in one.
        one: String,
        /// As it is in another.
        other: String,
    },
    /// One was given twice, and would count twice.
    #[error("the same report was given twice (seed {0}); each must be given once")]
    Twice(u64),
    /// A shard was given twice, and would count twice.
    #[error("shard {0} was given twice; each must be given once")]
    ShardTwice(String),
    /// A report says of itself what cannot be.
    #[error("there is no shard {0}")]
    NoSuchShard(String),
    /// Some of them are shards and others are not.
    #[error(
        "the reports do not belong together: some are shards of one run (--shard), others are not"
    )]
    NoShard,
}

/// One report of several. Their order does not matter.
pub fn merge(mut reports: Vec<Report>) -> Result<Report, MergeError> {
    if reports.iter().any(|report| report.shard.is_some()) {
        return together(reports);
    }
    // An order of their own: the first decides where one must.
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
    merged.growth = growth(&reports, &renumbered);
    merged.needs_growth();
    merged.merged = Some(reports.iter().map(|one| one.merged.unwrap_or(1)).sum());
    Ok(merged)
}

/// A report or a part of one, written out: for an order that depends on nothing else.
fn text<T: serde::Serialize>(part: &T) -> String {
    serde_json::to_string(part).unwrap_or_default()
}

pub(crate) fn belong(one: &Report, other: &Report) -> Result<(), MergeError> {
    let same = |what, one: String, other: String| match one == other {
        true => Ok(()),
        false => Err(MergeError::Mixed { what, one, other }),
    };
    let (a, b) = (&one.target, &other.target);
    let settings = |all: &BTreeMap<String, String>| format!("{all:?}");
    let bound = |report: &Report| match report.recovery_bound_us {
        Some(us) => format!("{us} us"),
        None => "none".into(),
    };
    let sort = |report: &Report| match (&report.coverage, &report.growth) {
        (Some(_), _) => "an exploration".to_string(),
        (None, Some(_)) => "of growth".to_string(),
        (None, None) => "a run".to_string(),
    };
    same("the target", a.name.clone(), b.name.clone())?;
    same("the target's version", a.version.clone(), b.version.clone())?;
    same("its settings", settings(&a.settings), settings(&b.settings))?;
    same("what it promises", text(&a.promises), text(&b.promises))?;
    same(
        "plugpull's version",
        one.plugpull.clone(),
        other.plugpull.clone(),
    )?;
    same("the recovery bound", bound(one), bound(other))?;
    same("the report", sort(one), sort(other))
}

/// The plan of all of them: every fault that one of them planned.
pub(crate) fn plan(reports: &[Report]) -> Plan {
    let first = &reports[0];
    let mut faults: Vec<String> = Vec::new();
    for row in reports.iter().flat_map(|report| &report.faults) {
        if !faults.contains(&row.fault) {
            faults.push(row.fault.clone());
        }
    }
    // A reason why a fault was never tried counts while no other report tried it.
    let unavailable = reports
        .iter()
        .flat_map(|report| &report.faults)
        .filter(|row| row.trials == 0 && !row.why.is_empty())
        .map(|row| (row.fault.clone(), row.why.clone()))
        .collect();
    Plan {
        plugpull: first.plugpull.clone(),
        target: first.target.clone(),
        seed: first.seed,
        faults,
        unavailable,
        recovery_bound: first.recovery_bound_us.map(Duration::from_micros),
    }
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
        .flat_map(|report| &report.trial_log)
        .all(|trial| known.insert(trial.number));
    let mut next = 0;
    reports
        .iter()
        .map(|report| {
            let mut numbers = BTreeMap::new();
            let trials = report.trial_log.iter().map(|trial| {
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
        let missing =
            |one: &&crate::TimelineStep| matches!(one.fate, crate::Fate::Lost | crate::Fate::Torn);
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

/// What all of them covered of the one trace that they share.
pub(crate) fn coverage(reports: &[Report]) -> Result<Option<Coverage>, MergeError> {
    let all: Vec<&Coverage> = reports.iter().filter_map(|r| r.coverage.as_ref()).collect();
    let Some(first) = all.first() else {
        return Ok(None);
    };
    let mut merged = Coverage {
        operations: first.operations,
        acked: first.acked,
        points: first.points,
        // Each has tried all of its own part.
        complete: all.iter().all(|one| one.complete),
        ..Coverage::default()
    };
    let trace = |one: &Coverage| {
        format!(
            "{} operations, {} acks and {} points",
            one.operations, one.acked, one.points
        )
    };
    let mut models: BTreeMap<&str, ModelCoverage> = BTreeMap::new();
    let mut order: Vec<&str> = Vec::new();
    let mut at: BTreeMap<u64, PointCoverage> = BTreeMap::new();
    for one in &all {
        if trace(one) != trace(first) {
            return Err(MergeError::Mixed {
                what: "the trace",
                one: trace(first),
                other: trace(one),
            });
        }
        merged.tried += one.tried;
        if let Some(more) = one.recoveries {
            let sum = merged.recoveries.get_or_insert_default();
            sum.seen += more.seen;
            sum.crashed += more.crashed;
            sum.distinct += more.distinct;
        }
        for model in &one.models {
            match models.get_mut(model.model.as_str()) {
                Some(sum) => add(sum, model),
                None => {
                    order.push(&model.model);
                    models.insert(&model.model, model.clone());
                }
            }
        }
        for point in &one.at {
            let sum = at.entry(point.point).or_insert(PointCoverage {
                tried: 0,
                failed: 0,
                ..*point
            });
            sum.tried += point.tried;
            sum.failed += point.failed;
        }
    }
    merged.models = order
        .into_iter()
        .filter_map(|name| models.remove(name))
        .collect();
    merged.at = at.into_values().collect();
    Ok(Some(merged))
}

/// Points and possible states of shards that share a point out among them would count twice: the
/// larger number is certain.
fn add(sum: &mut ModelCoverage, more: &ModelCoverage) {
    sum.at_least |= more.at_least || sum.possible != more.possible;
    sum.possible = sum.possible.max(more.possible);
    sum.points = sum.points.max(more.points);
    sum.made += more.made;
    sum.distinct += more.distinct;
    sum.judged += more.judged;
    sum.failed += more.failed;
}
