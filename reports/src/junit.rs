//! The report as JUnit XML: a suite a fault, a test case for each promise that it puts to the
//! test, so that the page of a CI run shows what broke.

use std::io;
use std::time::Duration;

use plugpull_workloads::{Promise, Verdict};
use quick_junit::{NonSuccessKind, Report as Junit, TestCase, TestCaseStatus, TestSuite};

use crate::card::Card;
use crate::conclusion::reach;
use crate::facts::Facts;
use crate::labels::{clean, guarantee_words, kind_words, verdict_words};
use crate::promise_results::{Outcome, PromiseResult, promise_results};
use crate::report::Report;
use crate::trial::ReportedFinding;

/// The report as JUnit XML.
///
/// A broken promise is a `failure` with each finding's sentence and the command that repeats it; a
/// promise that could not be judged is `skipped` with the reason; a failure of plugpull itself is
/// an `error`. The time of a test case is that of all trials of its fault, shared out evenly.
pub fn junit(report: &Report) -> io::Result<String> {
    let mut junit = Junit::new(format!("plugpull {}", clean(&report.target.name)));
    junit.set_time(Duration::from_micros(report.took_us));
    let facts = Facts::of(report)?;
    let all = promise_results(report, &facts);
    for row in &report.faults {
        let own: Vec<&PromiseResult<'_>> = all
            .iter()
            .filter(|one| one.row.fault == row.fault)
            .collect();
        let took = facts
            .faults
            .get(&row.fault)
            .map_or(0, |fault| fault.took_us);
        let share = Duration::from_micros(took / own.len().max(1) as u64);
        let mut suite = TestSuite::new(clean(&row.fault));
        suite.set_time(Duration::from_micros(took));
        suite.add_property(("seed", report.seed.to_string().as_str()));
        suite.add_property(("target", clean(&report.target.version).as_str()));
        if let Some(shard) = &report.shard {
            suite.add_property(("shard", shard.name().as_str()));
        }
        suite.add_property(("verdict", verdict_words(row.verdict)));
        for warning in &report.warnings {
            suite.add_property(("warning", clean(warning).as_str()));
        }
        if let Some(reach) = reach(report) {
            suite.add_property(("coverage", reach.as_str()));
        }
        for case in own {
            let mut test = TestCase::new(name(case), status(case));
            test.set_classname(format!(
                "plugpull.{}.{}",
                clean(&report.target.name),
                clean(&row.fault)
            ));
            test.set_time(share);
            if let Outcome::Broken(findings) = &case.outcome {
                let output = output(findings);
                if !output.is_empty() {
                    test.set_system_out(output);
                }
            }
            suite.add_test_case(test);
        }
        junit.add_test_suite(suite);
    }
    let text = junit.to_string().map_err(io::Error::other)?;
    Ok(text)
}

fn name(case: &PromiseResult<'_>) -> String {
    match (case.promise, &case.outcome) {
        (Some(promise), _) => promise_name(promise),
        (None, Outcome::Error(_)) => "plugpull itself".into(),
        (None, _) => "all promises".into(),
    }
}

fn promise_name(promise: &Promise) -> String {
    let words = guarantee_words(promise.guarantee);
    match promise.demanded {
        true => format!("{words} (demanded)"),
        false => words,
    }
}

fn status(case: &PromiseResult<'_>) -> TestCaseStatus {
    match &case.outcome {
        Outcome::Kept => TestCaseStatus::success(),
        Outcome::Skipped(why) => {
            let mut status = TestCaseStatus::skipped();
            let word = match case.row.verdict {
                Verdict::NotApplicable => "not applicable",
                Verdict::NoPromise => "no promise",
                _ => "not measured",
            };
            status.set_message(format!("{word}: {}", clean(why)));
            status
        }
        Outcome::Error(why) => {
            let mut status = TestCaseStatus::non_success(NonSuccessKind::Error);
            status.set_type("harness-error");
            status.set_message(format!("plugpull itself failed: {}", clean(why)));
            status
        }
        Outcome::Broken(findings) => {
            let mut status = TestCaseStatus::non_success(NonSuccessKind::Failure);
            if let Some(first) = findings.first() {
                status.set_type(kind_words(first.finding.kind));
                status.set_message(clean(&first.finding.sentence));
            }
            let all: Vec<String> = findings.iter().map(|one| describe(one)).collect();
            status.set_description(all.join("\n\n"));
            status
        }
    }
}

fn describe(reported: &ReportedFinding) -> String {
    Card::of(reported).text()
}

/// What the target wrote in its lives, of the first finding that has any.
fn output(findings: &[&ReportedFinding]) -> String {
    let lives = findings
        .iter()
        .map(|finding| &finding.output)
        .find(|lives| lives.iter().any(|life| !life.trim().is_empty()));
    let lines = lives.into_iter().flatten().flat_map(|life| life.lines());
    lines.map(clean).collect::<Vec<_>>().join("\n")
}
