//! Whether a finding is fixed: with the cause of a mutant's finding, a new recording of the mutant still has it,
//! one of the sound store does not, and one that never does what was lost says nothing.

use super::pool::SimulatedWorkers;
use super::store::Mutant;
use super::{Plan, explore, with_oracle};
use crate::explore::{CrashCause, CrashModel, Verification, verify};
use plugpull_workloads::FollowUp;

fn plan(mutant: Option<Mutant>, seed: u64) -> Plan {
    Plan {
        depth: 0,
        kill_chance: 0.0,
        commits: 6,
        states: Some(300),
        ..Plan::whole(mutant, seed)
    }
}

/// The causes of a mutant's findings, each with its follow-up and model.
fn causes(mutant: Mutant, seed: u64) -> Vec<(CrashCause, Option<FollowUp>, CrashModel)> {
    let plan = plan(Some(mutant), seed);
    with_oracle(&plan, |oracle| {
        let workers = SimulatedWorkers::new(plan.mutants(), 1, seed);
        let groups = explore(&plan, oracle, &workers, None).groups;
        let all = groups.all().iter().map(|group| &group.minimised);
        let of = |one: &crate::explore::Minimised| {
            let cause = CrashCause::of(&one.crash, oracle)?;
            Some((cause, one.finding.follow_up, oracle.models[one.crash.model]))
        };
        all.filter_map(of).collect()
    })
}

/// What a new recording says of a cause.
fn verified(
    mutant: Option<Mutant>,
    seed: u64,
    of: &(CrashCause, Option<FollowUp>, CrashModel),
) -> Verification {
    let (cause, follow_up, model) = of;
    let plan = Plan {
        models: vec![*model],
        ..plan(mutant, seed)
    };
    with_oracle(&plan, |oracle| {
        let workers = SimulatedWorkers::new(plan.mutants(), 2, seed);
        verify(oracle, cause, *follow_up, &workers, None)
    })
}

#[test]
fn a_mutant_still_has_its_finding_and_the_sound_store_has_it_no_more() {
    for mutant in [
        Mutant::NoLogSync,
        Mutant::WrongFileSynced,
        Mutant::EverySecondSync,
        Mutant::AckBeforeSync,
        Mutant::NoDirectorySync,
        Mutant::RenameWithoutSync,
        Mutant::CurrentBeforeSnapshot,
        Mutant::NoChecksum,
    ] {
        for (seed, other) in [(1, 1), (1, 2), (2, 3)] {
            let causes = causes(mutant, seed);
            assert!(!causes.is_empty(), "{mutant:?}, seed {seed}");
            let still = causes.iter().filter(|cause| {
                let found = verified(Some(mutant), other, cause);
                matches!(found, Verification::StillThere { .. })
            });
            assert!(still.count() > 0, "{mutant:?}, seeds {seed} and {other}");
            for cause in &causes {
                let sound = verified(None, other, cause);
                let fixed = matches!(sound, Verification::Fixed { .. });
                assert!(
                    fixed,
                    "{mutant:?}, seeds {seed} and {other}: {sound:?} for {cause:?}"
                );
            }
        }
    }
}

/// The sync that covers what was lost is named.
#[test]
fn the_sync_that_mended_it_is_named() {
    for cause in &causes(Mutant::NoLogSync, 1) {
        let Verification::Fixed { covered, by, .. } = verified(None, 1, cause) else {
            panic!("not fixed: {cause:?}");
        };
        assert!(covered > 0);
        let by = by.expect("a sync");
        assert!(by.starts_with("the fsync of log-"), "{by}");
    }
}

/// An operation that has no such update, and a write that cannot be torn so, say nothing: they are neither
/// covered by a sync nor tried.
#[test]
fn what_cannot_be_lost_at_a_place_is_no_answer() {
    for (cause, kind, model) in causes(Mutant::NoLogSync, 1) {
        let mut other = cause.clone();
        other.lost.iter_mut().for_each(|lost| lost.part = 3);
        let mut whole = cause.clone();
        for lost in &mut whole.lost {
            lost.part = 0;
            lost.torn = Some(vec![true]);
        }
        for (cause, mutant) in [(other, None), (whole, Some(Mutant::NoLogSync))] {
            let found = verified(mutant, 1, &(cause.clone(), kind, model));
            let open = matches!(found, Verification::NotReached(_));
            assert!(open, "{found:?} for {cause:?}");
        }
    }
}

/// The sound store truncates nothing in place: that says nothing of what was found there.
#[test]
fn what_is_not_done_any_more_is_not_reached() {
    let causes = causes(Mutant::TruncateBeforeWrite, 1);
    assert!(!causes.is_empty());
    for cause in &causes {
        let sound = verified(None, 1, cause);
        assert!(
            matches!(sound, Verification::NotReached(_)),
            "{sound:?} for {cause:?}"
        );
    }
}
