//! What became of each promise under each fault: what JUnit, the job summary and the page show.

use std::collections::BTreeSet;

use plugpull_workloads::{FailureClass, Promise, Verdict};

use crate::facts::{Facts, FaultFacts, alike};
use crate::identity::fault_name;
use crate::report::{FaultRow, Report};
use crate::trial::ReportedFinding;

/// One promise under one fault.
pub(crate) struct PromiseResult<'a> {
    /// The fault, with all that is known of its trials.
    pub(crate) row: &'a FaultRow,
    /// The promise; none where a fault was never tried, so that nobody knows which it tests.
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

/// Every promise under every fault that it covers, in the order of the faults.
///
/// A promise was kept under a fault when at least one trial was judged in full and it was not
/// broken. Where every trial broke some other promise, nobody knows: a store that does not start
/// says nothing about its durability.
pub(crate) fn promise_results<'a>(report: &'a Report, facts: &'a Facts) -> Vec<PromiseResult<'a>> {
    let rows = report.faults.iter();
    rows.flat_map(|row| results_of(report, facts.faults.get(&row.fault), row))
        .collect()
}

fn results_of<'a>(
    report: &'a Report,
    facts: Option<&'a FaultFacts>,
    row: &'a FaultRow,
) -> Vec<PromiseResult<'a>> {
    let none: BTreeSet<FailureClass> = BTreeSet::new();
    let classes = facts.map_or(&none, |facts| &facts.classes);
    let own = broken_under(report, facts, row);
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
        return vec![PromiseResult {
            row,
            promise: None,
            outcome: rest(),
        }];
    }
    let mut results: Vec<PromiseResult<'a>> = promises
        .into_iter()
        .map(|promise| {
            let broken: Vec<&ReportedFinding> = own
                .iter()
                .copied()
                .filter(|finding| finding.finding.promise == *promise)
                .collect();
            PromiseResult {
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
    // A failure of plugpull is shown even where other trials of the fault could be judged.
    if of(Verdict::HarnessError) > 0 && judged + of(Verdict::Broken) > 0 {
        let why = facts.and_then(|facts| facts.harness_error.as_ref());
        results.push(PromiseResult {
            row,
            promise: None,
            outcome: Outcome::Error(why.unwrap_or(&row.why)),
        });
    }
    results
}

/// The findings that trials of this fault showed. An exploration reports a bug once, under the model
/// that showed it first, so the trials decide, and the report's entry of the same kind and promise
/// stands for theirs.
fn broken_under<'a>(
    report: &'a Report,
    facts: Option<&'a FaultFacts>,
    row: &FaultRow,
) -> Vec<&'a ReportedFinding> {
    let mut own: Vec<&ReportedFinding> = report
        .findings
        .iter()
        .filter(|finding| fault_name(finding) == row.fault)
        .collect();
    for seen in facts.into_iter().flat_map(|facts| &facts.findings) {
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
    /// The classes of failure that it covers and that were tried and measured.
    tested: BTreeSet<FailureClass>,
}

impl<'a> PromiseLine<'a> {
    fn of(promise: &'a Promise, outcome: Outcome<'a>) -> Self {
        Self {
            promise,
            outcome,
            broken_under: Vec::new(),
            kept_under: Vec::new(),
            tested: BTreeSet::new(),
        }
    }

    /// The classes of failure that were tried, in the order of the promise.
    pub(crate) fn tested(&self) -> Vec<FailureClass> {
        let all = self.promise.classes.iter().copied();
        all.filter(|class| self.tested.contains(class)).collect()
    }

    /// Those that it covers and that nothing was measured of.
    pub(crate) fn untested(&self) -> Vec<FailureClass> {
        let all = self.promise.classes.iter().copied();
        all.filter(|class| !self.tested.contains(class)).collect()
    }
}

/// Every promise, broken ones first, otherwise in the order in which the target makes them.
pub(crate) fn promises<'a>(report: &'a Report, facts: &'a Facts) -> Vec<PromiseLine<'a>> {
    let mut lines: Vec<PromiseLine<'_>> = report
        .target
        .promises
        .iter()
        .map(|promise| {
            let why = "no fault of this run is one that it covers";
            PromiseLine::of(promise, Outcome::Skipped(why))
        })
        .collect();
    for result in promise_results(report, facts) {
        let Some(promise) = result.promise else {
            continue;
        };
        let at = match lines.iter().position(|line| line.promise == promise) {
            Some(at) => at,
            None => {
                lines.push(PromiseLine::of(promise, Outcome::Skipped("")));
                lines.len() - 1
            }
        };
        let line = &mut lines[at];
        let measured = facts.faults.get(&result.row.fault);
        line.tested
            .extend(measured.iter().flat_map(|facts| &facts.measured_classes));
        match result.outcome {
            Outcome::Broken(_) => line.broken_under.push(&result.row.fault),
            Outcome::Kept => line.kept_under.push(&result.row.fault),
            _ => {}
        }
        let unknown = matches!(line.outcome, Outcome::Skipped(_));
        if unknown || result.outcome.gravity() > line.outcome.gravity() {
            line.outcome = result.outcome;
        }
    }
    lines.sort_by_key(|line| std::cmp::Reverse(line.outcome.gravity() == 3));
    lines
}
