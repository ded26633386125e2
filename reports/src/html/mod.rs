//! The report as a page: one file that needs nothing else, to be looked at rather than read.
//!
//! Text and numbers go through `maud`, which escapes all that is not markup of ours. Horizontal
//! places in the drawings are percentages, so that a drawing fills whatever width there is and its
//! letters keep their size.

mod coverage;
mod disk;
mod faults;
mod finding;
mod findings;
mod growth;
mod head;
mod marks;
mod promises;
mod recovery;
mod recovery_growth;
mod scale;
mod syncs;
mod timeline;

use std::io;

use maud::{DOCTYPE, Markup, PreEscaped, html};

use crate::card::addresses;
use crate::facts::Facts;
use crate::labels::{clean, number};
use crate::render_finding::OBSERVED;
use crate::report::Report;

const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");

/// The page may load nothing from anywhere: all that it needs is in it.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; \
                      img-src data:; base-uri 'none'; form-action 'none'";

/// The report as one self-contained HTML file.
pub fn html(report: &Report) -> io::Result<String> {
    let facts = Facts::of(report)?;
    Ok(page(report, &facts)?.into_string())
}

fn page(report: &Report, facts: &Facts) -> io::Result<Markup> {
    let parts = parts(report, facts)?;
    Ok(html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta http-equiv="Content-Security-Policy" content=(POLICY);
                meta name="color-scheme" content="light dark";
                meta name="generator" content={ "plugpull " (report.plugpull) };
                title { (head::title(report)) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                a .skip href="#main" { "To the results" }
                (marks::patterns())
                (head::head(report, facts))
                nav aria-label="Sections" {
                    ul {
                        @for part in &parts {
                            li { a href={ "#" (part.id) } { (part.name) } }
                        }
                    }
                }
                main #main tabindex="-1" {
                    @for part in &parts {
                        section #(part.id) aria-labelledby={ (part.id) "-h" } {
                            h2 id={ (part.id) "-h" } { (part.name) }
                            (part.body)
                        }
                    }
                }
                footer {
                    p { "Made by plugpull " (report.plugpull) " from one JSON report of schema "
                        code { (report.schema) } ". This file loads nothing from anywhere." }
                }
                div #said role="status" aria-live="polite" {}
                script { (PreEscaped(SCRIPT)) }
            }
        }
    })
}

/// A section of the page.
struct Part {
    id: &'static str,
    name: &'static str,
    body: Markup,
}

/// The sections, in order; those that have nothing to say are left out.
fn parts(report: &Report, facts: &Facts) -> io::Result<Vec<Part>> {
    let part = |id, name, body: Option<Markup>| body.map(|body| Part { id, name, body });
    let parts = [
        part("promises", "Promises", promises::section(report, facts)),
        part("findings", "Findings", Some(findings::section(report))),
        part("observed", OBSERVED, findings::observed(report)),
        part("faults", "Faults", faults::section(report)),
        part("growth", "Growth", growth::section(report, facts)),
        part("syncs", "Syncs", syncs::section(report)),
        part("recovery", "Recovery", recovery::section(report, facts)?),
        part("coverage", "Coverage", coverage::section(report)),
    ];
    Ok(parts.into_iter().flatten().collect())
}

/// The source of a promise, with its addresses as links.
fn linked(source: &str) -> Markup {
    let source = text(source);
    html! {
        @for (word, is_address) in addresses(&source) {
            @if is_address { a href=(word) rel="noreferrer" { (word) } } @else { (word) }
        }
    }
}

/// Text from outside, on one line.
fn text(words: &str) -> String {
    clean(words)
}

/// A place in a drawing, in percent of its width.
fn percent(share: f64) -> String {
    format!("{:.2}%", (share * 100.0).clamp(0.0, 100.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_stays_in_the_drawing() {
        assert_eq!(
            [-1.0, 0.5, 7.0].map(percent),
            ["0.00%", "50.00%", "100.00%"]
        );
    }
}
