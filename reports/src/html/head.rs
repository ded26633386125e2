//! The head of the page: the verdict in plain words, and what was tested.

use maud::{Markup, html};
use plugpull_workloads::Verdict;

use super::{number, text};
use crate::facts::Facts;
use crate::labels::{count, duration_words, verdict_words};
use crate::promise_results::{Outcome, promises};
use crate::report::Report;
use crate::table::closing;

/// The page's title: the verdict first, because tabs are narrow.
pub(super) fn title(report: &Report) -> String {
    format!(
        "{} – {} – plugpull",
        verdict_words(report.verdict),
        text(&report.target.name)
    )
}

/// The banner.
pub(super) fn head(report: &Report, facts: &Facts) -> Markup {
    let lines = promises(report, facts);
    let of = |wanted: fn(&Outcome<'_>) -> bool| -> u64 {
        lines.iter().filter(|line| wanted(&line.outcome)).count() as u64
    };
    let broken = of(|outcome| matches!(outcome, Outcome::Broken(_)));
    let kept = of(|outcome| matches!(outcome, Outcome::Kept));
    let open = lines.len() as u64 - broken - kept;
    html! {
        header .banner.(tone(report.verdict)) {
            p .brand { "plugpull" }
            h1 {
                span .sign aria-hidden="true" { (sign(report.verdict)) }
                span { (headline(report, broken)) }
            }
            p .closing { (closing(report)) }
            @if report.interrupted {
                p .closing { "The run was ended before everything that was planned was tried." }
            }
            ul .tally {
                @if broken > 0 { li .bad { strong { (broken) } " broken" } }
                li .good { strong { (kept) } " kept" }
                @if open > 0 { li .open { strong { (open) } " not measured" } }
                li { strong { (number(report.trials)) } " " (noun(report.trials)) }
                li { strong { (duration_words(report.took_us)) } }
            }
            (summary(report))
        }
    }
}

fn noun(trials: u64) -> &'static str {
    if trials == 1 { "trial" } else { "trials" }
}

fn summary(report: &Report) -> Markup {
    let target = &report.target;
    html! {
        dl .facts {
            div { dt { "Target" } dd { strong { (text(&target.name)) }
                @if !target.version.is_empty() { ": " (text(&target.version)) } } }
            @if !target.settings.is_empty() {
                div { dt { "Settings" } dd {
                    @for (name, value) in &target.settings {
                        code { (text(name)) "=" (text(value)) } " "
                    }
                } }
            }
            div { dt { "Seed" } dd { code { (report.seed) } } }
            @if let Some(shard) = &report.shard {
                div { dt { "Shard" } dd { (shard.name()) } }
            }
            @if let Some(bound) = report.recovery_bound_us {
                div { dt { "Recovery bound" } dd { (duration_words(bound)) } }
            }
            @if let Some(merged) = report.merged {
                div { dt { "Merged from" } dd { (count(merged, "report")) } }
            }
        }
    }
}

fn headline(report: &Report, broken: u64) -> String {
    let name = text(&report.target.name);
    match report.verdict {
        Verdict::Broken => match broken.max(1) {
            1 => format!("{name} broke a promise"),
            n => format!("{name} broke {n} promises"),
        },
        Verdict::Pass => format!("{name} kept every promise"),
        Verdict::HarnessError => "No verdict: plugpull itself failed".into(),
        _ => "No verdict: not everything was measured".into(),
    }
}

/// The class that colours the banner.
fn tone(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Pass | Verdict::Detected => "good",
        Verdict::Broken => "bad",
        Verdict::NotApplicable
        | Verdict::NoPromise
        | Verdict::NotMeasured
        | Verdict::HarnessError => "open",
    }
}

fn sign(verdict: Verdict) -> &'static str {
    match tone(verdict) {
        "good" => "✓",
        "bad" => "✕",
        _ => "?",
    }
}
