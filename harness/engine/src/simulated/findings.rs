//! What becomes of findings: that they are confirmed, that a large loss is minimised, and that a
//! budget holds.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use plugpull_workloads::Verdict;

use super::pool::{Moods, SimulatedWorkers};
use super::store::Mutant;
use super::{Plan, explore, explore_within, with_oracle};
use crate::explore::{Attempt, Breaker, CrashDisk, CrashModel, Limits, TryState, WorkerPool};
use crate::outcome::HarnessFailed;

fn of_run(mutant: Option<Mutant>, seed: u64) -> Plan {
    Plan {
        depth: 0,
        states: Some(120),
        ..Plan::whole(mutant, seed)
    }
}

/// A check that says now this and now that accuses nobody, and a sound store is silent beside it.
#[test]
fn a_flaky_check_is_no_finding() {
    let plan = of_run(None, 3);
    with_oracle(&plan, |oracle| {
        let moody = SimulatedWorkers::new(None, 2, 3).moody(Moods::Check);
        let explored = explore(&plan, oracle, &moody, None);
        assert!(
            explored.report.findings.is_empty(),
            "{:?}",
            explored.report.findings
        );
        let not_measured: Vec<_> = (explored.trials.iter())
            .filter(|one| one.verdict == Verdict::NotMeasured)
            .collect();
        assert!(!not_measured.is_empty(), "no check was seen to be flaky");
        assert!(
            not_measured
                .iter()
                .all(|one| one.why.contains("the check is flaky"))
        );
        let steady = SimulatedWorkers::new(None, 2, 3);
        let explored = explore(&plan, oracle, &steady, None);
        assert_eq!(explored.report.verdict, Verdict::Pass);
    });
}

/// A recovery that loses data now and then is a finding, with how often.
#[test]
fn a_recovery_that_loses_data_now_and_then_is_a_finding_with_its_rate() {
    let found = (0..6).any(|seed| {
        let plan = of_run(Some(Mutant::RecoveryDeletes), seed);
        with_oracle(&plan, |oracle| {
            let mutant = plan.mutant;
            let moody = SimulatedWorkers::new(mutant, 1, seed).moody(Moods::Recovery);
            let explored = explore(&plan, oracle, &moody, None);
            let found = explored.report.findings.iter();
            found
                .into_iter()
                .any(|one| one.finding.sentence.contains(" of 3 tries"))
        })
    });
    assert!(found, "no finding says how often it shows");
}

/// Thousands of lines that nobody syncs are lost as well, and are no part of the finding.
#[test]
fn one_update_is_found_among_thousands() {
    let models = CrashModel::all();
    let plan = Plan {
        lines: 4000,
        clients: 1,
        kill_chance: 0.0,
        states: Some(12),
        models: vec![models[0], models[2]],
        ..of_run(Some(Mutant::NoLogSync), 1)
    };
    with_oracle(&plan, |oracle| {
        let workers = SimulatedWorkers::new(plan.mutant, 1, 1);
        let explored = explore(&plan, oracle, &workers, None);
        let groups = explored.groups.all();
        assert!(!groups.is_empty(), "nothing found");
        for group in groups {
            assert!(group.minimised.whole, "{:?}", group.cause);
            assert!(
                group.minimised.crash.size() <= 3,
                "{:?}",
                group.minimised.crash.lost
            );
            let lines = group.cause.iter().any(|sign| sign.contains("debug.txt"));
            assert!(!lines, "{:?}", group.cause);
        }
        let tries = workers.tried() - explored.summary.tried;
        assert!(tries <= 150 * groups.len() as u64, "{tries} tries");
    });
}

/// A worker whose target never answers, until somebody ends it.
struct Stuck {
    ended: Arc<(Mutex<bool>, Condvar)>,
    tried: Arc<AtomicBool>,
}

impl TryState for Stuck {
    fn try_state(&mut self, _: &CrashDisk, _: bool) -> Result<Attempt, HarnessFailed> {
        self.tried.store(true, Ordering::Relaxed);
        let (ended, changed) = &*self.ended;
        changed.wait_while(&mut ended.lock(), |ended| !*ended);
        Err(HarnessFailed::new("it was ended"))
    }

    fn breaker(&self) -> Option<Breaker> {
        let all = self.ended.clone();
        Some(Box::new(move || {
            *all.0.lock() = true;
            all.1.notify_all();
        }))
    }
}

/// A budget holds when no target ever answers, and what was ended is held against nobody.
#[test]
fn a_target_that_never_answers_ends_with_the_budget() {
    let plan = of_run(None, 1);
    with_oracle(&plan, |oracle| {
        let tried = Arc::new(AtomicBool::new(false));
        let stuck = || -> Box<dyn TryState> {
            Box::new(Stuck {
                ended: Arc::default(),
                tried: tried.clone(),
            })
        };
        let workers = WorkerPool::start(stuck(), vec![stuck(), stuck()]);
        let stop = AtomicBool::new(false);
        let limits = Limits::within(Duration::from_millis(200), 0, &stop);
        let explored = explore_within(&plan, oracle, &workers, None, limits);
        workers.finish();
        assert!(tried.load(Ordering::Relaxed));
        assert!(explored.trials.is_empty() && explored.report.findings.is_empty());
        assert!(!explored.summary.complete && explored.summary.gave_up.is_none());
    });
}
