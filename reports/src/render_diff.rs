//! A comparison, on a terminal.

use comfy_table::{Cell, CellAlignment, LineStyle, Table, TableStyle};
use console::Style;

use crate::compare::{Comparison, RecoveryChange, Trend};
use crate::labels::{capital, clean, count, duration_words, kind_words, list};
use crate::layout::Page;
use crate::style::Look;
use crate::trial::ReportedFinding;

/// The comparison in sentences and a table, with a line end after every line.
pub fn render_comparison(comparison: &Comparison, look: Look) -> String {
    let mut page = Page::new(look);
    findings(&mut page, "New", &comparison.new, true);
    findings(&mut page, "Gone", &comparison.gone, false);
    findings(&mut page, "Still there", &comparison.known, false);
    if !comparison.recovery.is_empty() {
        for line in table(&comparison.recovery).lines() {
            page.line(line.trim_end(), None);
        }
        page.gap();
    }
    if !comparison.unmeasured.is_empty() {
        let names: Vec<&str> = comparison.unmeasured.iter().map(String::as_str).collect();
        let words = format!("Measured before and not now: {}.", list(&names));
        page.paragraph("", 2, &clean(&words), None);
        page.gap();
    }
    let style = match comparison.worse() {
        true => Style::new().red(),
        false => Style::new().green(),
    };
    page.paragraph("", 0, &verdict(comparison), Some(style.bold()));
    page.finish()
}

fn findings(page: &mut Page, word: &str, all: &[ReportedFinding], in_full: bool) {
    if all.is_empty() {
        return;
    }
    let style = Style::new().bold();
    let head = format!("{word}: {}", count(all.len() as u64, "finding"));
    page.paragraph("", 0, &head, Some(style));
    for one in all {
        let kind = capital(kind_words(one.finding.kind));
        let line = format!("{kind} under {}", one.finding.fault);
        page.paragraph("  - ", 0, &clean(&line), None);
        if in_full {
            page.paragraph("    ", 0, &clean(&one.finding.sentence), None);
            if !one.repeat.is_empty() {
                page.command("    ", &clean(&one.repeat));
            }
        }
    }
    page.gap();
}

fn table(changes: &[RecoveryChange]) -> Table {
    let mut table = Table::new();
    table.force_no_tty();
    table.load_style(TableStyle::new().header_separator(LineStyle::none().fill('─').junction('─')));
    let right = |text: String| Cell::new(text).set_alignment(CellAlignment::Right);
    table.set_header(vec![
        Cell::new("fault"),
        right("trials".into()),
        right("before".into()),
        right("now".into()),
        right("ratio".into()),
        Cell::new("recovery"),
    ]);
    for change in changes {
        let trend = match change.trend {
            Trend::Slower => format!("slower, p {}", chance(change.chance)),
            Trend::Faster => format!("faster, p {}", chance(change.chance)),
            Trend::Same => "no change beyond luck".into(),
            Trend::TooFew => "too few trials".into(),
        };
        table.add_row(vec![
            Cell::new(clean(&change.fault)),
            right(format!("{}/{}", change.trials.0, change.trials.1)),
            right(duration_words(change.medians.0)),
            right(duration_words(change.medians.1)),
            right(format!("{:.2}", ratio(change))),
            Cell::new(trend),
        ]);
    }
    for (index, column) in table.column_iter_mut().enumerate() {
        column.set_padding((0, if index == 5 { 0 } else { 2 }));
    }
    table
}

fn ratio(change: &RecoveryChange) -> f64 {
    change.medians.1 as f64 / change.medians.0.max(1) as f64
}

/// A chance, as papers write it.
fn chance(p: f64) -> String {
    if p < 0.0001 {
        "< 0.0001".into()
    } else {
        format!("= {p:.4}")
    }
}

/// The comparison in one or two sentences.
fn verdict(comparison: &Comparison) -> String {
    let mut parts = Vec::new();
    if !comparison.new.is_empty() {
        parts.push(count(comparison.new.len() as u64, "new finding"));
    }
    let slower: Vec<&str> = comparison.slower().map(|c| c.fault.as_str()).collect();
    if !slower.is_empty() {
        parts.push(format!("recovery is slower under {}", list(&slower)));
    }
    if parts.is_empty() {
        return "Nothing became worse.".into();
    }
    clean(&format!("Worse: {}.", parts.join("; ")))
}
