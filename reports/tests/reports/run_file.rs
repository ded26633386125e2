//! The run file: written as things happen, read back under limits, folded to the same report.

use plugpull_testing::test;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Instant;

use plugpull_reports::{
    Coverage, Emit as _, End, EndReason, Evidence, ExploredTrial, FindingRecord, Fold, Form,
    GrowthPlan, GrowthSample, Header, Line, Look, ModelCoverage, NotMeasured, Parsed, ProgressMark,
    RUN_SCHEMA, Record, RecordedRun, Recording, Report, Rows, RunCommand, RunFile, RunLog, Shard,
    SizeUnit, Source, Trial, TrialRecord, TrialStarted, exit_code, load, load_run, parse, render,
};
use plugpull_workloads::{FindingKind, Verdict};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use serde_json::{Value, json};

use crate::made_up::{broken, finding, other, plan, report_of, trial};

fn header(command: RunCommand) -> Header {
    let plan = plan(&["kill", "power-loss"]);
    Header {
        schema: RUN_SCHEMA.into(),
        plugpull: plan.plugpull,
        build: "a1b2".into(),
        command,
        arguments: vec!["run".into(), "sqlite".into()],
        directory: "/somewhere".into(),
        began_unix: 1_700_000_000,
        target: plan.target,
        seed: plan.seed,
        budget_us: Some(30_000_000),
        faults: plan.faults,
        unavailable: Vec::new(),
        not_applicable: Vec::new(),
        allow_not_measured: false,
        assumed: Vec::new(),
        warnings: match command {
            RunCommand::Explore => vec!["its check noticed nothing".into()],
            _ => Vec::new(),
        },
        recovery_bound_us: Some(2_000_000),
        min_coverage: None,
        growth: None,
        shard: None,
        machine: [("fuse".to_string(), "yes".to_string())].into(),
    }
}

fn live(trial: Trial) -> Record {
    Record::Trial(Box::new(TrialRecord::live(trial)))
}

fn some_trials() -> Vec<Trial> {
    vec![
        trial(1, "kill"),
        broken(
            2,
            "power-loss",
            &[FindingKind::LostAck, FindingKind::LostAck],
        ),
        other(3, "kill", Verdict::NotMeasured, "too early"),
        broken(4, "power-loss", &[FindingKind::LostAck, FindingKind::Hung]),
        trial(5, "power-loss"),
    ]
}

fn end(reason: EndReason) -> Record {
    Record::End(End {
        took_us: 12_345_000,
        reason,
        why: String::new(),
    })
}

/// The records of a run of these trials.
fn records(trials: &[Trial]) -> Vec<Record> {
    let mut all = vec![Record::Header(Box::new(header(RunCommand::Run)))];
    for trial in trials {
        all.push(Record::TrialStarted(TrialStarted {
            number: trial.number,
            fault: trial.fault.clone(),
            slot: Some(0),
        }));
        all.push(live(trial.clone()));
    }
    all.push(end(EndReason::Complete));
    all
}

fn text(records: &[Record]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (at, record) in records.iter().enumerate() {
        let line = Line {
            at_us: at as u64 * 1000,
            record: record.clone(),
        };
        serde_json::to_writer(&mut bytes, &line).unwrap();
        bytes.push(b'\n');
    }
    bytes
}

fn read(bytes: &[u8]) -> Option<RecordedRun> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("run.jsonl");
    std::fs::write(&path, bytes).unwrap();
    RecordedRun::read(Source::open(&path).unwrap()).unwrap()
}

fn in_every_form(report: &Report) -> Vec<String> {
    let forms = [
        Form::Json,
        Form::Junit,
        Form::Markdown,
        Form::Html,
        Form::Annotations,
    ];
    forms
        .into_iter()
        .map(|form| {
            let mut bytes = Vec::new();
            form.write(report, &mut bytes).unwrap();
            String::from_utf8(bytes).unwrap()
        })
        .collect()
}

#[test]
fn a_run_file_gives_the_report_that_its_trials_give() {
    let trials = some_trials();
    let from_file = read(&text(&records(&trials))).unwrap().report();
    let built = report_of(plan(&["kill", "power-loss"]), &trials);
    assert_eq!(from_file, built);
    assert_eq!(in_every_form(&from_file), in_every_form(&built));
    // The trials are in the file, not in memory.
    assert!(from_file.trial_log.in_memory().is_empty());
    assert_eq!(from_file.trial_log.clone().into_vec().unwrap().len(), 5);
}

#[test]
fn a_live_run_and_its_file_give_the_same_report() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("run.jsonl");
    let file = RunFile::create(&path).unwrap();
    let mut log = RunLog::begin(file, header(RunCommand::Run), Vec::new(), Instant::now());
    for (number, trial) in some_trials().into_iter().enumerate() {
        let firsts = log.firsts(&trial);
        assert_eq!(firsts.is_empty(), ![1, 3].contains(&number), "{number}");
        log.emit(live(trial));
        // Nothing waits to be written.
        let so_far = load_run(&path).unwrap().unwrap();
        assert_eq!(so_far.fold.trials(), number as u64 + 1);
        let report = so_far.report();
        assert!(report.interrupted);
        assert_ne!(exit_code(&report), 0);
    }
    let end = End {
        took_us: 12_345_000,
        ..End::default()
    };
    let (report, _, failures) = log.finish(end);
    assert_eq!(failures, [""; 0]);
    assert_eq!(
        report,
        report_of(plan(&["kill", "power-loss"]), &some_trials())
    );
    assert_eq!(load(&path).unwrap(), report);
    assert!(
        RunFile::create(&path).is_err(),
        "nothing is replaced unasked"
    );
}

/// Of a shard, with all its fields.
fn header_with_all_fields() -> Header {
    let shard = Shard {
        number: 1,
        of: 2,
        trace: Some("ab".into()),
        options: "--states all".into(),
        faults: vec!["kill".into(), "strict".into()],
        ..Shard::default()
    };
    let mut first = header(RunCommand::Explore);
    first.shard = Some(Box::new(shard));
    first.assumed = vec!["Assumed: small sectors.".into()];
    first.unavailable = vec![NotMeasured {
        what: "kill".into(),
        why: "no".into(),
    }];
    first.growth = Some(GrowthPlan {
        unit: SizeUnit::Bytes,
        bound_us: Some(5),
        sizes: vec![500],
    });
    first
}

/// Every kind of record, with all its fields.
fn every_kind() -> Vec<Record> {
    let explored = ExploredTrial {
        position: 7,
        depth: 1,
        signs: vec!["write log-#".into()],
        counts: vec![0, 0],
        minimised: vec![Some(0), None],
    };
    let small = || {
        let mut small = finding(FindingKind::LostAck);
        small.trial = 1;
        small.evidence = Some(Box::new(Evidence {
            cause: vec!["write log-#".into()],
            ..Evidence::default()
        }));
        small
    };
    let first = header_with_all_fields();
    vec![
        Record::Header(Box::new(first)),
        Record::Recording(Recording {
            operations: 900,
            acked: 100,
            trace: Some("x.trace".into()),
            digest: Some("ff".into()),
            warnings: vec!["acks were read late".into()],
        }),
        Record::TrialStarted(TrialStarted {
            number: 1,
            fault: "strict".into(),
            slot: Some(3),
        }),
        Record::Finding(Box::new(FindingRecord {
            id: Some(0),
            minimised: Some(0),
            size: (1, 41),
            same_as: None,
            together: None,
            finding: small(),
        })),
        Record::Trial(Box::new(TrialRecord {
            trial: broken(1, "strict", &[FindingKind::LostAck, FindingKind::LostAck]),
            slot: Some(3),
            explored: Some(explored),
        })),
        Record::Coverage(Box::new(Coverage {
            operations: 900,
            models: vec![ModelCoverage {
                model: "strict".into(),
                ..serde_json::from_value(json!({
                    "model": "", "points": 1, "made": 1, "distinct": 1, "judged": 1, "failed": 1
                }))
                .unwrap()
            }],
            ..Coverage::default()
        })),
        Record::GrowthSample(GrowthSample {
            restored_nothing: false,
            trial: 1,
            wanted: 500,
            size: 1,
            disk_bytes: 1,
            recovery_us: 1,
        }),
        Record::NotMeasured(NotMeasured {
            what: "sync-lie".into(),
            why: "no such device".into(),
        }),
        Record::Progress(ProgressMark {
            state: json!({"key": "ff", "verdict": "pass"}),
        }),
        Record::Resumed,
        end(EndReason::Budget),
    ]
}

#[test]
fn an_exploration_is_folded_with_its_findings_counted() {
    let mut all = every_kind();
    all.pop();
    let mut smaller = finding(FindingKind::LostAck);
    smaller.trial = 1;
    smaller.finding.sentence = "smaller".into();
    all.push(Record::Finding(Box::new(FindingRecord {
        id: Some(0),
        minimised: None,
        size: (1, 3),
        same_as: None,
        together: None,
        finding: smaller,
    })));
    let report = read(&text(&all)).unwrap().report();
    let late = report
        .warnings
        .iter()
        .filter(|one| *one == "acks were read late");
    assert_eq!(late.count(), 1, "{:?}", report.warnings);
    assert_eq!(report.findings.len(), 1);
    let first = &report.findings[0];
    assert_eq!(
        (first.count, first.finding.sentence.as_str()),
        (2, "smaller")
    );
    assert_eq!(report.coverage.as_ref().unwrap().operations, 900);
    let shard = report.shard.as_ref().unwrap();
    assert_eq!(shard.minimised.len(), 1);
    let places = shard.trials.clone().into_vec().unwrap();
    assert_eq!((places[0].position, places[0].depth), (7, 1));
    assert_eq!(report.growth.as_ref().unwrap().samples.len(), 1);
    let row = |name: &str| report.faults.iter().find(|row| row.fault == name).unwrap();
    assert_eq!(row("sync-lie").verdict, Verdict::NotMeasured);
    assert_eq!(row("sync-lie").why, "no such device");
}

/// A model that an exploration had not come to when its budget was over is named, and the rest counts; one that
/// could not be tried, or was left out of an exploration that came to its end, makes it no pass.
#[test]
fn a_model_without_a_turn_is_named_where_the_budget_ended_it() {
    let of = |command, reason, unavailable: bool, min_coverage| {
        let mut header = header(command);
        header.min_coverage = min_coverage;
        header.faults = vec!["kill".into(), "xfs".into()];
        header.allow_not_measured = false;
        header.not_applicable.clear();
        header.unavailable.clear();
        if unavailable {
            header.unavailable.push(NotMeasured {
                what: "xfs".into(),
                why: "no such device".into(),
            });
        }
        let records = [
            Record::Header(Box::new(header)),
            live(trial(1, "kill")),
            end(reason),
        ];
        read(&text(&records)).unwrap().report()
    };
    let report = of(RunCommand::Explore, EndReason::Budget, false, None);
    assert_eq!(report.verdict, Verdict::Pass);
    let look = Look {
        width: 100,
        colour: false,
    };
    let said = render(&report, look);
    assert!(said.contains("Not measured: xfs."), "{said}");
    for report in [
        of(RunCommand::Explore, EndReason::Budget, true, None),
        of(RunCommand::Explore, EndReason::Complete, false, None),
        of(RunCommand::Run, EndReason::Budget, false, None),
        // A point counts as judged under any model, so that the other model meets the demand alone.
        of(RunCommand::Explore, EndReason::Budget, false, Some(0.0)),
    ] {
        assert_eq!(report.verdict, Verdict::NotMeasured, "{:?}", report.ended);
    }
}

/// Cut anywhere, it renders: nothing panics, and no part of a run is a pass.
#[test]
fn a_run_file_cut_at_every_byte_renders_and_is_no_pass() {
    let trials = [trial(1, "kill"), trial(2, "power-loss")];
    for bytes in [text(&records(&trials)), text(&every_kind())] {
        let first = bytes.iter().position(|byte| *byte == b'\n').unwrap();
        let mut before = None;
        for len in 0..bytes.len() {
            let Some(run) = read(&bytes[..len]) else {
                assert!(len <= first, "{len}");
                continue;
            };
            let report = run.report();
            assert_ne!(report.verdict, Verdict::Pass, "{len}");
            assert!(report.interrupted, "{len}");
            // The forms change with whole records only.
            let whole = bytes[..len].iter().filter(|byte| **byte == b'\n').count();
            if before != Some(whole) {
                in_every_form(&report);
                before = Some(whole);
            }
        }
    }
    let whole = read(&text(&records(&trials))).unwrap().report();
    assert_eq!((whole.verdict, exit_code(&whole)), (Verdict::Pass, 0));
}

#[test]
fn unknown_kinds_and_fields_are_skipped_and_damage_is_not_measured() {
    let trials = [trial(1, "kill"), trial(2, "power-loss")];
    let sound = read(&text(&records(&trials))).unwrap().report();
    let lines: Vec<Vec<u8>> = text(&records(&trials))
        .split_inclusive(|byte| *byte == b'\n')
        .map(<[u8]>::to_vec)
        .collect();
    let with = |line: &str| -> Report {
        let mut all = lines.clone();
        all.insert(2, format!("{line}\n").into_bytes());
        read(&all.concat()).unwrap().report()
    };
    for unknown in [
        r#"{"at_us":1,"record":"weather","sunny":true}"#,
        r#"{"record":"weather","deep":[[[[[]]]]]}"#,
        r#"{"at_us":1,"record":"resumed","more":{"a":1}}"#,
        "",
        "   ",
    ] {
        assert_eq!(with(unknown), sound, "{unknown}");
    }
    let deep = format!(
        r#"{{"at_us":1,"record":"progress","state":{}{}}}"#,
        "[".repeat(100_000),
        "]".repeat(100_000)
    );
    for damaged in [
        "no json",
        r#"{"at_us":1}"#,
        r#"{"at_us":1,"record":"trial"}"#,
        r#"{"at_us":-1,"record":"resumed"}"#,
        "[]",
        "7",
        &deep,
    ] {
        let report = with(damaged);
        assert_eq!(report.verdict, Verdict::NotMeasured, "{damaged:.60}");
        let row = report.faults.iter().find(|row| row.fault == "the run file");
        assert!(
            row.unwrap().why.contains("line 3"),
            "{damaged:.60}: {row:?}"
        );
    }
}

#[test]
fn a_line_without_end_is_given_up_within_bounded_memory() {
    let mut bytes = text(&records(&[trial(1, "kill")]));
    let sound = parse(&bytes).len();
    bytes.extend(br#"{"at_us":1,"record":"progress","state":""#);
    bytes.resize(bytes.len() + (80 << 20), b'x');
    assert_eq!(parse(&bytes).len(), sound + 1);
    assert_eq!(parse(&bytes).last(), Some(&Parsed::Cut));
    bytes.extend(b"\"}\n");
    let all = parse(&bytes);
    assert!(
        matches!(all.last(), Some(Parsed::Damaged { .. })),
        "{all:.100?}"
    );
}

#[test]
fn what_is_no_run_file_is_read_as_a_report_or_refused() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("file");
    std::fs::write(&path, b"{\"at_us\":0,\"record\":\"resumed\"}\n").unwrap();
    assert!(load(&path).is_err());
    let later = text(&[Record::Header(Box::new(Header {
        schema: "plugpull.run/2".into(),
        ..header(RunCommand::Run)
    }))]);
    std::fs::write(&path, later).unwrap();
    let error = load(&path).unwrap_err().to_string();
    assert!(
        error.contains("plugpull.run/2") && error.contains(RUN_SCHEMA),
        "{error}"
    );
    let report = crate::made_up::report(3);
    plugpull_reports::save(&report, &path).unwrap();
    assert!(load_run(&path).unwrap().is_none());
    assert_eq!(load(&path).unwrap(), report);
}

#[test]
fn a_run_is_resumed_behind_its_last_whole_line() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("run.jsonl");
    let all = records(&some_trials());
    let bytes = text(&all[..7]);
    for cut in 1..40 {
        std::fs::write(&path, &bytes[..bytes.len() - cut]).unwrap();
        let file = RunFile::append(&path).unwrap();
        let read = load_run(&path).unwrap().unwrap();
        assert_eq!(read.fold.trials(), 2);
        let before = read.fold.last_us();
        let mut log = RunLog::resume(file, &read, Vec::new(), Instant::now());
        some_trials()[2..]
            .iter()
            .for_each(|trial| log.emit(live(trial.clone())));
        assert!(log.elapsed_us() >= before);
        let (report, ..) = log.finish(End {
            took_us: 12_345_000,
            ..End::default()
        });
        assert_eq!(
            report,
            report_of(plan(&["kill", "power-loss"]), &some_trials())
        );
        assert_eq!(load(&path).unwrap(), report);
        assert!(
            parse(&std::fs::read(&path).unwrap())
                .iter()
                .all(|parsed| matches!(parsed, Parsed::Line(_)))
        );
    }
}

/// The run goes on, and its report has everything; the file ends early and says so once.
#[test]
fn a_full_disk_ends_the_file_and_not_the_run() {
    let path = Path::new("/dev/full");
    if !path.exists() {
        return;
    }
    let file = RunFile::replace(path).unwrap();
    let mut log = RunLog::begin(file, header(RunCommand::Run), Vec::new(), Instant::now());
    let warning = log.warning().unwrap();
    assert!(
        warning.contains("/dev/full") && warning.contains("goes on"),
        "{warning}"
    );
    some_trials()
        .into_iter()
        .for_each(|trial| log.emit(live(trial)));
    assert_eq!(log.warning(), None);
    let (report, ..) = log.finish(End {
        took_us: 12_345_000,
        ..End::default()
    });
    assert_eq!(
        report,
        report_of(plan(&["kill", "power-loss"]), &some_trials())
    );
}

#[test]
fn without_a_name_the_report_has_everything_too() {
    let mut log = RunLog::begin(
        RunFile::unnamed(),
        header(RunCommand::Run),
        Vec::new(),
        Instant::now(),
    );
    some_trials()
        .into_iter()
        .for_each(|trial| log.emit(live(trial)));
    let (report, ..) = log.finish(End {
        took_us: 12_345_000,
        ..End::default()
    });
    assert_eq!(report.trial_log.clone().into_vec().unwrap().len(), 5);
}

fn kept() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/run-file.schema.json")
}

/// Set `PLUGPULL_UPDATE_SCHEMA=1` to write the file again.
#[test]
fn the_schema_of_the_run_file_is_that_of_the_code() {
    let mut schema = serde_json::to_string_pretty(&schemars::schema_for!(Line)).unwrap();
    schema.push('\n');
    if std::env::var_os("PLUGPULL_UPDATE_SCHEMA").is_some() {
        std::fs::write(kept(), &schema).unwrap();
    }
    let found = std::fs::read_to_string(kept()).unwrap_or_default();
    assert!(
        found == schema,
        "docs/run-file.schema.json is out of date; write it again with PLUGPULL_UPDATE_SCHEMA=1 \
         cargo test -p plugpull-reports schema"
    );
}

#[test]
fn lines_keep_to_the_schema() {
    let mut schemas = boon::Schemas::new();
    let mut compiler = boon::Compiler::new();
    let schema = serde_json::from_slice(&std::fs::read(kept()).unwrap()).unwrap();
    compiler.add_resource("run.json", schema).unwrap();
    let index = compiler.compile("run.json", &mut schemas).unwrap();
    let bytes = text(&every_kind());
    for line in bytes
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty())
    {
        let mut value: Value = serde_json::from_slice(line).unwrap();
        let objection = schemas.validate(&value, index).err().map(|e| e.to_string());
        assert_eq!(objection, None, "{value}");
        value["at_us"] = "soon".into();
        assert!(schemas.validate(&value, index).is_err(), "{value}");
    }
}

#[test]
fn every_kind_and_field_is_documented() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/run-file.md");
    let page = std::fs::read_to_string(page).unwrap();
    for line in text(&every_kind())
        .split(|byte| *byte == b'\n')
        .filter(|l| !l.is_empty())
    {
        let value: Value = serde_json::from_slice(line).unwrap();
        let kind = value["record"].as_str().unwrap();
        assert!(page.contains(&format!("`{kind}`")), "{kind}");
        for name in value.as_object().unwrap().keys() {
            let of_report = ["coverage"].contains(&kind);
            assert!(
                of_report || page.contains(&format!("`{name}`")),
                "{kind}: {name}"
            );
        }
    }
}

fn any_trial() -> impl Strategy<Value = Trial> {
    let faults = prop::sample::select(vec!["kill", "power-loss", "disk-full"]);
    (
        faults,
        0usize..6,
        any::<bool>(),
        prop::collection::vec(0u64..3_000_000, 0..3),
    )
        .prop_map(|(fault, what, hit, recovery_us)| {
            let made = match what {
                0 => broken(0, fault, &[FindingKind::TooSlow, FindingKind::LostAck]),
                1 => other(0, fault, Verdict::Detected, "refused"),
                2 => other(0, fault, Verdict::NotMeasured, "never fired"),
                3 => other(0, fault, Verdict::HarnessError, "no sandbox"),
                _ => trial(0, fault),
            };
            Trial {
                hit,
                recovery_us,
                ..made
            }
        })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, rng_seed: RngSeed::Fixed(3), ..ProptestConfig::default() })]

    /// Live, from the file, and from trials in memory: the same report.
    #[test]
    fn folding_gives_the_same_report_wherever_the_records_are(
        mut trials in prop::collection::vec(any_trial(), 0..20),
    ) {
        for (trial, number) in trials.iter_mut().zip(1..) {
            trial.number = number;
        }
        let mut fold = Fold::default();
        for record in records(&trials) {
            fold.record(0, &record);
        }
        let from_file = read(&text(&records(&trials))).unwrap().report();
        let built = report_of(plan(&["kill", "power-loss"]), &trials);
        prop_assert_eq!(&from_file, &built);
        let kept = Rows::from(built.trial_log.in_memory().to_vec());
        prop_assert_eq!(&fold.report(kept), &built);
        prop_assert_eq!(in_every_form(&from_file), in_every_form(&built));
    }

    /// No bytes make the parser panic or loop, and what it reads renders.
    #[test]
    fn damaged_run_files_are_read_without_a_panic(
        at in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut bytes = text(&every_kind());
        for (place, byte) in at {
            let place = place.index(bytes.len());
            bytes[place] = byte;
        }
        bytes.truncate(cut.index(bytes.len()) + 1);
        parse(&bytes);
        if let Some(run) = read(&bytes) {
            in_every_form(&run.report());
        }
    }
}

#[test]
fn a_run_file_that_may_not_be_read_is_one_clear_error() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("run.jsonl");
    std::fs::write(&path, text(&records(&some_trials()))).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o000)).unwrap();
    // Root may read everything.
    if std::fs::File::open(&path).is_err() {
        let error = load(&path).unwrap_err().to_string();
        assert!(error.contains("run.jsonl"), "{error}");
    }
}
