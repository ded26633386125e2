//! The table of faults, as on a terminal.

use maud::{Markup, html};
use plugpull_workloads::Verdict;

use super::{number, text};
use crate::conclusion::{Tone, row_verdict, tone};
use crate::labels::{duration_words, verdict_words};
use crate::report::{FaultRow, Report};

/// The table; none where nothing was tried.
pub(super) fn section(report: &Report) -> Option<Markup> {
    if report.faults.is_empty() {
        return None;
    }
    let neutral = tone(report) == Tone::Neutral;
    Some(html! {
        div .scroll role="group" aria-label="Table of faults" tabindex="0" {
            table .faults {
                caption .hidden { "Faults, their trials and recovery times" }
                thead { tr {
                    th scope="col" { "Fault" }
                    th scope="col" { "Verdict" }
                    th .n scope="col" { "Trials" }
                    th .n scope="col" { "Hit" }
                    th .n scope="col" { "Median" }
                    th .n scope="col" { "99 %" }
                    th .n scope="col" { "Slowest" }
                } }
                tbody { @for row in &report.faults { (line(row, neutral)) } }
            }
        }
        @for row in report.faults.iter().filter(|row| !row.why.is_empty()) {
            p .note { strong { (text(&row.fault)) } ": " (verdict_words(row.verdict)) " – " (text(row.why.trim())) }
        }
    })
}

fn line(row: &FaultRow, neutral: bool) -> Markup {
    let time = |us| match row.recovery.count {
        0 => "–".to_string(),
        _ => duration_words(us),
    };
    html! {
        tr {
            th scope="row" { (text(&row.fault)) }
            td { span .badge.(class(row.verdict, neutral)) { (row_verdict(row.verdict, neutral)) } }
            td .n { (number(row.trials)) }
            td .n { (number(row.hit)) }
            td .n { (time(row.recovery.p50_us)) }
            td .n { (time(row.recovery.p99_us)) }
            td .n { (time(row.recovery.max_us)) }
        }
    }
}

/// The class that colours a verdict.
fn class(verdict: Verdict, neutral: bool) -> &'static str {
    match verdict {
        Verdict::Pass if neutral => "neutral",
        Verdict::Pass | Verdict::Detected => "good",
        Verdict::Broken => "bad",
        Verdict::NotApplicable
        | Verdict::NoPromise
        | Verdict::NotMeasured
        | Verdict::HarnessError => "open",
    }
}
