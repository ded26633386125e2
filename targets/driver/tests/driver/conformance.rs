//! Each rule is shown broken by a driver that is wrong in that, and kept by one that is right.

use std::time::Duration;

use plugpull_driver::conformance::{Judged, Outcome, judge, rule_names};

use super::host::{PlainHost, alone, driver, program};
use super::program::{FLAWS, LATER_FLAWS};

/// Long enough for a machine that is busy.
const LONG: Duration = Duration::from_secs(60);
/// For drivers whose flaw is silence: a driver that is slow is only called wrong more often.
const SHORT: Duration = Duration::from_secs(2);

fn judged(flaw: &str, patience: Duration) -> Vec<Judged> {
    let stand = PlainHost::new();
    judge(&alone(driver(flaw)), &stand, patience).unwrap()
}

fn outcome(all: &[Judged], rule: &str) -> Outcome {
    all.iter()
        .find(|one| one.rule == rule)
        .unwrap()
        .outcome
        .clone()
}

pub(crate) fn sound() {
    // Of version 1, which knows nothing of descriptions.
    for one in judged("none", LONG) {
        let later = ["describe", "actions"].contains(&one.rule);
        let skipped = later && matches!(one.outcome, Outcome::Skipped(_));
        assert!(skipped || one.outcome == Outcome::Ok, "{one:?}");
    }
    for one in judged("second", LONG) {
        assert_eq!(one.outcome, Outcome::Ok, "{}", one.rule);
    }
}

pub(crate) fn each_flaw() {
    for (flaw, rule) in FLAWS.into_iter().chain(LATER_FLAWS) {
        // Only these say nothing where something is wanted.
        let quiet = ["silent", "drops", "endless"].contains(&flaw);
        let all = judged(flaw, if quiet { SHORT } else { LONG });
        match outcome(&all, rule) {
            Outcome::Wrong { sent, why, .. } => {
                assert!(!sent.is_empty() && !why.is_empty(), "{flaw}");
            }
            other => panic!("{flaw} does not break {rule}: {other:?}"),
        }
        let broken = all
            .iter()
            .filter(|one| matches!(one.outcome, Outcome::Wrong { .. }));
        // A driver that forgets all has more than one thing wrong; no other has what comes before.
        let first = broken.map(|one| one.rule).next();
        assert_eq!(first, Some(rule), "{flaw}: {all:?}");
    }
}

pub(crate) fn every_rule() {
    for rule in rule_names() {
        let shown = FLAWS
            .iter()
            .chain(&LATER_FLAWS)
            .any(|(_, broken)| *broken == rule);
        assert!(shown, "{rule} was never seen broken");
    }
}

pub(crate) fn skipped() {
    let all = judged("modest", LONG);
    for rule in ["abort", "barrier", "check", "delete"] {
        assert_eq!(
            outcome(&all, rule),
            Outcome::Skipped(format!("no capability {rule}"))
        );
    }
    let quiet = judged("silent", SHORT);
    let others = quiet.iter().filter(|one| one.rule != "hello");
    for one in others {
        assert!(matches!(one.outcome, Outcome::Skipped(_)), "{one:?}");
    }
}

pub(crate) fn rust_example() {
    // Cargo puts examples beside the directory of the tests, and builds them before.
    let tests = std::env::current_exe().unwrap();
    let example = tests
        .parent()
        .unwrap()
        .parent()
        .unwrap()
        .join("examples/driver-rust");
    let stand = PlainHost::new();
    for one in judge(&alone(program(example, "none")), &stand, LONG).unwrap() {
        let later = ["describe", "actions"].contains(&one.rule);
        let skipped = later && matches!(one.outcome, Outcome::Skipped(_));
        assert!(skipped || one.outcome == Outcome::Ok, "{one:?}");
    }
}
