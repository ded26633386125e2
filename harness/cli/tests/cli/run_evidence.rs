//! Findings of live trials show the crash behind them: the operations and acks that led to it, what
//! became of each, and the files that it left.

use plugpull_testing::test;
use serde_json::Value;

use crate::support::{Reported, list, run, text};

/// A run with one planted defect.
fn defective(defect: &str, options: &str) -> Reported {
    let options = format!("reference --seed 1 --clients 1 --set defect={defect} {options}");
    let ran = run(&options);
    assert_eq!(ran.ran.code, 1, "{:?}", ran.ran);
    ran
}

/// The first finding and its evidence.
fn first(reported: &Reported) -> (&Value, &Value) {
    let finding = &reported.findings()[0];
    (finding, &finding["evidence"])
}

/// The steps with this fate.
fn of_fate<'a>(evidence: &'a Value, fate: &str) -> Vec<&'a Value> {
    let steps = list(evidence, "timeline").iter();
    steps.filter(|step| text(step, "fate") == fate).collect()
}

fn words(evidence: &Value) -> Vec<&str> {
    let steps = list(evidence, "timeline").iter();
    steps.map(|step| text(step, "what")).collect()
}

#[test(needs = "fuse")]
fn a_power_loss_shows_the_betrayed_ack_and_the_writes_that_no_sync_covered() {
    let options = "--rounds 2 --fault power-loss@op=write,path=log-1,n=12";
    let reported = defective("no-fsync", options);
    let (finding, evidence) = first(&reported);
    assert_eq!(text(finding, "kind"), "lost-ack");
    let betrayed = &finding["ack"];
    let steps = list(evidence, "timeline");
    let is_it = |step: &&Value| {
        let micros = betrayed["nanos"].as_u64().unwrap_or_default() / 1000;
        text(step, "kind") == "ack" && step["seq"] == betrayed["seq"] && step["micros"] == micros
    };
    assert_eq!(steps.iter().filter(is_it).count(), 1, "{steps:#?}");
    let lost = of_fate(evidence, "lost");
    let unsynced = |step: &&&Value| {
        step["seq"].as_u64() < betrayed["seq"].as_u64()
            && text(step, "kind") == "write"
            && text(step, "path") == "log-1"
    };
    assert!(lost.iter().filter(unsynced).count() > 0, "{lost:#?}");
    // What was lost is what is missing in the file, and the model of the run allows it.
    let files = list(evidence, "files");
    let log = files.iter().find(|file| text(file, "path") == "log-1");
    let damage = log.map(|log| list(log, "damage")).unwrap_or_default();
    assert!(
        damage.iter().all(|range| range["fate"] == "lost"),
        "{files:#?}"
    );
    assert!(!damage.is_empty(), "{files:#?}");
    let models = list(evidence, "models");
    assert!(models.contains(&"journaled".into()), "{models:?}");
    assert!(evidence.get("cause").is_none(), "a live run knows none");

    // Later trials that show the same are only counted.
    assert_eq!(finding["count"], 2);
    let told = |trial: &&Value| {
        let findings = list(trial, "findings").iter();
        findings.filter(|one| one.get("evidence").is_some()).count() > 0
    };
    assert_eq!(reported.trials().iter().filter(told).count(), 1);
}

#[test(needs = "fuse")]
fn a_torn_write_is_told_as_torn() {
    let options = "--rounds 4 --fault power-loss-torn@op=sync,path=log-1,n=12";
    let reported = defective("tail-not-truncated", options);
    let (_, evidence) = first(&reported);
    let torn = of_fate(evidence, "torn");
    assert!(!torn.is_empty(), "{evidence:#}");
    let torn_in_file = list(evidence, "files").iter().any(|file| {
        let damage = list(file, "damage").iter();
        damage.filter(|range| range["fate"] == "torn").count() > 0
    });
    assert!(torn_in_file, "{evidence:#}");
}

#[test(needs = "fuse")]
fn a_kill_shows_what_led_to_it_and_loses_nothing() {
    let reported = defective("stale-lock-refused", "--rounds 1 --fault kill@ack=5");
    let (finding, evidence) = first(&reported);
    assert_eq!(text(finding, "kind"), "will-not-start");
    let acks = list(evidence, "timeline").iter();
    assert!(acks.filter(|step| text(step, "kind") == "ack").count() >= 5);
    assert!(!of_fate(evidence, "on disk").is_empty());
    assert_eq!(
        of_fate(evidence, "lost").len() + of_fate(evidence, "torn").len(),
        0
    );
    // What it stumbles over is there, whole.
    let files = list(evidence, "files");
    assert!(
        files.iter().any(|file| text(file, "path").contains("lock")),
        "{files:#?}"
    );
    assert!(
        files.iter().all(|file| file.get("damage").is_none()),
        "{files:#?}"
    );
    assert!(evidence.get("models").is_none(), "{evidence:#}");
}

#[test(needs = "fuse")]
fn a_crash_of_the_recovery_shows_the_crash_before_it() {
    let options = "--rounds 1 --fault kill-recovery@path=log-1,n=1,recovery";
    let reported = defective("recovery-in-place", options);
    let (_, evidence) = first(&reported);
    let steps = list(evidence, "timeline");
    let crash = steps.iter().position(|step| text(step, "kind") == "crash");
    let Some(crash) = crash else {
        panic!("no crash in {steps:#?}");
    };
    assert_eq!(text(&steps[crash], "what"), "killed");
    let after: Vec<&str> = words(evidence).split_off(crash + 1);
    assert!(!after.is_empty());
    assert!(
        after.iter().all(|word| word.starts_with("restart 1: ")),
        "{after:?}"
    );
    let seqs: Vec<u64> = steps
        .iter()
        .filter_map(|step| step["seq"].as_u64())
        .collect();
    assert!(seqs.is_sorted(), "{seqs:?}");
}

#[test(needs = "fuse")]
fn damage_at_rest_is_told_in_words() {
    let options = "--rounds 4 --fault bit-flip@op=write,path=log-1,n=40";
    let reported = defective("no-checksum", options);
    let (_, evidence) = first(&reported);
    assert!(
        text(evidence, "damaged").contains("flipped byte"),
        "{evidence:#}"
    );
}

#[test(needs = "fuse")]
fn without_the_crash_filesystem_it_is_said_why_nothing_is_shown() {
    let options = "reference --no-fuse --seed 1 --clients 1 --rounds 1 \
                   --set defect=stale-lock-refused --fault kill@ack=5";
    let reported = run(options);
    let (_, evidence) = first(&reported);
    assert!(
        text(evidence, "unrecorded").contains("crash filesystem"),
        "{evidence:#}"
    );
    assert!(evidence.get("timeline").is_none());
}
