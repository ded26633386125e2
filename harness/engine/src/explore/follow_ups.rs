//! Which states are followed up after their first recovery, and how: what is rare first, in turn, and no
//! more than one in four. It depends on the order of the states and on the options alone.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use plugpull_reports::FollowUpCoverage;
use plugpull_workloads::FollowUp;

use super::crash::Crash;
use super::follow_up::{FollowUpPlan, FollowedUp, LifeCall, Shown};

/// Of states of one kind one in so many is followed up where it is the first of its kind at its crash point.
const FIRST_IN: u32 = 4;
/// And one in so many in any case.
const ANY_IN: u32 = 8;

/// How many states are followed up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FollowUpShare {
    /// None.
    #[default]
    None,
    /// At most one in four.
    Some,
    /// Each.
    All,
}

/// The kind of a state: whether it is of a recovery, whether power was lost, whether updates are missing
/// whole, and whether some are torn.
type StateKind = (bool, bool, bool, bool);

/// How far the turns of states of one kind are.
struct Turns {
    /// States since the last one that was followed up.
    since: u32,
    /// How many were.
    had: usize,
}

/// The follow-ups of an exploration.
pub struct FollowUps {
    share: FollowUpShare,
    /// What this target can have, in turn.
    applicable: Vec<FollowUp>,
    life: Arc<[LifeCall]>,
    turns: HashMap<StateKind, Turns>,
    /// At which crash points there was a state of this kind.
    points: HashSet<(StateKind, u64)>,
    /// States that are followed up and were not judged yet.
    waiting: HashMap<u128, FollowUp>,
    coverage: BTreeMap<FollowUp, FollowUpCoverage>,
}

impl FollowUps {
    /// Of so many states, by what this target can have: each follow-up, or why not. A second life makes
    /// these calls.
    pub fn new(
        share: FollowUpShare,
        can: impl Fn(FollowUp) -> Result<(), String>,
        life: Arc<[LifeCall]>,
    ) -> Self {
        let mut all = Self {
            share,
            applicable: Vec::new(),
            life,
            turns: HashMap::new(),
            points: HashSet::new(),
            waiting: HashMap::new(),
            coverage: BTreeMap::new(),
        };
        if share == FollowUpShare::None {
            return all;
        }
        for follow_up in FollowUp::ALL {
            let empty = follow_up == FollowUp::SecondLife && all.life.is_empty();
            let can = match empty {
                true => Err("nothing was acknowledged that could be written again".to_owned()),
                false => can(follow_up),
            };
            if can.is_ok() {
                all.applicable.push(follow_up);
            }
            let coverage = FollowUpCoverage {
                follow_up,
                states: 0,
                failed: 0,
                not_done: 0,
                no_time: 0,
                why_not: can.err(),
            };
            all.coverage.insert(follow_up, coverage);
        }
        all
    }

    /// None at all.
    pub(super) fn none() -> Self {
        Self::new(FollowUpShare::None, |_| Ok(()), Arc::new([]))
    }

    /// How the next new state is followed up; none where it is not. Each kind begins with what shows most
    /// there: what is written behind a torn tail is lost in a second life.
    pub(super) fn next(&mut self, crash: &Crash, power: bool) -> Option<FollowUp> {
        if self.applicable.is_empty() {
            return None;
        }
        let torn = !crash.loss.torn.is_empty();
        let kind = (crash.depth() > 0, power, !crash.loss.lost.is_empty(), torn);
        let first_here = self.points.insert((kind, crash.point));
        let kinds = self.turns.len();
        let turns = self.turns.entry(kind).or_insert_with(|| Turns {
            since: ANY_IN,
            had: match torn {
                true => FollowUp::ALL.len() - 1,
                false => kinds,
            },
        });
        turns.since += 1;
        let due = match self.share {
            FollowUpShare::None => false,
            FollowUpShare::Some => turns.since >= if first_here { FIRST_IN } else { ANY_IN },
            FollowUpShare::All => true,
        };
        if !due {
            return None;
        }
        turns.since = 0;
        turns.had += 1;
        let turn = (turns.had - 1) % self.applicable.len();
        Some(self.applicable[turn])
    }

    /// What is done with a state that is handed out.
    pub(super) fn plan(&mut self, key: u128, follow_up: FollowUp) -> FollowUpPlan {
        self.waiting.insert(key, follow_up);
        FollowUpPlan {
            follow_up,
            life: self.life.clone(),
        }
    }

    /// The same for a state that is tried again.
    pub(super) fn plan_again(&self, follow_up: FollowUp) -> FollowUpPlan {
        FollowUpPlan {
            follow_up,
            life: self.life.clone(),
        }
    }

    /// Counts that there was no time for one.
    pub(super) fn no_time(&mut self, follow_up: FollowUp) {
        if let Some(coverage) = self.coverage.get_mut(&follow_up) {
            coverage.no_time += 1;
        }
    }

    /// Counts what came of a state, once: what it showed when it was followed up, and whether that alone broke
    /// a promise. Where there was nothing to follow up, nothing counts.
    pub(super) fn count(&mut self, key: u128, came: Option<&FollowedUp>, failed: bool) {
        let Some(wanted) = self.waiting.remove(&key) else {
            return;
        };
        let came = came.filter(|came| came.follow_up == wanted);
        let (Some(came), Some(coverage)) = (came, self.coverage.get_mut(&wanted)) else {
            return;
        };
        coverage.failed += u64::from(failed);
        match &came.shown {
            Shown::NotDone(why) => {
                coverage.not_done += 1;
                coverage.why_not.get_or_insert_with(|| why.clone());
            }
            _ => coverage.states += 1,
        }
    }

    /// What was done so far.
    pub(super) fn coverage(&self) -> Vec<FollowUpCoverage> {
        self.coverage.values().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use plugpull_crashsim::persist::LossSet;

    use super::*;

    fn crash(point: u64, lost: usize, torn: bool) -> Crash {
        let mut loss = LossSet::default();
        loss.lost.extend(0..lost);
        if torn {
            loss.torn.insert(9, Vec::new());
        }
        Crash {
            model: 1,
            point,
            loss,
            lost: Vec::new(),
            within: None,
        }
    }

    fn follow_ups(share: FollowUpShare, no: Option<FollowUp>) -> FollowUps {
        let can = |one| match Some(one) == no {
            true => Err("it cannot".to_owned()),
            false => Ok(()),
        };
        let calls = plugpull_workloads::Call::Barrier;
        let life = LifeCall {
            client: 0,
            call: calls,
        };
        FollowUps::new(share, can, Arc::new([life]))
    }

    #[test]
    fn each_kind_has_its_turns_and_no_more_than_its_share() {
        let mut all = follow_ups(FollowUpShare::Some, None);
        let mut had = Vec::new();
        for point in 0..100 {
            had.push(all.next(&crash(point, 1, false), true));
        }
        // The first of its kind at once, and then each fourth, since each is the first at its point.
        let done: Vec<FollowUp> = had.iter().copied().flatten().collect();
        assert_eq!(done[..6], [FollowUp::ALL, FollowUp::ALL].concat());
        assert_eq!((done.len(), had[0]), (25, Some(FollowUp::CleanStop)));
        // The first torn one at once, with the second life.
        let torn = all.next(&crash(100, 1, true), true);
        assert_eq!(torn, Some(FollowUp::SecondLife));
        // Where a point has many, fewer of them.
        let more = (0..80).filter_map(|_| all.next(&crash(7, 2, false), true));
        assert_eq!(more.count(), 80 / ANY_IN as usize);
    }

    #[test]
    fn what_a_target_cannot_have_is_left_out_and_said() {
        let mut all = follow_ups(FollowUpShare::All, Some(FollowUp::CleanStop));
        let had: HashSet<_> = (0..9)
            .filter_map(|point| all.next(&crash(point, 1, false), true))
            .collect();
        assert_eq!(had, [FollowUp::SecondRestart, FollowUp::SecondLife].into());
        let why = all.coverage().into_iter().map(|one| one.why_not);
        let why: Vec<_> = why.collect();
        assert_eq!(why, [Some("it cannot".to_owned()), None, None]);
        let mut none = follow_ups(FollowUpShare::None, None);
        assert_eq!(none.next(&crash(1, 1, false), true), None);
        assert!(none.coverage().is_empty());
    }

    #[test]
    fn a_state_counts_once_and_only_where_something_was_done() {
        let mut all = follow_ups(FollowUpShare::All, None);
        let restart = FollowUp::SecondRestart;
        let came = |shown| FollowedUp {
            follow_up: restart,
            shown,
        };
        for (key, shown) in [
            (1, Some(came(Shown::AsBefore))),
            (2, Some(came(Shown::NotDone("it hung".into())))),
            (3, None),
        ] {
            all.plan(key, restart);
            all.count(key, shown.as_ref(), false);
            all.count(key, shown.as_ref(), true);
        }
        all.no_time(restart);
        let of_restart = &all.coverage()[1];
        let counts = (of_restart.states, of_restart.not_done, of_restart.failed);
        assert_eq!((counts, of_restart.no_time), ((1, 1, 0), 1));
        assert_eq!(of_restart.why_not.as_deref(), Some("it hung"));
    }
}
