//! What reports that are merged must have in common, and what is put together alike for all.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::time::Duration;

use plugpull_workloads::Verdict;
use thiserror::Error;

use crate::coverage::{Coverage, Decided, LeftOut, ModelCoverage, PointCoverage};
use crate::report::{Ended, Plan, Report};

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
    /// What a shard says of its trials is not about them.
    #[error("shard {0} does not say of its trials where they belong, or not in their order")]
    Misplaced(String),
    /// The trials of one cannot be read, or there is no room to put them in order.
    #[error("the trials cannot be put in order: {0}")]
    Unreadable(String),
}

impl From<io::Error> for MergeError {
    fn from(error: io::Error) -> Self {
        Self::Unreadable(error.to_string())
    }
}

/// A report or a part of one, written out: for an order that depends on nothing else.
pub(crate) fn text<T: serde::Serialize>(part: &T) -> String {
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
    let never_tried = |not_applicable: bool| {
        let rows = reports.iter().flat_map(|report| &report.faults);
        rows.filter(|row| row.trials == 0 && !row.why.is_empty())
            .filter(|row| (row.verdict == Verdict::NotApplicable) == not_applicable)
            .map(|row| (row.fault.clone(), row.why.clone()))
            .collect::<Vec<_>>()
    };
    let unavailable = never_tried(false);
    // What one machine could have tried and did not is not measured.
    let mut not_applicable = never_tried(true);
    not_applicable.retain(|(fault, _)| unavailable.iter().all(|(other, _)| other != fault));
    Plan {
        plugpull: first.plugpull.clone(),
        target: first.target.clone(),
        seed: first.seed,
        faults,
        unavailable,
        not_applicable,
        allow_not_measured: reports.iter().all(|report| report.allow_not_measured),
        assumed: {
            let all = reports.iter().flat_map(|report| &report.assumed);
            all.collect::<BTreeSet<_>>().into_iter().cloned().collect()
        },
        recovery_bound: first.recovery_bound_us.map(Duration::from_micros),
    }
}

/// How the worst of them ended; none where one does not say.
pub(crate) fn ended(reports: &[Report]) -> Option<Ended> {
    let all: Option<Vec<&Ended>> = reports.iter().map(|one| one.ended.as_ref()).collect();
    all?.into_iter().max_by_key(|one| one.reason).cloned()
}

/// What all of them covered of the one trace that they share.
pub(crate) fn coverage(reports: &[Report]) -> Result<Option<Coverage>, MergeError> {
    let all: Vec<&Coverage> = reports.iter().filter_map(|r| r.coverage.as_ref()).collect();
    let Some(first) = all.first() else {
        return Ok(None);
    };
    let mut merged = Coverage {
        operations: first.operations,
        after_last_ack: first.after_last_ack,
        judged_after_last_ack: all
            .iter()
            .filter_map(|one| one.judged_after_last_ack)
            .reduce(|sum, more| sum + more),
        acked: first.acked,
        points: first.points,
        // Each has tried all of its own part.
        complete: all.iter().all(|one| one.complete),
        first_ack: first.first_ack,
        demanded: all.iter().filter_map(|one| one.demanded).reduce(f64::max),
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
        merge_left_out(&mut merged.left_out, &one.left_out);
        if let Some(more) = &one.decided {
            merge_decided(merged.decided.get_or_insert_default(), more);
        }
        for more in &one.follow_ups {
            let mut known = merged.follow_ups.iter_mut();
            match known.find(|known| known.follow_up == more.follow_up) {
                Some(sum) => sum.add(more),
                None => merged.follow_ups.push(more.clone()),
            }
        }
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

/// All shards walk through the same points, where each meets the same limits; recoveries are those of
/// each alone.
fn merge_left_out(sum: &mut LeftOut, more: &LeftOut) {
    sum.singles = sum.singles.max(more.singles);
    sum.pairs = sum.pairs.max(more.pairs);
    sum.places = sum.places.max(more.places);
    sum.recoveries += more.recoveries;
    sum.cut_recoveries += more.cut_recoveries;
    sum.kill_points = sum.kill_points.max(more.kill_points);
}

/// Each shard decides places of its own.
fn merge_decided(sum: &mut Decided, more: &Decided) {
    sum.places += more.places;
    sum.decided += more.decided;
    sum.states = sum.states.saturating_add(more.states);
    sum.at_least |= more.at_least;
    sum.trials += more.trials;
    sum.checked += more.checked;
    sum.given_up += more.given_up;
    sum.not_tried += more.not_tried;
    sum.not_reached += more.not_reached;
    sum.taken_back = sum.taken_back.take().or_else(|| more.taken_back.clone());
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
    sum.not_measured += more.not_measured;
    sum.before_first_ack += more.before_first_ack;
    sum.could_not_measure += more.could_not_measure;
}
