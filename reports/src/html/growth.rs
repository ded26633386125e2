//! Whether recovery takes longer the more was written before the crash.

use maud::{Markup, html};

use super::recovery::Restart;
use super::scale::{LogScale, tick_words};
use super::{number, percent};
use crate::words::duration_words;

/// Fewer restarts show no growth that is more than luck.
const ENOUGH: usize = 20;
/// Parts of the trace that have a median of their own.
const PARTS: usize = 10;
/// At most so many dots: more would be one blot.
const DOTS: usize = 600;
/// Pixels: the drawing, and the part of it that holds the dots.
const HEIGHT: (f64, f64) = (200.0, 164.0);

/// The drawing of time against storage operations before the crash; nothing where there is too
/// little to see.
pub(super) fn growth(restarts: &[Restart<'_>]) -> Markup {
    let most = restarts.iter().map(|r| r.trial.operations).max();
    let most = most.unwrap_or(0);
    if restarts.len() < ENOUGH || most == 0 {
        return html! {};
    }
    let medians = medians(restarts, most);
    let (Some(first), Some(last)) = (medians.first(), medians.last()) else {
        return html! {};
    };
    if first.0 == last.0 {
        return html! {};
    }
    let times = || restarts.iter().map(|one| one.us);
    let scale = LogScale::over(times().min().unwrap_or(1), times().max().unwrap_or(1));
    let (height, room) = HEIGHT;
    let y = |us: u64| format!("{:.1}", room - 4.0 - scale.share(us) * (room - 14.0));
    let middle = |part: usize| (part as f64 + 0.5) / PARTS as f64;
    html! {
        h3 { "Growth" }
        p { (sentence(first.1, last.1)) }
        figure .chart {
            svg role="img" aria-labelledby="gt gd" width="100%" height=(height) {
                title #gt { "Recovery time against operations before the crash" }
                desc #gd { (sentence(first.1, last.1)) }
                @for tick in scale.ticks() {
                    line .grid x1="0" x2="100%" y1=(y(tick)) y2=(y(tick)) {}
                    text .tick x="2" y=(y(tick)) dy="-3" { (tick_words(tick)) }
                }
                @for one in thinned(restarts) {
                    circle .dot cx=(percent(one.trial.operations as f64 / most as f64)) cy=(y(one.us)) r="2.5" {}
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

/// The median of each part of the trace that has restarts, with the part's number.
fn medians(restarts: &[Restart<'_>], most: u64) -> Vec<(usize, u64)> {
    let mut parts: Vec<Vec<u64>> = vec![Vec::new(); PARTS];
    for one in restarts {
        let share = one.trial.operations as f64 / most as f64;
        parts[((share * PARTS as f64) as usize).min(PARTS - 1)].push(one.us);
    }
    parts
        .into_iter()
        .enumerate()
        .filter_map(|(part, mut times)| {
            times.sort_unstable();
            let median = times.get(times.len().saturating_sub(1) / 2).copied()?;
            Some((part, median))
        })
        .collect()
}

/// Every so many-th restart, and always the slowest.
fn thinned<'a, 'b>(restarts: &'b [Restart<'a>]) -> Vec<&'b Restart<'a>> {
    let every = restarts.len().div_ceil(DOTS).max(1);
    let mut dots: Vec<&Restart<'_>> = restarts.iter().step_by(every).collect();
    if every > 1 {
        dots.extend(restarts.iter().max_by_key(|one| one.us));
    }
    dots
}
