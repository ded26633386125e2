//! Which crash states are tried, in which order: the points around acks, syncs, renames and new
//! files first, and at each point the most telling choices first.

use std::collections::{HashSet, VecDeque};
use std::rc::Rc;

use plugpull_crashsim::fs::{Log, Op, Tree};
use plugpull_crashsim::persist::{Index, LossSet, Possible};
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

use super::Rules;
use super::scene::{Crash, Scene};
use crate::shard::Shard;
use crate::trial::Acked;

/// Seeded subsets a point.
const SUBSETS: usize = 6;
/// All points are visited so often: for the first choices of each, up to these numbers, so that
/// no part of the trace waits for all choices of another; and last for pairs.
const STAGES: [usize; 3] = [4, 14, usize::MAX];
/// Pairs of missing changes a point and model.
const PAIRS: usize = 64;

/// One crash state, before it is tried.
pub struct Case {
    /// The crash that leaves it.
    pub crash: Crash,
    /// The content's digest.
    pub digest: u128,
    /// The name of the trial: the content, and what was acknowledged.
    pub key: u128,
    /// Its place among the states of the recorded run, of all shards together; for a state of a
    /// recovery, that of the state which was recovered from.
    pub position: u64,
}

/// The next state of an order.
pub struct Next {
    pub case: Case,
    /// Its content where that is new.
    pub tree: Option<Tree>,
    /// False when it belongs to another shard.
    pub own: bool,
}

/// What was covered under one model.
#[derive(Clone, Copy, Debug, Default)]
pub struct Coverage {
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

/// Hands out the states of a trace. The order depends on the trace and the seed alone.
pub struct Order<'a> {
    within: Option<Rc<Scene>>,
    rules: &'a [Rules],
    /// One for each of the rules.
    indexes: &'a [Index<'a>],
    /// Indices of the rules to go by.
    wanted: Vec<usize>,
    acked: &'a Acked,
    seed: u64,
    points: Vec<usize>,
    /// Pass, position in `points`, position in `wanted`: where it stands.
    at: (usize, usize, usize),
    /// Points that fail with nothing lost: what else can be left there mostly fails in the same way.
    deferred: HashSet<usize>,
    /// Their places (pass, point, position in `wanted`), which come last.
    late: VecDeque<(usize, usize, usize)>,
    /// What is left of the place where it stands.
    ready: Vec<(Case, Tree)>,
    /// The shard whose states are handed out; all when there is none.
    shard: Option<Shard>,
    /// How many states were made.
    made: u64,
    /// Per model. States are those of this shard; points are all that were looked at.
    pub coverage: Vec<Coverage>,
}

impl<'a> Order<'a> {
    /// All states of a recorded run under these rules.
    pub fn of_run(
        log: &Log,
        rules: &'a [Rules],
        indexes: &'a [Index<'a>],
        acked: &'a Acked,
        seed: u64,
        shard: Option<Shard>,
    ) -> Self {
        let wanted = (0..rules.len()).collect();
        let order = Self::new(log, None, rules, wanted, indexes, acked, seed);
        Self { shard, ..order }
    }

    /// All states of a recovery, which belong to the shard that tried it: under the rules of the crash before it, or where that crash only
    /// killed the process, under all.
    pub fn of_recovery(
        scene: &Rc<Scene>,
        rules: &'a [Rules],
        indexes: &'a [Index<'a>],
        acked: &'a Acked,
        seed: u64,
    ) -> Self {
        let wanted = match rules[scene.after.rules].power {
            true => vec![scene.after.rules],
            false => (0..rules.len()).collect(),
        };
        Self::new(
            &scene.log,
            Some(scene.clone()),
            rules,
            wanted,
            indexes,
            acked,
            seed,
        )
    }

    fn new(
        log: &Log,
        within: Option<Rc<Scene>>,
        rules: &'a [Rules],
        wanted: Vec<usize>,
        indexes: &'a [Index<'a>],
        acked: &'a Acked,
        seed: u64,
    ) -> Self {
        Self {
            within,
            rules,
            indexes,
            wanted,
            acked,
            seed,
            points: points(log, seed),
            at: (0, 0, 0),
            deferred: HashSet::new(),
            late: VecDeque::new(),
            ready: Vec::new(),
            shard: None,
            made: 0,
            coverage: vec![Coverage::default(); rules.len()],
        }
    }

    /// How many crash points there are.
    pub fn point_count(&self) -> usize {
        self.points.len()
    }

    /// The next state. New is a content that is not among those seen.
    pub fn next(&mut self, seen: &mut HashSet<u128>) -> Option<Next> {
        loop {
            if let Some((mut case, tree)) = self.ready.pop() {
                case.position = match &self.within {
                    Some(scene) => scene.position,
                    None => self.made,
                };
                self.made += 1;
                let new = seen.insert(case.key);
                let own = self.shard.is_none_or(|shard| shard.has_state(case.key));
                if own {
                    let coverage = &mut self.coverage[case.crash.rules];
                    coverage.made += 1;
                    coverage.distinct += u64::from(new);
                }
                let tree = new.then_some(tree);
                return Some(Next { case, tree, own });
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
        let (pass, position, turn) = self.at;
        if pass > STAGES.len() {
            let late = self.late.pop_front();
            return late.is_some_and(|(pass, point, turn)| self.make(pass, point, turn));
        }
        let Some(&point) = self.points.get(position) else {
            self.at = (pass + 1, 0, 0);
            return true;
        };
        self.at = if turn + 1 < self.wanted.len() {
            (pass, position, turn + 1)
        } else {
            (pass, position + 1, 0)
        };
        if self.deferred.contains(&point) {
            self.late.push_back((pass, point, turn));
            return true;
        }
        self.make(pass, point, turn)
    }

    /// Makes the states of one place; true.
    fn make(&mut self, pass: usize, point: usize, turn: usize) -> bool {
        let rules = self.wanted[turn];
        let one = self.rules[rules];
        // Killing loses nothing, so one state a point is all there is.
        if !one.power && pass > 0 {
            return true;
        }
        let window = self.indexes[rules].window(point);
        let chosen: Vec<LossSet> = if !one.power {
            vec![LossSet::default()]
        } else if let Some(&end) = STAGES.get(pass) {
            let begin = pass.checked_sub(1).map_or(0, |before| STAGES[before]);
            let seed = self.seed ^ (point as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15);
            let choices = window.loss_sets(SUBSETS, seed, end).into_iter();
            choices.skip(begin).collect()
        } else {
            window.pairs().take(PAIRS).collect()
        };
        if pass == 0 {
            let coverage = &mut self.coverage[rules];
            coverage.points += 1;
            let possible = if one.power {
                window.possible()
            } else {
                Possible::ONE
            };
            coverage.possible = coverage.possible.saturating_add(possible.states);
            coverage.at_least |= !possible.exact;
        }
        // Nothing is acknowledged during a recovery.
        let first = self.within.as_ref().map(|scene| scene.after.first().point);
        let acked = self.acked.at(first.unwrap_or(point as u64));
        for choice in chosen.into_iter().rev() {
            let state = window.state(&choice);
            let digest = state.tree.digest();
            let case = Case {
                digest,
                key: acked.key(digest),
                position: 0,
                crash: Crash {
                    rules,
                    point: point as u64,
                    choice,
                    lost: state.lost,
                    within: self.within.clone(),
                },
            };
            self.ready.push((case, state.tree));
        }
        true
    }
}

/// The crash points, most promising first: in turn one at an ack and one at a sync, a rename, a new
/// file or a removal, so that neither waits for the other where there are many of it; then the rest.
/// In a seeded order within each: points next to each other tell much the same.
fn points(log: &Log, seed: u64) -> Vec<usize> {
    let records = log.records();
    let acks: HashSet<u64> = log.marks().iter().map(|mark| mark.seq).collect();
    let telling = |op: &Op| {
        matches!(
            op,
            Op::Sync { .. } | Op::Rename { .. } | Op::Create { .. } | Op::Unlink { .. }
        )
    };
    let first = records.first().map_or(0, |record| record.seq);
    let (mut acked, others): (Vec<usize>, Vec<usize>) =
        (0..=records.len()).partition(|&point| acks.contains(&(first + point as u64)));
    let (mut near, mut far): (Vec<usize>, Vec<usize>) = others.into_iter().partition(|&point| {
        let behind = point.checked_sub(1).and_then(|before| records.get(before));
        behind.is_some_and(|record| telling(&record.op))
            || records.get(point).is_some_and(|record| telling(&record.op))
    });
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    for class in [&mut acked, &mut near, &mut far] {
        class.shuffle(&mut rng);
    }
    let mut points = in_turn(acked, near);
    points.extend(far);
    points
}

/// One of the first and one of the second in turn, and what is left of the longer.
fn in_turn(first: Vec<usize>, second: Vec<usize>) -> Vec<usize> {
    let (mut first, mut second) = (first.into_iter(), second.into_iter());
    let mut turns = Vec::new();
    loop {
        let pair = [first.next(), second.next()];
        if pair == [None, None] {
            return turns;
        }
        turns.extend(pair.into_iter().flatten());
    }
}

#[cfg(test)]
mod tests {
    use super::in_turn;

    #[test]
    fn acks_and_others_come_in_turn() {
        assert_eq!(in_turn(vec![1], vec![2, 3, 4]), [1, 2, 3, 4]);
        assert_eq!(in_turn(vec![1, 2, 3], vec![9]), [1, 9, 2, 3]);
        assert!(in_turn(vec![], vec![]).is_empty());
    }
}
