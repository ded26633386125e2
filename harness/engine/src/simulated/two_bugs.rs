//! A store with two bugs: neither may hide the other, whatever is counted to what.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use plugpull_workloads::{FindingKind, FollowUp, Observed};
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::pool::SimulatedWorkers;
use super::properties::{for_seeds, shows};
use super::store::{Mutant, Mutants};
use super::{Explored, Plan, explore, explore_by, with_oracle};
use crate::explore::{
    Cause, Crash, CrashDisk, FollowUpPlan, FollowUpShare, Grouping, Limits, Oracle,
    StateEnumerator, Workers,
};

/// Seeds that every run of the tests tries.
const SEEDS: u64 = 250;

/// What is wrong in a start: whether a state fails because of it, a start without it says.
const OF_RECOVERY: [Mutant; 8] = [
    Mutant::TornRecordBelieved,
    Mutant::NoChecksum,
    Mutant::OrphanBelieved,
    Mutant::OldestBelieved,
    Mutant::RecoveryDeletes,
    Mutant::RecoveryNotIdempotent,
    Mutant::RefusesTornTail,
    Mutant::HangsOnEmptyLog,
];

/// A plan with two mutants, one of them at least of recovery; every state of it is tried.
fn of_two(plan: &Plan) -> Plan {
    let mut rng = ChaCha8Rng::seed_from_u64(plan.seed ^ 0x2B06);
    let other = OF_RECOVERY.choose(&mut rng).copied();
    let one = loop {
        let one = Mutant::ALL.choose(&mut rng).copied();
        if one != other {
            break one;
        }
    };
    Plan {
        mutant: one,
        other,
        clients: rng.random_range(1..=2),
        commits: rng.random_range(1..=2),
        kill_chance: 0.0,
        depth: 0,
        states: None,
        share: FollowUpShare::All,
        follow_ups: vec![FollowUp::SecondRestart],
        ..plan.clone()
    }
}

/// What is shown, behind what, and whether a start behind that comes up.
type ShownKind = (FindingKind, Option<FollowUp>, bool);

/// What a state shows, and what a second restart behind it does.
fn kinds(oracle: &Oracle<'_>, (crash, key): (&Crash, u128), mutants: Mutants) -> Vec<ShownKind> {
    let at_stake = oracle.at_stake(crash.first().point);
    let disk = CrashDisk {
        key,
        tree: oracle.window(crash, crash.model).state(&crash.loss).tree,
        acked: oracle.acked.clone(),
        then: at_stake.then(FollowUpPlan::second_restart),
    };
    let workers = SimulatedWorkers::new(mutants, 1, 0);
    let attempt = workers.try_now(&disk);
    let attempt = attempt.expect("an attempt");
    let judged = oracle.judge_all(crash, &attempt.observed, attempt.follow_up.as_ref());
    let findings = judged.findings.iter();
    let second = attempt.observed_twice().second;
    let comes_up = second.is_none_or(|read| read.is_ok());
    findings
        .map(|one| (one.kind, one.follow_up, comes_up))
        .collect()
}

/// Which of two mutants is needed for what a start shows: of those of recovery it is the one without which
/// it does not come; of another it is what comes to a sound start.
fn needed(plan: &Plan, shown_by: &dyn Fn(Mutants) -> bool) -> Vec<Mutant> {
    let (one, other) = (plan.mutant, plan.other);
    let needed = [(one, other), (other, one)].map(|(mutant, rest)| {
        mutant.filter(|mutant| match OF_RECOVERY.contains(mutant) {
            true => !shown_by(rest.into()),
            false => shown_by(Mutants::default()),
        })
    });
    needed.into_iter().flatten().collect()
}

/// The bugs of which one alone is what states show, and those that the findings show.
fn both(plan: &Plan, oracle: &Oracle<'_>, explored: &Explored) -> (Vec<Mutant>, Vec<Mutant>) {
    let mut there = Vec::new();
    let mut states = StateEnumerator::of_run(oracle.trace, oracle.space(), plan.seed, None);
    let mut seen = HashSet::new();
    while let Some(next) = states.next(&mut seen) {
        let state = (&next.candidate.crash, next.candidate.key);
        if next.tree.is_none() {
            continue;
        }
        for kind in kinds(oracle, state, plan.mutants()) {
            let needed = needed(plan, &|by| kinds(oracle, state, by).contains(&kind));
            there.extend(needed.first().filter(|_| needed.len() == 1));
        }
    }
    let groups = explored.groups.all().iter();
    let found = groups.flat_map(|group| {
        let (crash, finding) = (&group.minimised.crash, &group.minimised.finding);
        needed(plan, &|mutants| shows(oracle, mutants, crash, finding))
    });
    let mut found: Vec<Mutant> = found.collect();
    for all in [&mut there, &mut found] {
        all.sort_unstable();
        all.dedup();
    }
    (there, found)
}

/// True when a mutant alone shows in the same plan.
fn shows_alone(plan: &Plan, mutant: Mutant) -> bool {
    let plan = Plan {
        mutant: Some(mutant),
        other: None,
        ..plan.clone()
    };
    with_oracle(&plan, |oracle| {
        let workers = SimulatedWorkers::new(plan.mutants(), 2, plan.seed);
        let explored = explore(&plan, oracle, &workers, None);
        !explored.groups.all().is_empty()
    })
}

/// How many plans have two bugs that show, and in how many of them one is hidden.
fn hidden(grouping: Option<&Arc<dyn Grouping>>, seeds: u64) -> (u32, u32) {
    let (two, hidden) = (AtomicU32::new(0), AtomicU32::new(0));
    for_seeds("simulated::two_bugs", 0..seeds, |plan| {
        let plan = of_two(plan);
        with_oracle(&plan, |oracle| {
            let workers = SimulatedWorkers::new(plan.mutants(), 2, plan.seed);
            let stop = AtomicBool::new(false);
            let limits = Limits::none(plan.depth, &stop);
            let explored = explore_by(&plan, oracle, &workers, (None, limits), grouping.cloned());
            let (there, found) = both(&plan, oracle, &explored);
            let alone = |mutant: &Mutant| shows_alone(&plan, *mutant);
            if there.len() == 2 && there.iter().all(alone) {
                two.fetch_add(1, Ordering::Relaxed);
                if found != there {
                    hidden.fetch_add(1, Ordering::Relaxed);
                    let groups = explored.groups.all().iter();
                    let groups: Vec<_> = groups
                        .map(|one| (one.minimised.finding.kind, &one.cause, one.count))
                        .collect();
                    eprintln!("seed {}: {there:?}, found {found:?}: {groups:?}", plan.seed);
                }
            }
        });
    });
    (two.into_inner(), hidden.into_inner())
}

#[test]
fn neither_of_two_bugs_hides_the_other() {
    let (two, hidden) = hidden(None, SEEDS);
    assert!(two > 50, "{two} plans show two bugs");
    assert_eq!(hidden, 0, "of {two}");
}

/// Takes all that is missing for one cause.
struct OneForAll;

impl Grouping for OneForAll {
    fn signs(&self, _: &Crash, _: &Oracle<'_>) -> Cause {
        ["write anything".to_owned()].into()
    }

    fn output_sign(&self, _: FindingKind, _: &Observed) -> Option<String> {
        None
    }
}

#[test]
fn a_grouping_that_takes_all_for_one_hides_bugs() {
    let one_for_all: Arc<dyn Grouping> = Arc::new(OneForAll);
    let (two, hidden) = hidden(Some(&one_for_all), 60);
    assert!(hidden > 0, "of {two}");
}
