//! `plugpull doctor`: what this machine can inject, and how to get the rest.

use comfy_table::{ContentArrangement, LineStyle, Table, TableStyle};

/// Probes the machine and prints what it found.
pub(crate) fn run() -> anyhow::Result<u8> {
    let found = plugpull_faults::probe_capabilities();
    let mut table = Table::new();
    table.load_style(TableStyle::new().header_separator(LineStyle::none().fill('─').junction('─')));
    table.set_content_arrangement(ContentArrangement::Dynamic);
    table.set_width(plugpull_reports::Look::of_stdout().width.min(100) as u16);
    table.set_header(["capability", "", "what was found"]);
    for one in &found {
        let mark = if one.available { "yes" } else { "no" };
        table.add_row([one.name.to_string(), mark.to_string(), one.detail.clone()]);
    }
    println!("{table}");
    for one in &found {
        if one.available || one.enables.is_empty() {
            continue;
        }
        println!("\nWithout {}: no {}.", one.name, one.enables.join(", "));
        if let Some(fix) = &one.fix {
            println!("  {fix}");
        }
    }
    let missing = found
        .iter()
        .filter(|one| !one.available && !one.enables.is_empty())
        .count();
    println!(
        "\n{}",
        match missing {
            0 => "Every fault can be injected here.".to_string(),
            1 => "One capability is missing; what needs it is reported as not measured.".into(),
            n => format!(
                "{n} capabilities are missing; what needs them is reported as not measured."
            ),
        }
    );
    Ok(crate::KEPT)
}
