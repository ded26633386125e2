//! The oracle of an exploration: holds what a target made of a crash state to what had been
//! acknowledged at the crash.

use std::collections::BTreeSet;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use parking_lot::Mutex;
use plugpull_crashsim::fs::{KillPoint, Log, Op, Record, Tree};
use plugpull_crashsim::persist::{Device, Index, LossSet, Window, record_of};
use plugpull_workloads::{
    Call, Entry, History, Judgement, Observed, Outcome, Promise, Stamp, Verdict, judge, recent,
    settles,
};

use super::crash::{Crash, CrashModel};
use super::end_state::end_state;
use super::enumerator::StateSpace;
use super::follow_up::{Basis, FollowedUp, LifeCall, second_life};
use super::trace::Trace;
use crate::trial::Acked;

/// How many calls of each client are looked at in a history that is cut down to its end.
const RECENT: usize = 32;

/// What was known at a point.
struct Known {
    /// Every call.
    whole: History,
    /// The last ones, if that is fewer.
    recent: Option<History>,
    /// How many transactions were acknowledged.
    acked: usize,
    /// True when one of them leaves something behind, which can be lost.
    at_stake: bool,
}

/// True when a call was acknowledged and leaves something behind, which can be lost.
fn leaves(entry: &Entry) -> bool {
    matches!(&entry.call, Call::Txn(txn) if !txn.abort)
        && matches!(entry.done, Some((_, Outcome::Ok)))
}

/// What is judged, and by what.
pub struct Oracle<'a> {
    /// The recorded run.
    pub trace: &'a Trace,
    /// How it may crash.
    pub models: &'a [CrashModel],
    /// What the target is held to.
    pub promises: &'a [Promise],
    /// The trace under each of the models.
    pub indexes: &'a [Index<'a>],
    /// What lies under the filesystem.
    pub device: Device,
    /// How long recovery may take, where that was demanded.
    pub recovery_bound: Option<Duration>,
    /// What a workload of the target's own saw acknowledged.
    pub acked: Acked,
    /// What a second life of the target makes, whichever state it begins with.
    pub life: Arc<[LifeCall]>,
    /// Where `trace` is a recovery: the recorded run before it, and the point at which that had crashed. All was
    /// called and acknowledged there.
    before: Option<(&'a Trace, u64)>,
    last: Mutex<Option<(u64, Arc<Known>)>>,
    first_at_stake: OnceLock<u64>,
}

impl<'a> Oracle<'a> {
    /// An oracle over a recorded run. `indexes` are the trace under each of the models.
    pub fn new(
        trace: &'a Trace,
        (models, indexes): (&'a [CrashModel], &'a [Index<'a>]),
        device: Device,
        promises: &'a [Promise],
        recovery_bound: Option<Duration>,
        acked: Acked,
    ) -> Self {
        Self {
            trace,
            models,
            promises,
            indexes,
            device,
            recovery_bound,
            acked,
            life: second_life(&trace.about.history),
            before: None,
            last: Mutex::default(),
            first_at_stake: OnceLock::new(),
        }
    }
}

impl<'a> Oracle<'a> {
    /// The same under other models.
    pub(super) fn under(&self, (models, indexes): (&'a [CrashModel], &'a [Index<'a>])) -> Self {
        self.over(self.trace, (models, indexes), self.acked.clone())
    }

    /// The same over a run that is this one but for its syncs, with the acks on its clock.
    pub(super) fn over<'b>(
        &self,
        trace: &'b Trace,
        models: (&'b [CrashModel], &'b [Index<'b>]),
        acked: Acked,
    ) -> Oracle<'b>
    where
        'a: 'b,
    {
        Oracle {
            before: self.before,
            life: self.life.clone(),
            ..Oracle::new(
                trace,
                models,
                self.device,
                self.promises,
                self.recovery_bound,
                acked,
            )
        }
    }

    /// The same over a recovery as a run of its own, in which nothing is called: the recorded run had crashed at
    /// this point.
    pub(super) fn of_recovery<'b>(
        &self,
        trace: &'b Trace,
        models: (&'b [CrashModel], &'b [Index<'b>]),
        crashed_at: u64,
    ) -> Oracle<'b>
    where
        'a: 'b,
    {
        let at = |seq| if seq <= crashed_at { 0 } else { u64::MAX };
        Oracle {
            before: Some((self.trace, crashed_at)),
            ..self.over(trace, models, self.acked.moved(at))
        }
    }

    /// True over a recovery as a run of its own.
    pub(super) fn is_of_recovery(&self) -> bool {
        self.before.is_some()
    }

    /// The recorded run up to a point, under this model.
    pub fn recorded_window(&self, model: usize, point: u64) -> Window<'a> {
        self.indexes[model].window(point as usize)
    }
}

impl Oracle<'_> {
    /// What the states of the recorded run are made of.
    pub fn space(&self) -> StateSpace<'_> {
        StateSpace {
            models: self.models,
            indexes: self.indexes,
            acked: &self.acked,
        }
    }

    /// Judges what the target made of what a crash left.
    pub fn judge(&self, crash: &Crash, observed: &Observed) -> Judgement {
        // Nothing is acknowledged during a recovery: what the first crash required counts.
        let point = crash.first().point;
        let class = self.models[crash.model].class();
        let known = self.known_at(point);
        let crashed = self.crashed(point);
        let by = |history: &History| {
            judge(
                history,
                observed,
                self.promises,
                class,
                Some(crashed),
                self.recovery_bound,
            )
        };
        if settles(self.promises, class)
            && let Some(recent) = &known.recent
        {
            let short = by(recent);
            if short.verdict == Verdict::Pass && short.why.is_empty() {
                return short;
            }
        }
        by(&known.whole)
    }

    /// The same with what the target showed when it was followed up, which counts where the first read-back
    /// kept every promise.
    pub fn judge_all(
        &self,
        crash: &Crash,
        observed: &Observed,
        follow_up: Option<&FollowedUp>,
    ) -> Judgement {
        let first = self.judge(crash, observed);
        let first = self.with_end_state(crash, first, || observed.clone());
        match follow_up {
            Some(follow_up) => self.with_follow_up(crash, first, observed, follow_up),
            None => first,
        }
    }

    /// What was judged of a read-back, with how it differs from that of the same recovery when nothing
    /// interrupted it. What such a recovery served must be there after a crash behind it, as after a second
    /// restart; where the crash came before its end nothing had been served, and what is otherwise is an
    /// observation.
    pub(super) fn with_end_state(
        &self,
        crash: &Crash,
        judged: Judgement,
        observed: impl FnOnce() -> Observed,
    ) -> Judgement {
        let Some(recovery) = &crash.within else {
            return judged;
        };
        let Some(served) = recovery
            .served
            .as_ref()
            .filter(|_| judged.verdict != Verdict::Broken)
        else {
            return judged;
        };
        let observed = observed();
        let known = self.known_at(crash.first().point);
        let by = self.basis(crash, &known);
        let over = || self.comes_at_end(crash, &recovery.log);
        end_state(served, observed, over, by, judged)
    }

    /// True when a crash behind all that a recovery did, and so behind its read-back, can leave this disk too.
    fn comes_at_end(&self, crash: &Crash, recovery: &Log) -> bool {
        let model = self.models[crash.model];
        let digest = self
            .window(crash, crash.model)
            .state(&crash.loss)
            .tree
            .digest();
        let end = recovery.records().len();
        let at_end = Window::new(recovery, end, model.model, self.device);
        match model.power {
            true => at_end.shows(&crash.loss, digest),
            false => self.replayed(recovery).digest() == digest,
        }
    }

    /// What was judged of the first read-back, with what the target showed when it was followed up.
    pub(super) fn with_follow_up(
        &self,
        crash: &Crash,
        first: Judgement,
        observed: &Observed,
        follow_up: &FollowedUp,
    ) -> Judgement {
        if first.verdict == Verdict::Broken {
            return first;
        }
        let known = self.known_at(crash.first().point);
        let by = self.basis(crash, &known);
        let findings = follow_up.judge(observed, by);
        match findings.is_empty() {
            true => first,
            false => Judgement {
                verdict: Verdict::Broken,
                why: String::new(),
                findings,
                observed: Vec::new(),
            },
        }
    }

    /// What findings of a crash are judged by.
    fn basis<'s>(&'s self, crash: &Crash, known: &'s Known) -> Basis<'s> {
        Basis {
            promises: self.promises,
            class: self.models[crash.model].class(),
            history: &known.whole,
            crash: self.crashed(crash.first().point),
        }
    }

    /// The moment of a crash, on the clock of what was called.
    fn crashed(&self, point: u64) -> Stamp {
        let (trace, point) = self.before.unwrap_or((self.trace, point));
        trace.stamp(point)
    }

    /// The point of the first ack; that of the end where there is none.
    pub fn first_ack(&self) -> u64 {
        let log = &self.trace.log;
        let end = log.records().len() as u64;
        log.marks().first().map_or(end, |mark| mark.seq)
    }

    /// True when something was acknowledged between this record of the log that a crash interrupted and
    /// the crash.
    pub(super) fn is_acked_since(&self, crash: &Crash, seq: u64) -> bool {
        let mut marks = self.log(crash).marks().iter();
        marks.any(|mark| mark.seq > seq && mark.seq <= crash.point)
    }

    /// True when how long a recovery took can break a promise.
    pub fn bounds_recovery(&self) -> bool {
        let bound = |one: &Promise| one.recovery_bound().is_some();
        self.recovery_bound.is_some() || self.promises.iter().any(bound)
    }

    /// How many transactions were acknowledged at a point.
    pub fn acked_at(&self, point: u64) -> usize {
        self.known_at(point).acked
    }

    /// True when something had been acknowledged at a point that can be lost.
    pub fn at_stake(&self, point: u64) -> bool {
        self.known_at(point).at_stake
    }

    /// The first crash point at which something had been acknowledged that can be lost; the number of
    /// crash points where there is none.
    pub fn first_at_stake(&self) -> u64 {
        *self.first_at_stake.get_or_init(|| {
            let calls = self.trace.about.history.entries.iter();
            let acks = calls.filter(|entry| leaves(entry));
            let acks = acks.filter_map(|entry| entry.done.as_ref().map(|(at, _)| at.seq));
            let points = self.trace.log.records().len() as u64 + 1;
            acks.min().unwrap_or(points).min(points)
        })
    }

    /// What was known at a point. The same point is wanted many times in a row.
    fn known_at(&self, point: u64) -> Arc<Known> {
        let mut last = self.last.lock();
        match &*last {
            Some((at, known)) if *at == point => known.clone(),
            _ => {
                let (trace, until) = self.before.unwrap_or((self.trace, point));
                let whole = trace.history_at(until);
                let known = Arc::new(Known {
                    at_stake: whole.entries.iter().any(leaves),
                    recent: recent(&whole, RECENT),
                    acked: whole.acked(),
                    whole,
                });
                *last = Some((point, known.clone()));
                known
            }
        }
    }

    /// The log that a crash interrupted.
    pub fn log<'s>(&'s self, crash: &'s Crash) -> &'s Log {
        match &crash.within {
            Some(recovery) => &recovery.log,
            None => &self.trace.log,
        }
    }

    /// The disk after the whole of a log.
    pub fn replayed(&self, log: &Log) -> Tree {
        let end = log.records().len();
        let window = Window::new(log, end, CrashModel::KILL.model, self.device);
        window.state(&LossSet::default()).tree
    }

    /// The log up to a crash, under this model.
    pub fn window<'s>(&'s self, crash: &'s Crash, model: usize) -> Window<'s> {
        let records = self.log(crash).records().len() as u64;
        assert!(
            crash.point <= records,
            "a crash at point {} of {records} operations",
            crash.point
        );
        let point = crash.point as usize;
        match &crash.within {
            Some(one) => Window::new(&one.log, point, self.models[model].model, self.device),
            None => self.indexes[model].window(point),
        }
    }

    /// The same crash, of whose losses only those are named from which the others follow.
    pub(super) fn with_roots_alone(&self, crash: &Crash) -> Crash {
        let loss = self.window(crash, crash.model).roots(&crash.loss);
        let all = [&loss.lost, &loss.spoiled].into_iter().flatten();
        let all = all.chain(loss.torn.keys()).map(|id| record_of(*id) as u64);
        let of_roots: BTreeSet<u64> = all.collect();
        let mut lost = crash.lost.clone();
        lost.retain(|one| of_roots.contains(&one.seq));
        Crash {
            loss,
            lost,
            ..crash.clone()
        }
    }

    /// Whether a process that is killed at the point of a crash can leave what the log has there.
    pub fn kills_at(&self, crash: &Crash) -> bool {
        let points = self.log(crash).kill_points();
        let point = points.get(crash.point as usize);
        point.is_some_and(|point| *point != KillPoint::Unknown)
    }

    /// How far a call of write(2) had come that a kill ended early: bytes that are there, bytes that
    /// it was given.
    pub fn cut_call(&self, crash: &Crash) -> Option<(u64, u64)> {
        if self.models[crash.model].power {
            return None;
        }
        let log = self.log(crash);
        let (records, point) = (log.records(), crash.point as usize);
        let Some(kept) = crash.loss.torn.values().next() else {
            return match log.kill_points().get(point) {
                Some(KillPoint::InCall { done, of }) => Some((*done, *of)),
                _ => None,
            };
        };
        let record = records.get(point.checked_sub(1)?)?;
        let Op::Write { data, .. } = &record.op else {
            return None;
        };
        let sector = self.device.sector;
        let sectors = kept.iter().take_while(|kept| **kept).count() as u64;
        let there = (data.offset() / sector + sectors) * sector - data.offset();
        let of_thread = |other: &&Record| other.pid == record.pid;
        let progress = |record: &Record| match record.op {
            Op::CallGoesOn { done, of, .. } => Some((done, of)),
            _ => None,
        };
        let before = records[..point - 1]
            .iter()
            .rev()
            .find(of_thread)
            .and_then(progress);
        let behind = records.get(point).filter(of_thread).and_then(progress);
        Some(match (before, behind) {
            (Some((done, of)), _) => (done + there, of),
            (None, Some((_, of))) => (there, of),
            (None, None) => (there, data.len()),
        })
    }

    /// True when a crash under this model, whether it is explored or not, can leave the content with
    /// this digest.
    pub(super) fn allows(&self, model: CrashModel, crash: &Crash, digest: u128) -> bool {
        let here = match model.power {
            true => self.any_window(crash, model).shows(&crash.loss, digest),
            false => {
                let whole = crash.loss.is_empty() && self.kills_at(crash);
                // Or a write that the kill itself ended early.
                whole || self.models[crash.model].name == model.name
            }
        };
        let before = crash.within.as_ref();
        here && before.is_none_or(|one| self.allows(model, &one.after, one.digest))
    }

    /// The log up to a crash, under any model.
    fn any_window<'s>(&'s self, crash: &'s Crash, model: CrashModel) -> Window<'s> {
        let explored = self.models.iter().position(|one| one.name == model.name);
        match (explored, &crash.within) {
            (Some(model), None) => self.window(crash, model),
            _ => Window::new(
                self.log(crash),
                crash.point as usize,
                model.model,
                self.device,
            ),
        }
    }
}
