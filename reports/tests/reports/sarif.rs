//! SARIF: a result for each finding, where its lost writes were made.

use plugpull_reports::{CodePlace, Report, sarif};
use plugpull_testing::test;
use plugpull_workloads::Verdict;
use serde_json::{Value, json};

use crate::cards::{explored, killed};
use crate::made_up::report;

fn written(report: &Report) -> Value {
    serde_json::from_str(&sarif(report).unwrap()).unwrap()
}

/// A report of these two findings: one with stacks, one without.
fn two() -> Report {
    let mut report = report(2);
    report.findings = vec![explored(), killed()];
    report.target.name = "stores/my kv.toml".into();
    report
}

#[test]
fn each_finding_is_a_result_of_its_rule() {
    let document = written(&two());
    assert_eq!(document["version"], "2.1.0");
    let run = &document["runs"][0];
    let rules = run["tool"]["driver"]["rules"].as_array().unwrap();
    let results = run["results"].as_array().unwrap();
    assert_eq!((rules.len(), results.len()), (2, 2));
    let mut known = Vec::new();
    for result in results {
        let index = result["ruleIndex"].as_u64().unwrap() as usize;
        assert_eq!(rules[index]["id"], result["ruleId"]);
        // Without them code scanning on GitHub refuses the file.
        for required in ["shortDescription", "fullDescription", "help"] {
            let text = rules[index][required]["text"].as_str().unwrap_or_default();
            assert!(!text.is_empty(), "{required}");
        }
        assert_eq!(result["level"], "error");
        known.push(result["partialFingerprints"].to_string());
    }
    assert_ne!(known[0], known[1]);
    assert_eq!(results[0]["ruleId"], "lost-ack");
    let text = results[0]["message"]["text"].as_str().unwrap();
    assert!(
        text.contains("fix, verified   fsync of the directory"),
        "{text}"
    );
    assert_eq!(run["invocations"][0]["exitCode"], 1);
}

#[test]
fn a_result_is_at_the_line_that_made_the_lost_update() {
    let mut report = two();
    let timeline = &mut report.findings[0].evidence.as_mut().unwrap().timeline;
    let frames = &mut timeline[0].made_by.as_mut().unwrap().frames;
    // What a library of the system adds is not the program's own line.
    let libc = CodePlace {
        function: "unlink".into(),
        file: Some("unlink.c".into()),
        line: Some(30),
        module: "/lib/libc.so.6".into(),
        ..CodePlace::default()
    };
    frames.insert(0, libc);
    let document = written(&report);
    let results = &document["runs"][0]["results"];
    let place = &results[0]["locations"][0]["physicalLocation"];
    assert_eq!(place["artifactLocation"]["uri"], "sqlite3.c");
    assert_eq!(place["region"]["startLine"], 61234);
    // Without stacks it is the file of the target.
    let whole =
        json!([{ "physicalLocation": { "artifactLocation": { "uri": "stores/my%20kv.toml" } } }]);
    assert_eq!(results[1]["locations"], whole);
    // And where the target is no file, there is none.
    report.target.name = "sqlite".into();
    assert_eq!(
        written(&report)["runs"][0]["results"][1]["locations"],
        json!([])
    );
}

#[test]
fn a_file_without_results_says_what_was_not_measured() {
    let mut report = report(0);
    report.faults[0].verdict = Verdict::NotMeasured;
    report.warnings = vec!["a \u{1b}[31mwarning".into()];
    let document = written(&report);
    let run = &document["runs"][0];
    assert_eq!(run["results"], json!([]));
    let said = run["invocations"][0]["toolExecutionNotifications"].to_string();
    assert!(said.contains("Not measured: "), "{said}");
    assert!(
        said.contains("warning") && !said.contains("u001b"),
        "{said}"
    );
}
