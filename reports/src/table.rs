//! What a person reads when a run has ended: the target, a table with a row for each fault, the
//! findings, and one closing sentence.

use std::io::{self, Write as _};

use comfy_table::{
    Attribute, Cell, CellAlignment, Color, ContentArrangement, LineStyle, Table, TableStyle,
};
use console::Style;
use plugpull_workloads::Verdict;

use crate::conclusion::{Tone, closing, row_verdict, tone};
use crate::labels::{SHOWN_FINDINGS, capital, clean, count, duration_words, list, verdict_words};
use crate::layout::Page;
use crate::render_coverage::render_coverage;
use crate::render_finding::{OUTPUT_LINES, render_finding, render_observed};
use crate::render_growth::render_growth;
use crate::render_sync_audit::render_sync_audit;
use crate::report::{FaultRow, Report};
use crate::reporter::Reporter;
use crate::style::Look;

/// Up to this many findings leave room for more of the target's output.
const FEW_FINDINGS: usize = 3;

/// The whole closing text, with a line end after every line. No line is longer than
/// `look.width`, but for a single word of a command ([`ReportedFinding::repeat`](crate::ReportedFinding::repeat)).
/// Without `look.colour` it holds no control codes.
pub fn render(report: &Report, look: Look) -> String {
    let mut page = Page::new(look);
    page.paragraph("", 2, &headline(report), None);
    if !report.faults.is_empty() {
        page.gap();
        let neutral = tone(report) == Tone::Neutral;
        for line in table_lines(&report.faults, neutral, look) {
            page.line(&line, None);
        }
    }
    if !report.warnings.is_empty() {
        page.gap();
    }
    for warning in &report.warnings {
        page.paragraph("", 2, &format!("Warning: {}", clean(warning)), None);
    }
    let notes = notes(report);
    if !notes.is_empty() {
        page.gap();
    }
    for note in notes {
        page.paragraph("", 2, &note, None);
    }
    let output_lines = OUTPUT_LINES[usize::from(report.findings.len() > FEW_FINDINGS)];
    for index in 0..report.findings.len().min(SHOWN_FINDINGS) {
        page.gap();
        render_finding(&mut page, &report.findings, index, output_lines);
    }
    let more = report.findings.len().saturating_sub(SHOWN_FINDINGS) as u64;
    if more > 0 {
        page.gap();
        page.paragraph(
            "",
            0,
            &format!("{} in the JSON report.", count(more, "more finding")),
            None,
        );
    }
    render_observed(&mut page, report);
    render_coverage(&mut page, report);
    render_growth(&mut page, report, look);
    render_sync_audit(&mut page, report, look);
    page.gap();
    let style = match tone(report) {
        Tone::Good => Style::new().green(),
        Tone::Bad => Style::new().red(),
        Tone::Open => Style::new().yellow(),
        Tone::Neutral => Style::new(),
    };
    page.paragraph("", 0, &closing(report), Some(style.bold()));
    page.finish()
}

/// `plugpull 0.1.0 · sqlite: SQLite 3.50.2, journal_mode=wal · seed 42`.
fn headline(report: &Report) -> String {
    let target = &report.target;
    let mut text = format!("plugpull {} · {}", report.plugpull, target.name);
    let mut separator = ": ";
    if !target.version.is_empty() {
        text.push_str(&format!(": {}", target.version));
        separator = ", ";
    }
    for (name, value) in &target.settings {
        let setting = format!("{name}={value}");
        // Most targets name their settings in their version already.
        if !target.version.contains(&setting) {
            text.push_str(&format!("{separator}{setting}"));
            separator = ", ";
        }
    }
    text.push_str(&format!(" · seed {}", report.seed));
    if let Some(shard) = &report.shard {
        text.push_str(&format!(" · shard {}", shard.name()));
    }
    if let Some(bound) = report.recovery_bound_us {
        text.push_str(&format!(" · recovery bound {}", duration_words(bound)));
    }
    clean(&text)
}

/// How a table may be built, roomiest first: spaces between columns, the word before the first
/// recovery time, and which recovery times are shown. The first that fits is taken.
const LAYOUTS: [(u16, &str, &[Time]); 6] = [
    (3, "recovery ", &[Time::P50, Time::P99, Time::Max]),
    (2, "recovery ", &[Time::P50, Time::P99, Time::Max]),
    (2, "", &[Time::P50, Time::P99, Time::Max]),
    (1, "", &[Time::P50, Time::P99, Time::Max]),
    (1, "", &[Time::P50, Time::Max]),
    (1, "", &[Time::Max]),
];

#[derive(Clone, Copy)]
enum Time {
    P50,
    P99,
    Max,
}

fn table_lines(rows: &[FaultRow], neutral: bool, look: Look) -> Vec<String> {
    let width = |line: &String| console::measure_text_width(line);
    for (gap, word, times) in LAYOUTS {
        let lines = lines_of(&table(rows, (neutral, look), gap, word, times));
        if lines.iter().map(width).max().unwrap_or(0) <= look.width {
            return lines;
        }
    }
    // Very narrow, or a very long name: cells break over lines.
    let mut table = table(rows, (neutral, look), 1, "", &[]);
    table
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_width(u16::try_from(look.width).unwrap_or(u16::MAX));
    lines_of(&table)
}

fn lines_of(table: &Table) -> Vec<String> {
    table
        .lines()
        .map(|line| line.trim_end().to_string())
        .collect()
}

fn table(
    rows: &[FaultRow],
    (neutral, look): (bool, Look),
    gap: u16,
    word: &str,
    times: &[Time],
) -> Table {
    let mut table = Table::new();
    // Width and colour are decided by the look alone.
    table.force_no_tty();
    if look.colour {
        table.enforce_styling().style_text_only();
    }
    table.load_style(TableStyle::new().header_separator(LineStyle::none().fill('─').junction('─')));
    let right = |text: String| Cell::new(text).set_alignment(CellAlignment::Right);
    let mut header = vec![
        Cell::new("fault"),
        right("trials".into()),
        right("hit".into()),
        Cell::new("verdict"),
    ];
    for (index, time) in times.iter().enumerate() {
        let name = match time {
            Time::P50 => "p50",
            Time::P99 => "p99",
            Time::Max => "max",
        };
        let word = if index == 0 { word } else { "" };
        header.push(right(format!("{word}{name}")));
    }
    table.set_header(header);
    for row in rows {
        let mut cells = vec![
            Cell::new(clean(&row.fault)),
            right(row.trials.to_string()),
            right(row.hit.to_string()),
            verdict_cell(row.verdict, neutral),
        ];
        for time in times {
            let us = match time {
                Time::P50 => row.recovery.p50_us,
                Time::P99 => row.recovery.p99_us,
                Time::Max => row.recovery.max_us,
            };
            let timed = row.recovery.count > 0;
            cells.push(right(if timed {
                duration_words(us)
            } else {
                "–".into()
            }));
        }
        table.add_row(cells);
    }
    let last = table.column_count().saturating_sub(1);
    for (index, column) in table.column_iter_mut().enumerate() {
        column.set_padding((0, if index == last { 0 } else { gap }));
    }
    table
}

fn verdict_cell(verdict: Verdict, neutral: bool) -> Cell {
    // comfy-table's "dark" colours are the eight plain ones, which follow the user's theme.
    let cell = Cell::new(row_verdict(verdict, neutral));
    match verdict {
        Verdict::Pass if neutral => cell,
        Verdict::Pass => cell.fg(Color::DarkGreen),
        Verdict::Broken => cell.fg(Color::DarkRed).add_attribute(Attribute::Bold),
        Verdict::NotMeasured | Verdict::HarnessError => cell.fg(Color::DarkYellow),
        Verdict::Detected | Verdict::NoPromise | Verdict::NotApplicable => cell,
    }
}

/// Why rows have no plain verdict, one note for all faults with the same verdict and reason.
fn notes(report: &Report) -> Vec<String> {
    let mut groups: Vec<(Verdict, &str, Vec<&str>)> = Vec::new();
    for row in report.faults.iter().filter(|row| !row.why.is_empty()) {
        match groups
            .iter_mut()
            .find(|(v, why, _)| *v == row.verdict && *why == row.why)
        {
            Some((.., names)) => names.push(&row.fault),
            None => groups.push((row.verdict, &row.why, vec![&row.fault])),
        }
    }
    groups.sort_by_key(|(verdict, ..)| std::cmp::Reverse(*verdict));
    let mut notes: Vec<String> = groups
        .into_iter()
        .map(|(verdict, why, names)| {
            let verdict = capital(verdict_words(verdict));
            clean(&format!("{verdict}: {} – {}", list(&names), why.trim()))
        })
        .collect();
    if report.interrupted {
        notes.push("The run was ended before every fault was tried.".into());
    }
    notes
}

/// Prints the closing text on standard output when the run has ended. Must come after
/// [`crate::Progress`] among the reporters, which clears its line first.
#[derive(Clone, Copy, Debug, Default)]
pub struct TableReporter;

impl Reporter for TableReporter {
    fn finish(&mut self, report: &Report) -> io::Result<()> {
        let mut out = io::stdout().lock();
        out.write_all(render(report, Look::of_stdout()).as_bytes())?;
        out.flush()
    }
}
