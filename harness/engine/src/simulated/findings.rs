//! What becomes of findings: that they are confirmed, that a large loss is minimised, and that a
//! budget holds.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use plugpull_reports::is_of_names;
use plugpull_workloads::{FindingKind, Observed, Verdict};

use super::pool::{Moods, SimulatedWorkers};
use super::store::Mutant;
use super::{Plan, explore, explore_by, explore_within, with_oracle};
use crate::explore::{
    Attempt, Breaker, ByMissingUpdates, Cause, Crash, CrashDisk, CrashModel, FollowUpShare, Group,
    Grouping, Groups, Limits, Oracle, TryState, WorkerPool,
};
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
        let plan = Plan {
            share: FollowUpShare::All,
            ..of_run(Some(Mutant::RecoveryDeletes), seed)
        };
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
        // Updates of each role alone, and no halving of thousands: that took 20.
        assert!(tries <= 15 * groups.len() as u64, "{tries} tries");
    });
}

/// The findings of a mutant.
fn found(mutant: Mutant) -> Vec<Group> {
    let plan = of_run(Some(mutant), 2);
    with_oracle(&plan, |oracle| {
        let workers = SimulatedWorkers::new(plan.mutant, 1, 2);
        explore(&plan, oracle, &workers, None).groups.all().to_vec()
    })
}

/// A cause that is a part of a known one takes its finding over. The causes of two mutants that are
/// no part of each other stay two, as do other findings of the same cause.
#[test]
fn a_cause_takes_over_what_lacks_more_and_nothing_else() {
    let causes = |groups: &[&Group]| {
        let mut all = Groups::default();
        for group in groups {
            all.add(Group::clone(group));
        }
        let all = all.all().iter();
        all.map(|one| (one.cause.clone(), one.count))
            .collect::<Vec<_>>()
    };
    let (torn, named) = (
        found(Mutant::TornRecordBelieved),
        found(Mutant::NoDirectorySync),
    );
    let lacks = |group: &&Group| !group.minimised.crash.loss.is_empty();
    let (torn, named) = (torn.iter().find(lacks), named.iter().find(lacks));
    let (torn, named) = (torn.expect("a tear"), named.expect("a lost name"));
    assert!(!torn.cause.is_subset(&named.cause) && !named.cause.is_subset(&torn.cause));
    assert_eq!(causes(&[torn, named]).len(), 2);
    assert_eq!(causes(&[named, torn]).len(), 2);
    for small in [torn, named] {
        let wide = |sign: &str, kind: Option<FindingKind>| {
            let (mut minimised, mut cause) = (small.minimised.clone(), small.cause.clone());
            cause.insert(sign.into());
            minimised.finding.kind = kind.unwrap_or(minimised.finding.kind);
            let mut wide = Group::new(minimised, cause, None, 1);
            wide.count = 7;
            wide
        };
        let taken = vec![(small.cause.clone(), 7)];
        assert_eq!(causes(&[&wide("write other.txt", None), small]), taken);
        // A hang may be another bug.
        let other = wide("write other.txt", Some(FindingKind::Hung));
        assert_eq!(causes(&[&other, small]).len(), 2);
        // So may be what happens before anything was acknowledged, but for a name that is not durable.
        let early = wide("before the first ack", None);
        let apart = 1 + usize::from(!is_of_names(&small.cause));
        assert_eq!(causes(&[&early, small]).len(), apart);
    }
}

/// A hang that was not made smaller is taken over by one that was: a busy machine makes no second finding of it.
#[test]
fn a_hang_that_there_was_no_time_for_is_one_with_a_later_one() {
    let hung = found(Mutant::HangsOnEmptyLog);
    let hung: Vec<&Group> = (hung.iter())
        .filter(|group| group.minimised.finding.kind == FindingKind::Hung)
        .collect();
    let first = hung.first().expect("a hang");
    let with = |sign: &str, whole: bool| {
        let mut minimised = first.minimised.clone();
        minimised.whole = whole;
        Group::new(minimised, [sign.to_owned()].into(), None, 1)
    };
    let count = |one: Group, other: Group| {
        let mut all = Groups::default();
        all.add(one);
        all.add(other);
        all.all().len()
    };
    assert_eq!(
        count(with("after write a", false), with("after create b", true)),
        1
    );
    // Two that were made as small as they get may be two bugs.
    assert_eq!(
        count(with("after write a", true), with("after create b", true)),
        2
    );
}

/// Takes all that is missing for one sign, so that no cause is a part of another.
pub(crate) struct NoParts(pub(crate) ByMissingUpdates);

impl Grouping for NoParts {
    fn signs(&self, crash: &Crash, oracle: &Oracle<'_>) -> Cause {
        let signs = self.0.signs(crash, oracle);
        [Vec::from_iter(signs).join(", ")].into()
    }

    fn output_sign(&self, kind: FindingKind, observed: &Observed) -> Option<String> {
        self.0.output_sign(kind, observed)
    }
}

/// In some plan a state shows first that `CURRENT` is lost together with a removal, and a later one that the
/// removal is no part of it: one finding, which is two where no cause is a part of another.
#[test]
fn a_later_state_that_lacks_less_takes_the_finding_over() {
    let names = [
        "name CURRENT.tmp -> CURRENT",
        "removal of CURRENT.tmp -> CURRENT",
    ];
    let taken_over = (0..400).any(|seed| {
        let plan = Plan {
            mutant: Some(Mutant::NoDirectorySync),
            ..Plan::of(seed)
        };
        with_oracle(&plan, |oracle| {
            let causes = |grouping| {
                let workers = SimulatedWorkers::new(plan.mutants(), 1, 1);
                let stop = AtomicBool::new(false);
                let limits = (None, Limits::none(plan.depth, &stop));
                let explored = explore_by(&plan, oracle, &workers, limits, grouping);
                let groups = explored.groups.all().iter();
                groups.map(|one| one.cause.clone()).collect::<Vec<_>>()
            };
            causes(None) == [Cause::from(names.map(str::to_owned))]
                && causes(Some(Arc::new(NoParts(ByMissingUpdates::of(oracle))))).len() > 1
        })
    });
    assert!(taken_over);
}

/// A worker whose target never answers, until somebody ends it.
struct Stuck {
    ended: Arc<(Mutex<bool>, Condvar)>,
    tried: Arc<AtomicBool>,
}

impl TryState for Stuck {
    fn try_noting(&mut self, disk: &CrashDisk) -> Result<Attempt, HarnessFailed> {
        self.try_state(disk)
    }

    fn try_state(&mut self, _: &CrashDisk) -> Result<Attempt, HarnessFailed> {
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
