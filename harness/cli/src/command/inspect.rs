//! `plugpull inspect`: the files that a system left, read by a parser of plugpull's own.

use std::io::{self, Write};

use comfy_table::{LineStyle, Table as Drawn, TableStyle};
use plugpull_targets::inspect::{
    INSPECTORS, Inspection, Repaired, Request, Spot, Table, inspector,
};
use serde_json::json;

use super::wrong;
use crate::cli::InspectArgs;

/// Damage was found.
const DAMAGED: u8 = 1;

/// Looks, prints what was found, and writes the repaired copy where one is wanted. Exit codes: 0
/// sound, 1 damage found, 2 wrong use.
pub(crate) fn run(args: &InspectArgs) -> anyhow::Result<u8> {
    let known = || {
        let names: Vec<&str> = INSPECTORS.iter().map(|one| one.name).collect();
        names.join(", ")
    };
    let inspector = inspector(&args.system).ok_or_else(|| {
        wrong(format!(
            "there is no inspector for '{}'; there are {}",
            args.system,
            known()
        ))
    })?;
    if !args.expect.is_empty() && inspector.expect.is_none() {
        return Err(wrong(format!("{} takes no --expect", inspector.name)));
    }
    let repair = match (&args.truncate, inspector.repair) {
        (None, _) => None,
        (Some(to), Some(repair)) => Some((repair, to)),
        (Some(_), None) => {
            return Err(wrong(format!(
                "{}'s files cannot be repaired by cutting them, so it takes no --truncate",
                inspector.name
            )));
        }
    };
    let request = Request {
        path: args.path.clone(),
        expect: args.expect.clone(),
        after_crash: args.after_crash,
    };
    let mut inspection = (inspector.inspect)(&request).map_err(wrong)?;
    if let Some(ask_too) = inspector.ask_too {
        ask_too(&request, &mut inspection);
    }
    let repaired = repair
        .map(|(repair, to)| repair(&request, to).map_err(wrong))
        .transpose()?;
    let text = if args.json {
        let mut value = serde_json::to_value(&inspection)?;
        if let Some(repaired) = &repaired {
            value["repaired"] = json!(repaired);
        }
        serde_json::to_string_pretty(&value)? + "\n"
    } else {
        describe(&inspection, repaired.as_ref())
    };
    // Nobody may be listening any more; the exit code tells it as well.
    let _ = io::stdout().write_all(text.as_bytes());
    Ok(if inspection.sound {
        crate::KEPT
    } else {
        DAMAGED
    })
}

fn describe(inspection: &Inspection, repaired: Option<&Repaired>) -> String {
    let mut text = format!("{}: {}\n", inspection.path, inspection.format);
    for (name, value) in &inspection.facts {
        text += &format!("  {name}: {}\n", shown(value));
    }
    if !inspection.table.rows.is_empty() {
        text += &drawn(&inspection.table);
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

fn drawn(table: &Table) -> String {
    let mut drawn = Drawn::new();
    drawn.load_style(TableStyle::new().header_separator(LineStyle::none().fill('─').junction('─')));
    drawn.set_header(&table.head);
    for row in &table.rows {
        drawn.add_row(row.iter().map(|cell| shown(cell)));
    }
    drawn.to_string()
}
