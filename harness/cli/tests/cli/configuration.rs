//! `plugpull.toml`: it is found, what it holds counts as typed, what is typed counts more, and what
//! is wrong in it is one clear line.

use std::path::Path;

use plugpull_testing::test;
use serde_json::Value;

use crate::support::{Ran, list, machine, plugpull, text};

/// A directory with a file in it, and a directory below that.
fn directory(config: &str) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(directory.path().join("below/far")).unwrap();
    std::fs::write(directory.path().join("plugpull.toml"), config).unwrap();
    directory
}

fn ran(directory: &Path, options: &str) -> Ran {
    let mut command = plugpull();
    command
        .current_dir(directory)
        .args(options.split_whitespace());
    command.output().unwrap().into()
}

fn report(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

fn trials(report: &Value) -> Vec<&str> {
    let trials = list(report, "trial_log").iter();
    trials.map(|trial| text(trial, "fault")).collect()
}

const RUN: &str = r#"
quiet = true
target = "reference"
seed = 9

[run]
fault = ["kill@ack=5", "term@ack=5"]
rounds = 2
clients = 1
json = "report.json"

[run.set]
snapshot_every = 16

[explore]
txns = 3
"#;

#[test]
fn what_the_file_holds_counts_as_typed() {
    let directory = directory(RUN);
    let ran = ran(&directory.path().join("below/far"), "run");
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.stderr.contains("plugpull.toml"), "{ran:?}");
    // Relative to the file, not to where plugpull was started.
    let report = report(&directory.path().join("report.json"));
    assert_eq!(trials(&report), ["kill", "term", "kill", "term"]);
    assert_eq!(report["seed"], 9);
    assert_eq!(text(&report["target"], "name"), "reference");
    assert_eq!(report["target"]["settings"]["snapshot_every"], "16");
}

#[test]
fn what_is_typed_counts_more() {
    let directory = directory(RUN);
    let typed = "run --fault kill@ack=6 --rounds 1 --seed 4 --json own.json --set snapshot_every=8";
    let ran = ran(&directory.path().join("below"), typed);
    assert_eq!(ran.code, 0, "{ran:?}");
    let report = report(&directory.path().join("below/own.json"));
    assert_eq!(trials(&report), ["kill"]);
    assert_eq!(report["seed"], 4);
    assert_eq!(report["target"]["settings"]["snapshot_every"], "8");
}

/// What cannot go together with a typed option is left out, as if the file did not have it.
#[test]
fn what_is_typed_drives_out_what_it_conflicts_with() {
    let directory = directory(RUN);
    let typed = "run --trial-seed 3 --fault kill@ack=5";
    let ran = ran(directory.path(), typed);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!(
        trials(&report(&directory.path().join("report.json"))).len(),
        1
    );
    let trace = self::ran(directory.path(), "explore --trace nothing.trace");
    assert_eq!(trace.code, 2, "{trace:?}");
    assert!(
        trace.stderr.contains("nothing.trace: No such file"),
        "{trace:?}"
    );
}

/// Which faults there are says whether FUSE was used: without it there is no power loss.
#[test]
fn a_switch_of_the_file_is_typed_off() {
    let config = "[run]\nno-fuse = true\ntarget = \"reference\"\nrounds = 1\n\
                  fault = [\"kill@ack=5\", \"power-loss@ack=5\"]\njson = \"report.json\"\n";
    let directory = directory(config);
    let tried = |options: &str| -> usize {
        let ran = ran(directory.path(), options);
        assert!(matches!(ran.code, 0 | 3), "{ran:?}");
        trials(&report(&directory.path().join("report.json"))).len()
    };
    assert_eq!(tried("run"), 1);
    assert_eq!(tried("run --no-fuse"), 1);
    assert_eq!(tried("run --no-fuse=true"), 1);
    if machine::has("fuse") {
        assert_eq!(tried("run --no-fuse=false"), 2);
    }
    let wrong = ran(directory.path(), "run --no-fuse=perhaps");
    assert_eq!(wrong.code, 2, "{wrong:?}");
    assert!(wrong.stderr.contains("--no-fuse"), "{wrong:?}");
}

#[test]
fn a_named_file_is_taken_and_none_where_none_is_wanted() {
    let directory = directory("[run]\nbudget = \"never\"\n");
    let other = directory.path().join("other.toml");
    std::fs::write(&other, "[targets]\nname = \"nothing\"\n").unwrap();
    for (options, word) in [
        ("run reference", "plugpull.toml:2"),
        (
            "run reference --config missing.toml",
            "missing.toml cannot be read",
        ),
        ("targets --config other.toml", "nothing"),
        ("--config other.toml targets", "nothing"),
        ("run --no-config --budget soon", "'soon'"),
        ("--no-config run --budget soon", "'soon'"),
        (
            "targets --no-config --config other.toml",
            "cannot be used with",
        ),
    ] {
        let ran = ran(directory.path(), options);
        assert_eq!(ran.code, 2, "{options}: {ran:?}");
        assert!(ran.stderr.contains(word), "{options}: {ran:?}");
        assert_eq!(ran.stderr.lines().count(), 1, "{options}: {ran:?}");
    }
    assert_eq!(ran(directory.path(), "targets --no-config").code, 0);
    // What concerns another command is no matter of this one, as long as there is such an option.
    assert_eq!(ran(directory.path(), "targets").code, 0);
}

#[test]
fn what_is_wrong_in_it_is_one_clear_line() {
    for (config, words) in [
        (
            "[run]\n\nbugdet = \"3s\"\n",
            &[":3: run has no option 'bugdet'", "did you mean 'budget'?"][..],
        ),
        (
            "[rnu]\nseed = 1\n",
            &[":1: there is no command 'rnu'", "did you mean 'run'?"],
        ),
        (
            "sed = 1\n",
            &[":1: there is no option 'sed'", "did you mean 's"],
        ),
        (
            "[explore]\nrounds = 1\n",
            &[":2: explore has no option 'rounds'"],
        ),
        (
            "[run]\nquiet = \"yes\"\n",
            &[":2: 'quiet' wants true or false"],
        ),
        (
            "[run]\nseed = [1, 2]\n",
            &[":2: 'seed' wants a word or a number"],
        ),
        (
            "[run]\nseed = true\n",
            &[":2: 'seed' wants a word or a number"],
        ),
        (
            "[run]\nseed = 1979-05-27\n",
            &[":2: 'seed' cannot be a date"],
        ),
        ("[run]\nfault = [[1]]\n", &[":2: 'fault' cannot be a list"]),
        ("[run]\nset = 1\n", &[":2)", "KEY=VALUE"]),
        ("[run]\nclients = 99\n", &["99", "--clients", ":2)"]),
        (
            "[run]\nconfig = \"x\"\n",
            &[":2: run has no option 'config'"],
        ),
        ("[run\n", &["plugpull.toml:1:"]),
        (
            "[run]\nseed = 1\nseed = 2\n",
            &["plugpull.toml:3:", "duplicate"],
        ),
    ] {
        let directory = directory(config);
        let ran = ran(directory.path(), "run reference");
        assert_eq!(
            (ran.code, ran.stdout.as_str()),
            (2, ""),
            "{config}: {ran:?}"
        );
        assert_eq!(ran.stderr.lines().count(), 1, "{config}: {ran:?}");
        for word in words {
            assert!(ran.stderr.contains(word), "{config}: no {word} in {ran:?}");
        }
    }
}

/// It could name commands to run.
#[test(needs = "root")]
fn a_file_of_somebody_else_is_not_taken_unasked() {
    let directory = directory("[run]\nrounds = 1\n");
    let nobody = Some(nix::unistd::Uid::from_raw(65534));
    let file = directory.path().join("plugpull.toml");
    nix::unistd::chown(&file, nobody, None).unwrap();
    let refused = ran(&directory.path().join("below"), "faults");
    assert_eq!(refused.code, 2, "{refused:?}");
    assert!(
        refused.stderr.contains("belongs to somebody else"),
        "{refused:?}"
    );
    assert_eq!(ran(directory.path(), "faults --no-config").code, 0);
    assert_eq!(
        ran(directory.path(), "faults --config plugpull.toml").code,
        0
    );
    // A checkout that belongs to another user as a whole, as in a container of a CI.
    nix::unistd::chown(directory.path(), nobody, None).unwrap();
    assert_eq!(ran(directory.path(), "faults").code, 0);
}

const PROFILES: &str = r#"
quiet = true
target = "reference"

[run]
fault = "kill@ack=5"
rounds = 1
json = "report.json"

[profile.ci]
seed = 3

[profile.ci.run]
rounds = 2

[profile.night]
seed = 4

[profile.night.run]
fault = ["kill@ack=5", "term@ack=5"]
"#;

#[test]
fn a_profile_counts_more_than_the_rest_of_the_file_and_less_than_what_is_typed() {
    let directory = directory(PROFILES);
    let of = |options: &str| {
        let ran = ran(directory.path(), options);
        assert_eq!(ran.code, 0, "{ran:?}");
        report(&directory.path().join("report.json"))
    };
    let plain = of("run --seed 9");
    assert_eq!(trials(&plain), ["kill"]);
    let ci = of("run --profile ci");
    assert_eq!(trials(&ci), ["kill", "kill"]);
    assert_eq!(ci["seed"], 3);
    let night = of("--profile night run");
    assert_eq!(trials(&night), ["kill", "term"]);
    let typed = of("run --profile ci --rounds 1 --seed 8");
    assert_eq!((trials(&typed), &typed["seed"]), (vec!["kill"], &8.into()));
}

#[test]
fn a_profile_that_is_not_there_is_wrong_use() {
    let with = directory(PROFILES);
    let other = ran(with.path(), "run --profile cii");
    assert_eq!(other.code, 2, "{other:?}");
    assert!(other.stderr.contains("it has ci, night"), "{other:?}");
    let odd = directory("[profile.ci.run]\nround = 2\n");
    let odd = ran(odd.path(), "run");
    assert_eq!(odd.code, 2, "{odd:?}");
    assert!(odd.stderr.contains("did you mean 'rounds'?"), "{odd:?}");
    let no_table = directory("[profile]\nci = 3\n");
    let no_table = ran(no_table.path(), "run");
    assert_eq!(no_table.code, 2, "{no_table:?}");
    assert!(no_table.stderr.contains("[profile.NAME]"), "{no_table:?}");
}
