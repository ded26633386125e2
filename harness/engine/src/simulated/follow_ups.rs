//! What only a follow-up shows: a clean stop, a second restart or a second life after the first recovery.

use plugpull_workloads::{FindingKind, FollowUp, Verdict};

use super::pool::SimulatedWorkers;
use super::properties::{assert_same, for_seeds, shows};
use super::store::Mutant;
use super::{Explored, Plan, explore, with_oracle};
use crate::explore::{FollowUpShare, Groups};

/// Each mutant with the one follow-up that shows it.
const ONE_ALONE: [(Mutant, FollowUp); 3] = [
    (Mutant::CloseForgets, FollowUp::CleanStop),
    (Mutant::RecoveryForgetsLog, FollowUp::SecondRestart),
    (Mutant::TornTailKept, FollowUp::SecondLife),
];
/// Seeds of which each must be found with one.
const CHANCES: u64 = 6;

/// No recovery is in the recorded run, and none is crashed: what a recovery does wrong is seen behind it alone.
fn plan(mutant: Option<Mutant>, seed: u64, share: FollowUpShare) -> Plan {
    Plan {
        kill_chance: 0.0,
        depth: 0,
        states: Some(120),
        share,
        ..Plan::whole(mutant, seed)
    }
}

fn explored(plan: &Plan) -> Explored {
    with_oracle(plan, |oracle| {
        let workers = SimulatedWorkers::new(plan.mutants(), 2, plan.seed);
        explore(plan, oracle, &workers, None)
    })
}

fn follow_ups(groups: &Groups) -> Vec<Option<FollowUp>> {
    let all = groups.all().iter();
    all.map(|one| one.minimised.finding.follow_up).collect()
}

#[test]
fn each_follow_up_shows_what_nothing_else_does() {
    for (mutant, shown_by) in ONE_ALONE {
        let found = |share, allowed: &[FollowUp]| {
            (0..CHANCES).any(|seed| {
                let plan = Plan {
                    follow_ups: allowed.to_vec(),
                    ..plan(Some(mutant), seed, share)
                };
                let explored = explored(&plan);
                let by = follow_ups(&explored.groups);
                assert!(
                    by.iter().all(|one| *one == Some(shown_by)),
                    "{mutant:?}: {by:?}"
                );
                !by.is_empty()
            })
        };
        let others: Vec<_> = FollowUp::ALL
            .into_iter()
            .filter(|one| *one != shown_by)
            .collect();
        assert!(!found(FollowUpShare::None, &FollowUp::ALL), "{mutant:?}");
        assert!(!found(FollowUpShare::All, &others), "{mutant:?}");
        assert!(found(FollowUpShare::Some, &FollowUp::ALL), "{mutant:?}");
        assert!(found(FollowUpShare::All, &[shown_by]), "{mutant:?}");
    }
}

/// What is minimised shows the finding once it is followed up, and not before; and says so.
#[test]
fn a_finding_says_what_was_done_behind_recovery() {
    for (mutant, shown_by) in ONE_ALONE {
        let plan = Plan {
            follow_ups: vec![shown_by],
            ..plan(Some(mutant), 2, FollowUpShare::All)
        };
        with_oracle(&plan, |oracle| {
            let workers = SimulatedWorkers::new(plan.mutants(), 2, plan.seed);
            let explored = explore(&plan, oracle, &workers, None);
            assert!(!explored.groups.all().is_empty(), "{mutant:?}");
            for group in explored.groups.all() {
                let (crash, finding) = (&group.minimised.crash, &group.minimised.finding);
                assert!(shows(oracle, plan.mutants(), crash, finding), "{mutant:?}");
                assert!(finding.sentence.starts_with(shown_by.describe()));
                let rate = group.minimised.rate.expect("confirmed");
                assert_eq!((rate.shown, group.minimised.whole), (rate.tried, true));
                let plain = plugpull_workloads::Finding {
                    follow_up: None,
                    ..finding.clone()
                };
                assert!(!shows(oracle, plan.mutants(), crash, &plain), "{mutant:?}");
            }
            let coverage = explored.report.coverage.expect("coverage");
            let of_it = coverage
                .follow_ups
                .iter()
                .find(|one| one.follow_up == shown_by);
            assert!(of_it.is_some_and(|one| one.failed > 0 && one.states >= one.failed));
            let why = coverage
                .follow_ups
                .iter()
                .filter(|one| one.why_not.is_some());
            assert_eq!(why.count(), 2);
        });
    }
}

/// A torn tail that stays shows first when something is written behind it: the second life's ack is gone.
#[test]
fn what_is_written_behind_a_torn_tail_is_a_lost_ack() {
    let all = (0..CHANCES).flat_map(|seed| {
        let explored = explored(&plan(Some(Mutant::TornTailKept), seed, FollowUpShare::Some));
        explored.groups.all().to_vec()
    });
    let kinds: Vec<FindingKind> = all.map(|one| one.minimised.finding.kind).collect();
    assert!(kinds.contains(&FindingKind::LostAck), "{kinds:?}");
}

#[test]
fn the_sound_store_is_silent_whatever_follows() {
    for_seeds("simulated::follow_ups::the_sound", 0..80, |seeded| {
        let plan = Plan {
            mutant: None,
            share: FollowUpShare::All,
            ..seeded.clone()
        };
        let explored = explored(&plan);
        assert_eq!(
            explored.report.findings,
            [],
            "{:?}",
            explored.report.findings
        );
        assert_ne!(explored.report.verdict, Verdict::Broken);
        let coverage = explored.report.coverage.expect("coverage");
        let not_done = coverage.follow_ups.iter().map(|one| one.not_done);
        assert_eq!(not_done.sum::<u64>(), 0);
    });
}

/// Which state is followed up, and how, is the same with any number of workers; and each is counted.
#[test]
fn workers_change_nothing_in_what_follows() {
    let mutants = Mutant::SHOWN_LATER
        .into_iter()
        .chain([Mutant::TornTailKept]);
    for mutant in mutants {
        let plan = Plan {
            share: FollowUpShare::Some,
            states: Some(160),
            ..Plan::whole(Some(mutant), 2)
        };
        with_oracle(&plan, |oracle| {
            let by = |count| {
                let workers = SimulatedWorkers::new(plan.mutants(), count, count as u64);
                explore(&plan, oracle, &workers, None).report
            };
            let one = by(1);
            let coverage = one.coverage.as_ref().expect("coverage");
            let states: u64 = coverage.follow_ups.iter().map(|one| one.states).sum();
            assert!(states > 0 && states <= coverage.tried / 3, "{states}");
            for count in [2, 5] {
                assert_same(&one, &by(count), "with more workers");
            }
        });
    }
}
