//! Which crash states are tried, in which order: the points around rare operations first, and at each
//! point the loss sets first that show most.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;

use plugpull_crashsim::fs::{KillPoint, Log, Tree};
use plugpull_crashsim::persist::{Index, LossSet, Possible, Window};
use plugpull_reports::LeftOut;

use super::crash::{Crash, CrashModel, RecoveryTrace};
use super::phases::{Phases, Place, STAGES};
use super::points::in_order;
use super::trace::Trace;
use crate::shard::Shard;
use crate::trial::Acked;

/// Seeded subsets a point.
const SUBSETS: usize = 6;
/// Pairs of missing updates a point and model.
const PAIRS: usize = 64;

/// One crash state, before it is tried.
#[derive(Clone)]
pub struct Candidate {
    /// The crash that leaves it.
    pub crash: Crash,
    /// The content's digest.
    pub digest: u128,
    /// The name of the attempt: the content, and what was acknowledged.
    pub key: u128,
    /// Its place among the states of the recorded run, of all shards together; for a state of a
    /// recovery, that of the state which was recovered from.
    pub position: u64,
    /// True where a state of this content was counted before.
    pub again: bool,
}

/// The next state of an enumeration.
pub struct Enumerated {
    /// The state.
    pub candidate: Candidate,
    /// Its content where that is new.
    pub tree: Option<Tree>,
    /// False when it belongs to another shard.
    pub own: bool,
}

/// What was enumerated under one model.
#[derive(Clone, Copy, Debug, Default)]
pub struct ModelTally {
    /// Crash points looked at.
    pub points: u64,
    /// States made.
    pub made: u64,
    /// States whose content was new.
    pub distinct: u64,
    /// States that were possible at these points, together.
    pub possible: u128,
    /// True when there may be more.
    pub at_least: bool,
}

impl ModelTally {
    fn count_place(&mut self, possible: Possible) {
        self.points += 1;
        self.possible = self.possible.saturating_add(possible.states);
        self.at_least |= !possible.exact;
    }
}

/// What crash states are made of.
#[derive(Clone, Copy)]
pub struct StateSpace<'a> {
    /// The models of the exploration.
    pub models: &'a [CrashModel],
    /// The log under each of them.
    pub indexes: &'a [Index<'a>],
    /// What a workload of the target's own saw acknowledged.
    pub acked: &'a Acked,
}

/// The loss sets of a place of which no state was made yet, the next one last. A state of a hundred
/// thousand pending updates costs a while, so each is made when it is wanted.
struct Ready<'a> {
    model: usize,
    point: usize,
    window: Window<'a>,
    losses: Vec<LossSet>,
}

/// Enumerates the states of a log. The order depends on the log and the seed alone.
pub struct StateEnumerator<'a> {
    space: StateSpace<'a>,
    within: Option<Arc<RecoveryTrace>>,
    /// Indices of the models to go by.
    models: Vec<usize>,
    seed: u64,
    /// The places at which states were made, by model and point; and those at which some were made to decide
    /// them, and none before.
    sampled: HashSet<(usize, usize)>,
    decided: HashSet<(usize, usize)>,
    /// The crash points of the recorded run, in order.
    order: Vec<usize>,
    /// The places that are still to come.
    phases: Phases,
    /// By point: what a process that dies there leaves.
    kill_points: Vec<KillPoint>,
    /// Points that fail with nothing lost: what else can be left there mostly fails in the same way.
    deferred: HashSet<usize>,
    /// Their places, which come last.
    late: VecDeque<Place>,
    /// What is left of the place where it stands.
    ready: Option<Ready<'a>>,
    /// The shard whose states are handed out; all when there is none.
    shard: Option<Shard>,
    /// How many states were made.
    made: u64,
    /// Per model. States are those of this shard; points are all that were looked at.
    tally: Vec<ModelTally>,
    left_out: LeftOut,
}

impl<'a> StateEnumerator<'a> {
    /// All states of a recorded run.
    pub fn of_run(trace: &Trace, space: StateSpace<'a>, seed: u64, shard: Option<Shard>) -> Self {
        let models = (0..space.models.len()).collect();
        let all = Self::new(&trace.log, None, space, models, seed);
        let end = trace.log.records().len() + 1;
        let first_ack = trace
            .log
            .marks()
            .first()
            .map_or(0, |mark| mark.seq as usize);
        // The workload had ended there: what the target did afterwards is its close.
        let last_ack = trace.about.last_ack;
        let close = last_ack.map_or(end, |last_ack| end.min(last_ack.seq as usize + 1));
        let work = first_ack.min(close)..close;
        Self {
            shard,
            order: in_order(&trace.log, first_ack..end, seed),
            phases: Phases::new(work, end, |part| in_order(&trace.log, part, seed)),
            ..all
        }
    }

    /// All states of a recovery, which belong to the shard that tried it: under the model of the
    /// crash before it, or where that crash only killed the process, under all.
    pub fn of_recovery(recovery: &Arc<RecoveryTrace>, space: StateSpace<'a>, seed: u64) -> Self {
        let models = match space.models[recovery.after.model].power {
            true => vec![recovery.after.model],
            false => (0..space.models.len()).collect(),
        };
        Self::new(&recovery.log, Some(recovery.clone()), space, models, seed)
    }

    fn new(
        log: &Log,
        within: Option<Arc<RecoveryTrace>>,
        space: StateSpace<'a>,
        models: Vec<usize>,
        seed: u64,
    ) -> Self {
        let first = log.records().first().map_or(0, |record| record.seq);
        assert_eq!(first, 0, "a crash point counts the operations from 0");
        assert_eq!(space.indexes.len(), space.models.len());
        let end = log.records().len() + 1;
        Self {
            space,
            within,
            models,
            seed,
            sampled: HashSet::new(),
            decided: HashSet::new(),
            order: Vec::new(),
            phases: Phases::new(0..end, end, |part| in_order(log, part, seed)),
            kill_points: log.kill_points(),
            deferred: HashSet::new(),
            late: VecDeque::new(),
            ready: None,
            shard: None,
            made: 0,
            tally: vec![ModelTally::default(); space.models.len()],
            left_out: LeftOut::default(),
        }
    }

    /// What decides what is tried.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// The shard whose states are handed out; none for all.
    pub fn shard(&self) -> Option<Shard> {
        self.shard
    }

    /// Every crash point, in the order in which they are looked at, and what states are made of there.
    pub fn all_points(&self) -> (&[usize], StateSpace<'a>) {
        (&self.order, self.space)
    }

    /// Counts a state of the recorded run that was made to decide its place, where it is not counted already:
    /// its content is new, or nothing was made at this place. True where it was counted.
    pub fn count_decided(&mut self, crash: &Crash, new: bool) -> bool {
        let place = (crash.model, crash.point as usize);
        if !new && self.sampled.contains(&place) {
            return false;
        }
        if !self.sampled.contains(&place) && self.decided.insert(place) {
            let possible = self.space.indexes[place.0].window(place.1).possible();
            self.tally[place.0].count_place(possible);
        }
        let tally = &mut self.tally[place.0];
        tally.made += 1;
        tally.distinct += u64::from(new);
        true
    }

    /// How many crash points there are.
    pub fn point_count(&self) -> usize {
        self.phases.point_count()
    }

    /// What was enumerated so far, per model.
    pub fn tally(&self) -> &[ModelTally] {
        &self.tally
    }

    /// What limits have cut off so far.
    pub fn left_out(&self) -> LeftOut {
        self.left_out
    }

    /// True when there is no further state. Makes those of the next place to know it.
    pub fn is_over(&mut self) -> bool {
        while self.ready.as_ref().is_none_or(|one| one.losses.is_empty()) {
            if !self.refill() {
                return true;
            }
        }
        false
    }

    /// The next state. New is a content that is not among those seen.
    pub fn next(&mut self, seen: &mut HashSet<u128>) -> Option<Enumerated> {
        loop {
            if let Some((mut candidate, tree)) = self.make_state() {
                candidate.position = match &self.within {
                    Some(recovery) => recovery.position,
                    None => self.made,
                };
                self.made += 1;
                self.phases.count(candidate.crash.point);
                let new = seen.insert(candidate.key);
                let own = self
                    .shard
                    .is_none_or(|shard| shard.has_state(candidate.key));
                if own {
                    let tally = &mut self.tally[candidate.crash.model];
                    tally.made += 1;
                    tally.distinct += u64::from(new);
                }
                return Some(Enumerated {
                    candidate,
                    tree: new.then_some(tree),
                    own,
                });
            }
            if !self.refill() {
                return None;
            }
        }
    }

    /// Leaves what is not made yet of this point for the end.
    pub fn defer(&mut self, point: usize) {
        self.deferred.insert(point);
    }

    /// Makes the states of the next place; false when there is none.
    fn refill(&mut self) -> bool {
        let Some(place) = self.phases.next(self.models.len()) else {
            let late = self.late.pop_front();
            return late.is_some_and(|place| self.make(place));
        };
        if self.deferred.contains(&place.point) {
            self.late.push_back(place);
            return true;
        }
        self.make(place)
    }

    /// What the death of the process leaves out at one place: nothing, where that is known. That the
    /// kernel ended a call of write(2) early is rare, and comes last.
    fn killed(&self, window: &Window<'_>, place: Place) -> Vec<LossSet> {
        let late = place.pass == STAGES.len();
        let mut losses = match self.kill_points[place.point] {
            KillPoint::Known if place.pass == 0 => vec![LossSet::default()],
            KillPoint::InCall { .. } if late => vec![LossSet::default()],
            _ => Vec::new(),
        };
        // In the middle of a write whose beginning is known.
        if let Some(record) = place.point.checked_sub(1).filter(|_| late)
            && self.kill_points[record] != KillPoint::Unknown
            && self.kill_points[place.point] != KillPoint::Unknown
        {
            losses.extend(window.cut_short(record));
        }
        losses
    }

    /// Decides the seeded subsets of a point.
    fn subset_seed(&self, point: usize) -> u64 {
        self.seed ^ (point as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15)
    }

    /// Makes the states of one place; true.
    fn make(&mut self, place: Place) -> bool {
        let Place { pass, point, .. } = place;
        let model = self.models[place.model];
        let one = self.space.models[model];
        // Killing loses nothing, so one state a point is all there is.
        let window = self.space.indexes[model].window(point);
        let losses: Vec<LossSet> = if !one.power {
            self.killed(&window, place)
        } else if let Some(&end) = STAGES.get(pass) {
            let begin = pass.checked_sub(1).map_or(0, |before| STAGES[before]);
            let seed = self.subset_seed(point);
            let losses = window.loss_sets(SUBSETS, seed, end).into_iter();
            losses.skip(begin).collect()
        } else {
            window.pairs().take(PAIRS).collect()
        };
        if one.power && pass == STAGES.len() {
            let seed = self.subset_seed(point);
            note_left_out(&mut self.left_out, &window, seed);
        }
        if self.within.is_none() {
            self.sampled.insert((model, point));
        }
        let unknown = !one.power && self.kill_points[point] == KillPoint::Unknown;
        if unknown && pass == 0 {
            self.left_out.kill_points += 1;
        } else if pass == 0 {
            let possible = if one.power {
                window.possible()
            } else {
                Possible::ONE
            };
            self.tally[model].count_place(possible);
        }
        self.ready = Some(Ready {
            model,
            point,
            window,
            losses: losses.into_iter().rev().collect(),
        });
        true
    }

    /// The next state of the place where it stands.
    fn make_state(&mut self) -> Option<(Candidate, Tree)> {
        let ready = self.ready.as_mut()?;
        let Some(loss) = ready.losses.pop() else {
            self.ready = None;
            return None;
        };
        let (model, point) = (ready.model, ready.point as u64);
        // Nothing is acknowledged during a recovery.
        let first = self.within.as_ref().map(|one| one.after.first().point);
        let acked = self.space.acked.at(first.unwrap_or(point));
        let state = ready.window.state(&loss);
        let digest = state.tree.digest();
        let candidate = Candidate {
            digest,
            key: acked.key(digest),
            position: 0,
            again: false,
            crash: Crash {
                model,
                point,
                loss,
                lost: state.lost,
                within: self.within.clone(),
            },
        };
        Some((candidate, state.tree))
    }
}

/// Notes what is possible at a place and was not made there, when all its passes are over.
fn note_left_out(left_out: &mut LeftOut, window: &Window<'_>, seed: u64) {
    left_out.singles += window.beyond_loss_sets() as u64;
    left_out.pairs += window.pair_count().saturating_sub(PAIRS) as u64;
    let possible = window.possible();
    let made = || {
        let sets = window.loss_sets(SUBSETS, seed, usize::MAX).into_iter();
        let all = sets.chain(window.pairs().take(PAIRS));
        let legal: HashSet<LossSet> = all.map(|loss| window.legalize(&loss)).collect();
        legal.len() as u128
    };
    // Where nobody counted what is possible there are many combinations.
    if !possible.exact || made() < possible.states {
        left_out.places += 1;
    }
}
