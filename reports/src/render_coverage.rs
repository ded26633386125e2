//! What an exploration covered, on a terminal.

use crate::coverage::{Coverage, RecoveryCoverage};
use crate::labels::{clean, count, number, possible};
use crate::layout::Page;
use crate::report::Report;

/// Writes the coverage; nothing for a report without one.
pub(crate) fn render_coverage(page: &mut Page, report: &Report) {
    let Some(coverage) = &report.coverage else {
        return;
    };
    page.gap();
    let recorded = format!(
        "Recorded: {}, {}, {}.",
        count(coverage.operations, "operation"),
        count(coverage.acked, "acknowledged transaction"),
        count(coverage.points, "crash point")
    );
    page.paragraph("", 2, &recorded, None);
    if let Some(after) = coverage.after_last_ack {
        let line = format!(
            "{} of them came after the last ack, when the workload had ended.",
            count(after, "operation")
        );
        page.paragraph("", 2, &line, None);
    }
    for model in &coverage.models {
        let line = format!(
            "{:<14} {} looked at, where {} states are possible; {} of what is lost gave {}",
            model.model,
            count(model.points, "point"),
            possible(model),
            count(model.made, "choice"),
            count(model.distinct, "new state")
        );
        page.paragraph("", 15, &clean(&line), None);
    }
    if let Some(all) = &coverage.recoveries {
        let line = format!("{:<14} {}", "recoveries", describe_recoveries(all));
        page.paragraph("", 15, &line, None);
    }
    page.paragraph("", 2, &tried(coverage, report.took_us), None);
}

/// What was covered of crashes during recovery.
pub(crate) fn describe_recoveries(all: &RecoveryCoverage) -> String {
    format!(
        "{} that changed the disk, {} of them crashed in turn, {}",
        number(all.seen),
        number(all.crashed),
        count(all.distinct, "new state")
    )
}

fn tried(coverage: &Coverage, took_us: u64) -> String {
    let rate = coverage.tried as f64 / (took_us as f64 / 1e6).max(1e-9);
    let all = match coverage.complete {
        true => "Every state was tried: ",
        false => "",
    };
    let not_measured: u64 = coverage.models.iter().map(|one| one.not_measured).sum();
    let unknown = match not_measured {
        0 => String::new(),
        _ => format!(
            " Not measured: {}, before the first ack or where plugpull failed.",
            count(not_measured, "state")
        ),
    };
    format!(
        "{all}{}, {rate:.0} a second.{unknown}",
        count(coverage.tried, "distinct state")
    )
}
