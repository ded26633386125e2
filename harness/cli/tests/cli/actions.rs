//! What a driver can do to its target besides transactions is a fault by its own name.
// tidy: small because it is one subject

use plugpull_testing::test;

use crate::support::{list, plugpull, reported, run, text};

/// The actions that `plugpull targets` lists.
fn offered(target: &str) -> Vec<String> {
    let output = plugpull().args(["targets", target]).output().unwrap();
    let shown = String::from_utf8(output.stdout).unwrap();
    let actions = shown.split_once("\nActions").unwrap().1;
    let actions = actions.lines().skip(1).take_while(|line| !line.is_empty());
    let names = actions.filter_map(|line| line.split_whitespace().next());
    names.map(str::to_owned).collect()
}

#[test(needs = "fuse")]
fn each_action_of_a_target_is_tried_and_a_sound_one_loses_nothing() {
    let run = run("sqlite --fault act --rounds 4 --seed 1");
    run.must_have_no_finding();
    assert_eq!(run.ran.code, 0, "{}", run.ran.stdout);
    let rows = list(&run.report, "faults").iter();
    let rows: Vec<&str> = rows.map(|row| text(row, "fault")).collect();
    assert_eq!(rows, offered("sqlite"));
    assert!(rows.contains(&"reindex"));
    for trial in run.trials() {
        assert!(trial["hit"] == true || trial["bit"] == true, "{trial}");
        let (name, what) = (text(trial, "fault"), text(trial, "what"));
        assert!(what.starts_with(name), "{what}");
    }
}

/// The same run as that of the mutant in `defects`, without the kill in its midst: there is nothing to find.
#[test(needs = "fuse")]
fn an_action_is_killed_in_its_midst() {
    let of = |trigger: &str| {
        let options =
            "reference --seed 1 --rounds 1 --clients 1 --set defect=compact-removes-first";
        run(&format!("{options} --fault compact@{trigger}"))
    };
    let done = of("ack=30");
    done.must_have_no_finding();
    assert_eq!(text(&done.trials()[0], "what"), "compact was done");
    let midst = of("op=write,path=snapshot-*,n=1");
    assert_eq!(midst.kinds(), ["lost-ack"], "{}", midst.ran.stdout);
    let what = text(&midst.trials()[0], "what");
    assert!(
        what.starts_with("compact was under way; killed at op=write"),
        "{what}"
    );
}

/// One that the driver refuses was not done: that is no pass.
#[test(needs = "fuse python3")]
fn an_action_that_is_refused_is_not_measured() {
    let example = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../docs/examples/driver-python/kv.py"
    );
    let refuses = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/cli/support/refuses.py");
    let directory = tempfile::tempdir().unwrap();
    let json = directory.path().join("report.json");
    let mut command = plugpull();
    command
        .args(["run", "driver", "--set"])
        .arg(format!("cmd=python3 {refuses} {example}"))
        .args([
            "--rounds",
            "1",
            "--seed",
            "7",
            "--quiet",
            "--fault",
            "act@ack=5",
            "--json",
        ])
        .arg(&json);
    let run = reported(&mut command, &json);
    run.must_have_no_finding();
    assert_eq!(run.ran.code, 3, "{}", run.ran.stdout);
    for (action, why) in [
        ("compact", "refused: not now"),
        ("act:kill", "not now either"),
    ] {
        let row = run.row(action);
        assert_eq!(text(row, "verdict"), "not-measured", "{row}");
        assert!(text(row, "why").contains(why), "{row}");
    }
}
