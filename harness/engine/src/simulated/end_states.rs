//! A recovery ends in one state, however it is crashed: what a completed one served is there after the next
//! crash.

use plugpull_workloads::{FindingKind, Verdict};

use super::pool::SimulatedWorkers;
use super::properties::{for_seeds, shows};
use super::store::Mutant;
use super::{Explored, Plan, explore, with_oracle};
use crate::explore::{CrashModel, FollowUpShare};

/// Seeds of which one must show it.
const CHANCES: u64 = 8;

/// Recoveries are crashed in turn, and nothing else is done behind them.
fn plan(mutant: Option<Mutant>, seed: u64) -> Plan {
    Plan {
        kill_chance: 0.0,
        depth: 1,
        models: vec![CrashModel::KILL],
        states: Some(160),
        share: FollowUpShare::None,
        ..Plan::whole(mutant, seed)
    }
}

fn explored(plan: &Plan) -> Explored {
    with_oracle(plan, |oracle| {
        let workers = SimulatedWorkers::new(plan.mutants(), 2, plan.seed);
        explore(plan, oracle, &workers, None)
    })
}

#[test]
fn what_a_recovery_served_and_took_away_is_a_finding_of_the_next_crash() {
    let found = (0..CHANCES).any(|seed| {
        let plan = plan(Some(Mutant::RecoveryCutsUnmarked), seed);
        with_oracle(&plan, |oracle| {
            let workers = SimulatedWorkers::new(plan.mutants(), 2, plan.seed);
            let explored = explore(&plan, oracle, &workers, None);
            let all = explored.groups.all().iter();
            let mut served = all.filter(|one| {
                // The commit that is lost was never acknowledged.
                assert_eq!(one.minimised.finding.kind, FindingKind::NotRepeatable);
                one.minimised.crash.depth() == 1
            });
            served.any(|one| {
                let (crash, finding) = (&one.minimised.crash, &one.minimised.finding);
                assert!(finding.sentence.contains("a completed recovery had served"));
                assert!(shows(oracle, plan.mutants(), crash, finding));
                true
            })
        })
    });
    assert!(found);
}

#[test]
fn the_sound_store_ends_in_one_state_whatever_interrupts_its_recovery() {
    for_seeds("simulated::end_states::the_sound", 0..80, |seeded| {
        let plan = Plan {
            models: seeded.models.clone(),
            ..plan(None, seeded.seed)
        };
        let explored = explored(&plan);
        assert_eq!(explored.report.findings, []);
        assert_ne!(explored.report.verdict, Verdict::Broken);
        assert_eq!(explored.report.observed, []);
    });
}

/// One that decides otherwise when it was interrupted is seen, and breaks no promise by that.
#[test]
fn another_end_state_of_an_interrupted_recovery_is_observed() {
    let seen: Vec<String> = (0..CHANCES)
        .flat_map(|seed| {
            explored(&plan(Some(Mutant::RecoveryCutsUnmarked), seed))
                .report
                .observed
        })
        .map(|one| one.sentence)
        .collect();
    let words = "a recovery that was crashed in turn ends in another state";
    assert!(seen.iter().any(|one| one.starts_with(words)), "{seen:?}");
}
