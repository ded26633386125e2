//! What an exploration knows of a finding's crash.

use plugpull_reports::{Evidence, TimelineStep};
use plugpull_workloads::Stamp;

use super::findings::Group;
use super::scene::Crash;
use super::shrink::Court;
use crate::evidence::{Span, files, steps};

/// All that is known of a group's crash. `artifact` is where it was kept.
pub fn evidence(group: &Group, court: &Court<'_>, artifact: Option<String>) -> Evidence {
    let small = &group.small;
    let log = court.log(&small.crash);
    let (files, files_left_out) = files(&small.tree, log, &small.crash.lost);
    let models = court.models_of(&small.crash, small.tree.digest());
    Evidence {
        cause: group.cause().map(str::to_string).collect(),
        models: models.into_iter().map(str::to_string).collect(),
        point: small.crash.first().point,
        artifact,
        timeline: timeline(&small.crash, small.finding.ack, court),
        files,
        files_left_out,
        ..Evidence::default()
    }
}

/// The operations before the crash, those around what was lost and around the betrayed `ack`, with
/// the acks between them: those of the recorded run, and behind them those of the recoveries that
/// were crashed in turn.
pub fn timeline(crash: &Crash, ack: Option<Stamp>, court: &Court<'_>) -> Vec<TimelineStep> {
    told(crash, ack, court).0
}

/// The same, and the crash itself as a step.
fn told(crash: &Crash, ack: Option<Stamp>, court: &Court<'_>) -> (Vec<TimelineStep>, TimelineStep) {
    let mut before = Vec::new();
    let (mut clock, mut ack, mut life) = ((0, 0), ack, "");
    if let Some(scene) = &crash.within {
        // A recovery goes on counting where the crash before it was.
        let (steps, last) = told(&scene.after, ack, court);
        clock = (last.seq, last.micros);
        (ack, life) = (None, "recovery: ");
        before = steps;
        before.push(last);
    }
    let log = court.log(crash);
    let records = log.records();
    let point = (crash.point as usize).min(records.len());
    // The operation before which it struck tells how late it was.
    let last = records.last().map(|record| record.nanos);
    let last = last.max(log.marks().last().map(|mark| mark.nanos));
    let next = records.get(point).map(|record| record.nanos);
    let span = Span {
        log,
        from: Stamp::default(),
        to: Stamp {
            seq: point as u64,
            nanos: next.or(last).unwrap_or_default(),
        },
        lost: &crash.lost,
        ack,
        life,
        clock,
    };
    before.extend(steps(&span));
    let what = match court.rules[crash.rules].power {
        true => "power lost",
        false => "killed",
    };
    (before, span.crash_step(what))
}
