//! Findings of live trials show the crash behind them: the operations and acks that led to it, what
//! became of each, and the files that it left.

use plugpull_testing::test;
use serde_json::Value;

use crate::support::{Ran, Reported, list, plugpull, run, text};

/// A run with one seeded defect.
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

fn sentences(evidence: &Value) -> Vec<&str> {
    let steps = list(evidence, "timeline").iter();
    steps.map(|step| text(step, "what")).collect()
}

#[test(needs = "fuse")]
fn a_power_loss_shows_the_lost_ack_and_the_writes_that_no_sync_covered() {
    let options = "--rounds 2 --fault power-loss@op=write,path=log-1,n=12";
    let reported = defective("no-fsync", options);
    let (finding, evidence) = first(&reported);
    assert_eq!(text(finding, "kind"), "lost-ack");
    let lost_ack = &finding["ack"];
    let steps = list(evidence, "timeline");
    let is_it = |step: &&Value| {
        let micros = lost_ack["nanos"].as_u64().unwrap_or_default() / 1000;
        text(step, "kind") == "ack" && step["seq"] == lost_ack["seq"] && step["micros"] == micros
    };
    assert_eq!(steps.iter().filter(is_it).count(), 1, "{steps:#?}");
    let lost = of_fate(evidence, "lost");
    let unsynced = |step: &&&Value| {
        step["seq"].as_u64() < lost_ack["seq"].as_u64()
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
    let described = |trial: &&Value| {
        let findings = list(trial, "findings").iter();
        findings.filter(|one| one.get("evidence").is_some()).count() > 0
    };
    assert_eq!(reported.trials().iter().filter(described).count(), 1);
}

#[test(needs = "fuse")]
fn a_torn_write_is_shown_as_torn() {
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
    let after: Vec<&str> = sentences(evidence).split_off(crash + 1);
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
fn damage_at_rest_is_described_in_words() {
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

/// What recovery left behind is refused at the next start, whatever was injected.
#[test(needs = "fuse")]
fn a_finding_that_the_closing_kill_brings_is_one_of_kill() {
    let faults = "--fault hang --fault delay --rounds 1 --seed 2";
    let ran = run(&format!(
        "reference --set defect=stale-lock-refused {faults}"
    ));
    assert_eq!(ran.ran.code, 1, "{:?}", ran.ran);
    assert_eq!(ran.findings().len(), 1, "{}", ran.ran.stdout);
    let finding = &ran.findings()[0];
    assert!(text(finding, "fault").starts_with("kill@ack="), "{finding}");
    assert_eq!(finding["count"], 2);
    assert!(
        text(finding, "repeat").contains("--fault 'kill@ack="),
        "{finding}"
    );
    for fault in ["hang", "delay"] {
        let row = ran.row(fault);
        assert_eq!(text(row, "verdict"), "not-measured", "{row}");
        assert!(
            text(row, "why").contains("SIGKILL that ends each trial"),
            "{row}"
        );
    }
    let sound = run(&format!("reference {faults}"));
    sound.must_have_no_finding();
    assert_eq!(sound.ran.code, 0, "{}", sound.ran.stdout);
    // What the fault itself brings stays its own.
    let own = defective("no-fsync", "--fault power-loss@ack=20 --rounds 1");
    let fault = text(&own.findings()[0], "fault");
    assert!(fault.starts_with("power-loss@"), "{fault}");
}

/// `plugpull replay` of the artifact of a run's first finding.
fn replayed(keep: &std::path::Path, options: &[&str]) -> Ran {
    let mut files = std::fs::read_dir(keep).unwrap().flatten();
    let artifact = files.find(|file| file.path().extension().is_some_and(|end| end == "json"));
    let mut command = plugpull();
    command
        .arg("replay")
        .arg(artifact.unwrap().path())
        .args(options);
    command.output().unwrap().into()
}

#[test(needs = "fuse")]
fn a_finding_is_tried_again_and_its_disk_is_kept_for_replay() {
    let directory = tempfile::tempdir().unwrap();
    let keep = directory.path().join("kept");
    let options = format!(
        "--fault power-loss@ack=20 --rounds 1 --keep {}",
        keep.display()
    );
    let ran = defective("no-fsync", &options);
    let (finding, evidence) = first(&ran);
    let tries = &evidence["tries"];
    assert_eq!((&tries["tries"], &tries["replays"]), (&3.into(), &3.into()));
    assert_eq!(tries["replayed"], 3, "{tries}");
    let command = match tries["repeated"].as_u64() {
        Some(0) => "plugpull replay",
        _ => "plugpull run",
    };
    assert!(text(finding, "repeat").starts_with(command), "{finding}");
    let again = replayed(&keep, &[]);
    assert_eq!(again.code, 1, "{again:?}");
    assert!(again.stdout.contains("It still stands"), "{again:?}");
    assert!(again.stdout.contains("Injected: power lost"), "{again:?}");
    let timeline = replayed(&keep, &["--timeline"]);
    assert!(
        timeline.stdout.contains("crash under 'journaled'"),
        "{timeline:?}"
    );
}

/// The bound is in no promise of the target: without that of the run nothing would be late.
#[test(needs = "fuse")]
fn replay_has_the_options_of_the_run() {
    let directory = tempfile::tempdir().unwrap();
    let keep = directory.path().join("kept");
    let ran = run(&format!(
        "reference --seed 1 --recovery-bound 1us --fault kill --rounds 1 --keep {}",
        keep.display()
    ));
    assert_eq!(ran.kinds(), ["too-slow"], "{}", ran.ran.stdout);
    let again = replayed(&keep, &[]);
    assert_eq!(again.code, 1, "{again:?}");
    assert!(again.stdout.contains("It still stands"), "{again:?}");
}
