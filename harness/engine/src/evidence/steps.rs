//! The operations before a crash with what became of each, and the acks between them.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use plugpull_crashsim::fs::{Ino, Log, Mark, Op, Record};
use plugpull_crashsim::persist::LostUpdate;
use plugpull_reports::{Fate, StepKind, TimelineStep};
use plugpull_sandbox::Stacks;
use plugpull_workloads::{History, Stamp};

use super::clients::id_of;
use super::made_by::made_by;

/// How many operations before the crash are shown.
const SHOWN: usize = 60;
/// How many operations around each one that was lost, and around the ack whose data is gone, are
/// shown, where that was longer ago.
const AROUND: usize = 4;
/// How many that were lost are shown with what was around them.
const FAR: usize = 20;

/// A part of a log that ends with a crash.
pub struct Span<'a> {
    /// The operations.
    pub log: &'a Log,
    /// The crash before it, on the log's clock: what was earlier is no part of it.
    pub from: Stamp,
    /// The crash at its end.
    pub to: Stamp,
    /// What of it the disk did not get.
    pub lost: &'a [LostUpdate],
    /// The ack whose data is gone.
    pub ack: Option<Stamp>,
    /// Stands before the description of each operation.
    pub life: &'a str,
    /// The trace's clock where the log's own says 0: operations and microseconds.
    pub clock: (u64, u64),
    /// Who made the operations of the log, where that was recorded.
    pub stacks: Option<&'a Stacks>,
    /// What was acknowledged in it, where acks are named by the IDs of the user's own workload.
    pub history: Option<&'a History>,
}

impl<'a> Span<'a> {
    /// Its operations, oldest first.
    fn records(&self) -> &'a [Record] {
        let records = self.log.records();
        let index = |seq: u64| records.partition_point(|record| record.seq < seq);
        let (from, to) = (index(self.from.seq), index(self.to.seq));
        &records[from.min(to)..to]
    }

    /// Its acks, by how many operations came before them.
    fn acks(&self) -> BTreeMap<u64, Vec<&'a Mark>> {
        let within = |mark: &&Mark| {
            mark.seq >= self.from.seq
                && mark.nanos >= self.from.nanos
                && mark.seq <= self.to.seq
                && mark.nanos <= self.to.nanos
        };
        let mut acks: BTreeMap<u64, Vec<&Mark>> = BTreeMap::new();
        for mark in self.log.marks().iter().filter(within) {
            acks.entry(mark.seq).or_default().push(mark);
        }
        acks
    }

    /// The indices of the operations to show, in order.
    fn shown(&self, records: &[Record]) -> BTreeSet<usize> {
        let end = records.len();
        let index = |seq: u64| records.partition_point(|record| record.seq < seq);
        let mut shown: BTreeSet<usize> = (end.saturating_sub(SHOWN)..end).collect();
        let mut around = |at: usize| {
            shown.extend(at.saturating_sub(AROUND).min(end)..end.min(at + AROUND + 1));
        };
        for lost in self.lost.iter().rev().take(FAR) {
            around(index(lost.seq));
        }
        if let Some(ack) = self.ack {
            around(index(ack.seq));
            // What should have been synced for it.
            let before = self.lost.iter().rev().filter(|lost| lost.seq < ack.seq);
            shown.extend(before.take(FAR).map(|lost| index(lost.seq)));
        }
        shown.extend(self.last_syncs(records));
        shown.retain(|at| *at < end);
        shown
    }

    /// Where stacks were recorded: the indices of the last syncs of what was lost, which did not cover it.
    fn last_syncs(&self, records: &[Record]) -> BTreeSet<usize> {
        if self.stacks.is_none() {
            return BTreeSet::new();
        }
        let lost: BTreeSet<u64> = self.lost.iter().map(|one| one.seq).collect();
        let lost = records.iter().filter(|record| lost.contains(&record.seq));
        let synced: BTreeSet<Ino> = lost.flat_map(|record| synced_by(&record.op)).collect();
        let last = |ino: Ino| {
            let is_sync =
                |record: &Record| matches!(record.op, Op::Sync { ino: of, .. } if of == ino);
            records.iter().rposition(is_sync)
        };
        synced.into_iter().filter_map(last).collect()
    }

    fn ack_step(&self, mark: &Mark) -> TimelineStep {
        TimelineStep {
            seq: self.clock.0 + mark.seq,
            micros: self.clock.1 + mark.nanos / 1000,
            kind: StepKind::Ack,
            what: match self.history.and_then(|history| id_of(history, mark.id)) {
                Some(id) => format!("ack of ID {id}"),
                None => format!("ack of transaction {}", mark.id),
            },
            path: String::new(),
            fate: Fate::None,
            made_by: None,
        }
    }

    /// The crash at its end as a step, for what came after it.
    pub fn crash_step(&self, what: &str) -> TimelineStep {
        TimelineStep {
            seq: self.clock.0 + self.to.seq,
            micros: self.clock.1 + self.to.nanos / 1000,
            kind: StepKind::Crash,
            what: what.into(),
            path: String::new(),
            fate: Fate::None,
            made_by: None,
        }
    }
}

/// The last operations of a span, those around what was lost and around the ack whose data is gone,
/// with all acks between them.
pub fn steps(span: &Span<'_>) -> Vec<TimelineStep> {
    let records = span.records();
    let mut acks = span.acks();
    let fates: HashMap<u64, bool> = span.lost.iter().map(|one| (one.seq, one.torn)).collect();
    let mut steps = Vec::new();
    let mut ack = |seq: u64, into: &mut Vec<TimelineStep>| {
        let marks = acks.remove(&seq).into_iter().flatten();
        into.extend(marks.map(|mark| span.ack_step(mark)));
    };
    let syncs = span.last_syncs(records);
    for at in span.shown(records) {
        let record = &records[at];
        let named = syncs.contains(&at) || fates.contains_key(&record.seq);
        let stack = span.stacks.filter(|_| named);
        let stack = stack.and_then(|stacks| stacks.stack_of(record.seq));
        ack(record.seq, &mut steps);
        steps.push(TimelineStep {
            seq: span.clock.0 + record.seq,
            micros: span.clock.1 + record.nanos / 1000,
            kind: kind(&record.op),
            what: format!("{}{}", span.life, describe(record)),
            path: record.path.to_string(),
            fate: match fates.get(&record.seq) {
                Some(true) => Fate::Torn,
                Some(false) => Fate::Lost,
                None if kind(&record.op) == StepKind::Sync => Fate::None,
                None => Fate::OnDisk,
            },
            made_by: stack.map(|stack| Box::new(made_by(&stack))),
        });
    }
    ack(span.to.seq, &mut steps);
    steps
}

/// What a sync has to be of to make an operation durable: the file, or the directories of its names.
pub fn synced_by(op: &Op) -> Vec<Ino> {
    match op {
        Op::Create { parent, .. } | Op::Link { parent, .. } | Op::Unlink { parent, .. } => {
            vec![*parent]
        }
        Op::Rename { from, to, .. } => vec![from.0, to.0],
        other => vec![other.ino()],
    }
}

fn describe(record: &Record) -> String {
    match &record.op {
        Op::Write { data, .. } => format!("write {} at {}", data.len(), data.offset()),
        Op::Truncate { size, .. } => format!("truncate to {size}"),
        Op::SetXattr { name, .. } => {
            format!("{} {}", record.op.name(), name.to_string_lossy())
        }
        other => other.name().to_string(),
    }
}

fn kind(op: &Op) -> StepKind {
    match op {
        Op::Write { .. } => StepKind::Write,
        Op::Sync { .. } | Op::SyncFailed { .. } | Op::SyncAll { .. } | Op::SyncAllFailed => {
            StepKind::Sync
        }
        Op::Create { .. } | Op::Link { .. } | Op::Unlink { .. } | Op::Rename { .. } => {
            StepKind::Name
        }
        Op::Truncate { .. }
        | Op::Allocate { .. }
        | Op::Zero { .. }
        | Op::SetAttrs { .. }
        | Op::SetXattr { .. }
        | Op::Touch { .. }
        | Op::CallGoesOn { .. }
        | Op::CacheSettled
        | Op::CacheUnsettled => StepKind::Other,
    }
}

#[cfg(test)]
mod tests {
    use plugpull_crashsim::fs::Tree;

    use super::*;

    fn log(records: u64) -> Log {
        let record = |seq: u64| Record {
            seq,
            nanos: seq * 1000,
            pid: 1,
            path: "log-1".into(),
            op: Op::Sync {
                ino: 2,
                data_only: true,
                dir: false,
            },
        };
        let mark = |seq: u64, nanos: u64, id: u64| Mark { seq, nanos, id };
        Log::of(
            Tree::new(0, 0, 0),
            (0..records).map(record).collect(),
            vec![mark(3, 2_500, 7), mark(200, 250_000, 8)],
        )
    }

    fn at(seq: u64, nanos: u64) -> Stamp {
        Stamp { seq, nanos }
    }

    #[test]
    fn the_lost_ack_is_shown_however_long_ago_it_was() {
        let log = log(200);
        let lost = LostUpdate {
            seq: 90,
            path: "log-1".into(),
            what: String::new(),
            torn: false,
        };
        let span = Span {
            log: &log,
            from: Stamp::default(),
            to: at(200, 200_000),
            lost: &[lost],
            ack: Some(at(3, 2_500)),
            life: "restart 1: ",
            clock: (1000, 5),
            stacks: None,
            history: None,
        };
        let steps = steps(&span);
        let seqs: Vec<u64> = steps.iter().map(|step| step.seq).collect();
        // Around the ack, around what was lost, and the last ones.
        let wanted = [1000, 1001, 1002, 1003, 1003, 1004, 1005, 1006, 1007];
        assert_eq!(seqs[..9], wanted);
        assert_eq!(seqs[9..18], (1086..=1094).collect::<Vec<u64>>());
        assert_eq!(seqs[18..], (1140..1200).collect::<Vec<u64>>());
        assert_eq!(steps[3].what, "ack of transaction 7");
        assert_eq!(steps[3].micros, 7);
        assert_eq!(steps[0].what, "restart 1: fdatasync");
        assert_eq!(steps[13].fate, Fate::Lost);
        // The last ack came after the crash.
        assert!(!steps.iter().any(|step| step.what.ends_with('8')));
        assert_eq!(span.crash_step("power lost").seq, 1200);
    }

    #[test]
    fn who_made_what_was_lost_and_its_last_sync_is_known() {
        let mut records = log(4).records().to_vec();
        let mut content = plugpull_crashsim::fs::Content::default();
        for seq in [1, 3] {
            records[seq].op = Op::Write {
                ino: 2,
                data: content.write(0, b"x"),
                old_size: 0,
            };
        }
        let log = Log::of(Tree::new(0, 0, 0), records, Vec::new());
        let made = |seq: u64| serde_json::json!({"seq": seq, "how": "called", "stack": 0});
        let stacks: Stacks = serde_json::from_value(serde_json::json!({
            "modules": [{"path": "/bin/a", "build_id": "ab"}],
            "frames": [{"module": 0, "offset": 16, "calls": [{"function": "f", "file": "a.c", "line": 7}]}],
            "stacks": [{"call": "write", "frames": [0]}],
            "operations": [made(0), made(1), made(2), made(3)],
        }))
        .expect("stacks");
        let lost = LostUpdate {
            seq: 3,
            path: "log-1".into(),
            what: String::new(),
            torn: false,
        };
        let span = |stacks| Span {
            log: &log,
            from: Stamp::default(),
            to: at(4, 4_000),
            lost: std::slice::from_ref(&lost),
            ack: None,
            life: "",
            clock: (0, 0),
            stacks,
            history: None,
        };
        let made_by = |stacks| {
            let steps = steps(&span(stacks)).into_iter();
            let named = steps.filter_map(|step| Some((step.seq, step.made_by?)));
            named.collect::<Vec<_>>()
        };
        let found = made_by(Some(&stacks));
        let seqs: Vec<u64> = found.iter().map(|(seq, _)| *seq).collect();
        // The write that was lost and the sync before it, not the one before that.
        assert_eq!(seqs, [2, 3]);
        let frame = &found[1].1.frames[0];
        assert_eq!((frame.function.as_str(), frame.line), ("f", Some(7)));
        assert!(made_by(None).is_empty());
    }

    #[test]
    fn what_was_before_the_last_crash_is_no_part_of_a_span() {
        let log = log(20);
        let span = Span {
            log: &log,
            from: at(10, 10_000),
            to: at(12, 12_000),
            lost: &[],
            ack: Some(at(3, 2_500)),
            life: "",
            clock: (0, 0),
            stacks: None,
            history: None,
        };
        let seqs: Vec<u64> = steps(&span).iter().map(|step| step.seq).collect();
        assert_eq!(seqs, [10, 11]);
    }
}
