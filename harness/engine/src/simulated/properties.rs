//! What must hold of every exploration, whatever is explored: from a seed.

use std::collections::{BTreeSet, HashSet};
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use parking_lot::Mutex;
use plugpull_crashsim::persist::LossSet;
use plugpull_reports::{Report, exit_code, merge};
use plugpull_workloads::{Call, Finding, FindingKind, Outcome, Verdict};

use super::pool::SimulatedWorkers;
use super::store::{Mutant, Mutants};
use super::{Explored, Plan, explore, with_oracle};
use crate::explore::{
    Crash, CrashDisk, CrashModel, FollowUpPlan, FollowUpShare, Judged, Minimised, Oracle,
    StateEnumerator, Workers,
};
use crate::shard::Shard;

/// Seeds that every run of the tests tries.
const SEEDS: u64 = 2_000;
/// Seeds of which a mutant must be found with one.
const CHANCES: u64 = 6;

/// Runs a check for each of the seeds, or for those that `PLUGPULL_SIMULATE` names (`7` or `0..5000`), on
/// all CPUs. Where one fails, the line that repeats it is printed.
pub(super) fn for_seeds(test: &str, default: Range<u64>, check: impl Fn(&Plan) + Sync) {
    let named = std::env::var("PLUGPULL_SIMULATE").ok();
    let seeds = named.map_or(default, |named| {
        let number = |text: &str| text.parse().expect("PLUGPULL_SIMULATE is a seed or A..B");
        match named.split_once("..") {
            Some((from, to)) => number(from)..number(to),
            None => number(&named)..number(&named) + 1,
        }
    });
    let next = Mutex::new(seeds);
    let work = || {
        loop {
            let seed = next.lock().next();
            let Some(plan) = seed.map(Plan::of) else {
                return;
            };
            if let Err(panic) = catch_unwind(AssertUnwindSafe(|| check(&plan))) {
                eprintln!(
                    "repeat it: PLUGPULL_SIMULATE={} cargo test -p plugpull-engine {test}\n{plan:?}",
                    plan.seed
                );
                resume_unwind(panic);
            }
        }
    };
    let cpus = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..cpus).map(|_| scope.spawn(work)).collect();
        for worker in workers {
            worker.join().unwrap_or_else(|panic| resume_unwind(panic));
        }
    });
}

/// A report without what depends on a clock or on having been merged.
fn timeless(report: &Report) -> serde_json::Value {
    let mut json = serde_json::to_value(report).expect("a report");
    let fields = json.as_object_mut().expect("an object");
    for name in ["took_us", "merged", "shard"] {
        fields.remove(name);
    }
    json
}

pub(super) fn assert_same(one: &Report, other: &Report, what: &str) {
    let (one, other) = (timeless(one), timeless(other));
    if one != other {
        let text = |json| serde_json::to_string_pretty(json).expect("JSON");
        let (one, other) = (text(&one), text(&other));
        let differing = one.lines().zip(other.lines()).find(|(a, b)| a != b);
        panic!("{what}: {differing:?}");
    }
}

/// True when a crash shows this finding, tried and judged by nothing but store and oracle. A store that
/// refuses to start must say the same.
pub(super) fn shows(
    oracle: &Oracle<'_>,
    mutants: impl Into<Mutants>,
    crash: &Crash,
    finding: &Finding,
) -> bool {
    let state = oracle.window(crash, crash.model).state(&crash.loss);
    let disk = CrashDisk {
        key: state.tree.digest(),
        tree: state.tree,
        acked: oracle.acked.clone(),
        then: finding.follow_up.map(|follow_up| FollowUpPlan {
            follow_up,
            life: oracle.life.clone(),
        }),
    };
    let workers = SimulatedWorkers::new(mutants, 1, 0);
    let attempt = workers.try_now(&disk).expect("an attempt");
    let follow_up = attempt.follow_up.as_ref();
    let judgement = oracle.judge_all(crash, &attempt.observed, follow_up);
    judgement.findings.iter().any(|one| {
        (one.kind, one.follow_up) == (finding.kind, finding.follow_up)
            && (one.kind != FindingKind::WillNotStart || one.sentence == finding.sentence)
    })
}

/// A minimised crash shows its finding, and no crash at its point does that lacks less.
fn is_minimal(oracle: &Oracle<'_>, plan: &Plan, minimised: &Minimised) {
    let (crash, finding) = (&minimised.crash, &minimised.finding);
    let kind = finding.kind;
    assert!(
        shows(oracle, plan.mutants(), crash, finding),
        "{kind:?} is not there"
    );
    let window = oracle.window(crash, crash.model);
    assert_eq!(window.legalize(&crash.loss), crash.loss, "not legal");
    let missing: Vec<usize> = crash.loss.lost.iter().copied().collect();
    let torn: Vec<usize> = crash.loss.torn.keys().copied().collect();
    let mut fewer: Vec<LossSet> = Vec::new();
    for update in missing.iter().chain(&torn) {
        let mut less = crash.loss.clone();
        less.lost.remove(update);
        less.torn.remove(update);
        fewer.push(less);
    }
    if missing.len() <= 5 {
        fewer.extend((0..1_u32 << missing.len()).map(|kept| {
            let mut less = crash.loss.clone();
            let part = missing.iter().enumerate();
            less.lost = part
                .filter(|(bit, _)| kept >> bit & 1 == 1)
                .map(|(_, update)| *update)
                .collect();
            less
        }));
    }
    let legal: BTreeSet<LossSet> = fewer.iter().map(|less| window.legalize(less)).collect();
    for loss in legal
        .into_iter()
        .filter(|less| less.len() < crash.loss.len())
    {
        let smaller = Crash {
            loss,
            ..crash.clone()
        };
        assert!(
            !shows(oracle, plan.mutants(), &smaller, finding),
            "{kind:?} at {} needs {:?} of {:?} alone",
            crash.point,
            smaller.loss,
            crash.loss
        );
    }
}

/// Each failing trial is counted to one cause, and no two findings have the same in the same words; none is left beside
/// a later one that lacks less.
fn grouping_adds_up(explored: &Explored) {
    let groups = explored.groups.all();
    let mut causes = HashSet::new();
    for group in groups {
        let minimised = &group.minimised;
        let name = (
            minimised.finding.kind,
            minimised.crash.depth(),
            minimised.finding.follow_up,
            &group.cause,
            group.wording(),
        );
        assert!(causes.insert(name), "{name:?} is there twice");
    }
    for (at, group) in groups.iter().enumerate() {
        let narrower = groups[at + 1..].iter().find(|one| group.is_wider_than(one));
        let narrower = narrower.map(|one| &one.cause);
        assert_eq!(narrower, None, "beside {:?}", group.cause);
    }
    // A trial counts once to each of its findings, and to one at least.
    let failed = explored
        .trials
        .iter()
        .filter(|one| !one.findings.is_empty());
    let (trials, findings) = failed.fold((0, 0), |(trials, findings), one| {
        (trials + 1, findings + one.findings.len() as u64)
    });
    let counted: u64 = groups.iter().map(|group| group.count).sum();
    assert!(
        (trials..=findings).contains(&counted),
        "{counted} of {trials}"
    );
    for (group, found) in groups.iter().zip(0_u64..) {
        let ids = explored
            .counts
            .iter()
            .filter(|ids| ids.contains(&found))
            .count();
        assert_eq!(group.count, ids as u64, "{:?}", group.cause);
    }
}

/// A finding is named after a model that allows its state.
fn models_are_named(report: &Report) {
    for one in &report.findings {
        let (model, _) = one.finding.fault.split_once('@').expect("MODEL@POINT");
        let allowed = one.evidence.as_ref().map(|evidence| &evidence.models);
        let allowed = allowed.expect("evidence");
        assert!(
            allowed.iter().any(|name| name == model),
            "{model}: {allowed:?}"
        );
    }
}

/// What is covered is covered once.
fn coverage_adds_up(plan: &Plan, explored: &Explored) {
    let Explored { summary, .. } = explored;
    let mut distinct = 0;
    for (made, judged) in summary.models.iter().zip(&summary.judged) {
        assert_eq!(judged.judged + judged.not_measured(), made.made);
        assert!(judged.failed <= judged.judged && made.distinct <= made.made);
        assert!(made.at_least || u128::from(made.distinct) <= made.possible);
        assert!(made.points <= summary.points as u64);
        distinct += made.distinct;
    }
    let at = |part: fn(&plugpull_reports::PointCoverage) -> u64| summary.at.iter().map(part).sum();
    let all = |part: fn(&Judged) -> u64| -> u64 { summary.judged.iter().map(part).sum() };
    let (tried, failed): (u64, u64) = (at(|one| one.tried), at(|one| one.failed));
    assert_eq!(
        (tried, failed),
        (all(|one| one.judged), all(|one| one.failed))
    );
    assert!(summary.tried <= distinct + summary.recoveries.distinct);
    if plan.depth == 0 {
        assert_eq!(summary.tried, distinct);
    }
    if let Some(most) = plan.states {
        assert!(summary.tried <= most);
        assert!(summary.complete || summary.tried == most);
    }
}

/// Every state, tried and judged one by one in the order in which they are made: what an exploration
/// must come to without its rounds, its answers that are kept and its workers.
fn one_by_one(plan: &Plan, oracle: &Oracle<'_>) -> Vec<Judged> {
    let mut outcome = vec![Judged::default(); plan.models.len()];
    let mut states = StateEnumerator::of_run(oracle.trace, oracle.space(), plan.seed, None);
    let workers = SimulatedWorkers::new(plan.mutants(), 1, 0);
    let mut seen = HashSet::new();
    while let Some(next) = states.next(&mut seen) {
        let crash = &next.candidate.crash;
        let disk = CrashDisk {
            key: next.candidate.key,
            tree: oracle.window(crash, crash.model).state(&crash.loss).tree,
            acked: oracle.acked.clone(),
            then: None,
        };
        let attempt = workers.try_now(&disk).expect("an attempt");
        let model = &mut outcome[crash.model];
        match oracle.judge(crash, &attempt.observed).verdict {
            Verdict::NotMeasured if !oracle.at_stake(crash.first().point) => {
                model.before_first_ack += 1;
            }
            Verdict::NotMeasured => model.could_not_measure += 1,
            verdict => {
                model.judged += 1;
                model.failed += u64::from(verdict == Verdict::Broken);
            }
        }
    }
    outcome
}

/// True when a state failed in which nothing was missing: one machine then leaves the point to the
/// end, and shards do not (docs/sharding.md).
fn fails_with_nothing_missing(explored: &Explored) -> bool {
    let failed = explored
        .trials
        .iter()
        .filter(|one| !one.findings.is_empty());
    failed
        .into_iter()
        .any(|one| one.what.starts_with("nothing missing"))
}

/// The shards of an exploration, merged.
fn merged(plan: &Plan, oracle: &Oracle<'_>, of: u64) -> Report {
    let shard = |number| {
        let workers = SimulatedWorkers::new(plan.mutants(), 2, plan.seed + number);
        explore(plan, oracle, &workers, Some(Shard { number, of })).report
    };
    merge((1..=of).map(shard).collect()).expect("the shards belong together")
}

fn check(plan: &Plan) {
    let seed = plan.seed;
    with_oracle(plan, |oracle| {
        let workers = |count, order| SimulatedWorkers::new(plan.mutants(), count, order);
        let one = explore(plan, oracle, &workers(1, seed), None);
        if plan.mutant.is_none() {
            assert!(one.report.findings.is_empty(), "{:?}", one.report.findings);
        }
        let many = 2 + seed as usize % 7;
        let other = explore(plan, oracle, &workers(many, seed + 1), None);
        assert_same(&one.report, &other.report, "with more workers");
        grouping_adds_up(&one);
        coverage_adds_up(plan, &one);
        models_are_named(&one.report);
        for group in one.groups.all() {
            is_minimal(oracle, plan, &group.minimised);
        }
        if plan.depth == 0 && !fails_with_nothing_missing(&one) {
            let merged = merged(plan, oracle, 2 + seed % 3);
            assert_same(&one.report, &merged, "merged from shards");
        }
    });
}

#[test]
fn seeds() {
    for_seeds("simulated::properties::seeds", 0..SEEDS, |plan| {
        // What follows on a recovery changes nothing of what must hold.
        let share = match plan.seed % 4 {
            0 => FollowUpShare::Some,
            1 => FollowUpShare::All,
            _ => FollowUpShare::None,
        };
        check(&Plan {
            share,
            ..plan.clone()
        });
    });
}

/// A smaller first crash has another recovery, in which the second crash may get smaller too.
#[test]
fn the_last_crash_is_minimised_again_after_those_before_it() {
    let named = |name: &str| {
        let mut all = CrashModel::all().into_iter();
        all.find(|model| model.name == name).expect("a model")
    };
    check(&Plan {
        mutant: Some(Mutant::HangsOnEmptyLog),
        clients: 3,
        commits: 3,
        checkpoint_every: 3,
        models: vec![named("kill"), named("ext4-writeback")],
        depth: 1,
        states: Some(18),
        ends: false,
        ..Plan::of(2028)
    });
}

/// The first state of a recovery that went another way was taken for smaller than it is: what it lacks
/// besides what was chosen did not count.
#[test]
fn a_state_of_another_recovery_is_minimised_with_all_that_it_lacks() {
    check(&Plan::of(10560));
}

#[test]
fn an_exploration_comes_to_what_one_by_one_comes_to() {
    for_seeds("simulated::properties::an_exploration", 0..12, |plan| {
        let seed = plan.seed;
        let plan = Plan {
            commits: 2,
            depth: 0,
            states: None,
            ..plan.clone()
        };
        with_oracle(&plan, |oracle| {
            let workers = SimulatedWorkers::new(plan.mutants(), 3, seed);
            let explored = explore(&plan, oracle, &workers, None);
            assert!(explored.summary.complete);
            assert_eq!(explored.summary.judged, one_by_one(&plan, oracle));
            // The order does not matter where every state is tried, so here shards find the same
            // causes even where points fail with nothing missing.
            let causes = |report: &Report| -> BTreeSet<String> {
                let all = report.findings.iter();
                all.map(|one| {
                    format!(
                        "{:?} {:?}",
                        one.finding.kind,
                        one.evidence.as_ref().map(|e| &e.cause)
                    )
                })
                .collect()
            };
            let merged = merged(&plan, oracle, 3);
            assert_eq!(causes(&merged), causes(&explored.report));
        });
    });
}

#[test]
fn every_mutant_is_found() {
    for mutant in Mutant::ALL {
        let found = (0..CHANCES).any(|seed| {
            let plan = Plan::whole(Some(mutant), seed);
            with_oracle(&plan, |oracle| {
                let workers = SimulatedWorkers::new(plan.mutants(), 2, seed);
                let explored = explore(&plan, oracle, &workers, None);
                for group in explored.groups.all() {
                    is_minimal(oracle, &plan, &group.minimised);
                }
                !explored.report.findings.is_empty()
            })
        });
        assert!(found, "{mutant:?}");
    }
}

#[test]
fn the_sound_store_is_silent() {
    for seed in 0..CHANCES {
        let plan = Plan::whole(None, seed);
        with_oracle(&plan, |oracle| {
            let workers = SimulatedWorkers::new(None, 2, seed);
            let explored = explore(&plan, oracle, &workers, None);
            assert_eq!(explored.report.verdict, Verdict::Pass);
            assert!(
                explored.report.findings.is_empty(),
                "{:?}",
                explored.report.findings
            );
        });
    }
}

/// A state in which plugpull fails, by an error or a panic, costs that state: it is not measured,
/// it is no finding, and all others come out as they do without it.
#[test]
fn what_plugpull_fails_in_costs_that_state() {
    for_seeds(
        "simulated::properties::what_plugpull_fails",
        0..10,
        |plan| {
            let seed = plan.seed;
            let plan = Plan {
                depth: 0,
                states: None,
                commits: 2,
                mutant: None,
                ..plan.clone()
            };
            with_oracle(&plan, |oracle| {
                let sound = SimulatedWorkers::new(None, 2, seed);
                let sound = explore(&plan, oracle, &sound, None);
                let failing = SimulatedWorkers::new(None, 2, seed).failing(|key| key % 11 < 2);
                let failing = explore(&plan, oracle, &failing, None);
                let errors = failing.trials.iter();
                let errors: Vec<_> = errors
                    .filter(|one| one.verdict == Verdict::HarnessError)
                    .collect();
                if errors.is_empty() {
                    return;
                }
                assert_eq!(failing.report.verdict, Verdict::HarnessError);
                assert!(failing.report.findings.is_empty());
                assert!(!failing.summary.complete);
                let place = |why: &str| why.contains("simulated/pool.rs:");
                assert!(errors.iter().all(|one| match one.why.contains("panics") {
                    true => place(&one.why),
                    false => one.why == "the simulated sandbox fails",
                }));
                let of = |explored: &Explored, part: fn(&Judged) -> u64| -> u64 {
                    explored.summary.judged.iter().map(part).sum()
                };
                let made = |one: &Judged| one.judged + one.not_measured();
                assert_eq!(of(&failing, made), of(&sound, made));
                assert!(of(&failing, |one| one.judged) <= of(&sound, |one| one.judged));
                // What plugpull failed in is counted apart from what had nothing to lose, and is no pass.
                let could_not = |one: &Judged| one.could_not_measure;
                assert_eq!(of(&sound, could_not), 0);
                assert!(of(&failing, could_not) > 0);
                assert_eq!(exit_code(&failing.report), 3);
                assert_eq!(exit_code(&sound.report), 0);
            });
        },
    );
}

/// Failing states are minimised beside those that are tried, and the result is the same with any number
/// of workers.
#[test]
fn any_number_of_workers_gives_the_same_report() {
    for mutant in [
        Mutant::NoDirectorySync,
        Mutant::TornRecordBelieved,
        Mutant::AckBeforeSync,
    ] {
        let plan = Plan {
            states: Some(200),
            ..Plan::whole(Some(mutant), 2)
        };
        with_oracle(&plan, |oracle| {
            let by = |count| {
                let workers = SimulatedWorkers::new(plan.mutants(), count, count as u64);
                explore(&plan, oracle, &workers, None).report
            };
            let one = by(1);
            assert!(!one.findings.is_empty(), "{mutant:?} is not found");
            for count in [2, 3] {
                assert_same(&one, &by(count), "with more workers");
            }
        });
    }
}

/// Where plugpull fails in every state it gives up instead of failing for hours.
#[test]
fn an_exploration_on_a_machine_at_its_end_is_given_up() {
    let plan = Plan::whole(None, 1);
    with_oracle(&plan, |oracle| {
        let workers = SimulatedWorkers::new(None, 2, 1).failing(|_| true);
        let explored = explore(&plan, oracle, &workers, None);
        let why = explored.summary.gave_up.expect("given up");
        assert!(why.contains("one after the other"), "{why}");
        assert!(workers.tried() < 200, "{}", workers.tried());
        assert_eq!(explored.report.verdict, Verdict::HarnessError);
    });
}

/// States before the first ack, where there is nothing to lose, are no states that were judged.
#[test]
fn states_that_are_not_measured_are_counted_and_not_as_judged() {
    let plan = Plan {
        depth: 0,
        states: None,
        models: CrashModel::all().into_iter().take(2).collect(),
        ..Plan::whole(None, 1)
    };
    with_oracle(&plan, |oracle| {
        let calls = oracle.trace.about.history.entries.iter();
        let acks = calls.filter(|entry| matches!(&entry.call, Call::Txn(txn) if !txn.abort));
        let acks = acks.filter_map(|entry| match &entry.done {
            Some((at, Outcome::Ok)) => Some(at.seq),
            _ => None,
        });
        let first_ack = acks.min().expect("an ack");
        let workers = SimulatedWorkers::new(None, 2, 1);
        let explored = explore(&plan, oracle, &workers, None);
        let kill = explored.summary.judged[0];
        assert_eq!(
            (kill.before_first_ack, kill.could_not_measure),
            (first_ack, 0),
            "one state a point before the first ack"
        );
        assert_eq!(kill.judged + first_ack, explored.summary.points as u64);
        // There was nothing to lose: they are counted, and are no trials.
        let log = explored.trials.iter();
        assert!(
            log.into_iter()
                .all(|one| one.verdict != Verdict::NotMeasured)
        );
        assert_eq!(explored.report.verdict, Verdict::Pass);
    });
}

/// What the limits of the enumeration cut off is noticed: "every state was tried" is said only where
/// every legal state of every point, counted by trying all combinations, was made.
#[test]
fn every_state_is_said_only_where_none_is_missing() {
    let (mut whole, mut cut) = (0, 0);
    for seed in 0..CHANCES {
        let plan = Plan {
            depth: 0,
            states: None,
            clients: 1 + (seed % 2) as u32,
            commits: 1 + (seed % 2) as u32,
            mutant: None,
            ..Plan::of(seed)
        };
        with_oracle(&plan, |oracle| {
            let mut states = StateEnumerator::of_run(oracle.trace, oracle.space(), seed, None);
            let (mut made, mut seen) = (HashSet::new(), HashSet::new());
            while let Some(next) = states.next(&mut seen) {
                let crash = &next.candidate.crash;
                made.insert((crash.model, crash.point, next.candidate.digest));
            }
            let mut missing = 0;
            let models = plan.models.iter().enumerate();
            for (model, _) in models.filter(|(_, one)| one.power) {
                for point in 0..states.point_count() {
                    let window = oracle.indexes[model].window(point);
                    if !window.possible().exact {
                        // Too many to count, so certainly more than are tried.
                        missing += 1;
                        continue;
                    }
                    let all = window.every_state().map(|state| state.tree.digest());
                    let unmade = |digest: &u128| !made.contains(&(model, point as u64, *digest));
                    missing += all.filter(unmade).count();
                }
            }
            let said = states.left_out().is_empty();
            assert!(!said || missing == 0, "seed {seed}: {missing} are missing");
            let workers = SimulatedWorkers::new(None, 2, seed);
            let report = explore(&plan, oracle, &workers, None).report;
            assert_eq!(report.coverage.map(|one| one.complete), Some(said));
            whole += u64::from(said);
            cut += u64::from(missing > 0);
        });
    }
    assert!(cut > 0, "no seed shows what a limit cuts off");
    eprintln!("{whole} whole, {cut} cut");
}

/// Where the workload comes to its end, about one state in eight is of what the store does at its close,
/// however few were asked for; every state is judged in the end, and shards that are merged count the same.
#[test]
fn the_close_of_a_target_is_a_phase_of_its_own() {
    let judged = |states, shards| {
        let plan = Plan {
            ends: true,
            states,
            depth: 0,
            ..Plan::whole(None, 4)
        };
        with_oracle(&plan, |oracle| {
            let report = match shards {
                1 => explore(&plan, oracle, &SimulatedWorkers::new(None, 2, 4), None).report,
                more => merged(&plan, oracle, more),
            };
            let coverage = report.coverage.expect("what was covered");
            let close = coverage.judged_after_last_ack.expect("a close");
            let all: u64 = coverage.models.iter().map(|model| model.made).sum();
            (close, all)
        })
    };
    let (close, all) = judged(Some(40), 1);
    // About an eighth: what is made at one place comes together.
    let share = all / 16..=all / 6;
    assert!(share.contains(&close), "{close} of {all}");
    assert_eq!(judged(Some(40), 3), (close, all));
    let (whole_close, whole) = judged(None, 1);
    assert!(whole_close > close && whole > all);
}
