//! The forms that programs read, as they are: a change of one shows in review. `INSTA_UPDATE=always`
//! writes them again.

use plugpull_reports::{Report, json, junit};
use plugpull_testing::test;
use plugpull_workloads::{FindingKind, Verdict};

use crate::explored::explored;
use crate::made_up::{broken, other, plan, report_of, trial};

fn of_each_verdict() -> Report {
    let mut plan = plan(&["kill", "power-loss", "delay"]);
    plan.unavailable = vec![("oom".into(), "no memory cgroup".into())];
    report_of(
        plan,
        &[
            broken(1, "kill", &[FindingKind::LostAck]),
            trial(2, "kill"),
            other(3, "power-loss", Verdict::NotMeasured, "too early"),
            other(4, "delay", Verdict::HarnessError, "the sandbox died"),
        ],
    )
}

#[test]
fn the_json_report() {
    let mut text = Vec::new();
    json(&of_each_verdict(), &mut text).unwrap();
    insta::assert_snapshot!("json", String::from_utf8(text).unwrap());
}

/// Of an exploration what others do not have: the trials are many and as above.
#[test]
fn the_coverage_in_the_json_report() {
    let mut coverage = explored(1).coverage.unwrap();
    coverage.at.truncate(2);
    insta::assert_snapshot!("coverage", serde_json::to_string_pretty(&coverage).unwrap());
}

#[test]
fn the_form_of_junit() {
    insta::assert_snapshot!("junit", junit(&of_each_verdict()).unwrap());
}
