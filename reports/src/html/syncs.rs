//! Which syncs are needed: a row for each site, and what can go together.
// tidy: small because it is one table, whose words are in `sync_audit`.

use maud::{Markup, html};

use super::text;
use crate::labels::{capital, number};
use crate::render_sync_audit::cost;
use crate::report::Report;

/// The section; none for a report without an audit.
pub(super) fn section(report: &Report) -> Option<Markup> {
    let audit = report.sync_audit.as_ref()?;
    let costs = audit.cost.is_some();
    Some(html! {
        p { (audit.headline()) "." }
        @if !audit.sites.is_empty() {
            div .scroll tabindex="0" role="group" aria-label="Syncs" {
                table {
                    thead { tr {
                        th scope="col" .num { "No." }
                        th scope="col" .num { "Syncs" }
                        @if costs { th scope="col" .num { "Each" } }
                        th scope="col" { "Sync" }
                        th scope="col" { "Needed?" }
                    } }
                    tbody {
                        @for (nth, site) in audit.sites.iter().enumerate() {
                            tr {
                                td .num { (nth + 1) }
                                td .num { (number(site.count)) }
                                @if costs { td .num { (cost(audit, nth).unwrap_or_default()) } }
                                td { (text(&site.place())) }
                                td { (capital(&text(&site.verdict()))) }
                            }
                        }
                    }
                }
            }
        }
        @for note in audit.notes() { p .quiet { (text(&note)) } }
    })
}
