//! The time line of a crash: the operations before it, a lane a file, the acks above.

use std::collections::{BTreeMap, BTreeSet};

use maud::{Markup, html};
use plugpull_workloads::Stamp;

use super::marks::{BOLT, HALF, legend, mark};
use super::text;
use crate::evidence::{CallOutcome, ClientCall, Evidence, Fate, StepKind, TimelineStep};
use crate::labels::{count, duration_words};

/// So many steps before the crash are drawn, and so many around each one that was lost or torn.
const DRAWN: (usize, usize) = (24, 4);
/// So many lanes; what else there was shares the last one.
const LANES: usize = 10;
/// So many clients have a lane; the table has all of them.
const CLIENTS: usize = 6;
/// Pixels from one operation to the next.
const STEP: f64 = 20.0;
/// Pixels for a gap in the numbers.
const GAP: f64 = 64.0;
/// Pixels of a lane.
const LANE: f64 = 46.0;
/// Pixels to the left of the first operation and to the right of the last.
const MARGIN: (f64, f64) = (24.0, 96.0);

/// Where something is drawn.
struct Placed<'a> {
    step: &'a TimelineStep,
    x: f64,
    lane: usize,
}

/// The drawing, its legend, and the same as a table for those who cannot see it. `id` names the
/// finding; `ack` is when the ack that was lost came.
pub(super) fn timeline(evidence: &Evidence, id: usize, ack: Option<Stamp>) -> Markup {
    let steps = &evidence.timeline;
    if steps.is_empty() {
        return html! {};
    }
    let worth = picked(steps, ack);
    let calls = calls(evidence, &worth);
    let lanes = lanes(&worth, &calls);
    let (placed, gaps, end) = place(&worth, &lanes);
    let crash = end + STEP;
    let width = crash + MARGIN.1;
    let height = LANE * lanes.len() as f64 + 26.0;
    let of = |fate| steps.iter().filter(|step| step.fate == fate).count() as u64;
    let summary = format!(
        "{} before the crash: {} lost, {} torn, {} on disk; the table below has them one by one.",
        count(steps.len() as u64, "step"),
        of(Fate::Lost),
        of(Fate::Torn),
        of(Fate::OnDisk)
    );
    html! {
        figure .timeline {
            figcaption { "The last steps before the crash and what was around the losses, oldest first. The numbers are those of the trace."
                @if steps.iter().any(|step| is_ack(step, ack)) { " The ack in a dashed ring was lost." }
            }
            div .scroll.end role="group" aria-label="Time line, can be scrolled" tabindex="0" {
                div .stage style={ "width:" (format!("{width:.0}")) "px" } {
                    div .labels aria-hidden="true" {
                        @for (index, lane) in lanes.iter().enumerate() {
                            span style={ "top:" (format!("{:.0}", LANE * index as f64 + 3.0)) "px" } { (lane.name) }
                        }
                    }
                    svg role="img" aria-labelledby={ "t" (id) " d" (id) } width=(format!("{width:.0}")) height=(format!("{height:.0}")) {
                        title id={ "t" (id) } { "Time line of the crash" }
                        desc id={ "d" (id) } { (summary) }
                        @for index in 0..lanes.len() {
                            @let y = line_y(index);
                            line .lane x1="0" x2=(format!("{crash:.0}")) y1=(y) y2=(y) {}
                        }
                        @for (x, missing) in &gaps {
                            line .gap x1=(x) x2=(x) y1="0" y2=(format!("{:.0}", height - 22.0)) {}
                            text .tick x=(x) y=(format!("{:.0}", height - 6.0)) text-anchor="middle" { "… " (missing) " …" }
                        }
                        @for call in &calls { (in_progress(call, &lanes, &placed, crash)) }
                        @for one in &placed { (arrow(one, &lanes)) }
                        @for one in &placed {
                            @if one.step.kind == StepKind::Crash {
                                g .before {
                                    title { (tip(one.step)) }
                                    line .crash x1=(one.x) x2=(one.x) y1="0" y2=(format!("{:.0}", height - 22.0)) {}
                                    path .bolt transform={ "translate(" (one.x) " 14)" } d=(BOLT) {}
                                }
                            } @else {
                                (drawn(one, ack))
                            }
                        }
                        (numbers(&placed, height))
                        line .crash x1=(crash) x2=(crash) y1="0" y2=(format!("{:.0}", height - 22.0)) {}
                        path .bolt transform={ "translate(" (crash) " 14)" } d=(BOLT) {}
                        text .crash-word x=(crash + 14.0) y="18" { "crash" }
                    }
                }
            }
            (legend())
            (table(steps))
            (calls_table(&evidence.clients))
        }
    }
}

/// The steps worth drawing: the last ones, what was lost or torn with what was around it, and the
/// ack that was lost. The table has all of them.
fn picked(steps: &[TimelineStep], ack: Option<Stamp>) -> Vec<&TimelineStep> {
    let (last, around) = DRAWN;
    let mut wanted = vec![false; steps.len()];
    let mut want = |from: usize, to: usize| {
        for one in wanted.iter_mut().take(to).skip(from) {
            *one = true;
        }
    };
    want(steps.len().saturating_sub(last), steps.len());
    for (at, step) in steps.iter().enumerate() {
        let lost = is_ack(step, ack);
        if lost || step.kind == StepKind::Crash || matches!(step.fate, Fate::Lost | Fate::Torn) {
            want(at.saturating_sub(around), at + around + 1);
        }
    }
    let both = steps.iter().zip(wanted);
    both.filter(|one| one.1).map(|one| one.0).collect()
}

/// A lane of the drawing.
struct Lane<'a> {
    name: String,
    paths: Vec<&'a str>,
    /// The client whose transactions it has.
    client: Option<u32>,
}

/// The acks first where there are some, then the clients, then the files: damaged ones first, then by what happened
/// to them; the quietest share a lane where there are many.
fn lanes<'a>(steps: &[&'a TimelineStep], calls: &[&ClientCall]) -> Vec<Lane<'a>> {
    let mut files: BTreeMap<&str, (bool, usize)> = BTreeMap::new();
    for step in steps.iter().filter(|step| is_operation(step)) {
        let entry = files.entry(file(step)).or_default();
        entry.0 |= matches!(step.fate, Fate::Lost | Fate::Torn);
        entry.1 += 1;
        if let Some(to) = moved_to(step) {
            files.entry(to).or_default();
        }
    }
    let mut paths: Vec<(&str, (bool, usize))> = files.into_iter().collect();
    paths.sort_by_key(|(path, (damaged, steps))| (!damaged, std::cmp::Reverse(*steps), *path));
    let mut lanes = Vec::new();
    if steps.iter().any(|step| step.kind == StepKind::Ack) {
        lanes.push(Lane {
            name: "acks to clients".into(),
            paths: Vec::new(),
            client: None,
        });
    }
    let clients: BTreeSet<u32> = calls.iter().map(|call| call.client).collect();
    lanes.extend(clients.into_iter().take(CLIENTS).map(|client| Lane {
        name: format!("client {client}"),
        paths: Vec::new(),
        client: Some(client),
    }));
    let own = if paths.len() > LANES {
        LANES - 1
    } else {
        paths.len()
    };
    for (path, _) in &paths[..own] {
        lanes.push(Lane {
            name: if path.is_empty() {
                "the data directory itself".into()
            } else {
                text(path)
            },
            paths: vec![path],
            client: None,
        });
    }
    if own < paths.len() {
        lanes.push(Lane {
            name: count((paths.len() - own) as u64, "other file"),
            paths: paths[own..].iter().map(|(path, _)| *path).collect(),
            client: None,
        });
    }
    lanes
}

/// True for the ack of this moment. Several may lie between the same two operations.
fn is_ack(step: &TimelineStep, ack: Option<Stamp>) -> bool {
    step.kind == StepKind::Ack
        && ack.is_some_and(|ack| (ack.seq, ack.nanos / 1000) == (step.seq, step.micros))
}

/// True for what the target did to its storage: not for acks and crashes, which lie between.
fn is_operation(step: &TimelineStep) -> bool {
    !matches!(step.kind, StepKind::Ack | StepKind::Crash)
}

/// The file that a step is about. A rename stands on the lane of the name that its file was written
/// under.
fn file(step: &TimelineStep) -> &str {
    match step.kind {
        StepKind::Name => step.path.split_once(" -> ").map_or(&step.path, |p| p.0),
        _ => &step.path,
    }
}

/// The calls that were under way in what is drawn.
fn calls<'a>(evidence: &'a Evidence, steps: &[&TimelineStep]) -> Vec<&'a ClientCall> {
    let first = steps.first().map_or(0, |step| step.seq);
    let seen = |call: &&ClientCall| call.lost || call.ended.is_none_or(|ended| ended > first);
    evidence.clients.iter().filter(seen).collect()
}

/// A transaction from its call to its ack, or to the crash.
fn in_progress(call: &ClientCall, lanes: &[Lane<'_>], placed: &[Placed<'_>], crash: f64) -> Markup {
    let lane = lanes
        .iter()
        .position(|lane| lane.client == Some(call.client));
    let Some(lane) = lane else {
        return html! {};
    };
    // It began before the operation of this number.
    let place = |seq: u64| {
        let mut operations = placed.iter().filter(|one| is_operation(one.step));
        let next = operations.find(|one| one.step.seq >= seq);
        next.map_or(crash - STEP / 2.0, |one| one.x - STEP / 2.0)
    };
    let from = place(call.began);
    let to = call.ended.map_or(crash, place).max(from + 4.0);
    let class = match (call.lost, call.outcome) {
        (true, _) => "lost",
        (_, CallOutcome::Acknowledged) => "acked",
        (_, CallOutcome::InFlight) => "open",
        _ => "other",
    };
    let y = line_y(lane);
    html! {
        g .call.(class) {
            title { (call_tip(call)) }
            rect x=(format!("{from:.1}")) y=(format!("{:.1}", y - 8.0)) width=(format!("{:.1}", to - from)) height="16" rx="4" {}
            @if to - from > 9.0 * (call.what.chars().count() as f64) {
                text x=(format!("{:.1}", (from + to) / 2.0)) y=(format!("{:.1}", y + 4.0)) text-anchor="middle" { (text(&call.what)) }
            }
        }
    }
}

fn call_tip(call: &ClientCall) -> String {
    let ended = match call.ended {
        Some(ended) => format!("{} before #{ended}", call.outcome.label()),
        None => format!("{} at the crash", call.outcome.label()),
    };
    let lost = if call.lost { "; its data is gone" } else { "" };
    format!(
        "{} of client {}: called before #{}, {ended}{lost}",
        text(&call.what),
        call.client,
        call.began
    )
}

/// What the clients did, for those who cannot see the drawing.
fn calls_table(calls: &[ClientCall]) -> Markup {
    if calls.is_empty() {
        return html! {};
    }
    html! {
        details {
            summary { "What the clients did (" (count(calls.len() as u64, "transaction")) ")" }
            div .scroll role="group" aria-label="Transactions before the crash" tabindex="0" {
                table .steps {
                    thead { tr {
                        th .n scope="col" { "Client" }
                        th scope="col" { "Transaction" }
                        th .n scope="col" { "Called before #" }
                        th .n scope="col" { "Ended before #" }
                        th scope="col" { "Outcome" }
                    } }
                    tbody {
                        @for call in calls {
                            tr {
                                th .n scope="row" { (call.client) }
                                td { (text(&call.what)) }
                                td .n { (call.began) }
                                td .n { @if let Some(ended) = call.ended { (ended) } }
                                td .(if call.lost { "lost" } else { "fate" }) {
                                    (call.outcome.label()) @if call.lost { ", and gone" }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// Where a rename moves its file.
fn moved_to(step: &TimelineStep) -> Option<&str> {
    match step.kind {
        StepKind::Name => step.path.split_once(" -> ").map(|path| path.1),
        _ => None,
    }
}

/// The arrow of a rename to the lane of the name that it gives; none where that shares the lane.
fn arrow(one: &Placed<'_>, lanes: &[Lane<'_>]) -> Markup {
    let to = moved_to(one.step);
    let lane = to.and_then(|to| lanes.iter().position(|lane| lane.paths.contains(&to)));
    let Some(lane) = lane.filter(|lane| *lane != one.lane) else {
        return html! {};
    };
    let (from, to) = (line_y(one.lane), line_y(lane));
    let down = if to > from { 1.0 } else { -1.0 };
    let class = match one.step.fate {
        Fate::Lost | Fate::Torn => "lost",
        _ => "kept",
    };
    let (x, end) = (one.x, to - down * 3.0);
    let head = end - down * 8.0;
    html! {
        g .rename.(class) {
            title { (tip(one.step)) }
            path .shaft d={ "M" (format!("{x:.1} {:.1}", from + down * HALF)) " V" (format!("{head:.1}")) } {}
            path .head d=(format!("M{:.1} {head:.1} H{:.1} L{x:.1} {end:.1} Z", x - 4.5, x + 4.5)) {}
        }
    }
}

/// Places the steps. Also the gaps in the numbers, with how many are missing, and the last place.
fn place<'a>(
    steps: &[&'a TimelineStep],
    lanes: &[Lane<'_>],
) -> (Vec<Placed<'a>>, Vec<(f64, u64)>, f64) {
    let mut placed = Vec::with_capacity(steps.len());
    let mut gaps = Vec::new();
    let mut x = MARGIN.0 - STEP;
    let mut last: Option<u64> = None;
    for step in steps {
        let ack = step.kind == StepKind::Ack;
        let missing = last.map_or(0, |last| step.seq.saturating_sub(last + 1));
        if missing > 0 {
            gaps.push((x + GAP / 2.0, missing));
            x += GAP;
        }
        x += STEP;
        // What lies between two operations has the number of the later one.
        last = match is_operation(step) {
            true => Some(step.seq),
            false => last.max(step.seq.checked_sub(1)),
        };
        let lane = lanes
            .iter()
            .position(|lane| match ack {
                true => lane.paths.is_empty() && lane.client.is_none(),
                false => lane.paths.contains(&file(step)),
            })
            .unwrap_or(0);
        placed.push(Placed { step, x, lane });
    }
    (placed, gaps, x)
}

fn line_y(lane: usize) -> f64 {
    LANE * lane as f64 + 32.0
}

fn drawn(one: &Placed<'_>, ack: Option<Stamp>) -> Markup {
    let step = one.step;
    let y = line_y(one.lane);
    let lost = is_ack(step, ack);
    html! {
        (mark(step.kind, step.fate, one.x, y, &tip(step)))
        @if lost {
            circle .ring cx=(one.x) cy=(y) r=(HALF + 5.0) {}
        }
    }
}

/// The numbers of the trace below the drawing: where there is room for them.
fn numbers(placed: &[Placed<'_>], height: f64) -> Markup {
    let y = format!("{:.0}", height - 6.0);
    let mut shown: Vec<&Placed<'_>> = Vec::new();
    for one in placed.iter().filter(|one| is_operation(one.step)) {
        let room = shown.last().is_none_or(|last| one.x - last.x >= 5.0 * STEP);
        if room {
            shown.push(one);
        }
    }
    html! {
        @for one in shown {
            text .tick x=(one.x) y=(y) text-anchor="middle" { "#" (one.step.seq) }
        }
    }
}

fn tip(step: &TimelineStep) -> String {
    let place = match step.path.is_empty() {
        true => String::new(),
        false => format!(" {}", text(&step.path)),
    };
    let fate = match step.fate.label() {
        "" => String::new(),
        words => format!(" – {words}"),
    };
    format!("#{} {}{place}{fate}", step.seq, text(&step.what))
}

fn table(steps: &[TimelineStep]) -> Markup {
    html! {
        details {
            summary { "The same as a table (" (count(steps.len() as u64, "step")) ")" }
            div .scroll role="group" aria-label="Steps before the crash" tabindex="0" {
                table .steps {
                    thead { tr {
                        th .n scope="col" { "#" }
                        th .n scope="col" { "After" }
                        th scope="col" { "Step" }
                        th scope="col" { "File" }
                        th scope="col" { "Fate" }
                    } }
                    tbody {
                        @for step in steps {
                            tr {
                                th .n scope="row" { (step.seq) }
                                td .n { (duration_words(step.micros)) }
                                td { (text(&step.what)) }
                                td { (text(&step.path)) }
                                td .(match step.fate { Fate::Lost => "lost", Fate::Torn => "torn", Fate::Missing => "lost", _ => "fate" }) { (step.fate.label()) }
                            }
                        }
                    }
                }
            }
        }
    }
}
