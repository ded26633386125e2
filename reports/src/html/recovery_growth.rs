//! Whether recovery takes longer the more was written before the crash.

use std::io;

use maud::{Markup, html};

use super::scale::{LogScale, tick_words};
use super::{number, percent};
use crate::facts::{Facts, timed};
use crate::labels::duration_words;
use crate::report::Report;
use crate::times::Times;

/// Fewer restarts show no growth that is more than luck.
const ENOUGH: u64 = 20;
/// Parts of the trace that have a median of their own.
const PARTS: usize = 10;
/// At most so many dots: more would be one blot.
const DOTS: u64 = 600;
/// Pixels: the drawing, and the part of it that holds the dots.
const HEIGHT: (f64, f64) = (200.0, 164.0);

/// The median of each part of the trace that has restarts, with the part's number.
type Medians = Vec<(usize, u64)>;

/// A restart: how many storage operations had happened before the crash, and how long it took in
/// microseconds.
#[derive(Clone, Copy)]
struct Dot {
    operations: u64,
    us: u64,
}

/// The drawing of time against storage operations before the crash; nothing where there is too
/// little to see.
pub(super) fn growth(report: &Report, facts: &Facts) -> io::Result<Markup> {
    let most = facts.most_operations;
    if facts.times.total() < ENOUGH || most == 0 {
        return Ok(html! {});
    }
    let (medians, dots) = places(report, facts)?;
    let (Some(first), Some(last)) = (medians.first(), medians.last()) else {
        return Ok(html! {});
    };
    Ok(match first.0 == last.0 {
        true => html! {},
        false => drawing(facts, &medians, &dots, (first.1, last.1)),
    })
}

/// `ends` are the medians of the first part and of the last.
fn drawing(facts: &Facts, medians: &[(usize, u64)], dots: &[Dot], ends: (u64, u64)) -> Markup {
    let (times, most) = (&facts.times, facts.most_operations);
    let scale = LogScale::over(times.least().unwrap_or(1), times.largest().unwrap_or(1));
    let (height, room) = HEIGHT;
    let y = |us: u64| format!("{:.1}", room - 4.0 - scale.share(us) * (room - 14.0));
    let middle = |part: usize| (part as f64 + 0.5) / PARTS as f64;
    html! {
        h3 { "Growth" }
        p { (sentence(ends.0, ends.1)) }
        figure .chart {
            svg role="img" aria-labelledby="gt gd" width="100%" height=(height) {
                title #gt { "Recovery time against operations before the crash" }
                desc #gd { (sentence(ends.0, ends.1)) }
                @for tick in scale.ticks() {
                    line .grid x1="0" x2="100%" y1=(y(tick)) y2=(y(tick)) {}
                    text .tick x="2" y=(y(tick)) dy="-3" { (tick_words(tick)) }
                }
                @for one in dots {
                    circle .dot cx=(percent(one.operations as f64 / most as f64)) cy=(y(one.us)) r="2.5" {}
                }
                @for pair in medians.windows(2) {
                    line .median x1=(percent(middle(pair[0].0))) y1=(y(pair[0].1)) x2=(percent(middle(pair[1].0))) y2=(y(pair[1].1)) {}
                }
                line .axis x1="0" x2="100%" y1=(room) y2=(room) {}
                text .tick x="0" y=(room + 18.0) { "0" }
                text .tick x="100%" y=(room + 18.0) text-anchor="end" { (number(most)) " operations" }
            }
            figcaption { "A dot a restart: storage operations before the crash, and the time to recover on a logarithmic scale. The line joins the medians of ten parts." }
        }
    }
}

fn sentence(first: u64, last: u64) -> String {
    let ratio = last.max(1) as f64 / first.max(1) as f64;
    let words = if ratio >= 1.25 {
        "grew with what was written"
    } else if ratio <= 0.8 {
        "became shorter"
    } else {
        "stayed about the same"
    };
    format!(
        "From crashes early in the trace to late ones, the median time to recover {words}: {} to {}, \
         a factor of {ratio:.2}.",
        duration_words(first),
        duration_words(last)
    )
}

/// The median of each part of the trace that has restarts, with the part's number; and every so
/// many-th restart, with the slowest.
fn places(report: &Report, facts: &Facts) -> io::Result<(Medians, Vec<Dot>)> {
    let every = facts.times.total().div_ceil(DOTS).max(1);
    let mut parts: Vec<Times> = vec![Times::default(); PARTS];
    let mut dots = Vec::new();
    let mut slowest: Option<Dot> = None;
    let mut number = 0;
    report.trial_log.each(|trial| {
        if !timed(trial) {
            return;
        }
        for us in &trial.recovery_us {
            let dot = Dot {
                operations: trial.operations,
                us: *us,
            };
            let share = dot.operations as f64 / facts.most_operations as f64;
            parts[((share * PARTS as f64) as usize).min(PARTS - 1)].add(dot.us);
            if number % every == 0 {
                dots.push(dot);
            }
            number += 1;
            if slowest.is_none_or(|slowest| dot.us >= slowest.us) {
                slowest = Some(dot);
            }
        }
    })?;
    if every > 1 {
        dots.extend(slowest);
    }
    let timed = parts
        .iter()
        .enumerate()
        .filter(|(_, times)| !times.is_empty());
    let medians = timed.map(|(part, times)| (part, times.median())).collect();
    Ok((medians, dots))
}
