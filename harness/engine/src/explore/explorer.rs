//! The exploration itself: hands states to the workers, judges the answers in the order of the
//! states, and crashes the recoveries in turn.
//!
//! Everything is decided in the order in which states are made, never in the order in which workers
//! answer, so that the result is the same with any number of them. Recoveries are known only when
//! their states were tried, so the states of the recorded run are tried in rounds of a fixed number,
//! and each round is followed by the recoveries that it brought to light.
//!
//! A shard walks through the states of the recorded run as all others do, and tries its own. It
//! crashes the recoveries that it saw itself.

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, unbounded};
use parking_lot::Mutex;
use plugpull_crashsim::fs::{Reads, Tree};
use plugpull_reports::{Decided, Record};
use plugpull_workloads::{FailureClass, FollowUp, Judgement, Observed, Verdict};

use super::answers::{Answers, Kept};
use super::attempt::{Answer, CrashDisk, RecoveryNote, Reply, Workers};
use super::audit::Audit;
use super::crash::Crash;
use super::deciding::{Deciding, Disagreement, Noted, StateToTry, TriedState};
use super::diagnosis::Diagnoser;
use super::enumerator::{Candidate, Enumerated, StateEnumerator};
use super::findings::{Failing, Findings, News, Share};
use super::follow_up::FollowUpPlan;
use super::follow_ups::FollowUps;
use super::forked::{differs, differs_in};
use super::grouping::{ByMissingUpdates, Grouping, Groups};
use super::known::Notes;
use super::limits::{Limits, Pace, left};
use super::minimise::DeltaDebugging;
use super::minimiser;
use super::oracle::Oracle;
use super::recoveries::{EndedRecovery, Recoveries, StartedRecovery};
use super::retry::Retry;
use super::tally::{Summary, Tally};
use super::trial_log::{Counted, FoundGroup, Outcome, Sink, TrialLog};
use crate::outcome::{HarnessFailed, guard};

/// Different states of the recorded run in a round, at most: the first rounds are shorter, so that
/// what they teach counts soon.
const ROUND: u64 = 64;
/// Those in the first round.
const FIRST_ROUND: u64 = 8;
/// How often a wait for an answer looks whether the user wants it to end.
const LOOK: Duration = Duration::from_millis(50);
/// How long answers are waited for when the user wants it to end.
const GRACE: Duration = Duration::from_secs(1);
/// For so many different states of the recorded run in a round there are three of recoveries, so
/// that the recorded run comes on.
const FOR_THREE: u64 = 8;
/// When plugpull failed in so many states one after the other it gives up: the machine is at its
/// end, and every further state would fail as well.
const FAILED_IN_A_ROW: u32 = 32;

/// How often a state is tried again of which it is to be known whether a target varies.
const TRIED_AGAIN: u32 = 6;

/// Where forked targets broke promises in so many states, forking costs more than it saves.
const STARTED_AGAIN: u32 = 64;

/// An exploration under way.
pub struct Explorer<'a> {
    oracle: &'a Oracle<'a>,
    workers: &'a dyn Workers,
    limits: Limits<'a>,
    /// True when there are other shards.
    shares: bool,
    answers: Arc<Mutex<Answers>>,
    pace: Pace,
    /// States that were handed out or are known, in the order in which they are judged.
    waiting: VecDeque<Candidate>,
    /// States of the recorded run, of all shards.
    seen: HashSet<u128>,
    recoveries: Recoveries,
    grouping: Arc<dyn Grouping>,
    /// Where failing trials are confirmed and minimised; none once there will be no more.
    failing: Option<Sender<Failing>>,
    news: Option<Receiver<News>>,
    /// True when nothing more is to be tried.
    over: Arc<AtomicBool>,
    /// Trials that were judged and wait for one before them to be counted.
    unreported: VecDeque<Unreported>,
    tally: Tally,
    trials: TrialLog,
    sink: &'a mut dyn Sink,
    /// How many states had been tried when the sink was last given the coverage.
    covered: u64,
    judged: JudgedHere,
    notes: Notes,
    /// States of which the run file knows.
    noted: HashSet<u128>,
    /// Different states that were handed out.
    given: u64,
    /// Those of other shards.
    others: u64,
    /// True when a forked target showed something else than a started one.
    fork_differed: bool,
    /// In how many states a promise was broken in a forked target, and a started one was tried.
    started_again: u32,
    /// What is done after first recoveries, and from when on there is no time for it.
    follow_ups: FollowUps,
    plain_from: Option<Instant>,
    /// What was decided by reads, once that was begun.
    decided: Option<Decided>,
    /// Why a state was seen to come out now this way and now that.
    varies: Option<String>,
    /// What was read in attempts of this round.
    reads: HashMap<u128, Arc<Reads>>,
    /// When the sample ends, so that there is time for deciding.
    sample_until: Option<Instant>,
    /// True once a promise was broken.
    found_any: bool,
    /// The numbers of the findings that were minimised or counted so far.
    found: BTreeSet<u64>,
    /// Of each failing trial the findings that it counts to.
    counted: Vec<Vec<u64>>,
    /// True when plugpull failed in a state.
    harness_failed: bool,
    /// In how many of the states that were judged last.
    failed_in_a_row: u32,
    /// Why it was given up.
    gave_up: Option<String>,
    /// True when the limit of memory ended it.
    out_of_memory: bool,
}

/// A trial that was judged.
enum Unreported {
    /// It has its record.
    Ready(Record),
    /// It failed, and is being counted.
    Failing(u64, Box<Candidate>, Box<Outcome>),
}

/// What was said of the read-backs at the last places: each a point and a depth. Most models give the same
/// contents at a point, and most contents read the same.
#[derive(Default)]
struct JudgedHere {
    known: HashMap<(u64, u32), JudgedAt>,
}

/// At one place, by what was read back and how long recovery took.
type JudgedAt = HashMap<(FailureClass, usize, Option<Duration>), Judgement>;

/// Some points take turns under all models.
const PLACES: usize = 64;

impl<'a> Explorer<'a> {
    /// Nothing is tried yet. `shares` when there are other shards.
    pub fn new(
        oracle: &'a Oracle<'a>,
        workers: &'a dyn Workers,
        limits: Limits<'a>,
        shares: bool,
        sink: &'a mut dyn Sink,
    ) -> Self {
        Self {
            oracle,
            workers,
            limits,
            shares,
            answers: Arc::default(),
            pace: Pace::new(workers.count()),
            waiting: VecDeque::new(),
            seen: HashSet::new(),
            recoveries: Recoveries::new(limits.depth),
            grouping: Arc::new(ByMissingUpdates::of(oracle)),
            failing: None,
            news: None,
            over: Arc::default(),
            unreported: VecDeque::new(),
            tally: Tally::new(oracle.models.len()),
            trials: TrialLog::default(),
            sink,
            covered: 0,
            judged: JudgedHere::default(),
            notes: Notes::default(),
            noted: HashSet::new(),
            given: 0,
            others: 0,
            fork_differed: false,
            started_again: 0,
            follow_ups: FollowUps::none(),
            plain_from: limits.last_part(),
            decided: None,
            varies: None,
            reads: HashMap::new(),
            sample_until: limits.decide.then(|| limits.half_way()).flatten(),
            found_any: false,
            found: BTreeSet::new(),
            counted: Vec::new(),
            harness_failed: false,
            failed_in_a_row: 0,
            gave_up: None,
            out_of_memory: false,
        }
    }

    /// The same, which follows states up.
    #[must_use]
    pub fn following_up(self, follow_ups: FollowUps) -> Self {
        Self { follow_ups, ..self }
    }

    /// The same with another way to know bugs from one another.
    #[cfg(test)]
    pub(crate) fn grouped_by(self, grouping: Arc<dyn Grouping>) -> Self {
        Self { grouping, ..self }
    }

    /// Tries states until there are none left or a limit is reached. What plugpull fails in costs
    /// that state alone.
    pub fn explore(mut self, states: &mut StateEnumerator<'_>) -> (Summary, Groups) {
        let share = Share {
            all: self.limits.minimising,
            one: self.limits.one_finding(),
            until: self.limits.until_diagnosing(),
        };
        let grouping = self.grouping.clone();
        let said = grouping.clone();
        let findings = Findings::new(
            self.grouping.clone(),
            Box::new(DeltaDebugging),
            self.shares,
            share,
        );
        let (failing, to_count) = unbounded();
        let (tell, news) = unbounded();
        self.failing = Some(failing);
        self.news = Some(news);
        let (oracle, workers) = (self.oracle, self.workers);
        let (answers, over) = (self.answers.clone(), self.over.clone());
        thread::scope(|scope| {
            let minimiser = scope.spawn(move || {
                let said = |kind, observed: &_| said.output_sign(kind, observed);
                let retry = Retry::new(oracle, workers, &answers, &said, &over);
                minimiser::work(findings, retry, &to_count, &tell)
            });
            let complete = self.try_all(states);
            if self.limits.decide {
                self.decide(states);
            }
            self.finish_counting();
            self.failing = None;
            let mut groups = minimiser.join().unwrap_or_else(|payload| {
                let failure = HarnessFailed::of_thread("what minimises findings", &*payload);
                self.harness_failed = true;
                self.gave_up.get_or_insert_with(|| failure.to_string());
                Groups::default()
            });
            self.hear_news();
            self.diagnose(&mut groups, &*grouping);
            self.audit(states);
            let summary = self.summary(states, complete);
            self.sink.covered(&summary);
            (summary, groups)
        })
    }

    /// Says of each finding that comes from unsynced data why it is possible and what makes it go. Findings
    /// that one fix makes go are one. A shard knows its own failing states alone, and leaves that.
    fn diagnose(&mut self, groups: &mut Groups, grouping: &dyn Grouping) {
        if !self.limits.diagnose || self.shares || self.gave_up.is_some() {
            return;
        }
        let diagnoser = Diagnoser {
            oracle: self.oracle,
            workers: self.workers,
            answers: &self.answers,
            grouping,
            over: &self.over,
            stop: self.limits.stop,
            until: self.limits.until_auditing(),
            most: self.given,
        };
        // Findings are not lost because plugpull failed when it looked for their causes.
        let diagnosed = guard(|| Ok(diagnoser.all(groups)));
        let diagnosed = diagnosed.unwrap_or_else(|failure| {
            self.note_that_it_failed("looking for the causes of findings", &failure);
            Vec::new()
        });
        for id in diagnosed {
            let Some(group) = groups.all().get(id) else {
                continue;
            };
            self.sink.minimised(&FoundGroup {
                id: Some(id as u64),
                index: None,
                together: together(id, groups, &self.counted),
                group,
            });
        }
    }

    /// Learns which syncs are needed. A shard leaves that.
    fn audit(&mut self, states: &StateEnumerator<'_>) {
        if !self.limits.audit || self.shares || self.gave_up.is_some() || self.limits.stopped() {
            return;
        }
        let audit = Audit {
            oracle: self.oracle,
            workers: self.workers,
            answers: &self.answers,
            over: &self.over,
            stop: self.limits.stop,
            until: self.limits.until,
            seed: states.seed(),
        };
        match guard(|| Ok(audit.run())) {
            Ok(audit) => self.sink.emit(Record::SyncAudit(Box::new(audit))),
            Err(failure) => self.note_that_it_failed("the audit of the syncs", &failure),
        }
    }

    fn note_that_it_failed(&mut self, what: &str, failure: &HarnessFailed) {
        self.harness_failed = true;
        self.gave_up
            .get_or_insert_with(|| format!("{what}: {failure}"));
    }

    /// Tries states until there are none left or a limit is reached: true when none are left.
    fn try_all(&mut self, states: &mut StateEnumerator<'_>) -> bool {
        let mut complete = false;
        let mut round = FIRST_ROUND;
        while !complete && !self.is_over() {
            let end = self.given + self.others + round;
            while self.given + self.others < end && !self.is_over() {
                let Some(next) = states.next(&mut self.seen) else {
                    complete = true;
                    break;
                };
                self.meet(next);
            }
            self.finish_waiting();
            // A part of a round, or when there is nothing else all there is.
            while !self.recoveries.is_empty() && !self.is_over() {
                let about = 3 * round / FOR_THREE;
                for (candidate, tree) in self.recoveries.states(about, &self.seen, self.oracle) {
                    if self.is_over() {
                        break;
                    }
                    let follow_up = self.follow_up_of(&candidate);
                    self.give(candidate, Some(tree), follow_up);
                }
                self.finish_waiting();
                if !complete {
                    break;
                }
            }
            // Not before: what is judged in the middle of a round depends on the workers. And shards
            // keep to one order, since each knows only its own failures.
            let failing = self.tally.take_failing();
            for point in failing.into_iter().filter(|_| !self.shares) {
                states.defer(point);
            }
            // Each time twice as much: a run file that ends early has most of it, and is no longer
            // for it.
            if self.given >= 2 * self.covered {
                self.covered = self.given;
                let so_far = self.summary(states, false);
                self.sink.covered(&so_far);
            }
            round = ROUND.min(round * 2);
        }
        complete
    }

    /// Decides crash points by what is read, until all are or the time is over.
    fn decide(&mut self, states: &mut StateEnumerator<'_>) {
        self.decided = Some(Decided::default());
        let (points, space) = states.all_points();
        let at_stake = |point: &usize| self.oracle.at_stake(*point as u64);
        let points: Vec<usize> = points.iter().copied().filter(at_stake).collect();
        let by = (states.seed(), states.shard());
        let mut deciding = Deciding::new(space, &points, by, self.limits.check_one_in);
        while !self.is_over() {
            let Some(round) = deciding.round() else {
                break;
            };
            for wanted in round {
                if self.is_over() {
                    break;
                }
                self.give_noting(wanted, states);
            }
            self.finish_waiting();
            let reads = std::mem::take(&mut self.reads);
            let same = |one: u128, other: u128| {
                let answers = self.answers.lock();
                let get = |key| answers.get_any(key, None);
                let (one, other) = (get(one)?, get(other)?);
                Some(differs(&one.observed(), &other.observed()).is_none())
            };
            let came = |key| match (reads.get(&key), self.answers.lock().get(key)) {
                (Some(reads), _) => Noted::Read(reads.clone()),
                (None, Some(_)) => Noted::ToNothing,
                (None, None) => Noted::NotYet,
            };
            let learned = deciding.learn(&came, &same);
            self.decided = Some(deciding.tally());
            if let Err(disagreement) = learned {
                deciding.take_back(self.why_they_differ(&disagreement));
                self.decided = Some(deciding.tally());
                return;
            }
        }
        deciding.finish();
        self.decided = Some(deciding.tally());
    }

    /// What counts as decided: nothing of a target that varies, since each state was tried but once.
    fn what_is_decided(&self) -> Option<Decided> {
        let decided = self.decided.clone()?;
        Some(match &self.varies {
            Some(why) if decided.taken_back.is_none() => decided.taken_back(why.clone()),
            _ => decided,
        })
    }

    /// Hands a state out whose reads are to be noted.
    fn give_noting(&mut self, wanted: StateToTry, states: &mut StateEnumerator<'_>) {
        let StateToTry {
            mut candidate,
            content,
            tree,
        } = wanted;
        let new = self.seen.insert(content);
        candidate.again = !states.count_decided(&candidate.crash, new);
        self.make_room();
        if let Some(tree) = tree {
            self.workers.submit_noting(CrashDisk {
                key: candidate.key,
                tree,
                acked: self.oracle.acked.at(candidate.crash.point),
                then: None,
            });
            self.pace.given();
            self.given += 1;
        }
        self.waiting.push_back(candidate);
        self.note_all();
        self.judge_ready();
    }

    /// Why a decided state showed something else than what it was said to show: the target is not the same
    /// each time, or plugpull missed something that it read.
    fn why_they_differ(&mut self, disagreement: &Disagreement) -> String {
        let Disagreement { tried, check } = disagreement;
        let point = check.point;
        let shown = |explorer: &Self, state: &TriedState| {
            let kept = explorer.answers.lock().get_any(state.key, None);
            kept.map(|kept| kept.observed())
        };
        let (first, other) = (shown(self, tried), shown(self, check));
        // Chance may show the same once more, and mostly not so often.
        let varies = (0..TRIED_AGAIN).find_map(|_| {
            let again = |state| self.try_again(state).ok();
            how_they_differ(first.as_ref(), again(tried).as_ref())
                .or_else(|| how_they_differ(other.as_ref(), again(check).as_ref()))
        });
        if let Some(how) = varies {
            return format!(
                "the target does not do the same each time: on the same disk {how}; one trial of it says \
                 nothing of other disks"
            );
        }
        self.harness_failed = true;
        let how = how_they_differ(first.as_ref(), other.as_ref());
        let why = format!(
            "plugpull missed something that the target read: two disks at crash point {point} that agree on \
             all else were distinguished ({}). This is a bug of plugpull; please report it with the trace",
            how.unwrap_or_default()
        );
        self.gave_up.get_or_insert_with(|| why.clone());
        why
    }

    fn try_again(&self, state: &TriedState) -> Result<Observed, HarnessFailed> {
        let disk = CrashDisk {
            key: state.key,
            tree: state.tree.clone(),
            acked: self.oracle.acked.at(state.point),
            then: None,
        };
        Ok(self.workers.try_now(&disk)?.observed)
    }

    /// What was covered so far.
    fn summary(&self, states: &StateEnumerator<'_>, complete: bool) -> Summary {
        Summary {
            tried: self.given,
            points: states.point_count(),
            models: states.tally().to_vec(),
            judged: self.tally.judged(),
            at: self.tally.at(),
            recoveries: self.recoveries.tally(),
            complete: complete && self.waiting.is_empty() && !self.harness_failed,
            left_out: {
                let mut all = states.left_out();
                all.add(&self.recoveries.left_out());
                all
            },
            decided: self.what_is_decided(),
            follow_ups: self.follow_ups.coverage(),
            first_ack: self.oracle.first_at_stake(),
            enough: self.has_enough(),
            interrupted: self.limits.stopped(),
            gave_up: self.gave_up.clone(),
            out_of_memory: self.out_of_memory,
        }
    }

    /// True when no more states are to be tried: none are left to try, or there is no time for one.
    /// Waits for answers where that makes room.
    fn is_over(&mut self) -> bool {
        self.note_all();
        self.hear_news();
        loop {
            let findings = self.found.len().max(usize::from(self.found_any));
            let left = self.limits.left_to_explore(findings);
            self.out_of_memory |= self.limits.memory_is_short();
            if self.limits.stopped()
                || self.out_of_memory
                || self.gave_up.is_some()
                || self.sample_is_over()
                || left.is_zero()
            {
                return true;
            }
            if self.pace.fits(left) {
                return false;
            }
            if self.pace.idle() {
                return true;
            }
            self.wait(left.min(LOOK));
        }
    }

    /// True when as many states were tried, by all shards, as were asked for.
    fn has_enough(&self) -> bool {
        Some(self.given + self.others) == self.limits.states
    }

    /// True when there is no more to be done in the sample of states: there are as many as were asked for,
    /// or the rest of the time is for deciding.
    fn sample_is_over(&self) -> bool {
        let late = || {
            self.sample_until
                .is_some_and(|until| left(Some(until)).is_zero())
        };
        self.decided.is_none() && (self.has_enough() || late())
    }

    /// Waits for an answer for so long.
    fn wait(&mut self, time: Duration) {
        match self.workers.reply(time) {
            Reply::Answer(answer) => self.note(*answer),
            Reply::Nothing => {}
            Reply::Gone => self.lose_waiting(),
        }
        self.hear_news();
    }

    /// True when what is under way is not waited for any more. `asked` is when the user's wish to end
    /// was first seen.
    fn is_abandoned(&self, asked: &mut Option<Instant>) -> bool {
        let stopped =
            self.limits.stopped() && asked.get_or_insert_with(Instant::now).elapsed() >= GRACE;
        stopped || left(self.limits.end).is_zero()
    }

    /// A state of the recorded run: tries it where it is new and this shard's.
    fn meet(&mut self, next: Enumerated) {
        let Enumerated {
            candidate,
            tree,
            own,
        } = next;
        // Of all shards: so each knows whose turn it is.
        let follow_up = tree.as_ref().and_then(|_| self.follow_up_of(&candidate));
        if own {
            let tree = tree.filter(|_| !self.recoveries.has_seen(candidate.key));
            self.give(candidate, tree, follow_up);
        } else {
            self.others += u64::from(tree.is_some());
        }
    }

    /// Waits until a worker has room for one more state. When the time is over those that wait would wait
    /// in vain.
    fn make_room(&mut self) {
        let mut asked = None;
        while self.pace.is_full() && self.gave_up.is_none() && !self.is_abandoned(&mut asked) {
            self.wait(LOOK);
        }
    }

    /// How a new state is followed up, where something can be lost.
    fn follow_up_of(&mut self, candidate: &Candidate) -> Option<FollowUp> {
        let crash = &candidate.crash;
        let at_stake = self.oracle.at_stake(crash.first().point);
        let power = self.oracle.models[crash.model].power;
        at_stake
            .then(|| self.follow_ups.next(crash, power))
            .flatten()
    }

    /// What is done with a state that is handed out; nothing where the time is short: others come first.
    fn plan(&mut self, key: u128, follow_up: FollowUp) -> Option<FollowUpPlan> {
        let late = |from| left(Some(from)).is_zero();
        if self.plain_from.is_some_and(late) {
            self.follow_ups.no_time(follow_up);
            return None;
        }
        Some(self.follow_ups.plan(key, follow_up))
    }

    /// Hands a state out where its content is new, and judges what is ready.
    fn give(&mut self, candidate: Candidate, tree: Option<Tree>, follow_up: Option<FollowUp>) {
        if let Some(tree) = tree {
            self.make_room();
            let key = candidate.key;
            self.workers.submit(CrashDisk {
                key,
                tree,
                acked: self.oracle.acked.at(candidate.crash.first().point),
                then: follow_up.and_then(|follow_up| self.plan(key, follow_up)),
            });
            self.pace.given();
            self.given += 1;
        }
        self.waiting.push_back(candidate);
        self.note_all();
        self.judge_ready();
    }

    /// Waits for everything that was handed out; not for long when the user wants it to end.
    fn finish_waiting(&mut self) {
        self.judge_ready();
        let mut asked = None;
        while !self.waiting.is_empty() && !self.is_abandoned(&mut asked) {
            self.wait(LOOK);
            self.judge_ready();
        }
    }

    /// Waits until every failing trial is counted. When the time is over, what is being tried is
    /// abandoned, and they are counted as they are.
    fn finish_counting(&mut self) {
        let mut asked = None;
        self.report_ready();
        while !self.unreported.is_empty() {
            if self.is_abandoned(&mut asked) || self.limits.stopped() {
                self.over.store(true, Ordering::Relaxed);
                self.workers.abandon();
            }
            let Some(news) = &self.news else { return };
            match news.recv_timeout(LOOK) {
                Ok(one) => self.hear(one),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    /// Takes what was learned of failing trials so far.
    fn hear_news(&mut self) {
        while let Some(one) = self.news.as_ref().and_then(|news| news.try_recv().ok()) {
            self.hear(one);
        }
    }

    fn hear(&mut self, one: News) {
        match one {
            News::Minimised { id, index, group } => {
                self.found.extend(id);
                self.sink.minimised(&FoundGroup {
                    id,
                    index,
                    together: None,
                    group: &group,
                });
            }
            News::Counted(counted) => {
                self.found.extend(&counted.ids);
                self.report_failing(|_| counted);
            }
            News::Flaky(why) => {
                self.take_back_next();
                self.varies.get_or_insert_with(|| why.clone());
                self.report_failing(|outcome| {
                    outcome.judgement = Judgement {
                        verdict: Verdict::NotMeasured,
                        why,
                        findings: Vec::new(),
                        observed: Vec::new(),
                    };
                    Counted::default()
                });
            }
            News::Failed(failure) => {
                self.harness_failed = true;
                self.report_failing(|outcome| {
                    outcome.judgement.why = failure.to_string();
                    Counted::default()
                });
            }
        }
    }

    /// Nothing is known of the next failing trial.
    fn take_back_next(&mut self) {
        if let Some(Unreported::Failing(_, candidate, _)) = self.unreported.front()
            && !candidate.again
        {
            self.tally.not_known(&candidate.crash);
        }
    }

    /// Reports the failing trial that comes next, and those that waited for it.
    fn report_failing(&mut self, counted: impl FnOnce(&mut Outcome) -> Counted) {
        if let Some(Unreported::Failing(number, candidate, mut outcome)) =
            self.unreported.pop_front()
        {
            let counted = counted(&mut outcome);
            self.counted.push(counted.ids.clone());
            let record = TrialLog::record(number, &candidate, *outcome, counted, self.oracle);
            self.sink.emit(record);
        }
        self.report_ready();
    }

    /// Reports the trials that need not wait.
    fn report_ready(&mut self) {
        while let Some(Unreported::Ready(_)) = self.unreported.front() {
            if let Some(Unreported::Ready(record)) = self.unreported.pop_front() {
                self.sink.emit(record);
            }
        }
    }

    /// Reports a trial once those before it are reported.
    fn report(&mut self, record: Record) {
        self.unreported.push_back(Unreported::Ready(record));
        self.report_ready();
    }

    /// Notes what was answered so far.
    fn note_all(&mut self) {
        while let Reply::Answer(answer) = self.workers.reply(Duration::ZERO) {
            self.note(*answer);
        }
    }

    fn note(&mut self, mut answer: Answer) {
        match &mut answer.result {
            Ok(attempt) => {
                self.pace.answered(attempt.took);
                let reads = attempt.reads.take().filter(|_| self.decided.is_some());
                self.reads
                    .extend(reads.map(|reads| (answer.key, Arc::new(reads))));
            }
            Err(_) => self.pace.failed(),
        }
        self.answers.lock().note(answer.key, answer.result);
    }

    /// No worker is left: what waits will not be answered.
    fn lose_waiting(&mut self) {
        let lost = HarnessFailed::new("no worker is left that could try it");
        self.gave_up.get_or_insert_with(|| lost.to_string());
        for candidate in &self.waiting {
            let mut answers = self.answers.lock();
            if answers.get(candidate.key).is_none() {
                answers.note(candidate.key, Err(lost.clone()));
                self.pace.failed();
            }
        }
    }

    fn judge_ready(&mut self) {
        while let Some(answer) = self
            .waiting
            .front()
            .and_then(|candidate| self.answers.lock().get(candidate.key))
        {
            let Some(candidate) = self.waiting.pop_front() else {
                return;
            };
            let kept = match answer.and_then(|kept| self.of_started(&candidate, kept)) {
                Ok(kept) => kept,
                Err(failure) => {
                    self.note_failure(&candidate, &failure);
                    continue;
                }
            };
            let failed = self.judge(&candidate, &kept);
            let (key, depth) = (candidate.key, candidate.crash.depth());
            let recovery = self.answers.lock().take_recovery(key);
            let recovery = match recovery {
                Some(log) => {
                    let records = self.oracle.log(&candidate.crash).records();
                    let before = (candidate.crash.point as usize).checked_sub(1);
                    let behind = before.and_then(|before| records.get(before));
                    let behind = behind.map(|record| (record.op.name(), record.path.clone()));
                    let behind = behind.as_ref().map(|(op, path)| (*op, &**path));
                    let (oracle, workers) = (self.oracle, self.workers);
                    let started = |crash: &Crash| {
                        let disk = disk_of(oracle, key, crash);
                        let attempt = workers.try_now(&disk).ok()?;
                        let state = attempt.observed.state;
                        attempt.recovery.map(|log| EndedRecovery { log, state })
                    };
                    // One that was followed up was not killed at its end.
                    let again = kept.forked || kept.goes_on_after_recovery();
                    let started = again.then_some(&started as StartedRecovery<'_>);
                    let recoveries = &mut self.recoveries;
                    let ended = (log, || kept.observed().state);
                    match recoveries.consider(candidate, ended, failed, behind, started) {
                        true => RecoveryNote::Kept,
                        false => RecoveryNote::Passed,
                    }
                }
                None => RecoveryNote::None,
            };
            self.note_answer(key, &kept, (failed, depth), recovery);
        }
    }

    /// What a started target showed in a state, where what a forked one showed does not do: where it broke a
    /// promise, or once forked ones were seen to differ.
    fn of_started(&mut self, candidate: &Candidate, kept: Kept) -> Result<Kept, HarnessFailed> {
        let judged_before = self.noted.contains(&candidate.key);
        // Of what was handed out before forking was stopped some are forked and some are not, as the workers
        // were quick: all of them count as started.
        let stopped = self.started_again >= STARTED_AGAIN && !judged_before;
        let is_to_start = self.fork_differed || stopped;
        if let Some(how) = kept.differs.as_ref().filter(|_| !is_to_start) {
            return Err(self.fork_differs(how));
        }
        let broken = |judgement: Judgement| judgement.verdict == Verdict::Broken;
        if !kept.forked || !is_to_start && !broken(self.judgement(candidate, &kept)) {
            return Ok(kept);
        }
        let then = kept.followed_by();
        let disk = CrashDisk {
            then: then.map(|follow_up| self.follow_ups.plan_again(follow_up)),
            ..disk_of(self.oracle, candidate.key, &candidate.crash)
        };
        let mut attempt = self.workers.try_now(&disk)?;
        let mut answers = self.answers.lock();
        // What the forked one's recovery did counts for nothing, also where it did nothing; and where the
        // state was judged before, elsewhere, its recovery was considered.
        drop(answers.take_recovery(disk.key));
        attempt.recovery = attempt.recovery.filter(|_| !judged_before);
        answers.note(candidate.key, Ok(attempt));
        let started = answers.get(candidate.key);
        drop(answers);
        self.started_again += 1;
        if self.started_again == STARTED_AGAIN {
            self.workers.stop_forking(None);
        }
        let started = started.unwrap_or_else(|| Err(HarnessFailed::new("no answer was kept")))?;
        if is_to_start || started.observed_id() == kept.observed_id() {
            return Ok(started);
        }
        let how = differs(&kept.observed(), &started.observed());
        Err(self.fork_differs(&how.unwrap_or_default()))
    }

    /// A forked target showed something else than a started one: nothing is known of what forked ones were
    /// judged in.
    fn fork_differs(&mut self, how: &str) -> HarnessFailed {
        let states = self.tally.forked_not_known();
        self.fork_differed = true;
        self.workers.stop_forking(Some(how));
        if let Some(record) = Notes::fork_differs(how) {
            self.sink.emit(record);
        }
        HarnessFailed::new(format!(
            "a forked target is not what a started one is: {how}; {states} states that were judged in \
             forked targets count as not measured, and from here on each is started; --no-fork starts \
             all of them"
        ))
    }

    /// Notes what a state came to, once, for a run that is resumed.
    fn note_answer(
        &mut self,
        key: u128,
        kept: &Kept,
        (failed, depth): (bool, u32),
        recovery: RecoveryNote,
    ) {
        if self.decided.is_some() || !self.noted.insert(key) {
            return;
        }
        match self.workers.knows(key) {
            // Its recovery is not recorded again.
            Some(RecoveryNote::Passed) => self.recoveries.pass(failed, depth),
            Some(_) => {}
            None => {
                for record in self.notes.of(key, kept, failed, recovery) {
                    self.sink.emit(record);
                }
            }
        }
    }

    /// Reports a state in which plugpull failed.
    fn note_failure(&mut self, candidate: &Candidate, failure: &HarnessFailed) {
        let verdict = Verdict::HarnessError;
        self.harness_failed = true;
        let at_stake = self.oracle.at_stake(candidate.crash.first().point);
        if !candidate.again {
            self.tally.count(&candidate.crash, verdict, at_stake);
        }
        let Some(number) = self.trials.number(candidate, verdict) else {
            return;
        };
        self.failed_in_a_row += 1;
        if self.failed_in_a_row >= FAILED_IN_A_ROW {
            self.gave_up.get_or_insert_with(|| {
                format!(
                    "plugpull failed in {FAILED_IN_A_ROW} states one after the other: {failure}"
                )
            });
        }
        let outcome = Outcome {
            judgement: Judgement {
                verdict,
                why: failure.to_string(),
                findings: Vec::new(),
                observed: Vec::new(),
            },
            recovery: None,
            took: Duration::ZERO,
        };
        let counted = Counted::default();
        let record = TrialLog::record(number, candidate, outcome, counted, self.oracle);
        self.report(record);
    }

    /// What the oracle says of a state.
    fn judgement(&mut self, candidate: &Candidate, kept: &Kept) -> Judgement {
        let crash = &candidate.crash;
        let place = (crash.first().point, crash.depth());
        let judged = &mut self.judged.known;
        if judged.len() >= PLACES && !judged.contains_key(&place) {
            judged.clear();
        }
        let class = self.oracle.models[crash.model].class();
        let bounded = self.oracle.bounds_recovery();
        let recovery = kept.recovery.filter(|_| bounded);
        let here = judged.entry(place).or_default();
        let first = here
            .entry((class, kept.observed_id(), recovery))
            .or_insert_with(|| self.oracle.judge(crash, &kept.observed()))
            .clone();
        let oracle = self.oracle;
        let first = oracle.with_end_state(crash, first, || kept.observed());
        match &kept.follow_up {
            Some(one) => oracle.with_follow_up(crash, first, &kept.observed(), one),
            None => first,
        }
    }

    /// Judges a state, reports it and keeps what is new. True when a promise was broken.
    fn judge(&mut self, candidate: &Candidate, kept: &Kept) -> bool {
        let crash = &candidate.crash;
        let judgement = self.judgement(candidate, kept);
        let verdict = judgement.verdict;
        let failed = verdict == Verdict::Broken;
        assert_eq!(
            failed,
            !judgement.findings.is_empty(),
            "a finding is a broken promise"
        );
        self.failed_in_a_row = 0;
        let at_stake = self.oracle.at_stake(crash.first().point);
        if !candidate.again {
            self.tally.count(crash, verdict, at_stake);
        }
        if kept.forked {
            self.tally.note_forked(crash, verdict);
        }
        let by_follow_up = judgement.findings.iter().any(|one| one.follow_up.is_some());
        let came = kept.follow_up.as_deref();
        self.follow_ups.count(candidate.key, came, by_follow_up);
        if !failed {
            let mut answers = self.answers.lock();
            answers.shorten_output(candidate.key);
            answers.settle_follow_up(candidate.key);
        }
        // Before the first ack there is nothing to lose: such states are counted, and no trials.
        if verdict == Verdict::NotMeasured && !at_stake {
            return failed;
        }
        let Some(number) = self.trials.number(candidate, verdict) else {
            return failed;
        };
        let outcome = Outcome {
            judgement,
            recovery: kept.recovery,
            took: kept.took,
        };
        self.found_any |= failed;
        if failed && let Some(to_count) = &self.failing {
            // The thread that counts them is there as long as this channel is.
            drop(to_count.send(Failing {
                crash: crash.clone(),
                number,
                findings: outcome.judgement.findings.clone(),
                kept: kept.clone(),
            }));
            let (candidate, outcome) = (Box::new(candidate.clone()), Box::new(outcome));
            self.unreported
                .push_back(Unreported::Failing(number, candidate, outcome));
            return failed;
        }
        let counted = Counted::default();
        let record = TrialLog::record(number, candidate, outcome, counted, self.oracle);
        self.report(record);
        failed
    }
}

/// How many trials showed a finding or one that counts to it; none where none does.
fn together(id: usize, groups: &Groups, counted: &[Vec<u64>]) -> Option<u64> {
    let all = groups.all();
    all.iter().find(|one| one.same_as == Some(id))?;
    let is_one = |other: &u64| {
        let other = *other as usize;
        other == id || all.get(other).is_some_and(|one| one.same_as == Some(id))
    };
    let trials = counted.iter().filter(|ids| ids.iter().any(is_one));
    Some(trials.count() as u64)
}

/// How what was seen of one disk differs; none where it does not.
fn how_they_differ(first: Option<&Observed>, then: Option<&Observed>) -> Option<String> {
    match (first, then) {
        (Some(first), Some(then)) => differs_in(("at first", first), ("then", then)),
        _ => Some("it could not be tried again".to_owned()),
    }
}

/// The disk that a crash left, once more.
fn disk_of(oracle: &Oracle<'_>, key: u128, crash: &Crash) -> CrashDisk {
    CrashDisk {
        key,
        tree: oracle.window(crash, crash.model).state(&crash.loss).tree,
        acked: oracle.acked.at(crash.first().point),
        then: None,
    }
}
