//! An exploration in the terms of reports: its coverage and its findings.

use std::path::Path;

use plugpull_reports::{
    Coverage, FindingRecord, ModelCoverage, Record, RecoveryCoverage, ReportedFinding,
};
use plugpull_workloads::{Finding, Stamp};

use super::describe::{evidence, parts, sentence};
use super::grouping::Group;
use super::oracle::Oracle;
use super::retry::Minimised;
use super::tally::Summary;
use super::trial_log::FoundGroup;

/// What was covered.
pub fn coverage(oracle: &Oracle<'_>, summary: &Summary) -> Coverage {
    let models = oracle.models.iter().zip(&summary.models);
    let models = models
        .zip(&summary.judged)
        .map(|((model, made), outcome)| ModelCoverage {
            model: model.name.to_string(),
            points: made.points,
            possible: Some(u64::try_from(made.possible).unwrap_or(u64::MAX)),
            at_least: made.at_least || made.possible > u128::from(u64::MAX),
            made: made.made,
            distinct: made.distinct,
            judged: outcome.judged,
            failed: outcome.failed,
            not_measured: outcome.not_measured(),
            before_first_ack: outcome.before_first_ack,
            could_not_measure: outcome.could_not_measure,
        });
    let recoveries = &summary.recoveries;
    let trace = oracle.trace;
    let records = trace.log.records();
    let last_ack = trace.about.last_ack;
    let behind =
        |last: Stamp| (records.len() - records.partition_point(|one| one.seq < last.seq)) as u64;
    let judged_behind = |last: Stamp| {
        let at = summary.at.iter().filter(|at| at.point > last.seq);
        at.map(|at| at.tried).sum()
    };
    Coverage {
        operations: records.len() as u64,
        after_last_ack: last_ack.map(behind),
        judged_after_last_ack: last_ack.map(judged_behind),
        acked: trace.about.history.acked() as u64,
        points: summary.points as u64,
        tried: summary.tried,
        complete: summary.complete && summary.left_out.is_empty(),
        first_ack: Some(summary.first_ack),
        left_out: summary.left_out,
        decided: summary.decided.clone(),
        follow_ups: summary.follow_ups.clone(),
        demanded: None,
        recoveries: Some(RecoveryCoverage {
            seen: recoveries.seen,
            crashed: recoveries.crashed,
            distinct: recoveries.distinct,
        }),
        models: models.collect(),
        at: summary.at.clone(),
    }
}

/// A finding with the sentence that says why its state is legal.
pub fn finding_of(minimised: &Minimised, oracle: &Oracle<'_>) -> Finding {
    // Where a kill comes first and the power is lost during recovery, it takes a power loss.
    let model = oracle.models[minimised.crash.model];
    Finding {
        sentence: sentence(minimised, oracle),
        parts: parts(minimised, oracle),
        fault: format!("{}@{}", model.name, minimised.crash.first().point),
        ..minimised.finding.clone()
    }
}

/// A group's entry of the report. `kept` is where its artifact is, and `again` the command that finds
/// it again.
pub fn reported(
    oracle: &Oracle<'_>,
    group: &Group,
    kept: Option<&Path>,
    again: String,
) -> ReportedFinding {
    let minimised = &group.minimised;
    let finding = finding_of(minimised, oracle);
    let kept = kept.map(|path| path.display().to_string());
    ReportedFinding {
        finding,
        trial: group.trial,
        count: group.count,
        repeat: match &kept {
            Some(path) => format!("plugpull replay {path}"),
            None => again,
        },
        output: vec![minimised.output.clone()],
        evidence: Some(Box::new(evidence(group, oracle, kept))),
    }
}

/// The record of a finding that was minimised.
pub fn finding_record(found: &FoundGroup<'_>, finding: ReportedFinding) -> Record {
    Record::Finding(Box::new(FindingRecord {
        id: found.id,
        minimised: found.index,
        size: found.group.minimised.measure(),
        same_as: found.group.same_as.map(|other| other as u64),
        together: found.together,
        finding,
    }))
}
