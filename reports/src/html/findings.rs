//! The findings, grouped by kind where there are many.

use maud::{Markup, html};
use plugpull_workloads::FindingKind;

use super::finding::finding;
use crate::identity::fault_name;
use crate::labels::{capital, count, kind_words, list};
use crate::render_finding::describe_observed;
use crate::report::Report;
use crate::trial::ReportedFinding;

/// Up to so many findings stand side by side; more are folded away by kind.
const FEW: usize = 8;
/// So many are unfolded when the page is opened.
const OPEN: usize = 2;

/// The section. It says so when there is none.
pub(super) fn section(report: &Report) -> Markup {
    let numbered: Vec<(usize, &ReportedFinding)> = (1..).zip(&report.findings).collect();
    html! {
        @if numbered.is_empty() {
            p .none { "No promise was broken in what was tried." }
        } @else if numbered.len() <= FEW {
            @for (number, one) in &numbered { (finding(*number, one, *number <= OPEN)) }
        } @else {
            @let groups = groups(&numbered);
            p { (summary(report)) }
            (contents(&groups))
            @for (index, (kind, group)) in groups.into_iter().enumerate() {
                details .group open[index == 0] {
                    summary #{ "kind-" (index + 1) } { h3 { (capital(kind_words(kind))) } span .times { (count(group.len() as u64, "finding")) } }
                    @for (place, (number, one)) in group.iter().enumerate() {
                        (finding(*number, one, index == 0 && place == 0))
                    }
                }
            }
        }
    }
}

fn summary(report: &Report) -> String {
    let mut names: Vec<&str> = Vec::new();
    for reported in &report.findings {
        let name = fault_name(reported);
        if !names.contains(&name) {
            names.push(name);
        }
    }
    format!(
        "{} under {}, grouped by what was seen; worst first.",
        count(report.findings.len() as u64, "finding"),
        super::text(&list(&names))
    )
}

/// The kinds with links to them, and where scripts run a field that leaves only what one looks for.
fn contents(groups: &[KindGroup<'_>]) -> Markup {
    html! {
        ul .contents aria-label="Kinds of findings" {
            @for (index, (kind, group)) in groups.iter().enumerate() {
                li {
                    a href={ "#kind-" (index + 1) } { (capital(kind_words(*kind))) }
                    " " span .quiet { (group.len()) }
                }
            }
        }
        p .tools {
            label data-find="findings" hidden {
                "Only those with "
                input type="search" placeholder="a file, a fault, a word" {}
            }
            button type="button" data-unfold="findings" hidden { "Unfold all" }
        }
    }
}

type KindGroup<'a> = (FindingKind, Vec<(usize, &'a ReportedFinding)>);

/// By kind, in the order of the report, which is that of gravity.
fn groups<'a>(numbered: &[(usize, &'a ReportedFinding)]) -> Vec<KindGroup<'a>> {
    let mut groups: Vec<KindGroup<'a>> = Vec::new();
    for (number, one) in numbered {
        match groups.iter_mut().find(|(k, _)| *k == one.finding.kind) {
            Some((_, group)) => group.push((*number, one)),
            None => groups.push((one.finding.kind, vec![(*number, one)])),
        }
    }
    groups
}

/// What was seen that no promise forbids; none where nothing was.
pub(super) fn observed(report: &Report) -> Option<Markup> {
    let all = describe_observed(report);
    (!all.is_empty()).then(|| {
        html! {
            p .note { "No promise forbids what follows, so it breaks none." }
            ul { @for sentence in &all { li { (sentence) } } }
        }
    })
}
