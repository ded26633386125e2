//! What an inspection found, for people.

use comfy_table::{LineStyle, Table as Drawn, TableStyle};

use crate::{Inspection, Repaired, Spot, Table};

/// The text of an inspection.
pub(crate) fn render(inspection: &Inspection, repaired: Option<&Repaired>) -> String {
    let mut text = format!("{}: {}\n", inspection.path, inspection.format);
    for (name, value) in &inspection.facts {
        text += &format!("  {name}: {}\n", shown(value));
    }
    if !inspection.table.rows.is_empty() {
        text += &draw(&inspection.table);
        text.push('\n');
    }
    for note in &inspection.notes {
        text += &format!("note    {}\n", line(note));
    }
    for damage in &inspection.damage {
        text += &format!("damage  {}\n", line(damage));
    }
    if let Some(repaired) = repaired {
        text += &format!(
            "{} holds the first {} bytes; {} bytes were cut.\n",
            repaired.path, repaired.kept, repaired.cut
        );
    }
    text += &match inspection.damage.len() {
        0 => "Sound.\n".to_owned(),
        1 => "Damaged: 1 finding.\n".to_owned(),
        several => format!("Damaged: {several} findings.\n"),
    };
    text
}

fn line(spot: &Spot) -> String {
    let mut place = shown(&spot.file);
    if let Some(line) = spot.line {
        place += &format!(", line {line}");
    }
    if let Some(offset) = spot.offset {
        place += &format!(", byte {offset}");
    }
    format!("{}: {} ({place})", spot.kind, shown(&spot.what))
}

/// Text from a file, harmless to a terminal.
fn shown(text: &str) -> String {
    let shown = text.chars().map(|c| match c {
        c if c.is_control() => c.escape_default().to_string(),
        c => c.to_string(),
    });
    shown.collect()
}

fn draw(table: &Table) -> String {
    let mut drawn = Drawn::new();
    drawn.load_style(TableStyle::new().header_separator(LineStyle::none().fill('─').junction('─')));
    drawn.set_header(&table.head);
    for row in &table.rows {
        drawn.add_row(row.iter().map(|cell| shown(cell)));
    }
    drawn.to_string()
}
