//! What became of each promise under each fault: what JUnit, the job summary and the page show.

use std::collections::BTreeSet;

use plugpull_workloads::{FailureClass, Promise, Verdict};

use crate::{FaultRow, Report, ReportedFinding};

/// One promise under one fault.
pub(crate) struct Case<'a> {
    /// The fault, with all that is known of its trials.
    pub(crate) row: &'a FaultRow,
    /// The promise; none where a fault was never tried, so that nobody knows whose turn it was.
    pub(crate) promise: Option<&'a Promise>,
    /// What became of it.
    pub(crate) outcome: Outcome<'a>,
}

/// What became of a promise.
pub(crate) enum Outcome<'a> {
    /// It was judged and held.
    Kept,
    /// It was broken.
    Broken(Vec<&'a ReportedFinding>),
    /// Nothing is known, and why.
    Skipped(&'a str),
    /// plugpull itself failed, and how.
    Error(&'a str),
}

impl Outcome<'_> {
    /// Its place when the worst is asked for.
    fn gravity(&self) -> u8 {
        match self {
            Outcome::Skipped(_) => 0,
            Outcome::Kept => 1,
            Outcome::Error(_) => 2,
            Outcome::Broken(_) => 3,
        }
    }
}

/// The fault's name in a finding's `fault`, which also says when it struck.
pub(crate) fn fault_name(finding: &ReportedFinding) -> &str {
    let spec = &finding.finding.fault;
    spec.split_once('@').map_or(spec, |(name, _)| name)
}

/// Every promise under every fault that it covers, in the order of the faults.
///
/// A promise was kept under a fault when at least one trial was judged in full and it was not
/// broken. Where every trial broke some other promise, nobody knows: a store that does not start
/// says nothing about its durability.
pub(crate) fn cases(report: &Report) -> Vec<Case<'_>> {
    report
        .faults
        .iter()
        .flat_map(|row| cases_of(report, row))
        .collect()
}

fn cases_of<'a>(report: &'a Report, row: &'a FaultRow) -> Vec<Case<'a>> {
    let classes: BTreeSet<FailureClass> = report
        .trial_log
        .iter()
        .filter(|trial| trial.fault == row.fault)
        .map(|trial| trial.class)
        .collect();
    let own = broken_under(report, row);
    let of = |verdict| row.verdicts.get(&verdict).copied().unwrap_or(0);
    let judged = of(Verdict::Pass) + of(Verdict::Detected);
    let rest = || {
        if judged > 0 {
            Outcome::Kept
        } else if of(Verdict::HarnessError) > 0 {
            Outcome::Error(&row.why)
        } else if of(Verdict::Broken) > 0 {
            Outcome::Skipped("every trial broke another promise, so this one could not be judged")
        } else if row.why.is_empty() {
            Outcome::Skipped("it was never measured")
        } else {
            Outcome::Skipped(&row.why)
        }
    };
    let covered = report
        .target
        .promises
        .iter()
        .filter(|promise| promise.classes.iter().any(|class| classes.contains(class)));
    let mut promises: Vec<&Promise> = Vec::new();
    // A bound that was demanded on the command line stands in the findings alone.
    for promise in covered.chain(own.iter().map(|finding| &finding.finding.promise)) {
        if !promises.contains(&promise) {
            promises.push(promise);
        }
    }
    if promises.is_empty() {
        return vec![Case {
            row,
            promise: None,
            outcome: rest(),
        }];
    }
    let mut cases: Vec<Case<'a>> = promises
        .into_iter()
        .map(|promise| {
            let broken: Vec<&ReportedFinding> = own
                .iter()
                .copied()
                .filter(|finding| finding.finding.promise == *promise)
                .collect();
            Case {
                row,
                promise: Some(promise),
                outcome: if broken.is_empty() {
                    rest()
                } else {
                    Outcome::Broken(broken)
                },
            }
        })
        .collect();
    // A failure of plugpull is told even where other trials of the fault could be judged.
    if of(Verdict::HarnessError) > 0 && judged + of(Verdict::Broken) > 0 {
        cases.push(Case {
            row,
            promise: None,
            outcome: Outcome::Error(harness_error(report, row)),
        });
    }
    cases
}

/// The findings that trials of this fault showed. An exploration tells a bug once, under the model
/// that showed it first, so what the trials say decides and the report's entry of the same kind
/// and promise tells it.
fn broken_under<'a>(report: &'a Report, row: &FaultRow) -> Vec<&'a ReportedFinding> {
    let mut own: Vec<&ReportedFinding> = report
        .findings
        .iter()
        .filter(|finding| fault_name(finding) == row.fault)
        .collect();
    let alike = |one: &ReportedFinding, other: &ReportedFinding| {
        one.finding.kind == other.finding.kind && one.finding.promise == other.finding.promise
    };
    let seen = report
        .trial_log
        .iter()
        .filter(|trial| trial.fault == row.fault)
        .flat_map(|trial| &trial.findings);
    for seen in seen {
        if own.iter().any(|one| alike(one, seen)) {
            continue;
        }
        let before = own.len();
        own.extend(report.findings.iter().filter(|one| alike(one, seen)));
        if own.len() == before {
            own.push(seen);
        }
    }
    own
}

/// Why plugpull failed, of the first trial of this fault in which it did.
fn harness_error<'a>(report: &'a Report, row: &'a FaultRow) -> &'a str {
    report
        .trial_log
        .iter()
        .find(|trial| trial.fault == row.fault && trial.verdict == Verdict::HarnessError)
        .map_or(&row.why, |trial| &trial.why)
}

/// One promise under all faults.
pub(crate) struct PromiseLine<'a> {
    /// The promise.
    pub(crate) promise: &'a Promise,
    /// What became of it, at worst.
    pub(crate) outcome: Outcome<'a>,
    /// The faults under which it was broken.
    pub(crate) broken_under: Vec<&'a str>,
    /// The faults under which it was kept.
    pub(crate) kept_under: Vec<&'a str>,
}

/// Every promise, broken ones first, otherwise in the order in which the target makes them.
pub(crate) fn promises(report: &Report) -> Vec<PromiseLine<'_>> {
    let mut lines: Vec<PromiseLine<'_>> = report
        .target
        .promises
        .iter()
        .map(|promise| PromiseLine {
            promise,
            outcome: Outcome::Skipped("no fault of this run is one that it covers"),
            broken_under: Vec::new(),
            kept_under: Vec::new(),
        })
        .collect();
    for case in cases(report) {
        let Some(promise) = case.promise else {
            continue;
        };
        let at = match lines.iter().position(|line| line.promise == promise) {
            Some(at) => at,
            None => {
                lines.push(PromiseLine {
                    promise,
                    outcome: Outcome::Skipped(""),
                    broken_under: Vec::new(),
                    kept_under: Vec::new(),
                });
                lines.len() - 1
            }
        };
        let line = &mut lines[at];
        match case.outcome {
            Outcome::Broken(_) => line.broken_under.push(&case.row.fault),
            Outcome::Kept => line.kept_under.push(&case.row.fault),
            _ => {}
        }
        let untold = matches!(line.outcome, Outcome::Skipped(_));
        if untold || case.outcome.gravity() > line.outcome.gravity() {
            line.outcome = case.outcome;
        }
    }
    lines.sort_by_key(|line| std::cmp::Reverse(line.outcome.gravity() == 3));
    lines
}
