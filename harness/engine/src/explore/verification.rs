//! Whether a finding is gone in a new recording: the cause of an artifact's crash is looked for there, at each
//! place where the target does the same, and its loss is tried, or can no longer happen.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use parking_lot::Mutex;
use plugpull_crashsim::fs::Record;
use plugpull_crashsim::persist::{LossSet, Window, part_of, record_of, update_of};
use plugpull_workloads::{Finding, FindingKind, FollowUp};
use serde::{Deserialize, Serialize};

use super::answers::Answers;
use super::attempt::Workers;
use super::crash::Crash;
use super::diagnosis::{Attempts, JudgedState, spread, states_at};
use super::names::Names;
use super::oracle::Oracle;

/// So many places are looked at, at most, spread over the recording.
const PLACES: usize = 64;
/// And so many acks behind each, the last ones.
const ACKS: usize = 16;

/// The cause of a crash, without what differs from run to run: what an artifact keeps of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CrashCause {
    /// What was lost, in order; empty where the process was merely killed.
    pub lost: Vec<LostKind>,
    /// The operation behind which the crash came.
    pub after: KindOfOperation,
    /// How many acks came between the first of the lost updates and the crash.
    pub acks: usize,
}

/// A kind of operation: its name, and its file with generated names as `#`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct KindOfOperation {
    /// As strace shows it.
    pub call: String,
    /// The path.
    pub path: String,
}

/// A kind of update that was lost.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct LostKind {
    /// The operation.
    #[serde(flatten)]
    pub operation: KindOfOperation,
    /// Which part of it: bytes or a name (0), a length (1, 2), a second name (2).
    pub part: usize,
    /// Of a write that is there in part: for each sector whether it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub torn: Option<Vec<bool>>,
}

/// What a new recording says of a finding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verification {
    /// At each of the places its loss can no longer happen, or was tried and is harmless.
    Fixed {
        /// Places of the cause that were looked at.
        places: usize,
        /// Of so many.
        of_places: usize,
        /// Crash points behind them at which a sync covers what was lost.
        covered: usize,
        /// The first of these syncs, in words.
        by: Option<String>,
        /// States that were tried.
        tried: usize,
    },
    /// It shows again.
    StillThere {
        /// The crash point.
        point: u64,
        /// What is broken there, in a sentence.
        sentence: String,
    },
    /// The places of the cause were not reached, or not all could be looked at.
    NotReached(String),
}

impl KindOfOperation {
    fn of(record: &Record, names: &Names) -> Self {
        Self {
            call: record.op.name().to_owned(),
            path: names.pattern(&record.path),
        }
    }
}

impl CrashCause {
    /// The cause of a crash of the recorded run; none of one that interrupted a recovery.
    pub fn of(crash: &Crash, oracle: &Oracle<'_>) -> Option<Self> {
        if crash.within.is_some() {
            return None;
        }
        let records = oracle.trace.log.records();
        let names = Names::of(&oracle.trace.log);
        let kind = |id: usize, torn: Option<Vec<bool>>| {
            Some(LostKind {
                operation: KindOfOperation::of(records.get(record_of(id))?, &names),
                part: part_of(id),
                torn,
            })
        };
        let mut ids: Vec<(usize, Option<Vec<bool>>)> = Vec::new();
        ids.extend(crash.loss.lost.iter().map(|id| (*id, None)));
        ids.extend(
            crash
                .loss
                .torn
                .iter()
                .map(|(id, kept)| (*id, Some(kept.clone()))),
        );
        ids.sort_by_key(|(id, _)| *id);
        let first = ids.first().map(|(id, _)| record_of(*id) as u64);
        let mut before = records.iter().take(crash.point as usize).rev();
        let after = before.find(|record| !record.op.is_note());
        Some(Self {
            lost: ids
                .into_iter()
                .filter_map(|(id, torn)| kind(id, torn))
                .collect(),
            after: after.map_or_else(KindOfOperation::default, |record| {
                KindOfOperation::of(record, &names)
            }),
            acks: first.map_or(0, |first| {
                let marks = oracle.trace.log.marks().iter();
                marks
                    .filter(|mark| mark.seq > first && mark.seq <= crash.point)
                    .count()
            }),
        })
    }
}

/// A place of the cause in a new recording: the record that is lost first, and crash points.
struct PlaceOfCause {
    first: usize,
    points: Vec<u64>,
}

/// Looks for a finding in a new recording that shows behind this, under the first model of the oracle.
pub fn verify(
    oracle: &Oracle<'_>,
    cause: &CrashCause,
    follow_up: Option<FollowUp>,
    workers: &dyn Workers,
    until: Option<Instant>,
) -> Verification {
    let names = Names::of(&oracle.trace.log);
    let places = places(oracle, cause, &names);
    if places.is_empty() {
        let what = match cause.lost.first() {
            Some(first) => &first.operation,
            None => &cause.after,
        };
        return Verification::NotReached(format!(
            "today's program does no {} of {} that a crash could come behind as it did; if it works otherwise \
             now, explore it again",
            what.call, what.path
        ));
    }
    let answers: Arc<Mutex<Answers>> = Arc::default();
    let over = AtomicBool::new(false);
    let mut attempts = Attempts::new(workers, &answers, &over, until);
    attempts.follow_up = follow_up;
    let mut search = Verifier::new((oracle, &names), cause, None, attempts);
    let looked: Vec<&PlaceOfCause> = places.iter().collect();
    let looked = spread(&looked, PLACES);
    for place in &looked {
        match search.look(place) {
            Ok(None) => {}
            Ok(Some((state, finding))) => {
                return Verification::StillThere {
                    point: state.crash.point,
                    sentence: finding.sentence,
                };
            }
            Err(why) => {
                return Verification::NotReached(format!("not all places were looked at: {why}"));
            }
        }
    }
    if search.covered == 0 && search.tried == 0 {
        return Verification::NotReached("no state of the cause could be made".to_owned());
    }
    Verification::Fixed {
        places: looked.len(),
        of_places: places.len(),
        covered: search.covered,
        by: search.by,
        tried: search.tried,
    }
}

/// The first state of a recording in which the loss of a cause shows a finding of this kind, at most at so many
/// places; none where none does, or where not all of them could be looked at.
pub(super) fn find_again(
    oracle: &Oracle<'_>,
    cause: &CrashCause,
    kind: FindingKind,
    attempts: Attempts<'_>,
) -> Option<JudgedState> {
    let names = Names::of(&oracle.trace.log);
    let places = places(oracle, cause, &names);
    let mut search = Verifier::new((oracle, &names), cause, Some(kind), attempts);
    let looked: Vec<&PlaceOfCause> = places.iter().collect();
    for place in spread(&looked, PLACES) {
        if let Some((state, _)) = search.look(place).ok()? {
            return Some(state);
        }
    }
    None
}

/// Where the target does again what was lost, with the crash points that are like the artifact's.
fn places(oracle: &Oracle<'_>, cause: &CrashCause, names: &Names) -> Vec<PlaceOfCause> {
    let log = &oracle.trace.log;
    let records = log.records();
    let is = |record: &Record, kind: &KindOfOperation| {
        record.op.name() == kind.call && names.pattern(&record.path) == kind.path
    };
    let first = cause
        .lost
        .first()
        .map_or(&cause.after, |lost| &lost.operation);
    let mut places = Vec::new();
    for (index, record) in records
        .iter()
        .enumerate()
        .filter(|(_, record)| is(record, first))
    {
        let mut points = BTreeSet::new();
        if cause.lost.is_empty() {
            points.insert(index as u64 + 1);
        } else if cause.acks > 0 {
            // What the first ack is about need not be what is lost: as many as there were in the artifact.
            let next = log.marks().partition_point(|mark| mark.seq <= index as u64);
            let acks: Vec<u64> = (log.marks().iter().skip(next).take(cause.acks))
                .map(|mark| mark.seq)
                .collect();
            points.extend(acks.iter().rev().take(ACKS));
        } else {
            // Until the target does the same again it is the same attempt.
            let end = records[index + 1..]
                .iter()
                .position(|other| is(other, first));
            let end = end.map_or(records.len(), |end| index + 1 + end);
            let later = (index..end).find(|at| is(&records[*at], &cause.after));
            points.extend(later.map(|at| at as u64 + 1));
            // The operation behind which it came may be gone: then right behind what is lost.
            points.insert(index as u64 + 1);
        }
        let end = records.len() as u64;
        let points: Vec<u64> = points.into_iter().filter(|point| *point <= end).collect();
        if !points.is_empty() && record.seq < end {
            places.push(PlaceOfCause {
                first: index,
                points,
            });
        }
    }
    places
}

/// True when something of this record is lost.
fn loses(loss: &LossSet, record: usize) -> bool {
    let mut ids = loss
        .lost
        .iter()
        .chain(loss.torn.keys())
        .chain(&loss.spoiled);
    ids.any(|id| record_of(*id) == record)
}

struct Verifier<'s, 'a> {
    oracle: &'s Oracle<'a>,
    cause: &'s CrashCause,
    names: &'s Names,
    /// The kind of finding; none for any.
    kind: Option<FindingKind>,
    attempts: Attempts<'s>,
    covered: usize,
    by: Option<String>,
    tried: usize,
}

impl<'s, 'a> Verifier<'s, 'a> {
    fn new(
        (oracle, names): (&'s Oracle<'a>, &'s Names),
        cause: &'s CrashCause,
        kind: Option<FindingKind>,
        attempts: Attempts<'s>,
    ) -> Self {
        Self {
            oracle,
            cause,
            names,
            kind,
            attempts,
            covered: 0,
            by: None,
            tried: 0,
        }
    }

    /// Looks at one place: the state that shows the finding there, if one does.
    fn look(
        &mut self,
        place: &PlaceOfCause,
    ) -> Result<Option<(JudgedState, Finding)>, &'static str> {
        let power = self.oracle.models[0].power;
        for point in &place.points {
            let crash = Crash {
                model: 0,
                point: *point,
                loss: LossSet::default(),
                lost: Vec::new(),
                within: None,
            };
            if !power && !self.oracle.kills_at(&crash) {
                continue;
            }
            let window = self.oracle.recorded_window(0, *point);
            let losses = match self.cause.lost.is_empty() {
                true => vec![LossSet::default()],
                false => self.losses(&window, place.first),
            };
            if losses.is_empty() {
                let by = self.covering(place.first, *point);
                self.covered += usize::from(by.is_some());
                self.by = self.by.take().or(by);
                continue;
            }
            let mut states = states_at(&window, (0, *point), losses, &mut BTreeSet::new());
            // Where the model does not let it be lost, or a write is too short to be torn, nothing was tried.
            let cause = self.cause;
            states.retain(|(crash, _)| cause.lost.is_empty() || loses(&crash.loss, place.first));
            let judged = self.attempts.judge(self.oracle, states);
            self.tried += judged.len();
            let is_it = |finding: &&Finding| self.kind.is_none_or(|kind| finding.kind == kind);
            for one in judged {
                if let Some(finding) = one.findings.iter().find(is_it).cloned() {
                    return Ok(Some((one, finding)));
                }
            }
            if let Some(why) = self.attempts.ended {
                return Err(why);
            }
        }
        Ok(None)
    }

    /// What the artifact's crash lost, as far as it can be lost here: the updates of these kinds from the first
    /// on, and the first of each kind alone. None where the first is durable.
    fn losses(&self, window: &Window<'_>, first: usize) -> Vec<LossSet> {
        let records = self.oracle.trace.log.records();
        // A crash that was not made smaller lost tens of thousands of updates of the same few kinds.
        let mut pending: HashMap<(usize, KindOfOperation), Vec<usize>> = HashMap::new();
        for id in window.pending() {
            let record = record_of(id);
            if record >= first {
                let operation = KindOfOperation::of(&records[record], self.names);
                pending
                    .entry((part_of(id), operation))
                    .or_default()
                    .push(id);
            }
        }
        let mut all = LossSet::default();
        let mut one_each = LossSet::default();
        let mut is_there = false;
        let mut seen = HashSet::new();
        for kind in self.cause.lost.iter().filter(|kind| seen.insert(*kind)) {
            let ids = pending.get(&(kind.part, kind.operation.clone()));
            let ids = ids.into_iter().flatten();
            for (nth, id) in ids.copied().enumerate() {
                is_there |= record_of(id) == first;
                for (loss, wanted) in [(&mut all, true), (&mut one_each, nth == 0)] {
                    match (&kind.torn, wanted) {
                        (_, false) => {}
                        (None, true) => drop(loss.lost.insert(id)),
                        (Some(kept), true) => drop(loss.torn.insert(id, kept.clone())),
                    }
                }
            }
        }
        if !is_there {
            return Vec::new();
        }
        [all, one_each]
            .iter()
            .map(|loss| window.fit(loss))
            .collect()
    }

    /// The sync that made what was lost first durable before this point, in words. None where no sync did, or
    /// where this operation has no such update: then nothing is known of it.
    fn covering(&self, first: usize, point: u64) -> Option<String> {
        let records = self.oracle.trace.log.records();
        let update = update_of(first, self.cause.lost.first()?.part);
        let is_pending = |at: u64| {
            let pending = self.oracle.recorded_window(0, at).pending();
            pending.binary_search(&update).is_ok()
        };
        // Once durable it stays so.
        let (mut pending, mut durable) = (first as u64 + 1, point);
        if durable <= pending || !is_pending(pending) || is_pending(durable) {
            return None;
        }
        while pending + 1 < durable {
            let middle = pending.midpoint(durable);
            match is_pending(middle) {
                true => pending = middle,
                false => durable = middle,
            }
        }
        let sync = records.get(pending as usize)?;
        if !sync.op.is_sync() {
            return None;
        }
        Some(format!(
            "the {} of {} (operation {})",
            sync.op.name(),
            sync.place(),
            sync.seq
        ))
    }
}
