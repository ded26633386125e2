//! `--shard K/N` and `plugpull merge`: the merged report of the shards is the report of the whole,
//! and what is no whole set of shards is named or refused.

use std::path::{Path, PathBuf};

use plugpull_testing::test;
use serde_json::Value;

use crate::support::{Ran, plugpull, text};

/// What a clock says, and what is different because several reports were merged. Everything else of
/// the merged report must be that of the whole.
const EXEMPT: [&str; 5] = ["took_us", "recovery_us", "recovery", "merged", "shard"];

/// A report without what is exempt. What the target printed is compared without its numbers, for it
/// names its port.
fn timeless(mut report: Value) -> Value {
    fn strip(value: &mut Value) {
        match value {
            Value::Object(fields) => {
                fields.retain(|name, _| !EXEMPT.contains(&name.as_str()));
                if let Some(output) = fields.get_mut("output") {
                    let text = output.to_string();
                    *output = text.replace(|c: char| c.is_ascii_digit(), "").into();
                }
                fields.values_mut().for_each(strip);
            }
            Value::Array(list) => list.iter_mut().for_each(strip),
            _ => {}
        }
    }
    strip(&mut report);
    report
}

/// Fails with the first place where two reports differ.
fn same(merged: &Value, whole: &Value, place: &str) {
    match (merged, whole) {
        (Value::Object(a), Value::Object(b)) => {
            let names = |fields: &serde_json::Map<String, Value>| {
                fields.keys().cloned().collect::<Vec<String>>()
            };
            assert_eq!(names(a), names(b), "{place}");
            for (name, one) in a {
                same(one, &b[name], &format!("{place}.{name}"));
            }
        }
        (Value::Array(a), Value::Array(b)) => {
            for (at, (one, other)) in a.iter().zip(b).enumerate() {
                same(one, other, &format!("{place}[{at}]"));
            }
            assert_eq!(a.len(), b.len(), "{place}");
        }
        _ => assert_eq!(merged, whole, "{place}"),
    }
}

fn ran(options: &str) -> Ran {
    let mut command = plugpull();
    command
        .args(options.split_whitespace())
        .output()
        .unwrap()
        .into()
}

/// Runs a command, which must end with this code, and reads its report.
fn reported(options: &str, to: &Path, code: i32) -> Value {
    let ran = ran(&format!("{options} --json {}", to.display()));
    assert_eq!(ran.code, code, "{options}: {ran:?}");
    serde_json::from_slice(&std::fs::read(to).unwrap()).unwrap()
}

/// A command by shards, and what there is of them.
struct Shards {
    directory: tempfile::TempDir,
    reports: Vec<PathBuf>,
}

impl Shards {
    /// Four shards of a command, whose exit codes may be these.
    fn of(options: &str, directory: tempfile::TempDir, codes: &[i32]) -> Self {
        let reports: Vec<PathBuf> = (1..=4)
            .map(|number| {
                let json = directory.path().join(format!("shard-{number}.json"));
                let ran = ran(&format!(
                    "{options} --shard {number}/4 --json {}",
                    json.display()
                ));
                assert!(codes.contains(&ran.code), "{ran:?}");
                assert!(ran.stdout.contains(&format!("shard {number}/4")), "{ran:?}");
                json
            })
            .collect();
        Self { directory, reports }
    }

    fn merge(&self, which: &[usize]) -> (Ran, Option<Value>) {
        let json = self.directory.path().join("merged.json");
        if json.exists() {
            std::fs::remove_file(&json).unwrap();
        }
        let mut command = plugpull();
        command.arg("merge").arg("--json").arg(&json);
        command.args(which.iter().map(|at| &self.reports[*at]));
        let ran: Ran = command.output().unwrap().into();
        let report = std::fs::read(&json).ok();
        (
            ran,
            report.map(|text| serde_json::from_slice(&text).unwrap()),
        )
    }

    /// Merges them in an order of no meaning; the result must be the whole's.
    fn must_be(&self, whole: &Value, code: i32) -> Value {
        let (ran, merged) = self.merge(&[2, 0, 3, 1]);
        assert_eq!(ran.code, code, "{ran:?}");
        let merged = merged.unwrap();
        assert_eq!(merged["merged"], 4);
        same(&timeless(merged.clone()), &timeless(whole.clone()), "");
        merged
    }

    /// The command of a finding is that of its shard.
    fn name_themselves(&self) {
        for (path, number) in self.reports.iter().zip(1..) {
            let report: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
            for finding in crate::support::list(&report, "findings") {
                let repeat = crate::support::text(finding, "repeat");
                let own = format!(" --shard {number}/4 ");
                assert!(repeat.is_empty() || repeat.contains(&own), "{repeat}");
            }
        }
    }

    /// How many states each of them tried.
    fn tried(&self) -> Vec<u64> {
        let report =
            |path| -> Value { serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap() };
        let tried = |path| report(path)["coverage"]["tried"].as_u64().unwrap();
        self.reports.iter().map(tried).collect()
    }
}

/// Records the reference store.
fn record(options: &str) -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let trace = directory.path().join("run.trace");
    let ran = ran(&format!(
        "explore reference --seed 5 --states 0 {options} --record {}",
        trace.display()
    ));
    assert_eq!(ran.code, 0, "{ran:?}");
    (directory, trace)
}

fn explored(trace: &Path, options: &str) -> String {
    format!(
        "explore --quiet --budget 300s --trace {} {options}",
        trace.display()
    )
}

#[test(needs = "fuse")]
fn the_shards_of_an_exploration_are_the_whole_of_it() {
    for defect in ["no-fsync", "rename-without-fsync"] {
        let (directory, trace) = record(&format!(
            "--txns 20 --set snapshot_every=8 --set defect={defect}"
        ));
        // A shard knows its own failing states alone, and diagnoses nothing.
        let options = explored(&trace, "--recovery-depth 0 --states 60 --no-diagnosis");
        let whole = reported(&options, &directory.path().join("whole.json"), 1);
        let shards = Shards::of(&options, directory, &[0, 1, 3]);
        let merged = shards.must_be(&whole, 1);
        assert!(!crate::support::list(&merged, "findings").is_empty());
        shards.name_themselves();
        let tried = shards.tried();
        assert_eq!(tried.iter().sum::<u64>(), 60);
        assert!(tried.iter().all(|one| (4..=40).contains(one)), "{tried:?}");
    }
}

#[test(needs = "fuse")]
fn the_shards_of_a_sound_store_came_to_their_end_and_pass() {
    let (directory, trace) = record("--txns 12 --clients 1");
    let options = explored(&trace, "--recovery-depth 0 --model kill --model ext4");
    let whole = reported(&options, &directory.path().join("whole.json"), 0);
    assert_eq!(whole["ended"]["reason"], "complete");
    let shards = Shards::of(&options, directory, &[0]);
    shards.must_be(&whole, 0);
    refused_or_named(&shards);
}

/// A shard that is missing or given twice.
fn refused_or_named(shards: &Shards) {
    let (ran, none) = shards.merge(&[0, 1, 2, 3, 2]);
    assert_eq!((ran.code, none), (2, None), "{ran:?}");
    assert!(ran.stderr.contains("shard 3/4 was given twice"), "{ran:?}");

    let (ran, merged) = shards.merge(&[0, 1, 3]);
    let merged = merged.unwrap();
    assert_eq!((ran.code, text(&merged, "verdict")), (3, "not-measured"));
    assert!(ran.stdout.contains("shard 3/4"), "{ran:?}");
    assert_eq!(merged["coverage"]["complete"], false);
}

/// Each shard crashes the recoveries that it saw: never fewer than one machine would.
#[test(needs = "fuse")]
fn the_shards_find_what_only_a_second_crash_shows() {
    let (directory, trace) = record("--txns 6 --clients 1 --set defect=recovery-in-place");
    let options = explored(&trace, "--model kill --model ext4");
    let whole = reported(&options, &directory.path().join("whole.json"), 1);
    let shards = Shards::of(&options, directory, &[0, 1, 3]);
    let (ran, merged) = shards.merge(&[0, 1, 2, 3]);
    assert_eq!(ran.code, 1, "{ran:?}");
    let merged = merged.unwrap();
    let causes = |report: &Value| -> Vec<String> {
        let findings = crate::support::list(report, "findings").iter();
        findings
            .map(|one| format!("{} {}", one["kind"], one["evidence"]["cause"]))
            .collect()
    };
    let together = causes(&merged);
    for cause in causes(&whole) {
        assert!(together.contains(&cause), "{cause} is not in {together:?}");
    }
    let crashed = |report: &Value| {
        report["coverage"]["recoveries"]["crashed"]
            .as_u64()
            .unwrap()
    };
    assert!(crashed(&merged) >= crashed(&whole));
}

#[test(needs = "fuse")]
fn shards_of_different_work_are_refused() {
    let (directory, trace) = record("--txns 3 --clients 1");
    let (_other, otherwise) = record("--txns 3 --clients 1");
    let part = |name: &str, trace: &Path, options: &str| {
        let json = directory.path().join(name);
        let options = explored(trace, &format!("--states 12 --recovery-depth 0 {options}"));
        let ran = ran(&format!("{options} --json {}", json.display()));
        assert!(matches!(ran.code, 0 | 3), "{ran:?}");
        json
    };
    let first = part("first", &trace, "--shard 1/4");
    for (name, trace, options, why) in [
        ("trace", &otherwise, "--shard 2/4", "the trace"),
        ("seed", &trace, "--shard 2/4 --seed 6", "the seed"),
        ("of", &trace, "--shard 2/3", "the number of shards"),
        (
            "asked",
            &trace,
            "--shard 2/4 --device sector=4096",
            "what was asked for",
        ),
        (
            "models",
            &trace,
            "--shard 2/4 --model ext4",
            "what is tried",
        ),
        ("whole", &trace, "", "--shard"),
    ] {
        let second = part(name, trace, options);
        let mut command = plugpull();
        command.arg("merge").arg(&first).arg(&second);
        let ran: Ran = command.output().unwrap().into();
        assert_eq!(ran.code, 2, "{name}: {ran:?}");
        assert!(ran.stderr.contains(why), "{name}: {ran:?}");
    }
}

/// The trials of a run, by number: what was done in each. Where the kill at the end of a trial was found
/// to be the cause, its spec says at which ack it came, which is not the plan's.
fn plan_of(report: &Value, options: &str) -> Vec<String> {
    let trials = crate::support::list(report, "trial_log").iter();
    trials
        .map(|one| {
            let spec = one["spec"].as_str().unwrap_or_default();
            let planned = options.split_whitespace().any(|word| word == spec);
            let spec = if planned { spec } else { "the kill at its end" };
            format!("{} {} {spec} {}", one["number"], one["fault"], one["seed"])
        })
        .collect()
}

#[test(needs = "fuse")]
fn the_shards_of_a_run_are_the_whole_of_it() {
    let directory = tempfile::tempdir().unwrap();
    for (options, code) in [("--set defect=stale-lock-refused", 1), ("", 0)] {
        let options = format!(
            "run reference --quiet --clients 1 --seed 3 --rounds 2 --fault kill@ack=40 \
             --fault kill@ack=60 --fault power-loss@ack=50 {options}"
        );
        let whole = reported(&options, &directory.path().join("whole.json"), code);
        let shards = Shards::of(&options, tempfile::tempdir().unwrap(), &[0, 1]);
        let (ran, merged) = shards.merge(&[3, 2, 1, 0]);
        assert_eq!(ran.code, code, "{ran:?}");
        let merged = merged.unwrap();
        assert_eq!(plan_of(&merged, &options), plan_of(&whole, &options));
        let names = |report: &Value| -> Vec<String> {
            let rows = crate::support::list(report, "faults").iter();
            rows.map(|row| format!("{} {}", row["fault"], row["trials"]))
                .collect()
        };
        assert_eq!(names(&merged), names(&whole));
        assert_eq!(merged["verdict"], whole["verdict"]);
    }
}

#[test]
fn a_shard_that_cannot_be_is_refused_in_one_line() {
    let wanted = "it wants K/N";
    for (options, word) in [
        ("run --seed 1 --shard 0/4", wanted),
        ("run --seed 1 --shard 5/4", wanted),
        ("run --seed 1 --shard x", wanted),
        ("explore --trace t --shard 0/4", wanted),
        ("explore --trace t --shard 5/4", wanted),
        ("explore --trace t --shard x", wanted),
        ("run --shard 1/4", "--seed"),
        ("explore --shard 1/4", "--trace"),
        (
            "run --seed 1 --shard 3/3 --rounds 1 --fault kill --fault hang reference",
            "too few",
        ),
    ] {
        let ran = ran(options);
        assert_eq!((ran.code, ran.stderr.lines().count()), (2, 1), "{ran:?}");
        assert!(ran.stderr.contains(word), "{options}: {ran:?}");
    }
}
