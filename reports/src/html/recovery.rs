//! Recovery times: how they are spread, against their bound, and which were the slowest.

use std::io;

use maud::{Markup, html};

use super::recovery_growth::growth;
use super::scale::{LogScale, tick_words};
use super::{number, percent, text};
use crate::facts::{Facts, SlowRestart};
use crate::labels::{count, duration_words};
use crate::report::Report;
use crate::times::Recovery;
use crate::times::Times;

/// How many bars a decade has.
const BARS: usize = 12;
/// Pixels: the drawing, and the part of it that holds the bars.
const HEIGHT: (f64, f64) = (190.0, 150.0);

/// The section; none where nothing was timed.
pub(super) fn section(report: &Report, facts: &Facts) -> io::Result<Option<Markup>> {
    let times = &facts.times;
    if times.is_empty() {
        return Ok(None);
    }
    let spread = times.recovery();
    let bound = report.recovery_bound_us;
    let late = |bound: u64| {
        let late = times.counts().filter(|(us, _)| *us > bound);
        late.map(|(_, count)| count).sum()
    };
    // A report that measured growth has a drawing of its own for it.
    let growth = match report.growth {
        None => Some(growth(report, facts)?),
        Some(_) => None,
    };
    Ok(Some(html! {
        p { (sentence(&spread, bound, bound.map(late))) }
        (histogram(times, &spread, bound))
        (slowest(&facts.slowest))
        @if let Some(growth) = growth { (growth) }
    }))
}

fn sentence(spread: &Recovery, bound: Option<u64>, over: Option<u64>) -> String {
    let mut text = format!(
        "{} timed, from spawn to the first correct answer: half within {}, 99 of 100 within {}, \
         the slowest {}.",
        count(spread.count, "restart"),
        duration_words(spread.p50_us),
        duration_words(spread.p99_us),
        duration_words(spread.max_us)
    );
    match (bound, over) {
        (Some(bound), Some(0)) => {
            text.push_str(&format!(
                " All within the bound of {}.",
                duration_words(bound)
            ));
        }
        (Some(bound), Some(over)) => text.push_str(&format!(
            " {over} took longer than the bound of {}.",
            duration_words(bound)
        )),
        _ => text.push_str(" No bound was given (--recovery-bound)."),
    }
    text
}

fn histogram(times: &Times, spread: &Recovery, bound: Option<u64>) -> Markup {
    let least = times.least().unwrap_or(1);
    let scale = LogScale::over(least, spread.max_us.max(bound.unwrap_or(0)));
    let ticks = scale.ticks();
    let bars = BARS * (ticks.len() - 1).max(1);
    let mut within = vec![0u64; bars];
    let mut beyond = vec![0u64; bars];
    for (us, count) in times.counts() {
        let at = ((scale.share(us) * bars as f64) as usize).min(bars - 1);
        match bound {
            Some(bound) if us > bound => beyond[at] += count,
            _ => within[at] += count,
        }
    }
    let tallest = within.iter().zip(&beyond).map(|(a, b)| a + b).max();
    let tallest = tallest.unwrap_or(1).max(1) as f64;
    let (height, room) = HEIGHT;
    let bar = |at: usize, from: u64, n: u64, class: &str| {
        // A single restart among thousands is to be seen.
        let tall = |n: u64| {
            if n == 0 {
                0.0
            } else {
                (n as f64 / tallest * (room - 20.0)).max(3.0)
            }
        };
        let top = room - tall(from) - tall(n);
        html! {
            @if n > 0 {
                rect .(class) x=(percent((at as f64 + 0.08) / bars as f64)) width=(percent(0.84 / bars as f64))
                    y=(format!("{top:.1}")) height=(format!("{:.1}", tall(n))) { title { (count(n, "restart")) } }
            }
        }
    };
    html! {
        figure .chart {
            svg role="img" aria-labelledby="rt rd" width="100%" height=(height) {
                title #rt { "How recovery times are spread" }
                desc #rd { "Bars from " (duration_words(least)) " to " (duration_words(spread.max_us))
                    " on a logarithmic scale; the median is " (duration_words(spread.p50_us)) "." }
                @for tick in &ticks {
                    line .grid x1=(percent(scale.share(*tick))) x2=(percent(scale.share(*tick))) y1="0" y2=(room) {}
                }
                @for at in 0..bars {
                    (bar(at, 0, within[at], "within"))
                    (bar(at, within[at], beyond[at], "beyond"))
                }
                line .axis x1="0" x2="100%" y1=(room) y2=(room) {}
                (point(scale.share(spread.p50_us), room, "median"))
                @if let Some(bound) = bound {
                    (limit(scale.share(bound), room))
                }
                @for (index, tick) in ticks.iter().enumerate() {
                    @let anchor = match index { 0 => "start", i if i + 1 == ticks.len() => "end", _ => "middle" };
                    text .tick x=(percent(scale.share(*tick))) y=(room + 32.0) text-anchor=(anchor) { (tick_words(*tick)) }
                }
            }
            figcaption { "Time to recover, on a logarithmic scale; a bar's height is the number of restarts." }
        }
    }
}

/// A mark below the axis, with its word beside it.
fn point(share: f64, room: f64, word: &str) -> Markup {
    let left = share > 0.75;
    html! {
        svg x=(percent(share)) y=(room) width="1" height="20" overflow="visible" {
            path .point d="M0 1 L5 10 H-5 Z" {}
            text .tick x=(if left { -9 } else { 9 }) y="11" text-anchor=(if left { "end" } else { "start" }) { (word) }
        }
    }
}

fn limit(share: f64, room: f64) -> Markup {
    let left = share > 0.6;
    html! {
        line .limit x1=(percent(share)) x2=(percent(share)) y1="0" y2=(room) {}
        svg x=(percent(share)) y="0" width="1" height="14" overflow="visible" {
            text .limit-word x=(if left { -6 } else { 6 }) y="11" text-anchor=(if left { "end" } else { "start" }) { "bound" }
        }
    }
}

fn slowest(restarts: &[SlowRestart]) -> Markup {
    html! {
        h3 { "The slowest" }
        div .scroll role="group" aria-label="Table of the slowest restarts" tabindex="0" {
            table .slowest {
                thead { tr {
                    th .n scope="col" { "Time" }
                    th scope="col" { "Crash" }
                    th .n scope="col" { "Trial" }
                    th scope="col" { "What happened" }
                } }
                tbody {
                    @for one in restarts {
                        tr {
                            th .n scope="row" { (duration_words(one.us)) }
                            td { (text(&one.spec)) }
                            td .n { (number(one.trial)) }
                            td { (text(&one.what)) }
                        }
                    }
                }
            }
        }
    }
}
