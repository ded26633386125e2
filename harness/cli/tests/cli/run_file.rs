//! The run file end to end: a run that is killed at any moment is rendered and resumed.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use plugpull_testing::test;
use serde_json::Value;

use crate::support::{PLUGPULL, Ran, list, machine, text};

/// The command, in this directory.
fn plugpull(directory: &Path, options: &str) -> Command {
    let mut command = Command::new(PLUGPULL);
    command
        .current_dir(directory)
        .stdin(Stdio::null())
        .args(options.split_whitespace());
    command
}

fn ran(directory: &Path, options: &str) -> Ran {
    plugpull(directory, options).output().unwrap().into()
}

fn lines(path: &Path) -> Vec<Value> {
    let text = fs::read_to_string(path).unwrap_or_default();
    let whole = text
        .split_inclusive('\n')
        .filter(|line| line.ends_with('\n'));
    whole
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

fn count(path: &Path, kind: &str) -> usize {
    let all = lines(path);
    all.iter()
        .filter(|line| text(line, "record") == kind)
        .count()
}

/// Starts a run and waits until its file has so many trials.
fn begun(directory: &Path, options: &str, file: &Path, trials: usize) -> Child {
    let mut command = plugpull(directory, options);
    let mut child = command
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    while count(file, "trial") < trials {
        assert!(child.try_wait().unwrap().is_none(), "it ended by itself");
        std::thread::yield_now();
    }
    child
}

fn signalled(mut child: Child, signal: Signal) -> Option<i32> {
    kill(Pid::from_raw(child.id().cast_signed()), signal).unwrap();
    child.wait().unwrap().code()
}

fn report(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

/// A report without what clocks and processes decide.
fn without_clocks(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.retain(|name, _| {
                let clock = name.ends_with("_us") || name == "nanos" || name == "micros";
                !clock
                    && !["recovery", "output", "acked", "operations", "what"]
                        .contains(&name.as_str())
            });
            fields.values_mut().for_each(without_clocks);
        }
        Value::Array(all) => all.iter_mut().for_each(without_clocks),
        _ => {}
    }
}

/// The trials of a report: number, fault and seed, which no clock decides.
fn planned(report: &Value) -> Vec<(u64, String, u64)> {
    let trials = list(report, "trial_log").iter();
    trials
        .map(|trial| {
            let number = |name: &str| trial[name].as_u64().unwrap();
            (
                number("number"),
                text(trial, "fault").into(),
                number("seed"),
            )
        })
        .collect()
}

#[test]
fn a_run_that_is_killed_and_resumed_makes_the_trials_of_an_uninterrupted_one() {
    let directory = tempfile::tempdir().unwrap();
    let here = directory.path();
    let options = "run reference --seed 5 --rounds 3 --fault kill --fault stop -q";
    let whole = ran(
        here,
        &format!("{options} --json whole.json --run-file whole.jsonl"),
    );
    assert_eq!(whole.code, 0, "{whole:?}");
    let file = here.join("part.jsonl");
    for trials in [1, 4] {
        let part = format!("{options} --json part.json --run-file part.jsonl");
        let child = begun(here, &part, &file, trials);
        assert_eq!(signalled(child, Signal::SIGKILL), None);
        // The line that was being written.
        let mut bytes = fs::read(&file).unwrap();
        bytes.extend(b"{\"at_us\":1,\"record\":\"tri");
        fs::write(&file, bytes).unwrap();
        let shown = ran(here, "report part.jsonl --json shown.json");
        assert_eq!(shown.code, 3, "{shown:?}");
        let shown = report(&here.join("shown.json"));
        assert_eq!(
            (&shown["interrupted"], text(&shown, "verdict")),
            (&true.into(), "not-measured")
        );
        let resumed = ran(here, "resume part.jsonl");
        assert_eq!(resumed.code, 0, "{resumed:?}");
        let (whole, part) = (
            report(&here.join("whole.json")),
            report(&here.join("part.json")),
        );
        assert_eq!(planned(&part), planned(&whole));
        assert_eq!(count(&file, "resumed"), 1);
        assert_eq!(count(&file, "trial"), 6, "none is made twice");
        fs::remove_file(&file).unwrap();
    }
    // Nothing else is written.
    assert!(!here.join(".plugpull").exists());
}

#[test]
fn a_signal_is_the_exit_code_unless_a_promise_was_broken() {
    let directory = tempfile::tempdir().unwrap();
    let here = directory.path();
    let file = here.join("run.jsonl");
    for (signal, name) in [(Signal::SIGINT, "SIGINT"), (Signal::SIGTERM, "SIGTERM")] {
        let options = "run reference --rounds 1000 --fault kill -q --run-file run.jsonl";
        let child = begun(here, options, &file, 1);
        assert_eq!(signalled(child, signal), Some(128 + signal as i32));
        let all = lines(&file);
        let end = all.last().unwrap();
        assert_eq!(
            (text(end, "reason"), text(end, "why")),
            ("interrupted", name)
        );
        // It goes on with the trial after the last one.
        let child = {
            let mut command = plugpull(here, "resume run.jsonl");
            command.stdout(Stdio::null()).spawn().unwrap()
        };
        let before = count(&file, "trial");
        while count(&file, "trial") == before {
            std::thread::yield_now();
        }
        assert_eq!(signalled(child, signal), Some(128 + signal as i32));
        fs::remove_file(&file).unwrap();
    }
    let options = "run reference --set defect=stale-lock-refused --rounds 1000 --fault kill -q --run-file run.jsonl";
    let child = begun(here, options, &file, 1);
    assert_eq!(signalled(child, Signal::SIGINT), Some(1));
}

#[test]
fn measurements_of_growth_are_kept_over_an_interruption() {
    let directory = tempfile::tempdir().unwrap();
    let here = directory.path();
    let file = here.join("run.jsonl");
    let options = "growth reference --sizes 20,50,100,200 --repeats 3 --clients 1 --seed 1 -q \
                   --json run.json --run-file run.jsonl";
    let child = begun(here, options, &file, 5);
    assert_eq!(signalled(child, Signal::SIGKILL), None);
    let kept: Vec<Value> = lines(&file)
        .into_iter()
        .filter(|line| text(line, "record") == "growth-sample")
        .collect();
    let resumed = ran(here, "resume run.jsonl");
    assert!(resumed.stdout.contains("12 trials"), "{resumed:?}");
    let report = report(&here.join("run.json"));
    let samples = list(&report["growth"], "samples");
    assert_eq!(samples.len(), 12);
    for sample in kept.iter().take(5) {
        let same = samples
            .iter()
            .find(|one| one["trial"] == sample["trial"])
            .unwrap();
        assert_eq!(same["recovery_us"], sample["recovery_us"]);
    }
}

#[test]
fn what_would_be_another_run_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let here = directory.path();
    let file = here.join("run.jsonl");
    let options = "run reference --seed 1 --rounds 2 --fault kill -q --run-file run.jsonl";
    assert_eq!(ran(here, options).code, 0);
    let refused = |why: &str| {
        let ran = ran(here, "resume run.jsonl");
        assert!(ran.code == 2 && ran.stderr.contains(why), "{why}: {ran:?}");
    };
    refused("came to its end");
    let all = lines(&file);
    let write = |change: &dyn Fn(&mut Value)| {
        let mut some = all[..3].to_vec();
        change(&mut some[0]);
        let text: Vec<String> = some.iter().map(|line| format!("{line}\n")).collect();
        fs::write(&file, text.concat()).unwrap();
    };
    // A copy of the program is the same build, whatever its time and place.
    write(&|_| {});
    let (copies, program) = machine::own_copy();
    let mut again = Command::new(&program);
    let copied: Ran = again
        .args(["resume", "run.jsonl"])
        .current_dir(here)
        .output()
        .unwrap()
        .into();
    assert_eq!(copied.code, 0, "{copied:?}");
    // One byte more is another.
    let other = fs::OpenOptions::new().append(true).open(&program).unwrap();
    std::io::Write::write_all(&mut &other, b"x").unwrap();
    drop(other);
    write(&|_| {});
    let copied: Ran = again.output().unwrap().into();
    assert_eq!(copied.code, 2, "{copied:?}");
    assert!(copied.stderr.contains("another build"), "{copied:?}");
    drop(copies);
    write(&|header| header["build"] = "another".into());
    refused("another build");
    write(&|header| header["plugpull"] = "9.9.9".into());
    refused("plugpull 9.9.9");
    write(&|header| header["command"] = "attach".into());
    refused("attach");
    write(&|header| header["target"]["version"] = "older".into());
    refused("the target's version was older");
    write(&|header| header["faults"] = Vec::<String>::new().into());
    refused("what is tried");
    write(&|header| header["arguments"] = vec!["run", "reference", "--no-such"].into());
    refused("the options of the run");
    fs::write(&file, "no run file\n").unwrap();
    refused("no run file");
    fs::write(here.join("notes.txt"), "mine").unwrap();
    let taken = ran(here, "run reference --run-file notes.txt -q");
    assert!(
        taken.code == 2 && taken.stderr.contains("something else"),
        "{taken:?}"
    );
    assert_eq!(fs::read_to_string(here.join("notes.txt")).unwrap(), "mine");
}

#[test]
fn by_default_it_is_in_the_working_directory_and_no_room_for_it_is_no_failure() {
    let directory = tempfile::tempdir().unwrap();
    let here = directory.path();
    let options = "run reference --rounds 1 --fault kill -q";
    assert_eq!(ran(here, &format!("{options} --no-run-file")).code, 0);
    assert!(!here.join(".plugpull").exists());
    for _ in 0..2 {
        assert_eq!(ran(here, options).code, 0);
    }
    let runs: Vec<_> = fs::read_dir(here.join(".plugpull/runs")).unwrap().collect();
    assert_eq!(runs.len(), 2);
    for run in runs {
        let name = run.unwrap().file_name().into_string().unwrap();
        assert!(name.contains("-run"), "{name}");
    }
    let full = ran(
        here,
        &format!("{options} --json full.json --run-file /dev/full"),
    );
    assert_eq!(full.code, 0, "{full:?}");
    assert_eq!(full.stderr.matches("/dev/full").count(), 1, "{full:?}");
    assert_eq!(report(&here.join("full.json"))["trials"], 1);
    fs::write(here.join("file"), "").unwrap();
    let nowhere = ran(here, &format!("{options} --run-file file/run.jsonl"));
    assert_eq!(nowhere.code, 0, "{nowhere:?}");
    assert_eq!(nowhere.stderr.lines().count(), 1, "{nowhere:?}");
}

#[test]
fn compare_merge_and_baseline_take_run_files() {
    let directory = tempfile::tempdir().unwrap();
    let here = directory.path();
    for seed in [1, 2] {
        let one = format!(
            "run reference --rounds 1 --fault kill --seed {seed} -q --run-file {seed}.jsonl --json {seed}.json"
        );
        assert_eq!(ran(here, &one).code, 0);
    }
    assert_eq!(ran(here, "compare 1.jsonl 2.json").code, 0);
    assert_eq!(ran(here, "merge 1.jsonl 2.jsonl --json files.json").code, 0);
    assert_eq!(ran(here, "merge 1.json 2.json --json reports.json").code, 0);
    assert_eq!(
        report(&here.join("files.json")),
        report(&here.join("reports.json"))
    );
    let held = ran(
        here,
        "run reference --rounds 1 --fault kill --baseline 1.jsonl -q --no-run-file",
    );
    assert_eq!(held.code, 0, "{held:?}");
    let mut same = [report(&here.join("1.json")), report(&here.join("2.json"))];
    same.iter_mut().for_each(without_clocks);
    assert_ne!(same[0], same[1], "two seeds are two runs");
}

/// Killed at any record and resumed, an exploration reports what an uninterrupted one does, and
/// tries no state twice.
#[test(needs = "fuse")]
fn an_exploration_that_is_killed_and_resumed_is_as_if_uninterrupted() {
    let directory = tempfile::tempdir().unwrap();
    let here = directory.path();
    let record = "explore reference --set defect=no-fsync --txns 8 --seed 3 --states 0 \
                  --record run.trace -q";
    assert_eq!(ran(here, record).code, 0);
    let options = "explore --trace run.trace --states 60 --budget 10m -q";
    let whole = ran(
        here,
        &format!("{options} --json whole.json --run-file whole.jsonl"),
    );
    assert_eq!(whole.code, 1, "{whole:?}");
    let file = here.join("part.jsonl");
    let part = format!("{options} --json part.json --run-file part.jsonl");
    for trials in [1, 30, 90] {
        let child = begun(here, &part, &file, trials);
        assert_eq!(signalled(child, Signal::SIGKILL), None);
        let resumed = ran(here, "resume part.jsonl");
        assert_eq!(resumed.code, 1, "{resumed:?}");
        let mut reports = [
            report(&here.join("whole.json")),
            report(&here.join("part.json")),
        ];
        reports.iter_mut().for_each(without_clocks);
        let [whole, part] = reports;
        for part_of in [
            "findings",
            "coverage",
            "faults",
            "trial_log",
            "verdict",
            "trials",
        ] {
            assert_eq!(part[part_of], whole[part_of], "{part_of} after {trials}");
        }
        let mut keys: Vec<String> = lines(&file)
            .iter()
            .map(|line| text(&line["state"], "key").to_owned())
            .filter(|key| !key.is_empty())
            .collect();
        let noted = keys.len();
        keys.sort();
        keys.dedup();
        assert!(
            keys.len() == noted && noted >= 60,
            "{noted} states are noted"
        );
        fs::remove_file(&file).unwrap();
    }
}

/// Without --trace and --record it is beside the run file.
#[test(needs = "fuse")]
fn the_trace_of_an_exploration_is_kept_beside_its_run_file() {
    let directory = tempfile::tempdir().unwrap();
    let here = directory.path();
    let file = here.join("run.jsonl");
    let options =
        "explore reference --txns 8 --seed 3 --states 40 --budget 10m -q --run-file run.jsonl";
    let child = begun(here, options, &file, 5);
    assert_eq!(signalled(child, Signal::SIGKILL), None);
    let trace = here.join("run.jsonl.trace");
    let kept = fs::read(&trace).unwrap();
    fs::write(&trace, &kept[..kept.len() / 2]).unwrap();
    let cut = ran(here, "resume run.jsonl");
    assert!(cut.code == 2 && cut.stderr.contains("trace"), "{cut:?}");
    fs::remove_file(&trace).unwrap();
    let gone = ran(here, "resume run.jsonl");
    assert!(gone.code == 2 && gone.stderr.contains("trace"), "{gone:?}");
    fs::write(&trace, &kept).unwrap();
    let resumed = ran(here, "resume run.jsonl");
    assert!(matches!(resumed.code, 0 | 3), "{resumed:?}");
    assert_eq!(text(lines(&file).last().unwrap(), "record"), "end");
}
