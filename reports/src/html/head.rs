//! The head of the page: the verdict in plain words, and what was tested.

use maud::{Markup, html};

use super::{number, text};
use crate::conclusion::{Tone, closing, headline, tone};
use crate::facts::Facts;
use crate::labels::{count, duration_words, verdict_words};
use crate::promise_results::{Outcome, promises};
use crate::report::Report;

/// The page's title: the verdict first, because tabs are narrow.
pub(super) fn title(report: &Report) -> String {
    let verdict = match tone(report) {
        Tone::Neutral => "no finding",
        _ => verdict_words(report.verdict),
    };
    format!("{verdict} – {} – plugpull", text(&report.target.name))
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
    let all_tested = open == 0 && lines.iter().all(|line| line.untested().is_empty());
    let tone = tone(report);
    html! {
        header .banner.(class(tone)) {
            p .brand { "plugpull" }
            h1 {
                span .sign aria-hidden="true" { (sign(tone)) }
                span { (headline(report, broken, all_tested)) }
            }
            p .closing { (closing(report)) }
            @if report.interrupted {
                p .closing { "The run was ended before everything that was planned was tried." }
            }
            ul .tally {
                @if broken > 0 { li .bad { strong { (broken) } " broken" } }
                @if tone == Tone::Neutral {
                    li { strong { (kept) } " without a finding" }
                } @else {
                    li .good { strong { (kept) } " kept" }
                }
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
            @for warning in &report.warnings {
                div { dt { "Warning" } dd { (text(warning)) } }
            }
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

/// The class that colours the banner.
fn class(tone: Tone) -> &'static str {
    match tone {
        Tone::Good => "good",
        Tone::Bad => "bad",
        Tone::Open => "open",
        Tone::Neutral => "neutral",
    }
}

fn sign(tone: Tone) -> &'static str {
    match tone {
        Tone::Good => "✓",
        Tone::Bad => "✕",
        Tone::Open => "?",
        Tone::Neutral => "–",
    }
}
