//! The JSON schema of the report, kept in `docs/report.schema.json`.

use plugpull_testing::test;
use std::path::{Path, PathBuf};

use plugpull_reports::Report;
use serde_json::Value;

fn kept() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/report.schema.json")
}

/// Set `PLUGPULL_UPDATE_SCHEMA=1` to write the file again.
#[test]
fn the_schema_in_the_docs_is_that_of_the_code() {
    let mut schema = serde_json::to_string_pretty(&schemars::schema_for!(Report)).unwrap();
    schema.push('\n');
    if std::env::var_os("PLUGPULL_UPDATE_SCHEMA").is_some() {
        std::fs::write(kept(), &schema).unwrap();
    }
    let found = std::fs::read_to_string(kept()).unwrap_or_default();
    assert!(
        found == schema,
        "docs/report.schema.json is out of date; write it again with PLUGPULL_UPDATE_SCHEMA=1 \
         cargo test -p plugpull-reports schema"
    );
}

fn objections(instance: &Value) -> Vec<String> {
    let mut schemas = boon::Schemas::new();
    let mut compiler = boon::Compiler::new();
    let schema = serde_json::from_slice(&std::fs::read(kept()).unwrap()).unwrap();
    compiler.add_resource("report.json", schema).unwrap();
    let index = compiler.compile("report.json", &mut schemas).unwrap();
    let result = schemas.validate(instance, index);
    result.err().into_iter().map(|e| e.to_string()).collect()
}

#[test]
fn reports_keep_to_the_schema() {
    let sample = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/report-v1.json");
    let old: Value = serde_json::from_slice(&std::fs::read(sample).unwrap()).unwrap();
    assert_eq!(objections(&old), [""; 0], "the first report of version 1");
    let reports = [
        crate::made_up::report(12),
        crate::explored::explored(12),
        crate::grown::grown(12_000, 7, 5),
        crate::grown::grown(0, 7, 2),
    ];
    for report in reports {
        let value = serde_json::to_value(report).unwrap();
        assert_eq!(objections(&value), [""; 0]);
    }
}

#[test]
fn what_does_not_keep_to_it_is_seen() {
    let mut value = serde_json::to_value(crate::explored::explored(1)).unwrap();
    value["verdict"] = "splendid".into();
    assert_ne!(objections(&value), [""; 0]);
    value["verdict"] = "broken".into();
    value["seed"] = "42".into();
    assert_ne!(objections(&value), [""; 0]);
}
