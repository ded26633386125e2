//! A budget that is too short: what had no turn is named as not measured, and never as kept. That a
//! budget is kept is shown on the schedule's own clock, and measured by `budget-bench`.

use plugpull_testing::test;

use crate::support::{plugpull, reported, text};

#[test]
fn what_has_no_turn_within_the_budget_is_not_measured() {
    let folder = tempfile::tempdir().expect("a folder");
    let json = folder.path().join("report.json");
    let mut run = plugpull();
    run.args("run reference --no-config --no-fuse --quiet --seed 1 --budget 1ms".split(' '))
        .args(["--fault", "kill@ack=5", "--fault", "term@ack=5", "--json"])
        .arg(&json);
    let reported = reported(&mut run, &json);
    // The one trial that is made in any case.
    assert_eq!(reported.trials().len(), 1);
    assert_eq!(reported.ran.code, 3, "{:?}", reported.ran);
    assert_eq!(text(reported.row("kill"), "verdict"), "pass");
    assert_eq!(text(reported.row("term"), "verdict"), "not-measured");
    assert_eq!(reported.report["interrupted"], true);
    let said = &reported.ran.stderr;
    assert!(
        said.contains("the budget of 1ms was over before 1 "),
        "{said}"
    );
    assert!(said.contains("one round of all takes about"), "{said}");
}

#[test(needs = "fuse")]
fn an_exploration_without_time_for_a_state_has_measured_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let json = folder.path().join("report.json");
    let mut explore = plugpull();
    explore
        .args(
            "explore reference --no-config --quiet --seed 1 --txns 3 --budget 1ms --json"
                .split(' '),
        )
        .arg(&json);
    let reported = reported(&mut explore, &json);
    assert_eq!(reported.ran.code, 3, "{:?}", reported.ran);
    assert_eq!(reported.trials().len(), 0);
    assert_eq!(text(&reported.report, "verdict"), "not-measured");
}
