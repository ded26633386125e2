//! How soon a mutant shows: the trial of its first finding, which the order of states decides.

use std::collections::HashSet;

use plugpull_workloads::Verdict;

use super::pool::SimulatedWorkers;
use super::store::Mutant;
use super::{Plan, with_oracle};
use crate::explore::{Candidate, CrashDisk, StateEnumerator, Workers};

/// Seeds that are tried with each mutant.
const SEEDS: std::ops::RangeInclusive<u64> = 1..=3;

/// Trials after which a mutant counts as not found.
const MOST: usize = 600;

/// A long run with all mutants' chances in it: checkpoints are rare.
fn long(mutant: Option<Mutant>, seed: u64) -> Plan {
    Plan {
        commits: 24,
        checkpoint_every: 12,
        kill_chance: 0.04,
        ..Plan::whole(mutant, seed)
    }
}

/// The trial of the first finding among the states of the recorded run, numbered as reports do.
fn first_finding(plan: &Plan) -> Option<usize> {
    with_oracle(plan, |oracle| {
        let mut states = StateEnumerator::of_run(oracle.trace, oracle.space(), plan.seed, None);
        let workers = SimulatedWorkers::new(plan.mutants(), 1, 0);
        let (mut seen, mut trials) = (HashSet::new(), HashSet::new());
        while trials.len() < MOST
            && let Some(next) = states.next(&mut seen)
        {
            let Candidate { crash, key, .. } = next.candidate;
            let disk = CrashDisk {
                key,
                tree: oracle.window(&crash, crash.model).state(&crash.loss).tree,
                acked: oracle.acked.clone(),
            };
            let attempt = workers.try_now(&disk, disk.read_twice());
            let observed = attempt.expect("an attempt").observed;
            match oracle.judge(&crash, &observed).verdict {
                Verdict::NotMeasured => {}
                Verdict::Broken => return Some(trials.len() + 1),
                _ => {
                    trials.insert((crash.model, key));
                }
            }
        }
        None
    })
}

/// What happened twice among a hundred operations or more is among the first states.
#[test]
fn what_is_wrong_with_rare_operations_is_found_first() {
    for (mutant, most) in [
        (Mutant::RenameWithoutSync, 10),
        (Mutant::TruncateBeforeWrite, 10),
        (Mutant::CurrentBeforeSnapshot, 15),
        (Mutant::UnlinkBeforeSwitch, 20),
        (Mutant::StaleSnapshot, 10),
    ] {
        for seed in SEEDS {
            let found = first_finding(&long(Some(mutant), seed));
            assert!(
                found.is_some_and(|trial| trial <= most),
                "{mutant:?}: {found:?}"
            );
        }
    }
}

#[test]
fn the_sound_store_is_silent_in_a_long_run() {
    for seed in SEEDS {
        assert_eq!(first_finding(&long(None, seed)), None);
    }
}

/// Prints the table of docs/benchmarks.md; every mutant but one of a recovery that wrote before is found.
#[test]
fn each_mutant_is_found_soon() {
    for mutant in Mutant::ALL {
        let found = SEEDS.map(|seed| first_finding(&long(Some(mutant), seed)));
        let found: Vec<Option<usize>> = found.collect();
        eprintln!("| {mutant:?} | {found:?} |");
        assert!(found.iter().flatten().next().is_some(), "{mutant:?}");
    }
}
