//! Annotations for GitHub: lines on standard output that a job's page shows as errors, warnings
//! and notices.
//!
//! The form and its escapes are those of "Workflow commands for GitHub Actions"
//! (docs.github.com) and of `packages/core/src/command.ts` in actions/toolkit.

use std::io;

use plugpull_workloads::Verdict;

use crate::card::Card;
use crate::conclusion::{Tone, closing, tone};
use crate::labels::SHOWN_FINDINGS;
use crate::labels::{capital, clean, count, kind_words, verdict_words};
use crate::layout::defused;
use crate::report::{FaultRow, Report};
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

/// Its headline, what was lost, what makes it go, and how to see it again.
fn message(reported: &ReportedFinding) -> String {
    const LABELS: [&str; 6] = [
        "found",
        "lost on disk",
        "not synced",
        "read back",
        "fix, verified",
        "fix",
    ];
    let card = Card::of(reported);
    let mut lines = vec![card.subject.clone()];
    let texts = card.texts(&LABELS).into_iter();
    lines.extend(texts.map(|line| match line.label {
        "found" => line.whole(),
        label => format!("{label}: {}", line.whole()),
    }));
    if !card.replay.is_empty() {
        lines.push(format!("{}: {}", card.replay_label(), card.replay));
    }
    lines.retain(|line| !line.is_empty());
    lines.join("\n")
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
