//! Recovery time against what was written before the crash: every run, the medians, the curve
//! through them, and the bound.

use maud::{Markup, html};

use super::percent;
use super::scale::{LogScale, tick_words};
use crate::facts::Facts;
use crate::growth::sentences::{bytes_words, per_word, size_words};
use crate::growth::{Growth, GrowthShape};
use crate::labels::{duration_words, number};
use crate::render_growth::describe_growth;
use crate::report::Report;

/// Pixels: the drawing, and the part of it that holds the dots.
const HEIGHT: (f64, f64) = (260.0, 220.0);
/// Points of the curve.
const STEPS: u32 = 60;

/// The section; none for a report that measured no growth.
pub(super) fn section(report: &Report, facts: &Facts) -> Option<Markup> {
    let growth = report.growth.as_ref()?;
    let sentences = describe_growth(growth, facts);
    Some(html! {
        @for sentence in &sentences { p { (sentence) } }
        (drawing(growth, sentences.first().map_or("", String::as_str)))
        (table(growth))
    })
}

/// Places in the drawing: sizes and times, both on logarithmic scales.
struct Frame {
    sizes: (f64, f64),
    times: LogScale,
}

impl Frame {
    fn of(growth: &Growth) -> Option<Self> {
        let sizes = || growth.samples.iter().map(|sample| sample.size.max(1));
        let times = || growth.samples.iter().map(|sample| sample.recovery_us);
        let (least, most) = (sizes().min()? as f64, sizes().max()? as f64);
        let slowest = times().max()?.max(growth.bound_us.unwrap_or(0));
        Some(Self {
            // A little room on both sides, so that no dot is cut.
            sizes: (least.ln() - 0.1, most.ln() + 0.1),
            times: LogScale::over(times().min()?, slowest),
        })
    }

    fn x(&self, size: f64) -> String {
        percent((size.max(1.0).ln() - self.sizes.0) / (self.sizes.1 - self.sizes.0))
    }

    fn y(&self, us: f64) -> String {
        let room = HEIGHT.1;
        let share = self.times.share(us.max(1.0) as u64);
        format!("{:.1}", room - 4.0 - share * (room - 20.0))
    }
}

fn drawing(growth: &Growth, sentence: &str) -> Markup {
    let Some(frame) = Frame::of(growth) else {
        return html! {};
    };
    let (height, room) = HEIGHT;
    let anchor = |at: usize| match at {
        0 => "start",
        at if at + 1 == growth.sizes.len() => "end",
        _ => "middle",
    };
    html! {
        figure .chart {
            svg role="img" aria-labelledby="zt zd" width="100%" height=(height) {
                title #zt { "Recovery time against what was written before the crash" }
                desc #zd { (sentence) }
                @for tick in frame.times.ticks() {
                    @let y = frame.y(tick as f64);
                    line .grid x1="0" x2="100%" y1=(y) y2=(y) {}
                    text .tick x="2" y=(y) dy="-3" { (tick_words(tick)) }
                }
                @for (from, to) in curve(growth, &frame) {
                    line .median x1=(from.0) y1=(from.1) x2=(to.0) y2=(to.1) {}
                }
                @for sample in &growth.samples {
                    circle .dot cx=(frame.x(sample.size as f64)) cy=(frame.y(sample.recovery_us as f64)) r="3" {
                        title { (size_words(growth.unit, sample.size)) ": " (duration_words(sample.recovery_us)) }
                    }
                }
                @for size in &growth.sizes {
                    circle .middle cx=(frame.x(size.size as f64)) cy=(frame.y(size.p50_us as f64)) r="5" {
                        title { "median at " (size_words(growth.unit, size.size)) ": " (duration_words(size.p50_us)) }
                    }
                }
                @if let Some(bound) = growth.bound_us {
                    @let y = frame.y(bound as f64);
                    line .limit x1="0" x2="100%" y1=(y) y2=(y) {}
                    text .limit-word x="100%" y=(y) dy="-5" text-anchor="end" { "bound " (duration_words(bound)) }
                }
                line .axis x1="0" x2="100%" y1=(room) y2=(room) {}
                @for (at, size) in growth.sizes.iter().enumerate() {
                    text .tick x=(frame.x(size.size as f64)) y=(room + 18.0) text-anchor=(anchor(at)) { (size_words(growth.unit, size.size)) }
                }
            }
            figcaption { "A dot a run: what was written before the crash, and the time to recover, both on logarithmic scales. Rings are medians; the line is the curve" (rate(growth)) "." }
        }
    }
}

/// What the curve is, for the line below the drawing.
fn rate(growth: &Growth) -> String {
    let Some(fit) = &growth.fit else {
        return String::new();
    };
    let shape = match fit.shape {
        GrowthShape::Constant => return " of a time that does not grow".into(),
        GrowthShape::Logarithmic => "logarithmic",
        GrowthShape::Linear => "linear",
        GrowthShape::Linearithmic => "n log n",
        GrowthShape::Quadratic => "quadratic",
    };
    let per = per_word(growth.unit);
    format!(" closest to the medians ({shape}, sizes in {per})")
}

type Place = (String, String);

/// The curve in short lines; none where nothing was made of the samples.
fn curve(growth: &Growth, frame: &Frame) -> Vec<(Place, Place)> {
    let Some(curve) = growth.curve() else {
        return Vec::new();
    };
    let (low, high) = frame.sizes;
    let places: Vec<Place> = (0..=STEPS)
        .map(|step| {
            let size = (low + (high - low) * f64::from(step) / f64::from(STEPS)).exp();
            (frame.x(size), frame.y(curve.at(size)))
        })
        .collect();
    let pairs = places.windows(2);
    pairs.map(|two| (two[0].clone(), two[1].clone())).collect()
}

fn table(growth: &Growth) -> Markup {
    html! {
        div .scroll role="group" aria-label="Table of sizes" tabindex="0" {
            table .sizes {
                caption .hidden { "Recovery time for each size" }
                thead { tr {
                    th .n scope="col" { "Transactions" }
                    th .n scope="col" { "Log size" }
                    th .n scope="col" { "Data directory" }
                    th .n scope="col" { "Runs" }
                    th .n scope="col" { "Median" }
                    th .n scope="col" { "Shortest" }
                    th .n scope="col" { "Longest" }
                } }
                tbody {
                    @for size in &growth.sizes {
                        tr {
                            th .n scope="row" { (number(size.wanted)) }
                            td .n { (size_words(growth.unit, size.size)) }
                            td .n { (bytes_words(size.disk_bytes)) }
                            td .n { (number(size.count)) }
                            td .n { (duration_words(size.p50_us)) }
                            td .n { (duration_words(size.min_us)) }
                            td .n { (duration_words(size.max_us)) }
                        }
                    }
                }
            }
        }
    }
}
