//! `plugpull growth`: a recovery that grows is distinguished from one that does not, and held to its bound.

use plugpull_testing::test;
use serde_json::Value;

use crate::support::{Ran, Reported, list, plugpull, reported, text};

/// Sizes that a debug build writes quickly; the sound store has a snapshot between them.
const SIZES: &str = "--sizes 20,50,100,200 --repeats 3 --clients 1 --seed 1";

fn growth(options: &str) -> Reported {
    let directory = tempfile::tempdir().unwrap();
    let json = directory.path().join("report.json");
    let mut command = plugpull();
    command
        .arg("growth")
        .args(options.split_whitespace())
        .arg("-q")
        .arg("--json")
        .arg(&json);
    reported(&mut command, &json)
}

fn fit(reported: &Reported) -> &Value {
    let fit = &reported.report["growth"]["fit"];
    assert!(fit.is_object(), "{}", reported.ran.stdout);
    fit
}

/// The mutant waits two milliseconds for each transaction: no machine is quick enough for the bound, and
/// none makes a recovery shorter than that. What a busy one adds is the same at each size.
#[test]
fn a_replay_that_grows_is_distinguished_from_one_that_is_only_slow() {
    let slow = growth(&format!(
        "reference --set defect=slow-replay --set slow_replay_ms=0 --set slow_replay_each_us=2000 \
         --recovery-bound 150ms {SIZES}"
    ));
    let table = &slow.ran.stdout;
    assert_eq!(slow.ran.code, 1, "{table}");
    let found = fit(&slow);
    assert_ne!(text(found, "shape"), "constant", "{table}");
    for sample in list(&slow.report["growth"], "samples") {
        let recovery = sample["recovery_us"].as_u64().unwrap();
        assert!(
            recovery >= 2000 * sample["wanted"].as_u64().unwrap(),
            "{sample}"
        );
    }
    assert!(
        slow.kinds().iter().all(|kind| kind == "too-slow"),
        "{table}"
    );
    let late: Vec<&str> = slow
        .trials()
        .iter()
        .filter(|trial| !list(trial, "findings").is_empty())
        .map(|trial| text(trial, "spec"))
        .collect();
    assert_eq!(
        late.iter().filter(|spec| **spec == "kill@ack=200").count(),
        3
    );
    let words: Vec<&str> = table.split_whitespace().collect();
    assert!(
        words.join(" ").contains("it is over the bound of 150 ms"),
        "{table}"
    );
    let repeat = text(&slow.findings()[0], "repeat");
    assert!(repeat.starts_with("plugpull growth reference "), "{repeat}");
    assert!(repeat.contains("--sizes 20,50,100,200"), "{repeat}");

    // The same wait whatever was stored.
    let steady = growth(&format!(
        "reference --set defect=slow-replay --set slow_replay_ms=100 --set slow_replay_each_us=0 \
         {SIZES}"
    ));
    let table = &steady.ran.stdout;
    let exponent = |reported: &Reported| fit(reported)["exponent"].as_f64().unwrap();
    assert!(exponent(&steady) < exponent(&slow), "{table}");

    let sound = growth(&format!("reference {SIZES}"));
    let table = &sound.ran.stdout;
    sound.must_have_no_finding();
    assert_eq!(sound.ran.code, 0, "{table}");
    assert_eq!(sound.trials().len(), 12);
    let samples = list(&sound.report["growth"], "samples");
    let wanted = |sample: &Value| sample["wanted"].as_u64().unwrap();
    for sample in samples {
        assert!(
            sample["size"].as_u64().unwrap() > wanted(sample),
            "{sample}"
        );
    }
    let order: Vec<u64> = samples.iter().map(wanted).collect();
    assert_ne!(order[..4], order[4..8], "rounds have orders of their own");
}

#[test(needs = "fuse")]
fn a_power_loss_is_recovered_from_too() {
    let lost = growth("reference --crash power-loss --sizes 5,10,20,50 --repeats 3 --seed 2");
    lost.must_have_no_finding();
    assert_eq!(lost.ran.code, 0, "{}", lost.ran.stdout);
    assert_eq!(lost.row("power-loss")["bit"], 12);
    fit(&lost);
}

#[test]
fn sizes_that_can_say_nothing_are_wrong_use() {
    for sizes in ["10,20,40", "10,20,40,99", "0,1,2,40"] {
        let mut command = plugpull();
        command.args(["growth", "reference", "--sizes", sizes]);
        let ran = Ran::from(command.output().unwrap());
        assert_eq!(ran.code, 2, "{ran:?}");
        assert!(ran.stderr.contains("--sizes"), "{ran:?}");
        assert_eq!(ran.stderr.lines().count(), 1, "{ran:?}");
    }
}
