//! What an exploration covered, on a terminal.

use crate::conclusion::left_out_words;
use crate::coverage::{Coverage, ModelCoverage, RecoveryCoverage};
use crate::labels::{clean, count_grouped, number, possible, rate_words};
use crate::layout::Page;
use crate::report::Report;

/// Writes the coverage; nothing for a report without one.
pub(crate) fn render_coverage(page: &mut Page, report: &Report) {
    let Some(coverage) = &report.coverage else {
        return;
    };
    page.gap();
    page.paragraph("", 2, &recorded(coverage), None);
    if let Some(after) = coverage.after_last_ack {
        let judged = coverage.judged_after_last_ack;
        let judged =
            judged.map(|judged| format!("; {} judged there", count_grouped(judged, "state")));
        let line = format!(
            "{} of them came after the last ack, when the workload had ended{}.",
            count_grouped(after, "operation"),
            judged.unwrap_or_default()
        );
        page.paragraph("", 2, &line, None);
    }
    for model in &coverage.models {
        let line = format!(
            "{:<14} {} looked at, where {} possible; {} gave {}",
            model.model,
            count_grouped(model.points, "point"),
            possible_states(model),
            count_grouped(model.made, "loss set"),
            count_grouped(model.distinct, "new state")
        );
        page.paragraph("", 15, &clean(&line), None);
    }
    if let Some(all) = &coverage.recoveries {
        let line = format!("{:<14} {}", "recoveries", describe_recoveries(all));
        page.paragraph("", 15, &line, None);
    }
    page.paragraph("", 2, &tried(coverage, report.took_us), None);
    for note in notes(coverage) {
        page.paragraph("", 2, &note, None);
    }
}

/// What was not measured of it and why, a sentence each.
pub(crate) fn notes(coverage: &Coverage) -> Vec<String> {
    let verb = |number: u64| if number == 1 { "was" } else { "were" };
    let mut notes: Vec<String> = left_out_words(coverage).into_iter().collect();
    let early = coverage.before_first_ack();
    if early > 0 {
        notes.push(format!(
            "Before the first ack, where nothing was promised yet, {} {} tried.",
            count_grouped(early, "loss set"),
            verb(early)
        ));
    }
    let failed = coverage.could_not_measure();
    if failed > 0 {
        notes.push(format!(
            "plugpull could not measure {}, which {} not judged.",
            count_grouped(failed, "loss set"),
            verb(failed)
        ));
    }
    let unexplained = coverage.unexplained();
    if unexplained > 0 {
        notes.push(format!(
            "Not measured: {}.",
            count_grouped(unexplained, "loss set")
        ));
    }
    notes
}

fn recorded(coverage: &Coverage) -> String {
    format!(
        "Recorded: {}, {}, {}.",
        count_grouped(coverage.operations, "operation"),
        count_grouped(coverage.acked, "acknowledged transaction"),
        count_grouped(coverage.points, "crash point")
    )
}

/// What was covered without the lines of each model, a paragraph each; nothing for a report without
/// coverage.
pub(crate) fn describe_coverage(report: &Report) -> Vec<String> {
    let Some(coverage) = &report.coverage else {
        return Vec::new();
    };
    let mut all = vec![recorded(coverage), tried(coverage, report.took_us)];
    all.extend(notes(coverage));
    all
}

/// How many states a model allows, with the verb: `1 state is`, `12 states are`.
fn possible_states(model: &ModelCoverage) -> String {
    match model.possible {
        Some(1) if !model.at_least => "1 state is".into(),
        _ => format!("{} states are", possible(model)),
    }
}

/// What was covered of crashes during recovery.
pub(crate) fn describe_recoveries(all: &RecoveryCoverage) -> String {
    format!(
        "{} that changed the disk, {} of them crashed in turn, {}",
        number(all.seen),
        number(all.crashed),
        count_grouped(all.distinct, "new state")
    )
}

fn tried(coverage: &Coverage, took_us: u64) -> String {
    let rate = coverage.tried as f64 / (took_us as f64 / 1e6).max(1e-9);
    let all = match coverage.complete {
        true => "Every state was tried: ",
        false => "Tried: ",
    };
    format!(
        "{all}{}, {} a second.",
        count_grouped(coverage.tried, "distinct state"),
        rate_words(rate)
    )
}
