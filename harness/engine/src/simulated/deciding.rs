//! Points that are decided by reads: what is decided is held to every legal loss, really tried.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use plugpull_crashsim::fs::Reads;
use plugpull_crashsim::persist::{LossClass, LossSet, Outside};
use plugpull_workloads::Observed;

use super::pool::{Moods, SimulatedWorkers, attempt};
use super::properties::{assert_same, for_seeds};
use super::store::Mutant;
use super::{Explored, Plan, explore_within, with_oracle};
use crate::explore::{CrashDisk, Deciding, Limits, Noted, Oracle, Workers};
use crate::shard::Shard;
use crate::trial::Acked;

/// A place is tried by force where it has no more legal losses.
const BY_FORCE: usize = 200;

/// What was observed at the places that are decided, by model and point.
fn decided(oracle: &Oracle<'_>, plan: &Plan) -> BTreeMap<(usize, u64), Vec<Observed>> {
    let points: Vec<usize> = (0..=oracle.trace.log.records().len()).collect();
    let mut deciding = Deciding::new(oracle.space(), &points, (plan.seed, None), 3);
    let mut known: HashMap<u128, (Observed, Arc<Reads>)> = HashMap::new();
    let mut seen: BTreeMap<(usize, u64), Vec<Observed>> = BTreeMap::new();
    loop {
        let Some(round) = deciding.round() else {
            break;
        };
        for wanted in round {
            let key = wanted.candidate.key;
            if let Some(tree) = wanted.tree {
                let acked = Acked::default();
                let then = None;
                let disk = CrashDisk {
                    key,
                    tree,
                    acked,
                    then,
                };
                let made = attempt(&disk, plan.mutants());
                let reads = made.reads.expect("noted");
                known.insert(key, (made.observed, Arc::new(reads)));
            }
            let crash = &wanted.candidate.crash;
            let at = seen.entry((crash.model, crash.point)).or_default();
            at.push(known[&key].0.clone());
        }
        let came = |key: u128| Noted::Read(known[&key].1.clone());
        let same = |one, other| Some(known[&one].0 == known[&other].0);
        if let Err(disagreement) = deciding.learn(&came, &same) {
            let (tried, check) = (&disagreement.tried, &disagreement.check);
            let (one, other) = (&known[&tried.key], &known[&check.key].0);
            panic!(
                "a read was missed: {:?} shows {:?}, {:?} shows {other:?}; read was {:?}",
                tried.losses, one.0, check.losses, one.1
            );
        }
    }
    let said = deciding.tally();
    assert_eq!(said.places, said.decided + said.given_up);
    seen
}

/// Every legal loss of whole updates at a place; none where they are too many.
fn all_losses(oracle: &Oracle<'_>, model: usize, point: usize) -> Option<Vec<LossSet>> {
    let window = oracle.space().indexes[model].window(point);
    let whole = window.whole_losses();
    let pending: BTreeSet<usize> = window.pending().into_iter().collect();
    let (mut all, mut each) = (Vec::new(), whole.classes());
    while all.len() <= BY_FORCE {
        match whole.outside(&mut each) {
            Outside::Lies(losses) => {
                let class = LossClass {
                    kept: pending.difference(&losses.lost).copied().collect(),
                    lost: losses.lost.clone(),
                };
                each.push(&whole, &class);
                all.push(losses);
            }
            Outside::Nothing => return Some(all),
            Outside::Unknown => return None,
        }
    }
    None
}

/// At each decided place every legal loss shows what one of the tried ones showed.
#[test]
fn what_is_decided_is_what_is_seen_when_all_are_tried() {
    let by_force = std::sync::atomic::AtomicU64::new(0);
    for_seeds("what_is_decided", 0..60, |plan| {
        with_oracle(plan, |oracle| {
            for ((model, point), seen) in decided(oracle, plan) {
                let Some(all) = all_losses(oracle, model, point as usize) else {
                    continue;
                };
                let window = oracle.space().indexes[model].window(point as usize);
                for losses in all {
                    let tree = window.state(&losses).tree;
                    let (key, acked) = (tree.digest(), Acked::default());
                    let then = None;
                    let disk = CrashDisk {
                        key,
                        tree,
                        acked,
                        then,
                    };
                    let tried = attempt(&disk, plan.mutants());
                    assert!(
                        seen.contains(&tried.observed),
                        "model {model}, point {point}: {losses:?} shows {:?}",
                        tried.observed
                    );
                    by_force.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                }
            }
        });
    });
    let tried = by_force.into_inner();
    assert!(tried > 1000, "only {tried} states were tried by force");
}

fn explored(
    plan: &Plan,
    oracle: &Oracle<'_>,
    workers: &dyn Workers,
    (shard, check_one_in): (Option<Shard>, u64),
) -> Explored {
    let stop = AtomicBool::new(false);
    let limits = Limits {
        decide: true,
        check_one_in,
        ..Limits::none(plan.depth, &stop)
    };
    explore_within(plan, oracle, workers, shard, limits)
}

/// A plan whose sample is one state: all else is left to deciding. Beside the store lies a text log that it
/// never reads.
fn plan(mutant: Option<Mutant>, seed: u64) -> Plan {
    Plan {
        states: Some(1),
        depth: 0,
        lines: 3,
        ..Plan::whole(mutant, seed)
    }
}

#[test]
fn decided_points_are_the_same_with_any_number_of_workers() {
    for mutant in [
        None,
        Some(Mutant::NoDirectorySync),
        Some(Mutant::AckBeforeSync),
    ] {
        let plan = plan(mutant, 3);
        with_oracle(&plan, |oracle| {
            let with = |count| {
                let workers = SimulatedWorkers::new(mutant, count, count as u64);
                explored(&plan, oracle, &workers, (None, 10)).report
            };
            let one = with(1);
            assert_eq!(one.findings.is_empty(), mutant.is_none(), "{mutant:?}");
            for count in [2, 3] {
                assert_same(&one, &with(count), "with more workers");
            }
        });
    }
}

/// Each shard decides places of its own, and together they are all.
#[test]
fn shards_share_the_places_out() {
    let plan = plan(None, 4);
    with_oracle(&plan, |oracle| {
        let with = |shard| {
            let workers = SimulatedWorkers::new(None, 1, 1);
            let explored = explored(&plan, oracle, &workers, (shard, 100));
            explored.summary.decided.expect("decided")
        };
        let whole = with(None);
        assert!(
            whole.decided > 0 && whole.states > whole.trials,
            "{whole:?}"
        );
        let parts = [1, 2, 3].map(|number| with(Some(Shard { number, of: 3 })));
        let sum = |of: fn(&plugpull_reports::Decided) -> u64| parts.iter().map(of).sum::<u64>();
        assert_eq!(sum(|one| one.places), whole.places);
        assert_eq!(sum(|one| one.decided), whole.decided);
        assert_eq!(sum(|one| one.states), whole.states);
    });
}

/// Where what is read is missed, a decided state that is tried shows it: a failure of plugpull.
#[test]
fn a_read_that_is_missed_is_a_failure_of_ours() {
    let plan = plan(None, 5);
    with_oracle(&plan, |oracle| {
        let workers = SimulatedWorkers::new(None, 1, 1).blind();
        let explored = explored(&plan, oracle, &workers, (None, 1));
        let decided = explored.summary.decided.as_ref().expect("decided");
        let why = decided.taken_back.as_deref().unwrap_or_default();
        assert!(why.contains("plugpull missed something"), "{why}");
        assert_eq!(decided.decided, 0);
        assert!(!explored.summary.complete);
        // Which is exit code 3.
        assert_eq!(explored.summary.gave_up.as_deref(), Some(why));
    });
}

/// A target that shows now this and now that is found out, and nothing counts as decided.
#[test]
fn a_target_that_is_not_the_same_each_time_decides_nothing() {
    let plan = plan(None, 6);
    with_oracle(&plan, |oracle| {
        let workers = SimulatedWorkers::new(None, 1, 1).moody(Moods::Check);
        let explored = explored(&plan, oracle, &workers, (None, 1));
        let decided = explored.summary.decided.as_ref().expect("decided");
        let why = decided.taken_back.as_deref().unwrap_or_default();
        assert!(
            why.contains("does not do the same each time"),
            "{decided:?}"
        );
        assert_eq!(decided.decided, 0);
    });
}

/// The same where no decided state is tried again: a check that was seen to be flaky is enough.
#[test]
fn a_flaky_check_decides_nothing() {
    let plan = plan(None, 6);
    with_oracle(&plan, |oracle| {
        let workers = SimulatedWorkers::new(None, 1, 1).moody(Moods::Check);
        let explored = explored(&plan, oracle, &workers, (None, u64::MAX));
        let decided = explored.summary.decided.as_ref().expect("decided");
        let why = decided.taken_back.as_deref().unwrap_or_default();
        assert!(why.contains("the check is flaky"), "{decided:?}");
        assert_eq!(decided.decided, 0);
    });
}
