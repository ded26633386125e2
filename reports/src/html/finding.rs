//! One finding: what was broken, how it came to it, and how to see it again.

use maud::{Markup, html};

use super::disk::disk;
use super::timeline::timeline;
use super::{linked, text};
use crate::card::{Card, CardLine, finding_name};
use crate::labels::{capital, count, kind_words, list};
use crate::trial::ReportedFinding;

/// The finding with this number, from 1; unfolded when `open`. Its address is its name (`#lost-ack-1`);
/// `#finding-1`, which it was before, leads to it as well.
pub(super) fn finding(number: usize, reported: &ReportedFinding, open: bool) -> Markup {
    let finding = &reported.finding;
    let evidence = reported.evidence.as_deref();
    let card = Card::of(reported);
    let name = finding_name(finding.kind, number);
    html! {
        article .finding id=(name) aria-labelledby={ (name) "-h" } {
            a id={ "finding-" (number) } {}
            details open[open] {
                summary {
                    span .no { (number) }
                    span .name {
                        h3 id={ (name) "-h" } {
                            (capital(kind_words(finding.kind)))
                            @if !card.subject.is_empty() { span .subject { ": " (card.subject) } }
                        }
                        span .gist aria-hidden="true" { (gist(reported)) }
                    }
                    span .times { (count(reported.count, "time")) }
                }
                (facts(&card, &name, reported))
                @if !card.replay.is_empty() { (command(number, &card.replay)) }
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
    let gist = match causes[..] {
        [] => return capital(&text(&reported.finding.sentence)),
        [one] if one.starts_with("at ") => format!("Died {one}"),
        _ => format!("Without {}", list(&causes)),
    };
    text(&format!("{gist}, under {}", reported.finding.fault))
}

fn command(id: usize, repeat: &str) -> Markup {
    html! {
        div .command {
            pre tabindex="0" role="group" aria-label="Command that repeats it" { code id={ "c" (id) } { (text(repeat)) } }
            button type="button" data-copy={ "c" (id) } hidden { "Copy" span .hidden { " the command of finding " (id) } }
        }
    }
}

/// The lines of the card, and where its artifact is.
fn facts(card: &Card, name: &str, reported: &ReportedFinding) -> Markup {
    let mut groups: Vec<(&str, Vec<&CardLine>)> = Vec::new();
    for line in &card.lines {
        match groups.last_mut() {
            Some((label, lines)) if *label == line.label => lines.push(line),
            _ => groups.push((line.label, vec![line])),
        }
    }
    let artifact = reported
        .evidence
        .as_ref()
        .and_then(|one| one.artifact.as_ref());
    html! {
        dl .facts {
            @for (label, lines) in &groups {
                div { dt { (capital(label)) } dd {
                    @for line in lines {
                        p {
                            (text(&line.text))
                            @if !line.source.is_empty() { " " span .quiet { "(" (linked(&line.source)) ")" } }
                        }
                    }
                } }
            }
            @if let Some(artifact) = artifact {
                div { dt { "Artifact" } dd { p { (file_link(artifact)) } } }
            }
            div { dt { "Address" } dd { p { a .alone href={ "#" (name) } { "#" (name) } } } }
        }
    }
}

/// The artifact's file: a link beside the page, where the name is one that a browser takes as a path.
fn file_link(artifact: &str) -> Markup {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./".contains(c);
    let name = text(artifact);
    html! {
        @if artifact.chars().all(plain) && !artifact.starts_with("//") {
            a .alone href=(artifact) { code { (name) } }
        } @else {
            code { (name) }
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
