//! What reads runs takes no more memory for more trials: it works under a limit that one copy of all
//! trials in memory would be over.

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::process::Command;

use plugpull_reports::{
    Coverage, End, ExploredTrial, Header, Line, RUN_SCHEMA, Record, RunCommand, Shard, Trial,
    TrialRecord,
};
use plugpull_testing::test;
use plugpull_workloads::{FailureClass, Verdict};
use serde_json::Value;

use crate::support::{PLUGPULL, Ran};

/// What plugpull may take, in KiB.
const LIMIT: u64 = 24 << 10;
/// So many trials are in each file, with so many bytes in each: more than the limit allows.
const TRIALS: u64 = 2_500;
const BYTES: usize = 5_000;

fn ran(arguments: &[&Path]) -> Ran {
    let mut command = Command::new("sh");
    let limited = format!("ulimit -d {LIMIT} && exec \"$0\" \"$@\"");
    command.arg("-c").arg(limited).arg(PLUGPULL).args(arguments);
    command.output().unwrap().into()
}

/// The run file of a run, or of a shard of an exploration, that had nothing but sound trials.
fn run_file(path: &Path, seed: u64, shard: Option<u64>) {
    let shard = shard.map(|number| Shard {
        number,
        of: 2,
        faults: vec!["strict".into()],
        ..Shard::default()
    });
    let explores = shard.is_some();
    let header = Header {
        schema: RUN_SCHEMA.into(),
        seed,
        command: match explores {
            true => RunCommand::Explore,
            false => RunCommand::Run,
        },
        faults: vec!["strict".into()],
        shard: shard.map(Box::new),
        ..Header::default()
    };
    let mut file = BufWriter::new(File::create(path).unwrap());
    let mut write = |record| {
        serde_json::to_writer(&mut file, &Line { at_us: 0, record }).unwrap();
        file.write_all(b"\n").unwrap();
    };
    write(Record::Header(Box::new(header)));
    for number in 1..=TRIALS {
        let begun = Trial::begun(
            number,
            "strict",
            "strict@1".into(),
            0,
            FailureClass::PowerLoss,
        );
        let trial = Trial {
            hit: true,
            verdict: Verdict::Pass,
            what: format!("{number} {}", "x".repeat(BYTES)),
            recovery_us: vec![1_000 + number % 7],
            ..begun
        };
        // Crashes of recoveries come later than their place in the whole.
        let explored = explores.then(|| ExploredTrial {
            position: number * 7_919 % TRIALS,
            ..ExploredTrial::default()
        });
        write(Record::Trial(Box::new(TrialRecord {
            trial,
            slot: None,
            explored,
        })));
    }
    if explores {
        let coverage = Coverage {
            complete: true,
            ..Coverage::default()
        };
        write(Record::Coverage(Box::new(coverage)));
    }
    write(Record::End(End::default()));
    file.flush().unwrap();
}

/// The trials of a report, in order: the number of each, and that which it had in its own report.
fn numbers(json: &Path) -> Vec<(u64, u64)> {
    let report: Value = serde_json::from_slice(&std::fs::read(json).unwrap()).unwrap();
    let trials = report["trial_log"].as_array().unwrap();
    let own = |trial: &Value| {
        let text = trial["what"].as_str().unwrap();
        text.split_once(' ').unwrap().0.parse().unwrap()
    };
    let both = |trial: &Value| (trial["number"].as_u64().unwrap(), own(trial));
    trials.iter().map(both).collect()
}

/// Merges the two; the trials of the result.
fn merged(files: &[PathBuf; 2], json: &Path) -> Vec<(u64, u64)> {
    let ran = ran(&[
        "merge".as_ref(),
        &files[1],
        &files[0],
        "--json".as_ref(),
        json,
    ]);
    assert!(
        matches!(ran.code, 0 | 3) && ran.stderr.is_empty(),
        "{ran:?}"
    );
    numbers(json)
}

#[test]
fn runs_are_rendered_merged_and_compared_within_bounds() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    let files = [at("one.jsonl"), at("other.jsonl")];
    let reports = [at("one.json"), at("other.json")];
    for ((file, report), seed) in files.iter().zip(&reports).zip(1..) {
        run_file(file, seed, None);
        let ran = ran(&["report".as_ref(), file, "--json".as_ref(), report]);
        assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{ran:?}");
        assert_eq!(numbers(report).len() as u64, TRIALS);
    }
    let expected: Vec<(u64, u64)> = (1..=2 * TRIALS).zip((1..=TRIALS).cycle()).collect();
    for inputs in [&files, &reports] {
        assert!(merged(inputs, &at("merged.json")) == expected, "{inputs:?}");
        let ran = ran(&["compare".as_ref(), &inputs[0], &inputs[1]]);
        assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{ran:?}");
    }
    let twice = ran(&["merge".as_ref(), &files[0], &reports[0]]);
    assert_eq!(twice.code, 2, "{twice:?}");
    assert!(twice.stderr.contains("given twice"), "{twice:?}");
}

#[test]
fn shards_are_put_in_order_within_bounds() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    let files = [at("one.jsonl"), at("other.jsonl")];
    for (file, number) in files.iter().zip(1..) {
        run_file(file, 1, Some(number));
    }
    let mut expected: Vec<(u64, u64)> = (1..=TRIALS)
        .flat_map(|number| [(number * 7_919 % TRIALS, number); 2])
        .collect();
    expected.sort_unstable();
    let own: Vec<u64> = expected.into_iter().map(|(_, own)| own).collect();
    let expected: Vec<(u64, u64)> = (1..).zip(own).collect();
    assert!(merged(&files, &at("merged.json")) == expected);
}
