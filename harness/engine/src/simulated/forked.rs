//! Stores that are forked: nothing changes where they are what started ones are, and what they show counts
//! for nothing where they are not.

use plugpull_reports::Report;
use plugpull_workloads::Verdict;

use super::pool::SimulatedWorkers;
use super::properties::assert_same;
use super::store::{Mutant, Mutants};
use super::{Explored, Plan, explore, with_oracle};
use crate::explore::{Judged, Oracle};

/// The mutants that are tried, and none.
const STORES: [Option<Mutant>; 5] = [
    None,
    Some(Mutant::NoDirectorySync),
    Some(Mutant::TornRecordBelieved),
    Some(Mutant::AckBeforeSync),
    Some(Mutant::HangsOnEmptyLog),
];

fn plan(mutant: Option<Mutant>) -> Plan {
    Plan {
        states: Some(600),
        ..Plan::whole(mutant, 2)
    }
}

fn explored(
    plan: &Plan,
    oracle: &Oracle<'_>,
    (started, forked): (Option<Mutant>, Option<Mutants>),
    count: usize,
) -> Explored {
    let workers = SimulatedWorkers::new(started, count, count as u64);
    match forked {
        Some(forked) => explore(plan, oracle, &workers.forking(forked), None),
        None => explore(plan, oracle, &workers, None),
    }
}

fn could_not_measure(explored: &Explored) -> u64 {
    let judged = explored.summary.judged.iter();
    judged.map(|one: &Judged| one.could_not_measure).sum()
}

/// The trials that say that forked stores are not what started ones are.
fn differences(explored: &Explored) -> usize {
    let errors = explored.trials.iter();
    let errors = errors.filter(|one| one.verdict == Verdict::HarnessError);
    let said = errors.filter(|one| one.why.contains("is not what a started one is"));
    said.count()
}

#[test]
fn forked_stores_give_the_same_report_with_any_number_of_workers() {
    for mutant in STORES {
        let plan = plan(mutant);
        with_oracle(&plan, |oracle| {
            let report = |forked: Option<Mutants>, count| -> Report {
                explored(&plan, oracle, (mutant, forked), count).report
            };
            let started = report(None, 1);
            assert_eq!(started.findings.is_empty(), mutant.is_none(), "{mutant:?}");
            for count in [1, 2, 3] {
                let forked = report(Some(mutant.into()), count);
                assert_same(&started, &forked, "with forked stores");
            }
        });
    }
}

/// A bug that forked stores do not have is not hidden by them where many states show it: one in a hundred is
/// tried both ways, and from then on nothing that was forked counts.
#[test]
fn a_bug_that_forked_stores_hide_is_no_pass() {
    let mut seen = 0;
    for (seed, mutant) in (2..5).flat_map(|seed| Mutant::ALL.map(|mutant| (seed, mutant))) {
        let plan = Plan { seed, ..plan(None) };
        with_oracle(&plan, |oracle| {
            let by = |count| {
                let stores = (Some(mutant), Some(Mutants::default()));
                explored(&plan, oracle, stores, count)
            };
            let one = by(1);
            if differences(&one) == 0 {
                return;
            }
            seen += 1;
            assert_eq!(differences(&one), 1, "{mutant:?}");
            assert!(could_not_measure(&one) > 1, "{mutant:?}");
            assert_ne!(one.report.verdict, Verdict::Pass);
            assert!(!one.summary.complete);
            for count in [2, 3] {
                assert_same(&one.report, &by(count).report, "with more workers");
            }
        });
    }
    assert!(seen > 1, "{seen}");
}

/// A bug that only forked stores have is none of the target's, also not in the recovery that is crashed.
#[test]
fn a_bug_that_only_forked_stores_have_is_no_finding() {
    let plan = plan(None);
    let mut seen = 0;
    with_oracle(&plan, |oracle| {
        for mutant in Mutant::ALL {
            let stores = (None, Some(Mutants::from(Some(mutant))));
            let explored = explored(&plan, oracle, stores, 2);
            assert!(explored.report.findings.is_empty(), "{mutant:?}");
            let verdict = explored.report.verdict;
            match differences(&explored) {
                0 => assert_eq!(verdict, Verdict::Pass, "{mutant:?}"),
                _ => assert_eq!(verdict, Verdict::HarnessError, "{mutant:?}"),
            }
            seen += differences(&explored);
        }
    });
    assert!(seen > 3, "{seen}");
}
