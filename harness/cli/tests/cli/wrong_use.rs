//! What cannot be is refused before anything is started: one clear line on standard error, exit
//! code 2, nothing on standard output, and nothing made or changed.

use std::fs;
use std::path::Path;
use std::process::Command;

use plugpull_testing::test;

use crate::support::{PLUGPULL, Ran, plugpull};

/// A directory with a file of somebody else in it, to work in.
fn directory() -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    fs::create_dir(directory.path().join("theirs")).unwrap();
    fs::write(directory.path().join("theirs/data"), "precious").unwrap();
    directory
}

/// Everything below a directory: paths, contents and times of change.
fn contents(root: &Path) -> Vec<String> {
    let mut all = Vec::new();
    for entry in fs::read_dir(root).unwrap() {
        let path = entry.unwrap().path();
        let about = fs::symlink_metadata(&path).unwrap();
        all.push(format!(
            "{} {:?}",
            path.display(),
            about.modified().unwrap()
        ));
        if about.is_dir() {
            all.extend(contents(&path));
        } else {
            all.push(String::from_utf8_lossy(&fs::read(&path).unwrap()).into_owned());
        }
    }
    all.sort();
    all
}

/// Runs a command in a directory, which it must refuse in these words.
fn refused(command: &mut Command, words: &[&str]) {
    let directory = directory();
    let before = contents(directory.path());
    let ran: Ran = command
        .current_dir(directory.path())
        .output()
        .unwrap()
        .into();
    assert_eq!(ran.code, 2, "{command:?}: {ran:?}");
    assert_eq!(ran.stdout, "", "{command:?}");
    assert_eq!(ran.stderr.lines().count(), 1, "{command:?}: {}", ran.stderr);
    assert!(ran.stderr.starts_with("plugpull: "), "{}", ran.stderr);
    for word in words {
        assert!(
            ran.stderr.contains(word),
            "{command:?}: no '{word}' in {}",
            ran.stderr
        );
    }
    assert_eq!(contents(directory.path()), before, "{command:?}");
}

/// `plugpull run` with options separated by spaces is refused in these words.
fn run_refused(options: &str, words: &[&str]) {
    refused(
        plugpull().arg("run").args(options.split_whitespace()),
        words,
    );
}

#[test]
fn targets_and_their_settings() {
    run_refused("sqlit", &["sqlit", "did you mean \"sqlite\"", "reference"]);
    run_refused("sqlite reference", &["unexpected argument 'reference'"]);
    run_refused(
        "--set syncronous=off",
        &["syncronous", "did you mean \"synchronous\""],
    );
    run_refused(
        "--set synchronous=of",
        &["\"of\"", "did you mean \"off\"", "normal"],
    );
    run_refused(
        "--set synchronous=off --set synchronous=full",
        &["synchronous", "twice"],
    );
    run_refused("--set synchronous", &["--set", "KEY=VALUE"]);
    run_refused("--set =off", &["--set", "KEY=VALUE"]);
    run_refused(
        "reference --set defect=no-fsnyc",
        &["no-fsnyc", "did you mean \"no-fsync\""],
    );
    run_refused("--set page_size=1000", &["page_size", "power of two"]);
    refused(
        plugpull().args(["targets", "referense"]),
        &["did you mean \"reference\""],
    );
}

#[test]
fn faults_and_triggers() {
    run_refused("--fault kil", &["'kil'", "kill-op", "power-loss"]);
    run_refused(
        "--fault kill@n=zero",
        &["n=zero", "whole number", "op=write"],
    );
    run_refused("--fault kill@op=wrote", &["'wrote'", "write", "sync"]);
    run_refused("--fault kill@p=1.5", &["p=1.5", "chance"]);
    run_refused("--fault kill@n=1,ack=2", &["more than one moment"]);
    run_refused("--fault kill@ack=2,recovery", &["recovery"]);
    run_refused(
        "--fault kill@ack=2,depth=3",
        &["kill takes no depth", "within="],
    );
    run_refused("--fault kill@ack=2,within=9s", &["within", "term"]);
    run_refused("--fault reorg@depth=0", &["depth=0", "whole number"]);
    run_refused("--trial-seed 5", &["--trial-seed", "exactly one --fault"]);
    run_refused(
        "--trial-seed 5 --fault kill --fault term",
        &["exactly one --fault"],
    );
    run_refused(
        "--trial-seed 5 --fault kill --seed 6",
        &["--trial-seed", "--seed"],
    );
}

#[test]
fn numbers_and_words() {
    run_refused("--seed seven", &["'seven'", "--seed"]);
    run_refused("--seed -1", &["-1"]);
    run_refused("--trial-seed x --fault kill", &["'x'", "--trial-seed"]);
    run_refused("--rounds 0", &["--rounds"]);
    run_refused("--budget soon", &["'soon'", "--budget", "30s"]);
    run_refused("--budget 0s", &["'0s'", "--budget"]);
    run_refused("--recovery-bound 2parsecs", &["2parsecs", "500ms"]);
    run_refused("--clients 65", &["65", "--clients", "1..=64"]);
    run_refused("--value-size 1048577", &["1048577", "--value-size"]);
    run_refused("--zipf 11", &["11", "0 to 10"]);
    run_refused("--sector 100", &["100", "a power of two from 16 to 4096"]);
    run_refused("--device sector=100", &["sector=100", "power of two"]);
    run_refused("--device fast", &["fast", "known are sector="]);
    run_refused("--model loose", &["loose", "journaled", "strict"]);
    run_refused(
        "--promise forever",
        &["'forever'", "durable", "recovers=MS"],
    );
    run_refused("--promise recovers=soon", &["'soon'", "milliseconds"]);
    run_refused("--fautl kill", &["--fautl", "--fault"]);
    refused(plugpull().arg("rum"), &["'rum'", "'run'"]);
}

#[test]
fn files_and_directories() {
    run_refused(
        "--json nowhere/report.json",
        &["nowhere/report.json", "does not exist"],
    );
    run_refused("--json theirs", &["theirs", "it is a directory"]);
    run_refused(
        "--keep theirs",
        &["theirs", "not made by plugpull", "--keep"],
    );
    run_refused("--keep theirs/data", &["theirs/data"]);
    // What is in order is not made either, where something else is not.
    run_refused("--keep new --json nowhere/report.json", &["nowhere"]);
    run_refused("--json report.json --keep theirs", &["theirs"]);
    run_refused("--json report.json --keep new --fault kil", &["'kil'"]);
}

/// A limit that every process inherits, for which no target can write a file.
#[test(needs = "namespaces")]
fn a_target_that_cannot_start() {
    for target in ["sqlite", "reference"] {
        let script =
            format!("ulimit -f 0; exec {PLUGPULL} run {target} --json report.json --keep new");
        let words = [target, "cannot be started", "SIGXFSZ"];
        refused(Command::new("sh").args(["-c", &script]), &words);
    }
}

/// Not wrong use, but nothing that could be measured: exit code 3, and how to get it.
#[test]
fn what_is_not_installed_is_named() {
    for (target, how) in [
        ("statehouse", "cargo install statehouse-daemon"),
        ("ailee", "CMake"),
        ("interstice", "cargo install interstice-cli"),
    ] {
        let bin = format!("bin=/no/{target}");
        let arguments = ["run", target, "--set", &bin];
        let ran: Ran = plugpull().args(arguments).output().unwrap().into();
        assert_eq!(ran.code, 3, "{ran:?}");
        assert!(ran.stderr.contains(how), "{ran:?}");
    }
}
