//! Comparing: seeded growth and seeded findings are seen, noise and known findings are not.

use plugpull_reports::{CompareError, Look, Report, Trend, Trial, compare, render_comparison};
use plugpull_testing::test;
use plugpull_workloads::FindingKind;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::explored::explored;
use crate::made_up::{broken, plan, report_of, trial};

/// Recovery times as programs have them: about `us`, with a tail of stragglers.
fn timed(seed: u64, faults: &[(&str, u64)], trials: u64) -> Report {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let names: Vec<&str> = faults.iter().map(|(name, _)| *name).collect();
    let all: Vec<Trial> = (0..trials)
        .flat_map(|round| faults.iter().map(move |(name, us)| (round, *name, *us)))
        .zip(1..)
        .map(|((_, fault, us), number)| {
            let noise = rng.random_range(0.9..1.3);
            let straggler = if rng.random_bool(0.05) { 8.0 } else { 1.0 };
            Trial {
                recovery_us: vec![(us as f64 * noise * straggler) as u64, 99_000_000],
                ..trial(number, fault)
            }
        })
        .collect();
    report_of(plan(&names), &all)
}

fn trends(before: &Report, now: &Report) -> Vec<Trend> {
    let comparison = compare(before, now).unwrap();
    comparison.recovery.iter().map(|c| c.trend).collect()
}

#[test]
fn seeded_growth_is_seen_under_the_fault_that_has_it() {
    let before = timed(1, &[("kill", 3_000), ("power-loss", 5_000)], 40);
    let now = timed(2, &[("kill", 3_000), ("power-loss", 8_000)], 40);
    let comparison = compare(&before, &now).unwrap();
    assert_eq!(trends(&before, &now), [Trend::Same, Trend::Slower]);
    assert!(comparison.worse());
    assert_eq!(trends(&now, &before), [Trend::Same, Trend::Faster]);
    assert!(!compare(&now, &before).unwrap().worse());
}

#[test]
fn the_same_distribution_is_the_same_whatever_the_luck() {
    for seed in 0..200 {
        let faults = [("kill", 3_000), ("term", 3_000), ("power-loss", 5_000)];
        let (before, now) = (timed(seed, &faults, 12), timed(seed + 1_000, &faults, 12));
        assert!(!compare(&before, &now).unwrap().worse(), "seed {seed}");
    }
}

#[test]
fn growth_below_the_threshold_is_no_failure_however_certain() {
    let before = timed(1, &[("kill", 10_000)], 400);
    let now = timed(2, &[("kill", 11_500)], 400);
    let comparison = compare(&before, &now).unwrap();
    assert_eq!(comparison.recovery[0].trend, Trend::Same);
    assert!(
        comparison.recovery[0].chance < 0.01,
        "it is certain, but small"
    );
}

#[test]
fn few_trials_say_nothing() {
    let before = timed(1, &[("kill", 3_000)], 7);
    let now = timed(2, &[("kill", 30_000)], 100);
    assert_eq!(trends(&before, &now), [Trend::TooFew]);
    let before = timed(1, &[("kill", 3_000)], 8);
    assert_eq!(trends(&before, &now), [Trend::Slower]);
}

#[test]
fn a_new_finding_is_new_and_a_known_one_is_known() {
    let before = report_of(
        plan(&["kill", "power-loss"]),
        &[
            broken(1, "kill", &[FindingKind::LostAck]),
            trial(2, "power-loss"),
        ],
    );
    // The same class of failure under another fault: no new bug. Another kind: one.
    let now = report_of(
        plan(&["kill", "power-loss"]),
        &[
            trial(1, "kill"),
            broken(
                2,
                "power-loss",
                &[FindingKind::LostAck, FindingKind::WrongValue],
            ),
        ],
    );
    let comparison = compare(&before, &now).unwrap();
    let kinds = |list: &[plugpull_reports::ReportedFinding]| -> Vec<FindingKind> {
        list.iter().map(|f| f.finding.kind).collect()
    };
    assert_eq!(kinds(&comparison.new), [FindingKind::WrongValue]);
    assert_eq!(kinds(&comparison.known), [FindingKind::LostAck]);
    assert!(comparison.worse());
    let back = compare(&now, &before).unwrap();
    assert!(!back.worse());
    assert_eq!(kinds(&back.gone), [FindingKind::WrongValue]);
}

#[test]
fn findings_of_an_exploration_are_known_by_their_cause() {
    let (before, now) = (explored(3), explored(4));
    let comparison = compare(&before, &now).unwrap();
    assert_eq!((comparison.new.len(), comparison.known.len()), (1, 3));
    let mut elsewhere = before.clone();
    for finding in &mut elsewhere.findings {
        finding.finding.fault = "strict@17".into();
    }
    assert!(!compare(&before, &elsewhere).unwrap().worse());
    for finding in &mut elsewhere.findings {
        finding.evidence.as_mut().unwrap().cause = vec!["rename manifest".into()];
    }
    assert_eq!(compare(&before, &elsewhere).unwrap().new.len(), 3);
}

#[test]
fn a_report_against_itself_is_no_worse() {
    for report in [explored(0), explored(12), crate::made_up::report(12)] {
        let comparison = compare(&report, &report).unwrap();
        assert!(!comparison.worse());
        assert!(comparison.new.is_empty() && comparison.gone.is_empty());
    }
}

#[test]
fn a_fault_that_is_no_longer_measured_is_named() {
    let before = timed(1, &[("kill", 3_000), ("power-loss", 3_000)], 8);
    let now = timed(2, &[("kill", 3_000)], 8);
    assert_eq!(compare(&before, &now).unwrap().unmeasured, ["power-loss"]);
}

#[test]
fn another_target_is_refused() {
    let mut other = explored(0);
    other.target.name = "etcd".into();
    let error = compare(&explored(0), &other).unwrap_err();
    assert_eq!(
        error,
        CompareError::OtherTarget("sqlite".into(), "etcd".into())
    );
}

#[test]
fn a_comparison_is_rendered_in_a_table_and_plain_sentences() {
    let before = timed(1, &[("kill", 3_000), ("power-loss", 5_000)], 40);
    let mut now = timed(2, &[("kill", 3_000), ("power-loss", 9_000)], 40);
    now.findings = report_of(plan(&["kill"]), &[broken(1, "kill", &[FindingKind::Hung])]).findings;
    let text = render_comparison(&compare(&before, &now).unwrap(), Look::PLAIN);
    for part in [
        "New: 1 finding\n",
        "  - Hung under kill@ack:11\n",
        "slower, p < 0.0001\n",
        "no change beyond luck\n",
        "Worse: 1 new finding; recovery is slower under power-loss.\n",
    ] {
        assert!(text.contains(part), "{part:?} is missing in\n{text}");
    }
    assert!(!text.contains('\u{1b}'));
    let same = render_comparison(&compare(&before, &before).unwrap(), Look::PLAIN);
    assert!(same.ends_with("Nothing became worse.\n"), "{same}");
}
