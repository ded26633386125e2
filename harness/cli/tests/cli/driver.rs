//! The driver protocol from the command line: the worked Python driver is sound under `run` and
//! `explore`, and its missing sync is found.

use std::path::Path;

use plugpull_testing::test;

use crate::support::{Ran, Reported, list, plugpull, reported, text, without_causes};

const EXAMPLE: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../../docs/examples/driver-python/kv.py"
);

fn ran(words: &[&str]) -> Ran {
    plugpull().args(words).output().unwrap().into()
}

/// Tests the example with these options of it; the command's own follow.
fn tested(command: &str, example: &str, options: &str) -> Reported {
    let directory = tempfile::tempdir().unwrap();
    let json = directory.path().join("report.json");
    let mut plugpull = plugpull();
    plugpull
        .args([command, "driver", "--set"])
        .arg(format!("cmd=python3 {EXAMPLE}{example}"))
        .args(options.split_whitespace())
        .args(without_causes(command))
        .args(["--quiet", "--seed", "7", "--json"])
        .arg(&json);
    reported(&mut plugpull, &json)
}

#[test(needs = "python3")]
fn the_python_example_keeps_every_rule_and_says_what_it_promises() {
    let checked = ran(&["driver-check", "python3", EXAMPLE]);
    assert_eq!(checked.code, 0, "{checked:?}");
    assert!(!checked.stdout.contains("\nwrong"), "{}", checked.stdout);
    let shown = ran(&[
        "targets",
        "driver",
        "--set",
        &format!("cmd=python3 {EXAMPLE}"),
    ]);
    assert_eq!(shown.code, 0, "{shown:?}");
    assert!(
        shown.stdout.starts_with("kv.py 1, driven by"),
        "{}",
        shown.stdout
    );
    assert!(
        shown
            .stdout
            .contains("a transaction is one line with a checksum")
    );
}

#[test]
fn what_a_driver_gets_wrong_is_shown_with_both_lines() {
    let checked = ran(&[
        "driver-check",
        "--timeout",
        "30",
        "sh",
        "-c",
        "read line; echo welcome",
    ]);
    assert_eq!(checked.code, 1, "{checked:?}");
    let lines: Vec<&str> = checked.stdout.lines().map(str::trim).collect();
    // What only version 2 has is asked first, and not judged.
    assert!(lines[0].starts_with("skipped  describe"), "{}", lines[0]);
    assert!(lines[1].starts_with("wrong    hello"), "{}", lines[1]);
    assert!(lines[2].starts_with("sent  {\"id\":2,"), "{}", lines[2]);
    assert_eq!(lines[3], "came  welcome");
    assert_eq!(lines.last(), Some(&"1 rule is broken."));
}

#[test(needs = "fuse python3")]
fn a_run_and_an_exploration_of_the_sound_example_have_no_finding() {
    let run = tested(
        "run",
        "",
        "--rounds 1 --fault kill --fault power-loss@op=sync,n=5 --fault term",
    );
    run.must_have_no_finding();
    assert_eq!(run.ran.code, 0, "{}", run.ran.stdout);
    let explored = tested("explore", "", "--txns 6 --budget 60s --recovery-depth 0");
    explored.must_have_no_finding();
    assert_eq!(explored.ran.code, 0, "{}", explored.ran.stdout);
    let target = &explored.report["target"];
    assert!(text(target, "version").starts_with("kv.py 1, driven by"));
    assert_eq!(list(target, "promises").len(), 3);
}

#[test(needs = "fuse python3")]
fn the_missing_sync_of_the_example_is_found() {
    for (command, options) in [
        ("run", "--rounds 2 --fault power-loss"),
        (
            "explore",
            "--txns 10 --states 40 --budget 60s --recovery-depth 0 --model journaled",
        ),
    ] {
        let found = tested(command, " --no-fsync", options);
        assert_eq!(found.ran.code, 1, "{command}: {}", found.ran.stdout);
        let kinds: Vec<&str> = found
            .findings()
            .iter()
            .map(|one| text(one, "kind"))
            .collect();
        assert!(kinds.contains(&"lost-ack"), "{command}: {kinds:?}");
    }
}

/// A driver of version 1 does it while the store serves; the SIGKILL comes then.
#[test(needs = "fuse python3")]
fn a_reorganisation_is_fed_through_the_driver() {
    let chain = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/cli/support/chain.py");
    let run = |option: &str| {
        let directory = tempfile::tempdir().unwrap();
        let json = directory.path().join("report.json");
        let mut command = plugpull();
        command
            .args(["run", "driver", "--set"])
            .arg(format!("cmd=python3 {chain} {EXAMPLE}{option}"))
            .args(["--clients", "1", "--rounds", "2", "--seed", "7", "--quiet"])
            .args(["--fault", "reorg@ack=20", "--json"])
            .arg(&json);
        reported(&mut command, &json)
    };
    let sound = run("");
    sound.must_have_no_finding();
    assert_eq!(sound.ran.code, 0, "{}", sound.ran.stdout);
    for trial in sound.trials() {
        assert!(text(trial, "what").contains("(depth="), "{trial}");
    }
    let forgets = run(" --forgets");
    assert_eq!(forgets.ran.code, 1, "{}", forgets.ran.stdout);
    assert!(forgets.kinds().contains(&"lost-ack".to_string()));
    // A driver without the capability is not asked.
    let other = tested("run", "", "--rounds 1 --fault reorg");
    assert_eq!(other.ran.code, 3, "{}", other.ran.stdout);
    assert!(text(other.row("reorg"), "why").contains("no such action"));
}

#[test]
fn what_cannot_be_driven_is_wrong_use() {
    let here = Path::new(EXAMPLE).display().to_string();
    for (words, said) in [
        (&["run", "driver"][..], "a command is needed"),
        (
            &["run", "driver", "--set", "cmd=no-such-program"],
            "there is no program 'no-such-program'",
        ),
        (&["run", "driver", "--set", "cmd=sh 'x"], "a quote"),
        (
            &["run", "driver", "--set", "cmd=sh -c 'echo no >&2; exit 3'"],
            "it ended with code 3",
        ),
        (
            &["run", "driver", "--set", "cmd=sh -c 'echo hello'"],
            "no answer",
        ),
        (
            &["explore", "driver", "--set", "cmd=sh -c 'exit 0'"],
            "it ended with code 0",
        ),
        (&["driver-check", &here], "there is no program"),
    ] {
        let ran = ran(words);
        assert_eq!(
            (ran.code, ran.stdout.as_str()),
            (2, ""),
            "{words:?}: {ran:?}"
        );
        assert!(
            ran.stderr.contains(said) && ran.stderr.lines().count() == 1,
            "{words:?}: {}",
            ran.stderr
        );
    }
}

/// A store that keeps all in memory until a barrier, and one that does so for ever.
const AT_BARRIERS: &str = r#"
import json, os, sys
keeps, values, path = sys.argv[1] == 'keeps', {}, 'values.json'
if os.path.exists(path): values = json.load(open(path))
promise = {'classes': ['process-crash'], 'guarantee': {'durable': 'at-barrier'}, 'words': 'w', 'source': 's'}
hello = {'protocol': 1, 'name': 'late', 'version': '1', 'capabilities': ['barrier'], 'promises': [promise]}
for line in sys.stdin:
    call = json.loads(line)
    answer = {'id': call['id'], 'answer': 'ok'}
    kind = call['call']
    if kind == 'hello' and call['protocol'] == 1: answer.update(hello)
    elif kind == 'apply': values.update({one['key']: one['put'] for one in call['writes']})
    elif kind == 'get': answer['value'] = values.get(call['key'])
    elif kind == 'read_all': answer['values'] = values
    elif kind == 'barrier' and keeps:
        with open('new', 'w') as file: json.dump(values, file)
        os.replace('new', path)
    elif kind != 'barrier': answer.update({'answer': 'fail', 'text': 'not in version 1'})
    print(json.dumps(answer), flush=True)
"#;

/// It touched nothing after some acks, and need not have; after a barrier it must.
#[test(needs = "fuse python3")]
fn what_waits_for_a_barrier_is_not_missed_before_it() {
    let directory = tempfile::tempdir().unwrap();
    let program = directory.path().join("late.py");
    std::fs::write(&program, AT_BARRIERS).unwrap();
    for (argument, txns, code, why) in [
        ("keeps", "80", 0, ""),
        ("keeps", "3", 3, "no barrier was reached"),
        ("forgets", "80", 3, "it must write below"),
    ] {
        let json = directory.path().join(format!("{argument}-{txns}"));
        let mut run = plugpull();
        run.args(["explore", "driver", "--quiet", "--seed", "1"]);
        run.args(["--txns", txns]);
        run.args(["--model", "kill", "--budget", "60s", "--set"]);
        run.arg(format!("cmd=python3 {} {argument}", program.display()));
        let seen = reported(run.arg("--json").arg(&json), &json);
        assert_eq!(seen.ran.code, code, "{argument}: {:?}", seen.ran);
        let said = seen
            .ran
            .stdout
            .split_whitespace()
            .collect::<Vec<_>>()
            .join(" ");
        assert!(said.contains(why), "{argument}: {said}");
        assert_eq!(said.contains("never touched its data"), code == 3, "{said}");
    }
}
