//! Rows, findings, percentiles, verdicts and exit codes.

use plugpull_testing::test;
use std::collections::BTreeMap;
use std::time::Duration;

use plugpull_reports::{Evidence, Plan, Recovery, ReportBuilder, Trial, exit_code};
use plugpull_workloads::{FailureClass, FindingKind, Verdict};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

use crate::made_up::{broken, finding, other, plan, report_of, trial};

/// The definition, word by word: the smallest time that at least p percent do not exceed.
fn by_definition(times: &[u64], percent: usize) -> u64 {
    let reaches = |t: u64| times.iter().filter(|x| **x <= t).count() * 100 >= percent * times.len();
    times
        .iter()
        .copied()
        .filter(|t| reaches(*t))
        .min()
        .unwrap_or(0)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, rng_seed: RngSeed::Fixed(1), ..ProptestConfig::default() })]

    #[test]
    fn percentiles_keep_to_their_definition(times in prop::collection::vec(0u64..50, 0..250)) {
        let recovery = Recovery::of(times.iter().copied());
        prop_assert_eq!(recovery.count, times.len() as u64);
        prop_assert_eq!(recovery.p50_us, by_definition(&times, 50));
        prop_assert_eq!(recovery.p99_us, by_definition(&times, 99));
        prop_assert_eq!(recovery.max_us, times.iter().copied().max().unwrap_or(0));
    }

    /// Workers may report in any order; the report is the same.
    #[test]
    fn the_order_of_arrival_changes_nothing(
        order in Just((1u64..=12).collect::<Vec<_>>()).prop_shuffle(),
    ) {
        let make = |n: u64| match n % 4 {
            0 => broken(n, "kill", &[FindingKind::LostAck]),
            1 => broken(n, "power-loss", &[FindingKind::Hung, FindingKind::LostAck]),
            2 => trial(n, "power-loss"),
            _ => other(n, "kill", Verdict::NotMeasured, "too early"),
        };
        let sorted: Vec<Trial> = (1..=12).map(make).collect();
        let shuffled: Vec<Trial> = order.into_iter().map(make).collect();
        let plan = plan(&["kill", "power-loss"]);
        prop_assert_eq!(report_of(plan.clone(), &shuffled), report_of(plan, &sorted));
    }

    /// No mixture of trials is called kept when it holds a finding, a failure of plugpull, or a
    /// fault that was never measured.
    #[test]
    fn a_pass_is_never_given_away(
        picks in prop::collection::vec((0usize..3, 0usize..6, any::<bool>()), 0..12),
    ) {
        let faults = ["kill", "power-loss", "disk-full"];
        let trials: Vec<Trial> = picks.iter().zip(1..).map(|((fault, kind, hit), n)| {
            let fault = faults[*fault];
            let made = match kind {
                0 => broken(n, fault, &[FindingKind::TooSlow]),
                1 => other(n, fault, Verdict::Detected, "refused"),
                2 => other(n, fault, Verdict::NoPromise, "nothing promised"),
                3 => other(n, fault, Verdict::NotMeasured, "no effect"),
                4 => other(n, fault, Verdict::HarnessError, "no sandbox"),
                _ => trial(n, fault),
            };
            Trial { hit: *hit, ..made }
        }).collect();
        let report = report_of(plan(&faults), &trials);
        let any = |f: &dyn Fn(&(usize, usize, bool)) -> bool| picks.iter().any(f);
        let measured = |fault: usize| any(&|p| p.0 == fault && p.2 && !matches!(p.1, 3 | 4));
        let judged = any(&|p| p.2 && matches!(p.1, 1 | 5));
        let expected = if any(&|p| p.1 == 0) {
            Verdict::Broken
        } else if any(&|p| p.1 == 4) {
            Verdict::HarnessError
        } else if !(0..3).all(measured) || !judged {
            Verdict::NotMeasured
        } else {
            Verdict::Pass
        };
        prop_assert_eq!(report.verdict, expected);
        let code = match expected { Verdict::Pass => 0, Verdict::Broken => 1, _ => 3 };
        prop_assert_eq!(exit_code(&report), code);
    }
}

#[test]
fn rows_come_in_the_order_planned_whatever_ran_first() {
    let mut plan = plan(&["power-loss", "kill", "power-loss", "never"]);
    plan.unavailable = vec![("oom".into(), "no memory cgroup".into())];
    let report = report_of(
        plan,
        &[trial(1, "kill"), trial(2, "power-loss"), trial(3, "extra")],
    );
    let names: Vec<&str> = report.faults.iter().map(|row| row.fault.as_str()).collect();
    assert_eq!(names, ["power-loss", "kill", "never", "oom", "extra"]);
    let oom = &report.faults[3];
    assert_eq!(
        (oom.verdict, oom.why.as_str()),
        (Verdict::NotMeasured, "no memory cgroup")
    );
    let never = &report.faults[2];
    assert_eq!(never.verdict, Verdict::NotMeasured);
    assert!(never.why.contains("never tried"), "{}", never.why);
}

#[test]
fn a_row_counts_what_was_not_measured_and_takes_the_worst_of_the_rest() {
    let trials = [
        trial(1, "kill"),
        other(2, "kill", Verdict::NotMeasured, "too early"),
        other(3, "kill", Verdict::Detected, "refused"),
    ];
    let report = report_of(plan(&["kill"]), &trials);
    let row = &report.faults[0];
    assert_eq!(
        (row.trials, row.hit, row.verdict),
        (3, 2, Verdict::Detected)
    );
    let expected = BTreeMap::from([
        (Verdict::Pass, 1),
        (Verdict::Detected, 1),
        (Verdict::NotMeasured, 1),
    ]);
    assert_eq!(row.verdicts, expected);
    assert_eq!(row.why, "refused");
    assert_eq!(report.verdict, Verdict::Pass);
}

#[test]
fn a_fault_that_did_not_bite_is_never_a_pass() {
    let sound = Trial {
        hit: false,
        what: "no write matched wal/*".into(),
        ..trial(1, "kill")
    };
    let report = report_of(plan(&["kill"]), &[sound]);
    assert_eq!(
        report.trial_log.in_memory()[0].verdict,
        Verdict::NotMeasured
    );
    assert_eq!(report.faults[0].why, "no write matched wal/*");
    assert_eq!(report.faults[0].recovery.count, 0, "that was no recovery");
    assert_eq!(exit_code(&report), 3);
}

#[test]
fn broken_and_having_a_finding_are_the_same() {
    let hidden = Trial {
        findings: vec![finding(FindingKind::Hung)],
        ..trial(1, "kill")
    };
    let report = report_of(plan(&["kill"]), &[hidden]);
    assert_eq!((report.verdict, exit_code(&report)), (Verdict::Broken, 1));
    let unexplained = Trial {
        verdict: Verdict::Broken,
        ..trial(1, "kill")
    };
    let report = report_of(plan(&["kill"]), &[unexplained]);
    assert_eq!(
        (report.verdict, exit_code(&report)),
        (Verdict::HarnessError, 3)
    );
}

#[test]
fn a_finding_wins_over_a_failure_of_plugpull() {
    let trials = [
        broken(1, "kill", &[FindingKind::LostAck]),
        other(2, "kill", Verdict::HarnessError, "the sandbox went away"),
    ];
    let report = report_of(plan(&["kill"]), &trials);
    assert_eq!((report.verdict, exit_code(&report)), (Verdict::Broken, 1));
    let report = report_of(plan(&["kill"]), &[trial(1, "kill"), trials[1].clone()]);
    assert_eq!(
        (report.verdict, exit_code(&report)),
        (Verdict::HarnessError, 3)
    );
    assert_eq!(report.faults[0].why, "the sandbox went away");
}

#[test]
fn what_is_not_applicable_fails_no_run_and_what_is_not_measured_does_unless_allowed() {
    let not_applicable = |n| other(n, "oom", Verdict::NotApplicable, "nothing to tear");
    let not_measured = |n| other(n, "oom", Verdict::NotMeasured, "no effect");
    let faults = ["kill", "oom"];
    let of = |plan: Plan, second: Vec<Trial>| {
        let mut trials = vec![trial(1, "kill")];
        trials.extend(second);
        let report = report_of(plan, &trials);
        let row = report.faults[1].clone();
        (row.verdict, row.why, exit_code(&report))
    };
    let never = |verdict, why: &str| (verdict, why.to_owned(), 0);
    let pass = of(plan(&faults), vec![not_applicable(2)]);
    assert_eq!(pass, never(Verdict::NotApplicable, "nothing to tear"));
    // One that could have hit and did not keeps it open, in any order.
    let open = of(plan(&faults), vec![not_applicable(2), not_measured(3)]);
    assert_eq!(open, (Verdict::NotMeasured, "no effect".into(), 3));
    // What the machine or the target has not got.
    let by_plan = Plan {
        not_applicable: vec![("oom".into(), "no cgroup".into())],
        ..plan(&["kill"])
    };
    let pass = of(by_plan, vec![]);
    assert_eq!(pass, never(Verdict::NotApplicable, "no cgroup"));
    let should = Plan {
        unavailable: vec![("oom".into(), "no FUSE".into())],
        ..plan(&["kill"])
    };
    assert_eq!(of(should.clone(), vec![]).2, 3);
    let allowed = |plan| Plan {
        allow_not_measured: true,
        ..plan
    };
    assert_eq!(of(allowed(should.clone()), vec![]).2, 0);
    assert_eq!(of(allowed(plan(&faults)), vec![not_measured(2)]).2, 0);
    // Never without anything that was measured, and never over a failure of plugpull.
    let nothing = report_of(allowed(plan(&["oom"])), &[not_measured(1)]);
    assert_eq!(exit_code(&nothing), 3);
    let nothing = report_of(plan(&["oom"]), &[not_applicable(1)]);
    assert_eq!(exit_code(&nothing), 3);
    let failed = other(2, "oom", Verdict::HarnessError, "no sandbox");
    assert_eq!(of(allowed(plan(&faults)), vec![failed]).2, 3);
}

#[test]
fn detected_and_no_promise_do_not_fail_a_run_but_nothing_judged_is_not_green() {
    let detected = other(1, "bad-sector", Verdict::Detected, "refused");
    let none = other(2, "bit-flip", Verdict::NoPromise, "nothing promised");
    let faults = ["bad-sector", "bit-flip"];
    let report = report_of(plan(&faults), &[detected, none.clone()]);
    assert_eq!((report.verdict, exit_code(&report)), (Verdict::Pass, 0));
    assert_eq!(report.faults[1].verdict, Verdict::NoPromise);
    let report = report_of(plan(&["bit-flip"]), &[none]);
    assert_eq!(
        (report.verdict, exit_code(&report)),
        (Verdict::NotMeasured, 3)
    );
    let report = report_of(plan(&[]), &[]);
    assert_eq!(
        (report.verdict, exit_code(&report)),
        (Verdict::NotMeasured, 3)
    );
}

#[test]
fn a_row_says_what_was_seen_rather_than_that_nothing_was() {
    let seen = |number, what: &str| {
        let why = format!("nothing is promised for corruption at rest; seen: {what}");
        other(number, "bit-flip", Verdict::NoPromise, &why)
    };
    let trials = [
        seen(1, "nothing wrong"),
        seen(2, "refused"),
        seen(3, "a loss"),
    ];
    let report = report_of(plan(&["bit-flip"]), &trials);
    assert!(
        report.faults[0].why.ends_with("refused"),
        "{:?}",
        report.faults[0]
    );
}

#[test]
fn findings_are_grouped_by_kind_fault_and_promise_and_count_trials() {
    use FindingKind::{LostAck, TooSlow, WrongValue};
    let mut demanded = broken(5, "kill", &[LostAck]);
    demanded.findings[0].finding.promise.demanded = true;
    let trials = [
        broken(1, "kill", &[TooSlow]),
        // Many lost acks in one trial are one trial.
        broken(2, "kill", &[LostAck, LostAck, LostAck]),
        broken(3, "kill", &[LostAck]),
        broken(4, "power-loss", &[LostAck]),
        demanded,
        broken(6, "kill", &[WrongValue]),
    ];
    let report = report_of(plan(&["kill", "power-loss"]), &trials);
    let seen: Vec<_> = report
        .findings
        .iter()
        .map(|f| (f.finding.kind, f.finding.fault.as_str(), f.trial, f.count))
        .collect();
    let expected = [
        (WrongValue, "kill@ack:16", 6, 1),
        (LostAck, "kill@ack:12", 2, 2),
        (LostAck, "power-loss@ack:14", 4, 1),
        (LostAck, "kill@ack:15", 5, 1),
        (TooSlow, "kill@ack:11", 1, 1),
    ];
    assert_eq!(seen, expected);
}

#[test]
fn the_recovery_of_a_run_leaves_stalls_and_failures_of_plugpull_out() {
    let timed = |n, fault, us| Trial {
        recovery_us: vec![us, us + 1],
        ..trial(n, fault)
    };
    let stalled = Trial {
        class: FailureClass::Stall,
        ..timed(2, "delay", 9_000_000)
    };
    let failed = Trial {
        verdict: Verdict::HarnessError,
        ..timed(3, "kill", 8_000_000)
    };
    let mut builder = ReportBuilder::new(plan(&["kill", "delay"]));
    for trial in [timed(1, "kill", 100), stalled, failed] {
        builder.trial(&trial);
    }
    let report = builder.finish(Duration::from_micros(77), true);
    assert_eq!(
        report.recovery,
        Recovery {
            count: 2,
            p50_us: 100,
            p99_us: 101,
            max_us: 101
        }
    );
    assert_eq!(report.faults[1].recovery.max_us, 9_000_001);
    assert_eq!(
        (report.took_us, report.interrupted, report.trials),
        (77, true, 3)
    );
}

#[test]
fn the_first_finding_of_an_entry_is_described_in_full_and_only_there() {
    let with_evidence = |trial: &Trial| -> Vec<bool> {
        let findings = trial.findings.iter();
        findings.map(|one| one.evidence.is_some()).collect()
    };
    use FindingKind::{Hung, LostAck};
    let trials = [
        broken(1, "kill", &[LostAck, LostAck]),
        broken(2, "power-loss", &[LostAck]),
        broken(3, "kill", &[Hung, LostAck]),
    ];
    let mut builder = ReportBuilder::new(plan(&["kill", "power-loss"]));
    let firsts = trials.iter().map(|trial| {
        let firsts = builder.firsts(trial);
        builder.trial(trial);
        firsts
    });
    assert_eq!(firsts.collect::<Vec<_>>(), [vec![0], vec![0], vec![0]]);

    // Of shards each has a first; together they have one.
    let evidence = |point| Evidence {
        point,
        ..Evidence::default()
    };
    let mut shards = trials;
    shards[0].findings[0].evidence = Some(Box::new(evidence(1)));
    shards[2].findings[0].evidence = Some(Box::new(evidence(2)));
    shards[2].findings[1].evidence = Some(Box::new(evidence(3)));
    let report = report_of(plan(&["kill", "power-loss"]), &shards);
    assert_eq!(
        with_evidence(&report.trial_log.in_memory()[0]),
        [true, false]
    );
    assert_eq!(
        with_evidence(&report.trial_log.in_memory()[2]),
        [true, false]
    );
    let points = report
        .findings
        .iter()
        .filter_map(|f| Some(f.evidence.as_ref()?.point));
    assert_eq!(points.collect::<Vec<_>>(), [1, 2]);
}
