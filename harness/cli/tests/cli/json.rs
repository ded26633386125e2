//! The JSON report: what it always has at its top, and that a seed decides the trials.

use plugpull_testing::test;

use crate::support::{Reported, list, run, text};

/// Faults that need nothing of the machine, and two rounds of them.
const TRIALS: &str = "reference --fault kill --fault term --fault stop --rounds 2";

#[test]
fn the_top_has_what_is_documented() {
    let run = run(&format!("{TRIALS} --seed 7"));
    let report = &run.report;
    assert_eq!(report["schema"], plugpull_reports::SCHEMA);
    assert_eq!(report["verdict"], "pass", "{}", run.ran.stdout);
    assert_eq!(report["seed"], 7);
    assert_eq!(report["trials"], 6);
    assert_eq!(report["interrupted"], false);
    assert!(report["findings"].is_array());
    assert_eq!(run.ran.code, 0);
}

#[test]
fn a_finding_has_what_is_documented() {
    let run =
        run("reference --set defect=delete-not-logged --fault kill@ack=60 --rounds 2 --seed 1");
    assert_eq!(run.ran.code, 1);
    assert_eq!(run.report["verdict"], "broken", "{}", run.ran.stdout);
    assert!(!run.findings().is_empty());
    for finding in run.findings() {
        assert!(!text(finding, "kind").is_empty(), "{finding}");
        assert!(text(finding, "sentence").contains(' '), "{finding}");
        assert!(!text(&finding["promise"], "source").is_empty(), "{finding}");
        assert_eq!(text(finding, "fault"), "kill@ack=60");
        assert!(!list(finding, "output").is_empty(), "{finding}");
    }
}

/// What `repeat` says shows the same kind of finding.
#[test]
fn the_command_of_a_finding_repeats_it() {
    let first = run("reference --set defect=stale-lock-refused --fault kill --rounds 1 --seed 1");
    let finding = &first.findings()[0];
    let again = text(finding, "repeat").replace('\'', "");
    let options = again.strip_prefix("plugpull run ").unwrap();
    let second = run(options);
    assert_eq!(second.ran.code, 1, "{options}: {}", second.ran.stdout);
    assert!(
        second.kinds().contains(&text(finding, "kind").to_string()),
        "{}",
        second.ran.stdout
    );
    assert_eq!(second.trials()[0]["seed"], first.trials()[0]["seed"]);
}

fn planned(run: &Reported) -> Vec<(String, u64)> {
    let trials = run.trials().iter();
    trials
        .map(|trial| {
            (
                text(trial, "spec").to_string(),
                trial["seed"].as_u64().unwrap(),
            )
        })
        .collect()
}

#[test]
fn the_same_seed_makes_the_same_trials() {
    let first = planned(&run(&format!("{TRIALS} --seed 7")));
    assert_eq!(first.len(), 6);
    assert_eq!(planned(&run(&format!("{TRIALS} --seed 7"))), first);
    let other = planned(&run(&format!("{TRIALS} --seed 8")));
    assert!(first.iter().zip(&other).all(|(one, two)| one.1 != two.1));
}

/// With a single client and moments at operations, what happens is the same too.
#[test(needs = "fuse")]
fn the_same_seed_makes_the_same_findings() {
    let options = "reference --set defect=no-fsync --clients 1 --rounds 3 --seed 5 \
                   --fault power-loss-subset@op=write,path=log-1,n=30";
    let outcomes = |run: Reported| -> Vec<(String, String)> {
        let findings = run
            .trials()
            .iter()
            .flat_map(|trial| list(trial, "findings"));
        findings
            .map(|finding| (text(finding, "kind").into(), text(finding, "key").into()))
            .collect()
    };
    let first = outcomes(run(options));
    assert!(!first.is_empty());
    assert_eq!(outcomes(run(options)), first);
}
