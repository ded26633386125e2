//! How much of the trace was tried: a strip over it, and the numbers of each model.

use maud::{Markup, html};

use super::{number, percent, text};
use crate::coverage::{Coverage, ModelCoverage};
use crate::labels::{count_grouped, possible};
use crate::render_coverage::{describe_recoveries, notes};
use crate::report::Report;

/// At most so many bars.
const BARS: usize = 100;
/// Pixels: the drawing, and the part of it that holds the bars.
const HEIGHT: (f64, f64) = (116.0, 92.0);

/// A part of the trace.
#[derive(Clone, Copy, Default)]
struct Bar {
    points: u64,
    looked: u64,
    tried: u64,
    failed: u64,
}

/// The section; none for a run that explored nothing.
pub(super) fn section(report: &Report) -> Option<Markup> {
    let coverage = report.coverage.as_ref()?;
    Some(html! {
        p { (sentence(coverage)) }
        (strip(coverage))
        (models(coverage))
        @for note in notes(coverage) { p .note { (note) } }
        @if let Some(recoveries) = coverage.recoveries {
            p .note { "Crashes during recovery: " (describe_recoveries(&recoveries)) }
        }
    })
}

fn sentence(coverage: &Coverage) -> String {
    format!(
        "The trace has {} and {}, and so {}; {} were looked at. {} of the disk were tried.",
        count_grouped(coverage.operations, "storage operation"),
        count_grouped(coverage.acked, "acknowledged transaction"),
        count_grouped(coverage.points, "crash point"),
        number(coverage.at.len() as u64),
        count_grouped(coverage.tried, "distinct content"),
    )
}

fn strip(coverage: &Coverage) -> Markup {
    if coverage.points == 0 || coverage.at.is_empty() {
        return html! {};
    }
    let bars = bars(coverage);
    let count = bars.len() as f64;
    let most = bars.iter().map(|bar| bar.tried).max().unwrap_or(1).max(1) as f64;
    let (height, room) = HEIGHT;
    // By the root, so that few states beside many are still to be seen.
    let tall = |n: u64| (n as f64 / most).sqrt() * (room - 14.0);
    let failing = bars.iter().filter(|bar| bar.failed > 0).count();
    html! {
        figure .chart {
            svg role="img" aria-labelledby="ct cd" width="100%" height=(height) {
                title #ct { "States tried over the trace" }
                desc #cd { (bars.len()) " parts of the trace from its beginning to its end; in "
                    (failing) " of them states broke a promise, in "
                    (bars.iter().filter(|bar| bar.looked == 0).count()) " nothing was tried." }
                @for (at, bar) in bars.iter().enumerate() {
                    @let x = percent(at as f64 / count);
                    @let width = percent(0.86 / count);
                    @let bad = if bar.failed == 0 { 0.0 } else { (tall(bar.tried) * bar.failed as f64 / bar.tried.max(1) as f64).max(4.0) };
                    @let all = tall(bar.tried).max(bad);
                    @if bar.looked == 0 {
                        rect .blank x=(x) width=(width) y=(room - 4.0) height="4" { title { "nothing tried here" } }
                    } @else {
                        rect .within x=(x) width=(width) y=(format!("{:.1}", room - all)) height=(format!("{:.1}", all - bad)) {
                            title { (number(bar.tried)) " states tried, " (number(bar.failed)) " broke a promise" }
                        }
                        @if bar.failed > 0 {
                            rect .beyond x=(x) width=(width) y=(format!("{:.1}", room - bad)) height=(format!("{bad:.1}")) {
                                title { (number(bar.failed)) " states broke a promise" }
                            }
                        }
                    }
                }
                line .axis x1="0" x2="100%" y1=(room) y2=(room) {}
                text .tick x="0" y=(room + 18.0) { "first operation" }
                text .tick x="100%" y=(room + 18.0) text-anchor="end" { "last" }
            }
            figcaption { "States tried along the trace (height by square root)." }
            ul .legend aria-hidden="true" {
                li { svg width="18" height="14" { rect .within width="16" height="14" {} } "kept" }
                li { svg width="18" height="14" { rect .beyond width="16" height="14" {} } "broke a promise" }
                li { svg width="18" height="14" { rect .blank y="9" width="16" height="4" {} } "nothing tried" }
            }
        }
    }
}

fn bars(coverage: &Coverage) -> Vec<Bar> {
    let bars = BARS.min(coverage.points as usize).max(1);
    let at = |point: u64| {
        let share = point as f64 / coverage.points as f64;
        ((share * bars as f64) as usize).min(bars - 1)
    };
    let mut all = vec![Bar::default(); bars];
    for point in 0..coverage.points {
        all[at(point)].points += 1;
    }
    for one in &coverage.at {
        let bar = &mut all[at(one.point)];
        bar.looked += 1;
        bar.tried += one.tried;
        bar.failed += one.failed;
    }
    all
}

fn models(coverage: &Coverage) -> Markup {
    if coverage.models.is_empty() {
        return html! {};
    }
    html! {
        div .scroll role="group" aria-label="Table of models" tabindex="0" {
            table .models {
                caption .hidden { "What was covered under each persistence model" }
                thead { tr {
                    th scope="col" { "Model" }
                    th .n scope="col" { "Points" }
                    th .n scope="col" { "Possible" }
                    th .n scope="col" { "Loss sets" }
                    th .n scope="col" { "New" }
                    th .n scope="col" { "Judged" }
                    th .n scope="col" { "Before the first ack" }
                    th .n scope="col" { "Not measured" }
                    th .n scope="col" { "Broken" }
                } }
                tbody { @for model in &coverage.models { (row(model)) } }
            }
        }
    }
}

fn row(model: &ModelCoverage) -> Markup {
    html! {
        tr {
            th scope="row" { (text(&model.model)) }
            td .n { (number(model.points)) }
            td .n { (possible(model)) }
            td .n { (number(model.made)) }
            td .n { (number(model.distinct)) }
            td .n { (number(model.judged)) }
            td .n { (number(model.before_first_ack)) }
            td .n { (number(model.not_measured.saturating_sub(model.before_first_ack))) }
            td .n { (number(model.failed)) }
        }
    }
}
