//! A recorded run as it would be with other syncs, and the states that it could have left: tried side by
//! side, and judged as those of the recorded run are.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use plugpull_crashsim::fs::{EditedLog, Log, SyncEdits, Tree};
use plugpull_crashsim::persist::{Index, LossSet, Window, part_of, record_of, update_of};
use plugpull_workloads::{Entry, Finding, FollowUp, History, Stamp};

use super::super::answers::{Answers, Kept};
use super::super::attempt::{CrashDisk, Reply, Workers};
use super::super::crash::{Crash, CrashModel};
use super::super::follow_up::{FollowUpPlan, Shown};
use super::super::limits::left;
use super::super::oracle::Oracle;
use super::super::trace::{Recorded, Trace};

/// How often a wait for an answer looks whether the time is over.
const LOOK: Duration = Duration::from_millis(50);
/// Why nothing more is tried: see [`Attempts::ended`].
pub(in crate::explore) const TIME: &str = "the time for that was over";
const ENOUGH: &str = "as many states were tried for it as for the rest of the run";

/// A recorded run with other syncs.
pub(crate) struct EditedRun {
    pub(in crate::explore) trace: Trace,
    log: EditedLog,
    /// So many records are those of the recorded run.
    same: usize,
}

impl EditedRun {
    /// The run with these changes of its syncs. What a client was answered it is answered behind the syncs
    /// that were added before.
    pub(crate) fn of(trace: &Trace, edits: &SyncEdits) -> Self {
        let mut log = edits.apply(&trace.log);
        let moved = |stamp: Stamp| Stamp {
            seq: log.point(stamp.seq),
            ..stamp
        };
        let acked = |stamp: Stamp| Stamp {
            seq: log.acked(stamp.seq),
            ..stamp
        };
        let entries = trace.about.history.entries.iter();
        let entries = entries.map(|entry| Entry {
            invoked: moved(entry.invoked),
            done: entry.done.clone().map(|(at, outcome)| (acked(at), outcome)),
            ..entry.clone()
        });
        let about = Recorded {
            history: History {
                entries: entries.collect(),
            },
            end: None,
            last_ack: trace.about.last_ack.map(acked),
            ..trace.about.clone()
        };
        let same = edits.first().unwrap_or(log.log.records().len());
        let empty = Log::of(Tree::new(0, 0, 0), Vec::new(), Vec::new());
        let trace = Trace {
            log: std::mem::replace(&mut log.log, empty),
            about,
        };
        Self { trace, log, same }
    }

    /// The trace alone.
    #[cfg(test)]
    pub(crate) fn into_trace(self) -> Trace {
        self.trace
    }

    /// The crash points here that are one of the recorded run's, but for syncs.
    pub(in crate::explore) fn points(&self, before: u64) -> std::ops::RangeInclusive<u64> {
        let first = before
            .checked_sub(1)
            .map_or(0, |one| self.log.point(one) + 1);
        first.min(self.log.point(before))..=self.log.point(before)
    }

    /// The record here that was this one.
    pub(in crate::explore) fn record(&self, before: usize) -> usize {
        self.log.point(before as u64) as usize
    }

    /// The index that a record had in the recorded run; none for a new sync.
    pub(in crate::explore) fn origin(&self, record: usize) -> Option<usize> {
        self.log.origin(record)
    }

    /// A loss set of the recorded run, here. What is durable here is left to be made legal.
    pub(in crate::explore) fn loss(&self, loss: &LossSet) -> LossSet {
        loss.renumbered(|id| Some(update_of(self.record(record_of(id)), part_of(id))))
    }

    /// The number that an update has in the recorded run.
    pub(in crate::explore) fn id_before(&self, id: usize) -> Option<usize> {
        Some(update_of(self.origin(record_of(id))?, part_of(id)))
    }

    /// A loss set of this run in the recorded one, where what is durable is left to be made legal.
    pub(in crate::explore) fn loss_before(&self, loss: &LossSet) -> LossSet {
        loss.renumbered(|id| self.id_before(id))
    }

    /// The crash point of the recorded run that one of this run is, but for syncs.
    pub(in crate::explore) fn point_before(&self, point: u64) -> u64 {
        self.log.point_before(point)
    }

    /// This run under these models, where no crash point behind that one of the recorded run is wanted. What
    /// was not changed is not read again.
    pub(in crate::explore) fn indexes<'i>(
        &'i self,
        of: &Oracle<'i>,
        models: &[CrashModel],
        last: Option<u64>,
    ) -> Vec<Index<'i>> {
        let log = &self.trace.log;
        let last = last.map_or(log.records().len(), |last| self.log.point(last) as usize);
        let index = |model: &CrashModel| {
            let known = of.models.iter().position(|one| one.name == model.name);
            match known.and_then(|known| of.indexes.get(known)) {
                Some(index) => index.changed(log, self.same, last),
                None => Index::up_to(log, model.model, of.device, last),
            }
        };
        models.iter().map(index).collect()
    }

    /// An oracle over this run, under these models.
    pub(in crate::explore) fn oracle<'a>(
        &'a self,
        of: &Oracle<'a>,
        models: (&'a [CrashModel], &'a [Index<'a>]),
    ) -> Oracle<'a> {
        // Before a recovery everything was acknowledged that ever will be.
        let acked = match of.is_of_recovery() {
            true => of.acked.clone(),
            false => of.acked.moved(|seq| self.log.acked(seq)),
        };
        of.over(&self.trace, models, acked)
    }
}

/// So often losses of a crash are put back.
const PUT_BACK: usize = 32;

/// The crash points of a log that lie so many operations behind these records, or behind the next acks, so
/// many of these.
pub(in crate::explore) fn points_behind<'p>(
    log: &Log,
    places: impl IntoIterator<Item = &'p usize>,
    (behind, acks, behind_acks): (&[u64], usize, &[u64]),
) -> BTreeSet<u64> {
    let end = log.records().len() as u64;
    let mut points = BTreeSet::new();
    for place in places {
        let first = *place as u64 + 1;
        points.extend(behind.iter().map(|more| first + more));
        let next = log.marks().partition_point(|mark| mark.seq < first);
        for mark in log.marks().iter().skip(next).take(acks) {
            points.extend(behind_acks.iter().map(|more| mark.seq + more));
        }
    }
    points.retain(|point| *point <= end);
    points
}

/// The first of these, and as many of the others as are looked at, from all over.
pub(in crate::explore) fn spread<T: Copy>(all: &[T], most: usize) -> Vec<T> {
    if all.len() <= most {
        return all.to_vec();
    }
    (0..most).map(|nth| all[nth * all.len() / most]).collect()
}

/// Tries states of runs with other syncs, within a number of attempts and a time.
pub(in crate::explore) struct Attempts<'r> {
    workers: &'r dyn Workers,
    answers: &'r Mutex<Answers>,
    over: &'r AtomicBool,
    /// How many states more may be tried whose content is not known.
    pub(in crate::explore) left: u64,
    /// When it ends with what there is.
    until: Option<Instant>,
    /// How each state is followed up: what is wanted shows only so.
    pub(in crate::explore) follow_up: Option<FollowUp>,
    /// Why nothing more can be said, once a state was not tried.
    pub(in crate::explore) ended: Option<&'static str>,
}

/// A state that was judged.
pub(in crate::explore) struct JudgedState {
    pub(in crate::explore) crash: Crash,
    pub(in crate::explore) findings: Vec<Finding>,
    pub(in crate::explore) kept: Kept,
}

impl<'r> Attempts<'r> {
    /// Nothing was tried yet.
    pub(in crate::explore) fn new(
        workers: &'r dyn Workers,
        answers: &'r Mutex<Answers>,
        over: &'r AtomicBool,
        until: Option<Instant>,
    ) -> Self {
        Self {
            workers,
            answers,
            over,
            left: u64::MAX,
            until,
            follow_up: None,
            ended: None,
        }
    }

    /// True while one more state may be tried.
    pub(in crate::explore) fn goes_on(&mut self) -> bool {
        if self.ended.is_none() {
            if self.over.load(Ordering::Relaxed) || left(self.until).is_zero() {
                self.ended = Some(TIME);
            } else if self.left == 0 {
                self.ended = Some(ENOUGH);
            }
        }
        self.ended.is_none()
    }

    /// True when it ended because of its limits, and not because something could not be done.
    pub(in crate::explore) fn is_limited(&self) -> bool {
        self.ended.is_some_and(|why| [TIME, ENOUGH].contains(&why))
    }

    /// What the target makes of these disks, in their order; none where it was not tried.
    fn try_all(&mut self, disks: &[CrashDisk]) -> Vec<Option<Kept>> {
        let mut waiting: HashSet<u128> = HashSet::new();
        let mut answered: HashMap<u128, Kept> = HashMap::new();
        for disk in disks {
            let known = self.known(disk.key).is_some() || answered.contains_key(&disk.key);
            if known || waiting.contains(&disk.key) || !self.goes_on() {
                continue;
            }
            self.left -= 1;
            if self.follow_up.is_some() {
                answered.extend(self.started(disk).map(|kept| (disk.key, kept)));
            } else {
                waiting.insert(disk.key);
                self.workers.submit(disk.clone());
            }
        }
        while !waiting.is_empty() && !self.is_late() {
            match self.workers.reply(LOOK) {
                Reply::Answer(answer) => {
                    waiting.remove(&answer.key);
                    let mut answers = self.answers.lock();
                    if let Ok(mut attempt) = answer.result {
                        attempt.recovery = None;
                        let kept = answers.note_beside(answer.key, None, attempt);
                        answered.insert(answer.key, kept);
                    }
                }
                Reply::Nothing => {}
                Reply::Gone => break,
            }
        }
        let known = |disk: &CrashDisk| {
            let kept = answered.get(&disk.key).cloned();
            kept.or_else(|| self.known(disk.key))
        };
        let all: Vec<Option<Kept>> = disks.iter().map(known).collect();
        if all.iter().any(Option::is_none) {
            self.goes_on();
            self.ended.get_or_insert("plugpull could not try a state");
        }
        all
    }

    /// What is known already of a state, of a started target, and as it is wanted.
    fn known(&self, key: u128) -> Option<Kept> {
        self.answers.lock().get_any(key, self.follow_up)
    }

    fn is_late(&self) -> bool {
        self.over.load(Ordering::Relaxed) || left(self.until).is_zero()
    }

    /// What a started target makes of a disk.
    fn started(&mut self, disk: &CrashDisk) -> Option<Kept> {
        let attempt = self.workers.try_now(disk).ok()?;
        let mut answers = self.answers.lock();
        Some(answers.note_beside(disk.key, self.follow_up, attempt))
    }

    /// Tries these crashes and judges them, in their order; stops where it ended.
    pub(in crate::explore) fn judge(
        &mut self,
        oracle: &Oracle<'_>,
        crashes: Vec<(Crash, Tree)>,
    ) -> Vec<JudgedState> {
        let follow_up = self.follow_up;
        let findings = |crash: &Crash, kept: &Kept| {
            let came = follow_up.and(kept.follow_up.as_deref());
            oracle.judge_all(crash, &kept.observed(), came).findings
        };
        let disk = |(crash, tree): &(Crash, Tree)| {
            let acked = oracle.acked.at(crash.point);
            CrashDisk {
                key: acked.key(tree.digest()),
                tree: tree.clone(),
                acked,
                then: follow_up.map(|follow_up| FollowUpPlan {
                    follow_up,
                    life: oracle.life.clone(),
                }),
            }
        };
        let disks: Vec<CrashDisk> = crashes.iter().map(disk).collect();
        let kept = self.try_all(&disks);
        let mut judged = Vec::new();
        for (((crash, _), disk), kept) in crashes.into_iter().zip(&disks).zip(kept) {
            let Some(mut kept) = kept else {
                break;
            };
            let mut found = findings(&crash, &kept);
            if !found.is_empty() && kept.forked {
                let Some(started) = self.started(disk) else {
                    self.ended.get_or_insert("plugpull could not try a state");
                    break;
                };
                kept = started;
                found = findings(&crash, &kept);
            }
            // What could not be done after the recovery keeps no promise.
            let came = kept.follow_up.as_deref().map(|came| &came.shown);
            let not_done = matches!(came, None | Some(Shown::NotDone(_)));
            if follow_up.is_some() && found.is_empty() && not_done {
                self.ended
                    .get_or_insert("what follows on a recovery could not be done in a state");
                break;
            }
            judged.push(JudgedState {
                crash,
                findings: found,
                kept,
            });
        }
        judged
    }
}

impl Attempts<'_> {
    /// The same crash with as few losses as still show what is wanted: parts of them are put back in turn,
    /// the halves first.
    pub(in crate::explore) fn smaller(
        &mut self,
        oracle: &Oracle<'_>,
        crash: &Crash,
        shows: impl Fn(&JudgedState) -> bool,
    ) -> Crash {
        let mut best = crash.clone();
        let window = oracle.recorded_window(crash.model, crash.point);
        let mut tries = PUT_BACK;
        let mut size = best.loss.lost.len().div_ceil(2);
        while size > 0 && tries > 0 {
            let ids: Vec<usize> = best.loss.lost.iter().copied().collect();
            for part in ids.chunks(size).take(tries) {
                let mut loss = best.loss.clone();
                let before = loss.lost.len();
                loss.lost.retain(|id| part.binary_search(id).is_err());
                if loss.lost.len() == before {
                    continue;
                }
                tries -= 1;
                let place = (crash.model, crash.point);
                let states = states_at(&window, place, [loss], &mut BTreeSet::new());
                let judged = self.judge(oracle, states);
                if let Some(less) = judged.into_iter().find(&shows)
                    && less.crash.loss.lost.len() < best.loss.lost.len()
                {
                    best = less.crash;
                }
            }
            size /= 2;
        }
        best
    }
}

/// The states of these loss sets at a place, each content once.
pub(in crate::explore) fn states_at(
    window: &Window<'_>,
    (model, point): (usize, u64),
    losses: impl IntoIterator<Item = LossSet>,
    seen: &mut BTreeSet<(u64, usize, u128)>,
) -> Vec<(Crash, Tree)> {
    let mut all = Vec::new();
    for loss in losses {
        let state = window.state(&loss);
        if seen.insert((point, model, state.tree.digest())) {
            let crash = Crash {
                model,
                point,
                loss: window.legalize(&loss),
                lost: state.lost,
                within: None,
            };
            all.push((crash, state.tree));
        }
    }
    all
}
