//! The table of promises: what was promised where, and whether it held.

use maud::{Markup, html};
use plugpull_workloads::FailureClass;

use super::{linked, text};
use crate::conclusion::{Tone, tone};
use crate::facts::Facts;
use crate::labels::{capital, guarantee_words, list};
use crate::promise_results::{Outcome, PromiseLine, promises};
use crate::report::Report;

/// The table; none where nothing was promised.
pub(super) fn section(report: &Report, facts: &Facts) -> Option<Markup> {
    let lines = promises(report, facts);
    if lines.is_empty() {
        return None;
    }
    let tone = tone(report);
    Some(html! {
        table .promises {
            caption .hidden { "What the target promises, with the source, and what became of it" }
            thead { tr {
                th scope="col" { "Promise" }
                th scope="col" { "Result" }
            } }
            tbody {
                @for line in &lines { (row(line, tone)) }
            }
        }
    })
}

fn row(line: &PromiseLine<'_>, tone: Tone) -> Markup {
    let promise = line.promise;
    let words = |classes: Vec<FailureClass>| -> Vec<&str> {
        classes.into_iter().map(FailureClass::label).collect()
    };
    let (tested, untested) = (words(line.tested()), words(line.untested()));
    html! {
        tr {
            th scope="row" {
                span .what { (capital(&guarantee_words(promise.guarantee))) }
                @if !tested.is_empty() { p .for { "After " (list(&tested)) } }
                @if !untested.is_empty() {
                    p .for { "Not tried: " (list(&untested)) }
                }
                @if promise.demanded {
                    p .source { "Demanded by --promise; the target itself does not promise it." }
                } @else {
                    @if !promise.words.is_empty() { q { (text(&promise.words)) } }
                    @if !promise.source.is_empty() { p .source { (linked(&promise.source)) } }
                }
            }
            td { (result(line, tone)) }
        }
    }
}

fn result(line: &PromiseLine<'_>, tone: Tone) -> Markup {
    html! {
        @match &line.outcome {
            Outcome::Broken(_) => {
                span .badge.bad { "✕ broken" }
                p { "under " (text(&list(&line.broken_under))) }
                @if !line.kept_under.is_empty() {
                    p .quiet { "kept under " (text(&list(&line.kept_under))) }
                }
            }
            Outcome::Kept => {
                @if tone == Tone::Neutral {
                    span .badge.neutral { "– no finding" }
                } @else {
                    span .badge.good { "✓ kept" }
                }
                p .quiet { "under " (text(&list(&line.kept_under))) }
            }
            Outcome::Skipped(why) => {
                span .badge.open { "– not measured" }
                p .quiet { (text(why)) }
            }
            Outcome::Error(why) => {
                span .badge.open { "! plugpull failed" }
                p .quiet { (text(why)) }
            }
        }
    }
}
