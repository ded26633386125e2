//! How soon a mutant shows: the trial of its first finding, which the order of states decides.

use plugpull_workloads::Verdict;

use super::pool::SimulatedWorkers;
use super::store::Mutant;
use super::{Plan, explore, with_oracle};
use crate::explore::FollowUpShare;

/// Seeds that are tried with each mutant.
const SEEDS: std::ops::RangeInclusive<u64> = 1..=3;

/// A long run with all mutants' chances in it: checkpoints are rare.
fn long(mutant: Option<Mutant>, seed: u64) -> Plan {
    Plan {
        commits: 24,
        checkpoint_every: 12,
        kill_chance: 0.04,
        states: Some(600),
        share: FollowUpShare::Some,
        ..Plan::whole(mutant, seed)
    }
}

/// The number of the first trial that shows a finding, crashes of recovery among them.
fn first_finding(plan: &Plan) -> Option<u64> {
    with_oracle(plan, |oracle| {
        let workers = SimulatedWorkers::new(plan.mutants(), 1, 0);
        let explored = explore(plan, oracle, &workers, None);
        let mut broken = (explored.trials.iter()).filter(|trial| trial.verdict == Verdict::Broken);
        broken.next().map(|trial| trial.number)
    })
}

/// Each of these is found under every seed by that trial.
fn are_found_by(mutants: &[(Mutant, u64)]) {
    for (mutant, most) in mutants {
        for seed in SEEDS {
            let found = first_finding(&long(Some(*mutant), seed));
            assert!(
                found.is_some_and(|trial| trial <= *most),
                "{mutant:?}: {found:?}"
            );
        }
    }
}

/// What happened twice among a hundred operations or more is among the first states.
#[test]
fn what_is_wrong_with_rare_operations_is_found_first() {
    are_found_by(&[
        (Mutant::RenameWithoutSync, 10),
        (Mutant::TruncateBeforeWrite, 10),
        (Mutant::CurrentBeforeSnapshot, 25),
        (Mutant::UnlinkBeforeSwitch, 25),
        (Mutant::StaleSnapshot, 10),
    ]);
}

/// What every commit shows does not wait for all that is rare.
#[test]
fn what_is_wrong_with_common_operations_is_found_soon() {
    are_found_by(&[
        (Mutant::AckBeforeSync, 10),
        (Mutant::NoDirectorySync, 20),
        (Mutant::NoChecksum, 20),
        (Mutant::RecoveryDeletes, 20),
        (Mutant::TornRecordBelieved, 210),
    ]);
}

#[test]
fn the_sound_store_is_silent_in_a_long_run() {
    for seed in SEEDS {
        assert_eq!(first_finding(&long(None, seed)), None);
    }
}

/// Every mutant but one of a recovery that wrote before is found, with one of the seeds.
#[test]
fn each_mutant_is_found_soon() {
    for mutant in Mutant::ALL {
        let mut found = SEEDS.map(|seed| first_finding(&long(Some(mutant), seed)));
        assert!(found.any(|one| one.is_some()), "{mutant:?}");
    }
}

#[test]
#[ignore = "prints the table of docs/benchmarks.md"]
fn the_first_finding_of_each_mutant() {
    for mutant in Mutant::ALL {
        let found = SEEDS.map(|seed| first_finding(&long(Some(mutant), seed)));
        let found: Vec<Option<u64>> = found.collect();
        eprintln!("| {mutant:?} | {found:?} |");
    }
}
