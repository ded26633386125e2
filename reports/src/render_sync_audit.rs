//! Which syncs are needed, on a terminal: a row for each site, and what can go together.
// tidy: small because it is one table, whose words are in `sync_audit`.

use comfy_table::{Cell, CellAlignment, ContentArrangement, LineStyle, Table, TableStyle};

use crate::labels::{duration_words, number};
use crate::layout::Page;
use crate::report::Report;
use crate::style::Look;
use crate::sync_audit::SyncAudit;

/// Writes the audit; nothing for a report without one.
pub(crate) fn render_sync_audit(page: &mut Page, report: &Report, look: Look) {
    let Some(audit) = &report.sync_audit else {
        return;
    };
    page.gap();
    page.paragraph("", 2, &format!("{}.", audit.headline()), None);
    if !audit.sites.is_empty() {
        for line in table(audit, look).lines() {
            page.line(line.trim_end(), None);
        }
    }
    for note in audit.notes() {
        page.paragraph("", 2, &note, None);
    }
}

/// What the syncs of a site cost, each on average; none where nobody asked.
pub(crate) fn cost(audit: &SyncAudit, nth: usize) -> Option<String> {
    let cost = audit.cost.as_ref()?;
    let site = audit.sites.get(nth)?;
    let us = cost.sites_us.get(nth)? / site.count.max(1);
    Some(duration_words(us))
}

fn table(audit: &SyncAudit, look: Look) -> Table {
    let mut table = Table::new();
    table.force_no_tty();
    table.load_style(TableStyle::new().header_separator(LineStyle::none().fill('─').junction('─')));
    table.set_content_arrangement(ContentArrangement::Dynamic);
    table.set_width(u16::try_from(look.width).unwrap_or(u16::MAX));
    let right = |text: String| Cell::new(text).set_alignment(CellAlignment::Right);
    let mut header = vec![right(String::new()), right("syncs".into())];
    header.extend(audit.cost.iter().map(|_| right("each".into())));
    header.extend([Cell::new("sync"), Cell::new("needed?")]);
    table.set_header(header);
    for (nth, site) in audit.sites.iter().enumerate() {
        let mut row = vec![right(format!("{}.", nth + 1)), right(number(site.count))];
        row.extend(cost(audit, nth).map(right));
        row.extend([Cell::new(site.place()), Cell::new(site.verdict())]);
        table.add_row(row);
    }
    let last = table.column_count().saturating_sub(1);
    for (index, column) in table.column_iter_mut().enumerate() {
        column.set_padding((0, if index == last { 0 } else { 2 }));
    }
    table
}
