//! One finding: what was broken, how it came to it, and how to see it again.

use maud::{Markup, html};

use super::disk::disk;
use super::text;
use super::timeline::timeline;
use crate::diagnosis::Diagnosis;
use crate::labels::{capital, count, guarantee_words, kind_words, list};
use crate::trial::ReportedFinding;

/// The finding with this number, from 1; unfolded when `open`.
pub(super) fn finding(number: usize, reported: &ReportedFinding, open: bool) -> Markup {
    let finding = &reported.finding;
    let evidence = reported.evidence.as_deref();
    html! {
        article .finding id={ "finding-" (number) } aria-labelledby={ "finding-" (number) "-h" } {
            details open[open] {
                summary {
                    span .no { (number) }
                    span .name {
                        h3 id={ "finding-" (number) "-h" } {
                            (capital(kind_words(finding.kind))) " under " (text(&finding.fault))
                        }
                        span .gist aria-hidden="true" { (gist(reported)) }
                    }
                    span .times { (count(reported.count, "time")) }
                }
                p .sentence { (capital(&text(&finding.sentence))) }
                @if let Some(tries) = reported.evidence.as_ref().and_then(|one| one.tries) {
                    p .quiet { "Tried again: " (tries.describe()) "." }
                }
                @if !reported.repeat.is_empty() { (command(number, &reported.repeat)) }
                (facts(reported))
                @if let Some(evidence) = evidence {
                    @if !evidence.unrecorded.is_empty() { p .quiet { (text(&evidence.unrecorded)) } }
                    (timeline(evidence, number, finding.ack))
                    (disk(evidence))
                }
                (output(&reported.output))
            }
        }
    }
}

/// What tells it from others of its kind on one line while it is folded: what was missing, or how its
/// sentence begins.
fn gist(reported: &ReportedFinding) -> String {
    let cause = reported.evidence.iter().flat_map(|e| &e.cause);
    let causes: Vec<&str> = cause.map(String::as_str).collect();
    match causes[..] {
        [] => capital(&text(&reported.finding.sentence)),
        [one] if one.starts_with("at ") => text(&format!("Died {one}")),
        _ => text(&format!("Without {}", list(&causes))),
    }
}

fn command(id: usize, repeat: &str) -> Markup {
    html! {
        div .command {
            pre tabindex="0" role="group" aria-label="Command that repeats it" { code id={ "c" (id) } { (text(repeat)) } }
            button type="button" data-copy={ "c" (id) } hidden { "Copy" span .hidden { " the command of finding " (id) } }
        }
    }
}

fn facts(reported: &ReportedFinding) -> Markup {
    let finding = &reported.finding;
    let promise = &finding.promise;
    let models: Vec<&str> = reported
        .evidence
        .iter()
        .flat_map(|evidence| evidence.models.iter().map(String::as_str))
        .collect();
    let diagnosis = reported.evidence.iter().flat_map(|one| &one.diagnosis);
    html! {
        dl .facts {
            div { dt { "Promise" } dd {
                (capital(&guarantee_words(promise.guarantee)))
                @if promise.demanded {
                    ". Demanded by --promise: the target itself does not promise it."
                } @else {
                    @if !promise.words.is_empty() { ". " q { (text(&promise.words)) } }
                    @if !promise.source.is_empty() { " " span .quiet { (text(&promise.source)) } }
                }
            } }
            @for (label, words) in diagnosis.flat_map(Diagnosis::lines) {
                div { dt { (label) } dd { (capital(&text(&words))) } }
            }
            @if !models.is_empty() {
                div { dt { "Models that allow it" } dd { (text(&list(&models))) } }
            }
            @for (label, line) in reported.evidence.iter().flat_map(|evidence| evidence.makers()) {
                div { dt { (label) } dd { (text(&line)) } }
            }
            @if let Some(artifact) = reported.evidence.as_ref().and_then(|e| e.artifact.as_ref()) {
                div { dt { "Artifact" } dd { code { (text(artifact)) } } }
            }
        }
    }
}

fn output(lives: &[String]) -> Markup {
    let said: Vec<(usize, &String)> = lives
        .iter()
        .enumerate()
        .filter(|(_, life)| !life.trim().is_empty())
        .collect();
    html! {
        @if !said.is_empty() {
            details {
                summary { "What the target said" }
                @for (life, words) in said {
                    h4 { @if life == 0 { "First start" } @else { "Restart " (life) } }
                    pre .output tabindex="0" role="group" aria-label="Output of the target" {
                        @for line in words.lines() { (text(line)) "\n" }
                    }
                }
            }
        }
    }
}
