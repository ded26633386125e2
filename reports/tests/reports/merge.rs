//! Merging: nothing is lost or counted twice, the order does not matter, what does not belong
//! together is refused.

use plugpull_reports::{Decided, MergeError, Report, Shard, ShardTrial, Trial, html, merge};
use plugpull_testing::test;
use plugpull_workloads::{FindingKind, Verdict};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

use crate::explored::explored;
use crate::made_up::{broken, other, plan, report_of, trial};

/// The report of one machine of several.
fn part(seed: u64, findings: &[FindingKind]) -> Report {
    let mut plan = plan(&["kill", "power-loss"]);
    plan.seed = seed;
    if seed.is_multiple_of(2) {
        plan.unavailable = vec![("oom".into(), format!("no cgroup on machine {seed}"))];
    }
    let mut trials = vec![
        Trial {
            recovery_us: vec![1_000 * seed, 1_000 * seed + 1],
            ..trial(1, "kill")
        },
        broken(2, "power-loss", findings),
        other(3, "kill", Verdict::NotMeasured, "too early"),
    ];
    if findings.is_empty() {
        trials[1] = trial(2, "power-loss");
    }
    report_of(plan, &trials)
}

fn parts() -> Vec<Report> {
    use FindingKind::{LostAck, WrongValue};
    vec![
        part(1, &[LostAck]),
        part(2, &[LostAck, WrongValue]),
        part(3, &[]),
        part(4, &[WrongValue]),
        part(5, &[LostAck]),
    ]
}

#[test]
fn counts_add_and_samples_are_joined() {
    let all = parts();
    let merged = merge(all.clone()).unwrap();
    assert_eq!(merged.trials, 15);
    assert_eq!(merged.merged, Some(5));
    assert_eq!(merged.took_us, all.iter().map(|r| r.took_us).sum::<u64>());
    let kill = &merged.faults[0];
    assert_eq!(
        (kill.trials, kill.hit, kill.recovery.count),
        (15 - 5, 5, 10)
    );
    assert_eq!(kill.recovery.max_us, 5_001);
    let counts: Vec<(FindingKind, u64)> = merged
        .findings
        .iter()
        .map(|f| (f.finding.kind, f.count))
        .collect();
    assert_eq!(
        counts,
        [(FindingKind::WrongValue, 2), (FindingKind::LostAck, 3)]
    );
    let numbers: Vec<u64> = merged
        .trial_log
        .in_memory()
        .iter()
        .map(|t| t.number)
        .collect();
    assert_eq!(numbers, (1..=15).collect::<Vec<u64>>());
    for finding in &merged.findings {
        let trial = &merged.trial_log.in_memory()[finding.trial as usize - 1];
        let kinds: Vec<_> = trial.findings.iter().map(|f| f.finding.kind).collect();
        assert!(
            kinds.contains(&finding.finding.kind),
            "the number leads to its trial"
        );
    }
    assert_eq!(merged.verdict, Verdict::Broken);
    let oom = merged.faults.iter().find(|row| row.fault == "oom").unwrap();
    assert_eq!(oom.verdict, Verdict::NotMeasured);
    assert!(html(&merged).unwrap().contains("5 reports"));
}

#[test]
fn one_report_merged_is_itself() {
    for one in [part(1, &[FindingKind::LostAck]), explored(3)] {
        let merged = merge(vec![one.clone()]).unwrap();
        assert_eq!(merged.merged, Some(1));
        assert!(
            Report {
                merged: None,
                ..merged
            } == one
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, rng_seed: RngSeed::Fixed(1), ..ProptestConfig::default() })]

    #[test]
    fn the_order_does_not_matter(shuffled in Just(parts()).prop_shuffle()) {
        prop_assert_eq!(merge(shuffled).unwrap(), merge(parts()).unwrap());
    }
}

#[test]
fn what_was_tried_on_one_machine_is_measured() {
    let mut without = plan(&["kill"]);
    without.unavailable = vec![("oom".into(), "no cgroup".into())];
    let one = report_of(without, &[trial(1, "kill")]);
    let other = report_of(plan(&["kill", "oom"]), &[trial(2, "kill"), trial(3, "oom")]);
    assert_eq!(one.verdict, Verdict::NotMeasured);
    let merged = merge(vec![one, other]).unwrap();
    assert_eq!(merged.verdict, Verdict::Pass);
    let numbers: Vec<u64> = merged
        .trial_log
        .in_memory()
        .iter()
        .map(|t| t.number)
        .collect();
    assert_eq!(numbers, [1, 2, 3], "numbers that do not clash stay");
}

#[test]
fn explorations_of_one_trace_add_up() {
    let (mut one, mut other) = (explored(2), explored(3));
    other.took_us += 1;
    for (report, decided) in [(&mut one, 7), (&mut other, 5)] {
        report.coverage.as_mut().unwrap().decided = Some(Decided {
            places: 10,
            decided,
            at_least: decided == 5,
            ..Decided::default()
        });
    }
    let merged = merge(vec![one.clone(), other.clone()]).unwrap();
    let coverage = merged.coverage.unwrap();
    assert_eq!((coverage.points, coverage.tried), (901, 2 * 5_310));
    let decided = coverage.decided.unwrap();
    assert_eq!((decided.places, decided.decided), (20, 12));
    assert!(decided.at_least);
    assert_eq!(coverage.at.len(), 623);
    assert_eq!(coverage.at[0].tried, 6);
    assert_eq!(coverage.models[1].made, 2 * 9_120);
    assert_eq!(merged.findings.len(), 3);
    if let Some(coverage) = &mut other.coverage {
        coverage.operations += 1;
    }
    let error = merge(vec![one, other]).unwrap_err();
    assert!(error.to_string().contains("the trace is 90"), "{error}");
}

#[test]
fn the_smallest_telling_of_a_bug_is_kept() {
    let (one, mut other) = (explored(1), explored(1));
    other.seed += 1;
    let evidence = other.findings[0].evidence.as_mut().unwrap();
    evidence.timeline.pop();
    evidence.timeline.pop();
    other.findings[0].repeat = "plugpull replay smaller.json".into();
    let merged = merge(vec![one, other]).unwrap();
    assert_eq!(merged.findings[0].repeat, "plugpull replay smaller.json");
    assert_eq!(merged.findings[0].count, 2);
}

#[test]
fn what_does_not_belong_together_is_refused() {
    let good = || part(1, &[]);
    let refused = |change: fn(&mut Report)| {
        let mut bad = part(2, &[]);
        change(&mut bad);
        merge(vec![good(), bad]).unwrap_err().to_string()
    };
    for (error, words) in [
        (refused(|r| r.target.name = "etcd".into()), "the target is"),
        (
            refused(|r| r.target.version = "2".into()),
            "the target's version is",
        ),
        (refused(|r| r.target.settings.clear()), "its settings is"),
        (
            refused(|r| r.target.promises.clear()),
            "what it promises is",
        ),
        (
            refused(|r| r.plugpull = "9".into()),
            "plugpull's version is",
        ),
        (
            refused(|r| r.recovery_bound_us = None),
            "the recovery bound is",
        ),
        (
            refused(|r| r.coverage = Some(plugpull_reports::Coverage::default())),
            "the report is",
        ),
    ] {
        assert!(error.contains(words), "{words}: {error}");
    }
    assert_eq!(merge(vec![good(), good()]), Err(MergeError::Twice(1)));
    assert_eq!(merge(vec![]), Err(MergeError::Nothing));
}

/// One of the shards of a run with one trial each.
fn shard(number: u64, of: u64) -> Report {
    let mut report = report_of(plan(&["kill"]), &[trial(number, "kill")]);
    report.shard = Some(Box::new(Shard {
        number,
        of,
        faults: vec!["kill".into()],
        ..Shard::default()
    }));
    report
}

/// Without the places of its trials nobody knows which cause each of them belongs to.
#[test]
fn a_shard_of_an_exploration_without_places_is_refused() {
    let shard = |number, places: Vec<ShardTrial>| {
        let mut report = explored(1);
        report.shard = Some(Box::new(Shard {
            number,
            of: 2,
            trials: places.into(),
            ..Shard::default()
        }));
        report
    };
    let places = || -> Vec<ShardTrial> {
        let trials = explored(1);
        let trials = trials.trial_log.in_memory().iter();
        trials
            .map(|one| ShardTrial {
                trial: one.number,
                position: one.number,
                depth: 0,
                signs: Vec::new(),
                minimised: vec![None; one.findings.len()],
            })
            .collect()
    };
    assert!(merge(vec![shard(1, places()), shard(2, places())]).is_ok());
    let mut fewer = places();
    fewer.pop();
    for places_of_two in [Vec::new(), fewer] {
        let merged = merge(vec![shard(1, places()), shard(2, places_of_two)]);
        let refused = MergeError::Misplaced("2/2".into());
        assert_eq!(merged.map(drop), Err(refused));
    }
}

#[test]
fn shards_make_a_whole_and_nothing_else_does() {
    let whole = merge(vec![shard(2, 2), shard(1, 2)]).unwrap();
    assert_eq!((whole.verdict, whole.shard), (Verdict::Pass, None));
    assert_eq!((whole.trials, whole.merged), (2, Some(2)));

    let part = merge(vec![shard(1, 3), shard(3, 3)]).unwrap();
    assert_eq!(part.verdict, Verdict::NotMeasured);
    let row = part.faults.iter().find(|row| row.fault == "shard 2/3");
    assert!(row.is_some_and(|row| row.why.contains("missing")));

    let twice = merge(vec![shard(1, 2), shard(1, 2)]);
    assert_eq!(twice, Err(MergeError::ShardTwice("1/2".into())));
    let mixed = merge(vec![shard(1, 2), part]);
    assert_eq!(mixed, Err(MergeError::NoShard));
    for (number, of) in [(0, 2), (3, 2), (1, u64::MAX)] {
        let none = merge(vec![shard(number, of)]);
        assert_eq!(none, Err(MergeError::NoSuchShard(format!("{number}/{of}"))));
    }
    assert!(matches!(
        merge(vec![shard(1, 2), shard(2, 3)]),
        Err(MergeError::Mixed { .. })
    ));
}
