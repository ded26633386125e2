//! Annotations for GitHub: lines on standard output that a job's page shows as errors, warnings
//! and notices.
//!
//! The form and its escapes are those of "Workflow commands for GitHub Actions"
//! (docs.github.com) and of `packages/core/src/command.ts` in actions/toolkit.

use std::io;

use plugpull_workloads::Verdict;

use crate::conclusion::{Tone, closing, tone};
use crate::labels::{capital, clean, count, kind_words, verdict_words};
use crate::layout::defused;
use crate::report::{FaultRow, Report};
use crate::table::SHOWN_FINDINGS;
use crate::trial::ReportedFinding;

/// The annotations, a line each: an error for each finding, a warning for each fault that was not
/// measured or in which plugpull failed, a notice for a promise that does not exist. A job's page
/// shows ten errors a step, so those beyond are one line together.
pub fn annotations(report: &Report) -> io::Result<String> {
    let mut lines = String::new();
    let mut say = |level: &str, title: &str, message: &str| {
        lines.push_str(&format!(
            "::{level} title={}::{}\n",
            property(title),
            data(&defused(message))
        ));
    };
    let all = report.findings.len();
    let shown = match all {
        0..=SHOWN_FINDINGS => all,
        _ => SHOWN_FINDINGS - 1,
    };
    for finding in &report.findings[..shown] {
        say("error", &title(finding), &message(finding));
    }
    if all > shown {
        let more = count((all - shown) as u64, "more finding");
        say("error", &more, "The report has all of them.");
    }
    for row in &report.faults {
        let level = match row.verdict {
            Verdict::NotMeasured | Verdict::HarnessError => "warning",
            Verdict::NotApplicable | Verdict::NoPromise => "notice",
            Verdict::Pass | Verdict::Detected | Verdict::Broken => continue,
        };
        let verdict = capital(verdict_words(row.verdict));
        say(level, &format!("{verdict}: {}", row.fault), why(row));
    }
    if report.coverage.is_some() && tone(report) != Tone::Good {
        say("notice", "Coverage", &closing(report));
    }
    Ok(lines)
}

fn title(reported: &ReportedFinding) -> String {
    format!(
        "{} under {}",
        capital(kind_words(reported.finding.kind)),
        reported.finding.fault
    )
}

fn message(reported: &ReportedFinding) -> String {
    let mut text = clean(&reported.finding.sentence);
    let evidence = reported.evidence.as_ref();
    if let Some(diagnosis) = evidence.and_then(|one| one.diagnosis.as_ref()) {
        text.push_str(&format!("\n{}", diagnosis.text()));
    }
    if !reported.repeat.is_empty() {
        text.push_str(&format!("\nRepeat: {}", clean(&reported.repeat)));
    }
    text
}

fn why(row: &FaultRow) -> &str {
    match row.why.is_empty() {
        true => "no reason is known",
        false => &row.why,
    }
}

/// A message, escaped. What is no line end of ours was cleaned away or is escaped here, so that
/// nothing from outside can start a command of its own.
fn data(text: &str) -> String {
    text.replace('%', "%25")
        .replace('\r', "%0D")
        .replace('\n', "%0A")
}

/// A property's value, escaped.
fn property(text: &str) -> String {
    data(&defused(&clean(text)))
        .replace(':', "%3A")
        .replace(',', "%2C")
}
