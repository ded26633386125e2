//! A finding for people: its sentence, and what is known of its crash.

use std::collections::HashSet;

use plugpull_crashsim::fs::Op;
use plugpull_crashsim::persist::LostUpdate;
use plugpull_reports::{Diagnosis, Evidence, Fate, StepKind, TimelineStep};
use plugpull_workloads::{FindingKind, Stamp};

use super::crash::Crash;
use super::grouping::Group;
use super::oracle::Oracle;
use super::retry::Minimised;
use crate::evidence::{Span, files, steps};

/// What is said of an ack whose data a plain kill takes: the disk has lost nothing, nor does a sync lack.
const NEVER_WRITTEN: &str = "; the disk has all that was written until then, so what is gone was still in \
                             the program's own memory (a buffer that was not flushed), or the program took it away itself";

/// The finding's sentence, and why the state is legal.
pub fn sentence(minimised: &Minimised, oracle: &Oracle<'_>) -> String {
    let finding = minimised.finding.sentence.trim_end_matches('.');
    let crash = &minimised.crash;
    let mut text = format!("{finding}; {}", place(crash, oracle));
    let merely_died = crash.lost.is_empty()
        && crash.within.is_none()
        && oracle.kills_at(crash)
        && oracle.cut_call(crash).is_none();
    if merely_died && minimised.finding.kind == FindingKind::LostAck {
        text.push_str(NEVER_WRITTEN);
    }
    if crash.size() > 0 {
        text.push_str(&allowed_by(&minimised.models, minimised.other_models));
    }
    match minimised.rate {
        Some(rate) if rate.shown < rate.tried => text.push_str(&format!(
            "; this state shows it in {} of {} tries",
            rate.shown, rate.tried
        )),
        Some(_) if minimised.whole => {}
        Some(_) => text.push_str("; a smaller state may show it too: the time for that was over"),
        None if minimised.whole => {}
        None => text.push_str(
            "; this state was tried once and not made smaller: the time for that was over",
        ),
    }
    text
}

/// Which models allow it, as far as that was looked at.
fn allowed_by(models: &[&str], others: bool) -> String {
    let rest = match others {
        true => " (there was no time to look at all others)",
        false => "",
    };
    format!("; models that allow it: {}{rest}", models.join(", "))
}

/// Where a crash happened and what it left out.
fn place(crash: &Crash, oracle: &Oracle<'_>) -> String {
    let records = oracle.log(crash).records();
    let (before, whose) = match &crash.within {
        Some(recovery) => (
            format!("{}; then ", place(&recovery.after, oracle)),
            "recovery's ",
        ),
        None => (String::new(), ""),
    };
    let mut next = records.iter().skip(crash.point as usize);
    let at = match next.find(|next| !next.op.is_note()) {
        Some(next) => format!(
            "before {whose}operation {} ({} {})",
            next.seq,
            next.op.name(),
            next.path
        ),
        None => format!("after {whose}last operation").replace("after last", "after the last"),
    };
    if let Some((done, of)) = oracle.cut_call(crash) {
        return format!(
            "{before}nothing was lost: the kill ended one write call after {done} of {of} bytes, {at}"
        );
    }
    if crash.lost.is_empty() {
        return match crash.within {
            Some(_) => format!("{before}recovery itself was cut short {at}"),
            None if oracle.kills_at(crash) => {
                format!("nothing was lost: the process merely died {at}")
            }
            None => format!(
                "at the crash {at} the disk was missing what was stored in shared mappings and not yet \
                 written back"
            ),
        };
    }
    let missing: Vec<String> = telling(crash, oracle)
        .iter()
        .take(3)
        .map(|lost| {
            let torn = if lost.torn { "part of the " } else { "the " };
            let what = lost.what.strip_prefix("the ").unwrap_or(&lost.what);
            format!("{torn}{what} of {} (operation {})", lost.path, lost.seq)
        })
        .chain((crash.lost.len() > 3).then(|| format!("{} more", crash.lost.len() - 3)))
        .collect();
    format!(
        "{before}at the crash {at} the disk was missing {}, which no completed sync covered",
        missing.join(", ")
    )
}

/// What a crash left out: first what belongs to files that the target syncs at other times. A text
/// log or an index in shared memory that is never synced is not meant to survive.
fn telling<'c>(crash: &'c Crash, oracle: &Oracle<'_>) -> Vec<&'c LostUpdate> {
    let records = oracle.trace.log.records().iter();
    let mut synced: HashSet<&str> = HashSet::new();
    if crash.lost.len() > 1 {
        let syncs = records.filter(|record| matches!(record.op, Op::Sync { .. }));
        synced.extend(syncs.map(|record| &*record.path));
    }
    let of_synced = |lost: &LostUpdate| lost.path.split(" -> ").any(|path| synced.contains(path));
    let mut all: Vec<&LostUpdate> = crash.lost.iter().collect();
    all.sort_by_key(|lost| !of_synced(lost));
    all
}

/// All that is known of a group's crash. `artifact` is where it was kept.
pub fn evidence(group: &Group, oracle: &Oracle<'_>, artifact: Option<String>) -> Evidence {
    let Minimised {
        crash,
        finding,
        tree,
        models,
        ..
    } = &group.minimised;
    let (files, files_left_out) = files(tree, oracle.log(crash), &crash.lost);
    Evidence {
        cause: group.cause.iter().cloned().collect(),
        models: models.iter().map(|name| (*name).to_owned()).collect(),
        point: crash.first().point,
        artifact,
        timeline: with_missing(
            timeline(crash, finding.ack, oracle),
            group.diagnosis.as_ref(),
        ),
        files,
        files_left_out,
        diagnosis: group.diagnosis.clone(),
        ..Evidence::default()
    }
}

/// The time line with the syncs of a verified fix where they are missing.
fn with_missing(timeline: Vec<TimelineStep>, diagnosis: Option<&Diagnosis>) -> Vec<TimelineStep> {
    let fix = diagnosis.and_then(|diagnosis| diagnosis.fix.as_ref());
    let Some(fix) = fix else {
        return timeline;
    };
    let is_operation = |step: &TimelineStep| !matches!(step.kind, StepKind::Ack | StepKind::Crash);
    let mut all = Vec::with_capacity(timeline.len());
    for step in timeline {
        let behind = is_operation(&step).then_some((step.seq, step.micros));
        all.push(step);
        let Some((seq, micros)) = behind else {
            continue;
        };
        all.extend(
            fix.missing
                .iter()
                .filter(|one| one.after == seq)
                .map(|one| TimelineStep {
                    seq,
                    micros,
                    kind: StepKind::Sync,
                    what: if one.dir { "fsync(dir)" } else { "fsync" }.to_owned(),
                    path: one.path.clone(),
                    fate: Fate::Missing,
                    made_by: None,
                }),
        );
    }
    all
}

/// The operations before the crash, those around what was lost and around the lost `ack`, with the
/// acks between them: those of the recorded run, and behind them those of the recoveries that were
/// crashed in turn.
pub fn timeline(crash: &Crash, ack: Option<Stamp>, oracle: &Oracle<'_>) -> Vec<TimelineStep> {
    with_crash_step(crash, ack, oracle).0
}

/// The same, and the crash itself as a step.
fn with_crash_step(
    crash: &Crash,
    ack: Option<Stamp>,
    oracle: &Oracle<'_>,
) -> (Vec<TimelineStep>, TimelineStep) {
    let mut before = Vec::new();
    let (mut clock, mut ack, mut life) = ((0, 0), ack, "");
    if let Some(recovery) = &crash.within {
        // A recovery goes on counting where the crash before it was.
        let (steps, last) = with_crash_step(&recovery.after, ack, oracle);
        clock = (last.seq, last.micros);
        (ack, life) = (None, "recovery: ");
        before = steps;
        before.push(last);
    }
    let log = oracle.log(crash);
    let records = log.records();
    let point = (crash.point as usize).min(records.len());
    // The operation before which it happened says how late it was.
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
        stacks: match crash.within {
            // Recoveries are recorded without.
            Some(_) => None,
            None => oracle.trace.about.stacks.as_deref(),
        },
    };
    before.extend(steps(&span));
    let what = match oracle.models[crash.model].power {
        true => "power lost",
        false => "killed",
    };
    (before, span.crash_step(what))
}

#[cfg(test)]
mod tests {
    use super::allowed_by;

    #[test]
    fn models_that_nobody_looked_at_are_not_denied() {
        let models = ["strict", "ext4"];
        assert_eq!(
            allowed_by(&models, false),
            "; models that allow it: strict, ext4"
        );
        assert!(
            allowed_by(&models, true)
                .ends_with("strict, ext4 (there was no time to look at all others)")
        );
    }
}
