//! The files of a crashed data directory, each as a bar with its damaged ranges.

use maud::{Markup, html};

use super::{number, percent, text};
use crate::evidence::{CrashedFile, Damage, Evidence, Fate};
use crate::labels::count;

/// So many ranges of a file are named.
const NAMED: usize = 6;
/// So many bytes stand on a line.
const ROW: usize = 8;
/// No range is drawn narrower than this share of the bar: one torn sector of a gigabyte is news.
const NARROWEST: f64 = 0.008;

/// The files; nothing where nothing is known of them.
pub(super) fn disk(evidence: &Evidence) -> Markup {
    if evidence.files.is_empty() {
        return html! {};
    }
    let (damaged, whole): (Vec<&CrashedFile>, Vec<&CrashedFile>) = evidence
        .files
        .iter()
        .partition(|file| file.missing || !file.damage.is_empty());
    let others = whole.len() as u64 + evidence.files_left_out;
    html! {
        h4 { "The crashed data directory" }
        @if !evidence.damaged.is_empty() {
            p { "The fault damaged it at rest: " (text(&evidence.damaged)) "." }
        } @else if damaged.is_empty() {
            p .quiet { "Every byte that was written is there." }
        }
        @if !damaged.is_empty() {
            ul .files { @for file in damaged { li { (bar(file)) } } }
        }
        @if others > 0 {
            details {
                summary { (count(others, "file")) " without damage" }
                ul .names {
                    @for file in whole { li { (text(&file.path)) span .quiet { " " (number(file.size)) " bytes" } } }
                    @if evidence.files_left_out > 0 {
                        li .quiet { "and " (number(evidence.files_left_out)) " more" }
                    }
                }
            }
        }
    }
}

fn bar(file: &CrashedFile) -> Markup {
    let end = file.damage.iter().map(|d| d.offset.saturating_add(d.len));
    let whole = end.max().unwrap_or(0).max(file.size).max(1);
    let share = |bytes: u64| bytes as f64 / whole as f64;
    html! {
        p .file {
            strong { (text(&file.path)) }
            @if file.missing {
                span .badge.bad { "✕ its name is lost" }
            } @else {
                span .quiet { " " (number(file.size)) " bytes" }
            }
        }
        @if !file.damage.is_empty() {
            svg .bar role="img" aria-label={ "Damage of " (text(&file.path)) ": " (describe(file)) } width="100%" height="28" {
                title { (describe(file)) }
                rect .there x="0" y="4" width=(percent(share(file.size))) height="20" {}
                @if file.size < whole {
                    rect .beyond x=(percent(share(file.size))) y="4" width=(percent(1.0 - share(file.size))) height="20" {}
                }
                @for damage in &file.damage { (range(damage, &share)) }
            }
            p .quiet { (describe(file)) }
            @for damage in &file.damage { (bytes(damage)) }
        }
    }
}

fn range(damage: &Damage, share: &dyn Fn(u64) -> f64) -> Markup {
    let width = share(damage.len).max(NARROWEST);
    let from = share(damage.offset).min(1.0 - width);
    let class = match damage.fate {
        Fate::Torn => "torn",
        _ => "lost",
    };
    html! {
        rect .range.(class) x=(percent(from)) y="1" width=(percent(width)) height="26" {
            title { (one(damage)) }
        }
    }
}

/// The first bytes of a range, as they were written beside those that are there; folded.
fn bytes(damage: &Damage) -> Markup {
    let (expected, found) = (pairs(&damage.expected), pairs(&damage.found));
    if expected.is_empty() {
        return html! {};
    }
    let shown = expected.len() as u64;
    let first = match shown < damage.len {
        true => format!("the first {} of {}", number(shown), one(damage)),
        false => one(damage),
    };
    html! {
        details .bytes {
            summary { "Bytes: " (first) }
            div .scroll role="group" aria-label="Bytes that were written and that are there" tabindex="0" {
                table .hex {
                    thead { tr {
                        th .n scope="col" { "Offset" }
                        th scope="col" { "Written" }
                        th scope="col" { "There after the crash" }
                    } }
                    tbody {
                        @for (row, wanted) in expected.chunks(ROW).enumerate() {
                            tr {
                                th .n scope="row" { (number(damage.offset + (row * ROW) as u64)) }
                                td { code { (wanted.join(" ")) } }
                                td { code {
                                    @for (at, byte) in wanted.iter().enumerate() {
                                        @let there = found.get(row * ROW + at).copied().unwrap_or("--");
                                        @if at > 0 { " " }
                                        @if there == *byte { (there) } @else { mark { (there) } }
                                    }
                                } }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// Hexadecimal, byte by byte; none of what is not hexadecimal.
fn pairs(hex: &str) -> Vec<&str> {
    if !hex.bytes().all(|c| c.is_ascii_hexdigit()) {
        return Vec::new();
    }
    let bytes = (0..hex.len() / 2).map(|at| &hex[2 * at..2 * at + 2]);
    bytes.collect()
}

fn one(damage: &Damage) -> String {
    format!(
        "{} bytes at {} {}",
        number(damage.len),
        number(damage.offset),
        damage.fate.label()
    )
}

fn describe(file: &CrashedFile) -> String {
    let mut parts: Vec<String> = file.damage.iter().take(NAMED).map(one).collect();
    if file.damage.len() > NAMED {
        parts.push(count((file.damage.len() - NAMED) as u64, "more range"));
    }
    let mut text = parts.join("; ");
    let end = file.damage.iter().map(|d| d.offset.saturating_add(d.len));
    if !file.missing && end.max().unwrap_or(0) > file.size {
        text.push_str(&format!("; the file ends at {}", number(file.size)));
    }
    text
}
