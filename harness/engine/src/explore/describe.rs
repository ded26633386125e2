//! A finding for people: its sentence, and what is known of its crash.

use std::collections::{BTreeSet, HashSet};

use plugpull_crashsim::fs::{Log, Op};
use plugpull_crashsim::persist::LostUpdate;
use plugpull_reports::{Diagnosis, Evidence, Fate, StepKind, TimelineStep};
use plugpull_workloads::{FindingKind, FindingPart, PartKind, Stamp};

use super::crash::Crash;
use super::grouping::{Group, change};
use super::oracle::Oracle;
use super::retry::Minimised;
use crate::evidence::{Span, clients, files, steps, synced_by};

/// How many lost updates are named.
const NAMED: usize = 3;

/// What is said of an ack whose data a plain kill takes: the disk has lost nothing, nor does a sync lack.
const NEVER_WRITTEN: &str = "the disk has all that was written until then, so what is gone was still in \
                             the program's own memory (a buffer that was not flushed), or the program took it away itself";

/// The finding's sentence, and why the state is legal.
pub fn sentence(minimised: &Minimised, oracle: &Oracle<'_>) -> String {
    let finding = minimised.finding.sentence.trim_end_matches('.');
    let crash = &minimised.crash;
    let mut text = format!("{finding}; {}", place(crash, oracle));
    if is_never_written(minimised, oracle) {
        text.push_str(&format!("; {NEVER_WRITTEN}"));
    }
    if crash.size() > 0 {
        text.push_str(&allowed_by(&minimised.models, minimised.other_models));
    }
    if let Some(how) = how_sure(minimised) {
        text.push_str(&format!("; {how}"));
    }
    text
}

/// The same in parts, but for the models.
pub(super) fn parts(minimised: &Minimised, oracle: &Oracle<'_>) -> Vec<FindingPart> {
    let crash = &minimised.crash;
    let mut parts = minimised.finding.parts.clone();
    if let Some(recovery) = &crash.within {
        parts.push(FindingPart::new(
            PartKind::Before,
            place(&recovery.after, oracle),
        ));
    }
    let lost = match nothing_lost(crash, oracle) {
        Some(why) => vec![why],
        None => NamedLosses::of(crash, oracle).lines(),
    };
    parts.extend(
        lost.into_iter()
            .map(|line| FindingPart::new(PartKind::Lost, line)),
    );
    parts.push(FindingPart::new(PartKind::Crash, moment(crash, oracle)));
    if is_never_written(minimised, oracle) {
        parts.push(FindingPart::new(PartKind::Note, NEVER_WRITTEN));
    }
    if crash.size() > 0 && minimised.other_models {
        parts.push(FindingPart::new(
            PartKind::Note,
            "there was no time to look at all other models",
        ));
    }
    parts.extend(how_sure(minimised).map(|how| FindingPart::new(PartKind::Note, how)));
    parts
}

/// True for an ack whose data a plain kill takes.
fn is_never_written(minimised: &Minimised, oracle: &Oracle<'_>) -> bool {
    let crash = &minimised.crash;
    minimised.finding.kind == FindingKind::LostAck
        && crash.lost.is_empty()
        && crash.within.is_none()
        && oracle.kills_at(crash)
        && oracle.cut_call(crash).is_none()
}

/// How often it was tried, where that leaves a doubt.
fn how_sure(minimised: &Minimised) -> Option<String> {
    match minimised.rate {
        Some(rate) if rate.shown < rate.tried => Some(format!(
            "this state shows it in {} of {} tries",
            rate.shown, rate.tried
        )),
        _ if minimised.whole => None,
        Some(_) => Some("a smaller state may show it too: the time for that was over".into()),
        None => Some(
            "this state was tried once and not made smaller: the time for that was over".into(),
        ),
    }
}

/// Which models allow it, as far as that was looked at.
fn allowed_by(models: &[&str], others: bool) -> String {
    let rest = match others {
        true => " (there was no time to look at all others)",
        false => "",
    };
    format!("; models that allow it: {}{rest}", models.join(", "))
}

/// Before which operation a crash happened.
fn moment(crash: &Crash, oracle: &Oracle<'_>) -> String {
    let whose = crash.whose();
    let records = oracle.log(crash).records();
    let mut next = records.iter().skip(crash.point as usize);
    match next.find(|next| !next.op.is_note()) {
        Some(next) => {
            let path = match &*next.path {
                "" => "of the data directory",
                path => path,
            };
            format!(
                "before {whose}operation {} ({} {path})",
                next.seq,
                next.op.name()
            )
        }
        None if crash.within.is_some() => "after recovery's last operation".into(),
        None => "after the last operation".into(),
    }
}

/// Why the disk has lost no update, where it has not.
fn nothing_lost(crash: &Crash, oracle: &Oracle<'_>) -> Option<String> {
    if let Some((done, of)) = oracle.cut_call(crash) {
        return Some(format!(
            "nothing: the kill ended one write call after {done} of {of} bytes"
        ));
    }
    let why = match crash.within {
        _ if !crash.lost.is_empty() => return None,
        Some(_) => "nothing more: recovery itself was cut short",
        None if oracle.kills_at(crash) => "nothing: the process merely died",
        None => "what was stored in shared mappings and not yet written back",
    };
    Some(why.into())
}

/// Where a crash happened and what it left out.
fn place(crash: &Crash, oracle: &Oracle<'_>) -> String {
    let before = match &crash.within {
        Some(recovery) => format!("{}; then ", place(&recovery.after, oracle)),
        None => String::new(),
    };
    let at = moment(crash, oracle);
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
    let missing = NamedLosses::of(crash, oracle).in_words();
    format!("{before}at the crash {at} the disk was missing {missing}")
}

/// What a crash left out, for people: some of the updates, each with the sync that is missing.
struct NamedLosses {
    named: Vec<(String, String)>,
    /// How many more there are.
    more: usize,
    /// True where these follow from the named ones.
    follow: bool,
}

impl NamedLosses {
    fn of(crash: &Crash, oracle: &Oracle<'_>) -> Self {
        let roots = roots(crash, oracle);
        let all = telling(crash, oracle, &roots);
        let (log, whose) = (oracle.log(crash), crash.whose());
        let mut named: Vec<(String, String)> = Vec::new();
        let mut moved = BTreeSet::new();
        let mut shown = 0;
        for lost in &all {
            // A rename is two changes of names.
            let both = |one: &&LostUpdate| one.seq == lost.seq && is_name(&one.what);
            let both = is_name(&lost.what) && all.iter().copied().filter(both).count() > 1;
            if both && !moved.insert(lost.seq) {
                shown += 1;
                continue;
            }
            if named.len() == NAMED {
                break;
            }
            shown += 1;
            named.push((
                update(lost, both, whose),
                missing_sync((log, whose), lost, both, crash.point),
            ));
        }
        let follow = all[shown..].iter().all(|lost| !roots.contains(&lost.seq));
        Self {
            named,
            more: all.len() - shown,
            follow,
        }
    }

    /// How many more there are, in words.
    fn rest(&self) -> Option<String> {
        let it = if self.named.len() == 1 { "it" } else { "these" };
        match (self.more, self.follow) {
            (0, _) => None,
            (more, true) => Some(format!("{more} more, which cannot be there without {it}")),
            (more, false) => Some(format!("{more} more")),
        }
    }

    /// A line each.
    fn lines(self) -> Vec<String> {
        let more = self.rest();
        let named = self.named.into_iter();
        let lines = named.map(|(update, sync)| format!("{update}, {sync}"));
        lines.chain(more).collect()
    }

    /// In a sentence. What lacks the same sync is said together.
    fn in_words(self) -> String {
        let more = self.rest();
        let mut together: Vec<(Vec<String>, String)> = Vec::new();
        for (update, sync) in self.named {
            let update = match update.starts_with("the ") || update.starts_with("part of ") {
                true => update,
                false => format!("the {update}"),
            };
            match together.last_mut() {
                Some((updates, same)) if *same == sync => updates.push(update),
                _ => together.push((vec![update], sync)),
            }
        }
        let phrases = together.into_iter().map(|(updates, sync)| {
            let sync = match updates.len() {
                1 => sync,
                _ => sync.replace("after it", "after them"),
            };
            format!("{}, {sync}", updates.join(", "))
        });
        phrases.chain(more).collect::<Vec<_>>().join(", and ")
    }
}

fn is_name(what: &str) -> bool {
    ["name", "removal of"].contains(&change(what))
}

/// An update that was lost, by what it did and the number of its operation. `both` where a rename is lost
/// with the name that it gives and the one that it takes away. `whose` stands before the number.
fn update(lost: &LostUpdate, both: bool, whose: &str) -> String {
    let (path, operation) = (&lost.path, format!("{whose}operation {}", lost.seq));
    let part = if lost.torn { "part of the " } else { "" };
    let call = lost.what.rsplit_once('(').and_then(|(_, rest)| {
        let (call, _) = rest.split_once(')')?;
        Some(call)
    });
    match (change(&lost.what), call) {
        ("name" | "removal of", Some(call)) => {
            let name = lost.what.split(" (").next().unwrap_or_default();
            match call {
                "rename" | "exchange" if !both => {
                    format!("{name} of {call} {path} ({operation})")
                }
                _ => format!("{call} {path} ({operation})"),
            }
        }
        (_, Some(call)) if lost.what.starts_with("size ") => {
            let size = lost.what.split(' ').nth(1).unwrap_or_default();
            let size = size.trim_end_matches(',');
            let instead = lost.what.split_once("), ").map_or("", |(_, rest)| rest);
            let instead = match instead {
                "" => String::new(),
                rest => format!(" ({rest})"),
            };
            format!("the length {size} that {call} ({operation}) gave {path}{instead}")
        }
        _ => {
            let (what, rest) = lost.what.split_once(", ").unwrap_or((&lost.what, ""));
            let rest = match rest {
                "" => String::new(),
                rest => format!(", {rest}"),
            };
            let to = if what.starts_with("write ") {
                "to"
            } else {
                "of"
            };
            format!("{part}{what} {to} {path} ({operation}){rest}")
        }
    }
}

/// Which sync is missing between an update and a crash, of the file or of the directory of its name. `whose`
/// stands before the numbers of operations.
fn missing_sync((log, whose): (&Log, &str), lost: &LostUpdate, both: bool, point: u64) -> String {
    let records = log.records();
    let first = records.first().map_or(0, |record| record.seq);
    let index = lost.seq.saturating_sub(first) as usize;
    let Some(record) = records.get(index) else {
        return "never synced after it".into();
    };
    let of_name = matches!(
        record.op,
        Op::Create { .. } | Op::Link { .. } | Op::Unlink { .. } | Op::Rename { .. }
    );
    let synced = match &record.op {
        // Each of its two names is of one directory.
        Op::Rename { from, to, .. } if !both => match change(&lost.what) {
            "name" => vec![to.0],
            _ => vec![from.0],
        },
        op => synced_by(op),
    };
    let end = (point as usize).clamp(index + 1, records.len().max(index + 1));
    let later = records.get(index + 1..end).unwrap_or_default();
    for later in later {
        match later.op {
            Op::SyncFailed { ino } if synced.contains(&ino) => {
                return format!("whose fsync failed at {whose}operation {}", later.seq);
            }
            Op::Sync { ino, .. } if synced.contains(&ino) => {
                let call = later.op.name();
                let seq = later.seq;
                return format!("which the {call} of {whose}operation {seq} does not cover");
            }
            _ => {}
        }
    }
    match of_name {
        true => "directory never synced after it".into(),
        false => "never fsynced after it".into(),
    }
}

/// The operations whose loss the rest follows from; all where few are named anyway.
fn roots(crash: &Crash, oracle: &Oracle<'_>) -> BTreeSet<u64> {
    let of = |lost: &[LostUpdate]| lost.iter().map(|lost| lost.seq).collect();
    match crash.lost.len() > NAMED {
        true => of(&oracle.with_roots_alone(crash).lost),
        false => of(&crash.lost),
    }
}

/// What a crash left out: first what the rest follows from, and what belongs to files that the target syncs at
/// other times. A text log or an index in shared memory that is never synced is not meant to survive.
fn telling<'c>(
    crash: &'c Crash,
    oracle: &Oracle<'_>,
    roots: &BTreeSet<u64>,
) -> Vec<&'c LostUpdate> {
    let records = oracle.trace.log.records().iter();
    let mut synced: HashSet<&str> = HashSet::new();
    if crash.lost.len() > 1 {
        let syncs = records.filter(|record| matches!(record.op, Op::Sync { .. }));
        synced.extend(syncs.map(|record| &*record.path));
    }
    let of_synced = |lost: &LostUpdate| lost.path.split(" -> ").any(|path| synced.contains(path));
    let mut all: Vec<&LostUpdate> = crash.lost.iter().collect();
    all.sort_by_key(|lost| (!roots.contains(&lost.seq), !of_synced(lost)));
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
    let (files, files_left_out) = files(tree, oracle.log(crash), crash.point, &crash.lost);
    Evidence {
        cause: group.cause.iter().cloned().collect(),
        models: models.iter().map(|name| (*name).to_owned()).collect(),
        point: crash.first().point,
        artifact,
        timeline: with_missing(
            timeline(crash, finding.ack, oracle),
            group.diagnosis.as_ref(),
        ),
        clients: {
            // Every ack counts that came before the next operation.
            let end = Stamp {
                seq: crash.first().point,
                nanos: u64::MAX,
            };
            clients(&oracle.trace.history_at(end.seq), end, finding.ack)
        },
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
        history: Some(&oracle.trace.about.history),
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
    use plugpull_crashsim::fs::{Ino, ROOT, Record, Tree};

    use super::*;

    fn lost(seq: u64, path: &str, what: &str, torn: bool) -> LostUpdate {
        LostUpdate {
            seq,
            path: path.into(),
            what: what.into(),
            torn,
        }
    }

    #[test]
    fn an_update_is_named_by_what_it_did() {
        let of = |what: &str, torn, both| update(&lost(7, "a -> b", what, torn), both, "");
        for (what, torn, both, words) in [
            (
                "the name b (rename)",
                false,
                true,
                "rename a -> b (operation 7)",
            ),
            (
                "the name b (rename)",
                false,
                false,
                "the name b of rename a -> b (operation 7)",
            ),
            (
                "removal of the name a (rename)",
                false,
                false,
                "removal of the name a of rename a -> b (operation 7)",
            ),
            (
                "the name b (create)",
                false,
                false,
                "create a -> b (operation 7)",
            ),
            (
                "size 78312 (write)",
                false,
                false,
                "the length 78312 that write (operation 7) gave a -> b",
            ),
            (
                "size 16384 (write), 8192 instead",
                false,
                false,
                "the length 16384 that write (operation 7) gave a -> b (8192 instead)",
            ),
            (
                "write of 3 bytes at 9",
                true,
                false,
                "part of the write of 3 bytes at 9 to a -> b (operation 7)",
            ),
            ("chmod", false, false, "chmod of a -> b (operation 7)"),
        ] {
            assert_eq!(of(what, torn, both), words);
        }
    }

    /// Of a file that was moved from one directory into another: a sync of the one says nothing of the other.
    #[test]
    fn the_sync_that_is_missing_is_that_of_the_file_or_of_the_directory() {
        let (file, directory): (Ino, Ino) = (20, 21);
        let sync = |ino, dir| Op::Sync {
            ino,
            data_only: false,
            dir,
        };
        let ops = [
            Op::Truncate {
                ino: file,
                old_size: 0,
                size: 1,
            },
            Op::Rename {
                from: (ROOT, "a".into()),
                to: (directory, "b".into()),
                ino: file,
                replaced: None,
                exchange: false,
            },
            sync(directory, true),
            sync(file, false),
            Op::SyncFailed { ino: file },
        ];
        let records = ops.into_iter().zip(0..).map(|(op, seq)| Record {
            seq,
            nanos: seq,
            pid: 1,
            path: "a".into(),
            op,
        });
        let log = Log::of(Tree::new(0, 0, 0), records.collect(), Vec::new());
        let missing =
            |seq, what, point| missing_sync((&log, ""), &lost(seq, "a", what, false), false, point);
        assert_eq!(missing(0, "size 1 (truncate)", 3), "never fsynced after it");
        assert_eq!(
            missing(0, "size 1 (truncate)", 5),
            "which the fsync of operation 3 does not cover"
        );
        let gone = "removal of the name a (rename)";
        assert_eq!(missing(1, gone, 5), "directory never synced after it");
        assert_eq!(
            missing(1, "the name b (rename)", 5),
            "which the fsync(dir) of operation 2 does not cover"
        );
        assert_eq!(
            missing(3, "anything", 5),
            "whose fsync failed at operation 4"
        );
        let of_recovery = lost(1, "a", "the name b (rename)", false);
        assert_eq!(
            missing_sync((&log, "recovery's "), &of_recovery, false, 5),
            "which the fsync(dir) of recovery's operation 2 does not cover"
        );
    }

    #[test]
    fn what_lacks_the_same_sync_is_said_together() {
        let named = |named: &[(&str, &str)], more| NamedLosses {
            named: named
                .iter()
                .map(|one| (one.0.into(), one.1.into()))
                .collect(),
            more,
            follow: false,
        };
        let never = "never fsynced after it";
        assert_eq!(
            named(&[("write a", never), ("write b", never)], 0).in_words(),
            "the write a, the write b, never fsynced after them"
        );
        let lines = named(&[("write a", never)], 2).lines();
        assert_eq!(lines, ["write a, never fsynced after it", "2 more"]);
        let of_directory = NamedLosses {
            follow: true,
            ..named(&[("mkdir a", never)], 9)
        };
        assert_eq!(
            of_directory.lines().last().map(String::as_str),
            Some("9 more, which cannot be there without it")
        );
        assert_eq!(
            named(
                &[
                    ("the length 3", never),
                    ("rename", "directory never synced after it")
                ],
                1
            )
            .in_words(),
            "the length 3, never fsynced after it, and the rename, directory never synced after it, and 1 more"
        );
    }

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
