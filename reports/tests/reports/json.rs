//! The JSON report: written whole, read back, and kept readable over versions.

use plugpull_testing::test;
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use plugpull_reports::{
    FileReporter, Form, Line, Record, Report, ReportError, Reporter as _, SCHEMA, TrialStarted,
    exit_code, load, save,
};
use plugpull_workloads::Verdict;
use serde_json::Value;

use crate::explored::explored;
use crate::made_up::report;

fn sample() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/report-v1.json")
}

fn parsed(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

#[test]
fn what_is_saved_is_loaded() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("report.json");
    for findings in [0, 1, 12] {
        save(&report(findings), &path).unwrap();
        assert_eq!(load(&path).unwrap(), report(findings));
        let left: Vec<_> = std::fs::read_dir(directory.path()).unwrap().collect();
        assert_eq!(left.len(), 1, "no temporary file stays: {left:?}");
    }
}

#[test]
fn a_script_finds_what_it_needs_at_the_top() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("report.json");
    save(&report(1), &path).unwrap();
    let json = parsed(&path);
    assert_eq!(json["schema"], SCHEMA);
    assert_eq!(json["verdict"], "broken");
    assert_eq!(json["seed"], 42);
    assert_eq!(json["trials"], 165);
    let finding = &json["findings"][0];
    assert_eq!(finding["kind"], "lost-ack");
    assert_eq!(finding["fault"], "power-loss@ack:14");
    assert!(finding["sentence"].is_string() && finding["promise"]["source"].is_string());
}

/// The sample was written by the first version of the form and must never be written again.
#[test]
fn a_stored_report_of_version_1_still_loads() {
    let report = load(&sample()).unwrap();
    assert_eq!((report.verdict, exit_code(&report)), (Verdict::Broken, 1));
    assert_eq!(
        (report.seed, report.trials, report.findings.len()),
        (42, 4, 1)
    );
    assert_eq!(report.faults.len(), 3);
    assert_eq!(
        report.faults[2].why,
        "the kernel gives this user no memory cgroup"
    );
    assert_eq!(report.recovery.max_us, 3_348);
}

/// So that it is compared and merged with a new one.
#[test]
fn a_report_with_former_names_of_faults_has_the_present_ones() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("old.json");
    let text = std::fs::read_to_string(sample()).unwrap();
    let text = text.replace(r#""fault": "kill""#, r#""fault": "eio-sync-kept""#);
    let text = text.replace(
        r#""fault": "power-loss""#,
        r#""fault": "bad-sector-for-ever""#,
    );
    std::fs::write(&path, text).unwrap();
    let old = load(&path).unwrap();
    let rows: Vec<&str> = old.faults.iter().map(|row| &*row.fault).collect();
    assert_eq!(rows[..2], ["eio-sync-dirty", "bad-sector-permanent"]);
    let trials = serde_json::to_string(&old).unwrap();
    assert!(!trials.contains("eio-sync-kept") && !trials.contains("for-ever"));
}

#[test]
fn a_field_of_a_later_minor_version_is_no_obstacle() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("report.json");
    let mut json = parsed(&sample());
    json["invented_later"] = Value::Bool(true);
    std::fs::write(&path, json.to_string()).unwrap();
    assert_eq!(load(&path).unwrap(), load(&sample()).unwrap());
}

#[test]
fn what_is_no_report_is_refused_with_the_reason() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("report.json");
    assert!(matches!(load(&path), Err(ReportError::Read { .. })));
    let refused = |text: &str| {
        std::fs::write(&path, text).unwrap();
        load(&path).unwrap_err()
    };
    for text in [
        "",
        "no json",
        "[1]",
        "{}",
        r#"{"schema": 1}"#,
        r#"{"schema": "plugpull.rep"#,
    ] {
        let error = refused(text);
        assert!(
            matches!(error, ReportError::NotAReport { .. }),
            "{text}: {error}"
        );
    }
    let error = refused(r#"{"schema": "plugpull.report/2", "verdict": {}}"#);
    assert!(matches!(&error, ReportError::OtherSchema { .. }), "{error}");
    let message = error.to_string();
    assert!(
        message.contains("plugpull.report/2") && message.contains(SCHEMA),
        "{message}"
    );
    let error = refused(&format!(r#"{{"schema": "{SCHEMA}", "plugpull": "0.1.0"}}"#));
    assert!(matches!(&error, ReportError::Malformed { .. }), "{error}");
    assert!(error.to_string().contains("verdict"), "{error}");
}

#[test]
fn a_directory_that_is_missing_or_a_directory_as_file_is_one_clear_error() {
    let directory = tempfile::tempdir().unwrap();
    for path in [
        directory.path().join("missing/report.json"),
        directory.path().to_path_buf(),
    ] {
        let error = save(&report(0), &path).unwrap_err();
        assert!(matches!(error, ReportError::Write { .. }), "{error}");
        assert!(
            error.to_string().contains(&*path.to_string_lossy()),
            "{error}"
        );
    }
    assert_eq!(
        std::fs::read_dir(directory.path()).unwrap().count(),
        0,
        "nothing was touched"
    );
}

#[test]
fn a_link_stays_a_link_and_a_device_a_device() {
    let directory = tempfile::tempdir().unwrap();
    let (file, link) = (
        directory.path().join("real.json"),
        directory.path().join("link.json"),
    );
    std::fs::write(&file, "old").unwrap();
    std::os::unix::fs::symlink(&file, &link).unwrap();
    save(&report(0), &link).unwrap();
    assert!(std::fs::symlink_metadata(&link).unwrap().is_symlink());
    assert_eq!(load(&file).unwrap(), report(0));

    save(&report(0), Path::new("/dev/null")).unwrap();
    assert!(
        std::fs::metadata("/dev/null")
            .unwrap()
            .file_type()
            .is_char_device()
    );
}

#[test]
fn others_may_read_it_as_they_may_any_new_file() {
    let directory = tempfile::tempdir().unwrap();
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let (ordinary, ours) = (
        directory.path().join("ordinary"),
        directory.path().join("ours"),
    );
    std::fs::write(&ordinary, "").unwrap();
    save(&report(0), &ours).unwrap();
    assert_eq!(mode(&ours), mode(&ordinary));
}

#[test]
fn the_reporter_writes_at_the_end_and_not_before() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("report.json");
    let mut reporter = FileReporter::new(&path, Form::Json);
    let begun = TrialStarted {
        number: 1,
        fault: "kill".into(),
        slot: None,
    };
    let line = Line {
        at_us: 0,
        record: Record::TrialStarted(begun),
    };
    reporter.record(&line).unwrap();
    assert!(!path.exists());
    reporter.finish(&report(1)).unwrap();
    assert_eq!(load(&path).unwrap(), report(1));
    let missing = directory.path().join("missing/report.json");
    let mut nowhere = FileReporter::new(missing, Form::Json);
    let error = nowhere.finish(&report(0)).unwrap_err();
    assert!(error.to_string().contains("missing/report.json"), "{error}");
}

/// A field that is added to the report must be added to its page.
#[test]
fn every_field_is_documented() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/report.md");
    let page = std::fs::read_to_string(page).unwrap();
    let mut names = Vec::new();
    let report: Report = report(12);
    collect(&serde_json::to_value(&report).unwrap(), "", &mut names);
    let mut report = explored(3);
    report.merged = Some(2);
    collect(&serde_json::to_value(&report).unwrap(), "", &mut names);
    let grown = crate::grown::grown(12_000, 7, 5);
    collect(&serde_json::to_value(&grown).unwrap(), "", &mut names);
    assert!(names.len() > 40, "the names were found: {names:?}");
    for name in names {
        assert!(
            page.contains(&format!("`{name}`")),
            "docs/report.md says nothing of `{name}`"
        );
    }
}

/// The names of all fields below `value`, without the keys of maps that users fill.
fn collect(value: &Value, inside: &str, names: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            for (name, below) in fields {
                if !["settings", "verdicts", "guarantee"].contains(&inside) && !names.contains(name)
                {
                    names.push(name.clone());
                }
                collect(below, name, names);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| collect(item, inside, names)),
        _ => {}
    }
}

#[test]
fn the_example_of_the_page_is_a_report() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/report.md");
    let page = std::fs::read_to_string(page).unwrap();
    let example = page
        .split("```json\n")
        .nth(1)
        .unwrap()
        .split("```")
        .next()
        .unwrap();
    let report: Report = serde_json::from_str(example).unwrap();
    assert_eq!(
        (report.schema.as_str(), report.verdict),
        (SCHEMA, Verdict::Broken)
    );
}
