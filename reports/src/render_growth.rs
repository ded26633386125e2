//! How recovery grows, on a terminal: a row for each size, and what is made of them.

use comfy_table::{Cell, CellAlignment, LineStyle, Table, TableStyle};

use crate::facts::Facts;
use crate::growth::sentences::{bytes_words, sentences, size_words};
use crate::growth::{Growth, GrowthSize, SizeUnit};
use crate::labels::{clean, duration_words, number};
use crate::layout::Page;
use crate::report::Report;
use crate::style::Look;

/// Writes the growth; nothing for a report without one.
pub(crate) fn render_growth(page: &mut Page, report: &Report, look: Look) {
    let Some(growth) = &report.growth else {
        return;
    };
    page.gap();
    for line in lines(growth, look) {
        page.line(&line, None);
    }
    page.gap();
    for sentence in described(growth, report) {
        page.paragraph("", 2, &sentence, None);
    }
}

fn described(growth: &Growth, report: &Report) -> Vec<String> {
    match Facts::of(report) {
        Ok(facts) => describe_growth(growth, &facts),
        Err(error) => {
            let mut all = sentences(growth);
            all.push(format!("The trials cannot be read: {error}"));
            all
        }
    }
}

/// What is made of the measurements, and why some could not be made.
pub(crate) fn describe_growth(growth: &Growth, facts: &Facts) -> Vec<String> {
    let mut all = sentences(growth);
    let not_measured = facts.not_measured.iter();
    all.extend(not_measured.map(|(spec, why)| clean(&format!("Not measured: {spec} – {why}"))));
    all
}

/// The columns that a reader can do without, from the first to go to the last.
const DISPENSABLE: usize = 3;

/// The table, as wide as there is room for.
fn lines(growth: &Growth, look: Look) -> Vec<String> {
    let width = |line: &String| console::measure_text_width(line);
    let mut last = Vec::new();
    for without in 0..=DISPENSABLE {
        last = lines_of(&table(growth, without));
        if last.iter().map(width).max().unwrap_or(0) <= look.width {
            break;
        }
    }
    last
}

fn lines_of(table: &Table) -> Vec<String> {
    let lines = table.lines();
    lines.map(|line| line.trim_end().to_string()).collect()
}

/// The table without the columns that are dispensed with.
fn table(growth: &Growth, without: usize) -> Table {
    let mut table = Table::new();
    table.force_no_tty();
    table.load_style(TableStyle::new().header_separator(LineStyle::none().fill('─').junction('─')));
    let right = |text: String| Cell::new(text).set_alignment(CellAlignment::Right);
    let header = columns(growth.unit, without);
    table.set_header(header.iter().map(|column| right(column.0.to_string())));
    for size in &growth.sizes {
        table.add_row(header.iter().map(|column| right((column.1)(size))));
    }
    let last = table.column_count().saturating_sub(1);
    for (index, column) in table.column_iter_mut().enumerate() {
        column.set_padding((0, if index == last { 0 } else { 2 }));
    }
    table
}

type Column = (&'static str, fn(&GrowthSize) -> String);

fn columns(unit: SizeUnit, without: usize) -> Vec<Column> {
    let mut columns: Vec<Column> = vec![("transactions", |size| number(size.wanted))];
    if unit == SizeUnit::Bytes {
        columns.push(("log size", |size| size_words(SizeUnit::Bytes, size.size)));
    }
    if without < 1 {
        columns.push(("data directory", |size| bytes_words(size.disk_bytes)));
    }
    if without < 3 {
        columns.push(("runs", |size| size.count.to_string()));
    }
    columns.push(("recovery p50", |size| duration_words(size.p50_us)));
    if without < 2 {
        columns.push(("min", |size| duration_words(size.min_us)));
        columns.push(("max", |size| duration_words(size.max_us)));
    }
    columns
}
