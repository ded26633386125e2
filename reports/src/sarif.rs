//! The report as SARIF 2.1.0 (OASIS, "Static Analysis Results Interchange Format", 2020), so that a page of
//! code scanning shows each finding at the line of the write that was lost, where stacks were recorded.

use std::collections::BTreeSet;
use std::io;

use plugpull_workloads::Verdict;
use serde_json::{Value, json};

use crate::card::{Card, kind_name};
use crate::conclusion::closing;
use crate::evidence::TimelineStep;
use crate::fold::exit_code;
use crate::identity::of_entry;
use crate::labels::{capital, clean, kind_sentence, kind_words, verdict_words};
use crate::report::Report;
use crate::trial::ReportedFinding;

/// The schema that it keeps to.
const SCHEMA: &str = "https://json.schemastore.org/sarif-2.1.0.json";
/// So many lost updates of a finding have a location, each another one.
const LOCATIONS: usize = 10;
/// What helps with a finding of any kind.
const HELP: &str = "A result names the promise that was broken, what was lost on disk, the sync that is missing where \
                    one helps, and the command that shows it again.";
/// The name of what a finding is known by from run to run, with its version.
const FINGERPRINT: &str = "plugpullCause/v1";

/// The report as SARIF: a rule for each kind of finding, a result for each finding.
///
/// A result's text is the finding's card. Its locations are where the updates that were lost were made, and
/// its related ones where their files were synced last (`--stacks`); without stacks it is the file of the
/// target, where that is one. What was not measured, and how much was looked at, are notifications.
///
/// # Errors
/// It cannot be written as JSON.
pub fn sarif(report: &Report) -> io::Result<String> {
    let kinds: BTreeSet<String> = report.findings.iter().map(rule).collect();
    let kinds: Vec<String> = kinds.into_iter().collect();
    let results: Vec<Value> = report
        .findings
        .iter()
        .map(|finding| result(report, finding, &kinds))
        .collect();
    let document = json!({
        "$schema": SCHEMA,
        "version": "2.1.0",
        "runs": [{
            "tool": { "driver": {
                "name": "plugpull",
                "semanticVersion": env!("CARGO_PKG_VERSION"),
                "informationUri": env!("CARGO_PKG_REPOSITORY"),
                "rules": rules(report, &kinds),
            }},
            "invocations": [{
                "executionSuccessful": report.verdict != Verdict::HarnessError,
                "exitCode": exit_code(report),
                "toolExecutionNotifications": notifications(report),
            }],
            "results": results,
            "columnKind": "utf16CodeUnits",
        }],
    });
    let mut text = serde_json::to_string_pretty(&document).map_err(io::Error::other)?;
    text.push('\n');
    Ok(text)
}

/// The rule of a finding: `lost-ack`.
fn rule(reported: &ReportedFinding) -> String {
    kind_name(reported.finding.kind)
}

fn rules(report: &Report, kinds: &[String]) -> Vec<Value> {
    let rules = kinds.iter().filter_map(|id| {
        let one = report.findings.iter().find(|one| rule(one) == *id)?;
        let kind = one.finding.kind;
        let sentence = kind_sentence(kind);
        // GitHub's code scanning shows no rule without these two.
        Some(json!({
            "id": id,
            "shortDescription": { "text": capital(kind_words(kind)) },
            "fullDescription": { "text": sentence },
            "help": { "text": format!("{sentence} {HELP}") },
            "defaultConfiguration": { "level": "error" },
        }))
    });
    rules.collect()
}

fn result(report: &Report, reported: &ReportedFinding, kinds: &[String]) -> Value {
    let rule = rule(reported);
    let index = kinds.iter().position(|kind| *kind == rule);
    let evidence = || reported.evidence.iter();
    let mut locations = places(evidence().flat_map(|one| one.lost_steps()));
    if locations.is_empty() {
        locations.extend(target_file(report));
    }
    let mut related = places(evidence().flat_map(|one| one.last_syncs()));
    for (id, place) in related.iter_mut().enumerate() {
        place["id"] = json!(id);
    }
    json!({
        "ruleId": rule,
        "ruleIndex": index,
        "level": "error",
        "message": { "text": Card::of(reported).text() },
        "locations": locations,
        "relatedLocations": related,
        "partialFingerprints": { FINGERPRINT: clean(&of_entry(reported)) },
    })
}

/// Where these steps were made, each place once: the innermost line of the program itself.
fn places<'a>(steps: impl Iterator<Item = &'a TimelineStep>) -> Vec<Value> {
    let mut seen = BTreeSet::new();
    let mut places = Vec::new();
    for (step, by) in steps.filter_map(|step| Some((step, step.made_by.as_deref()?))) {
        let Some((place, file, line)) = by.own_line() else {
            continue;
        };
        if places.len() == LOCATIONS || !seen.insert((file, line)) {
            continue;
        }
        places.push(json!({
            "physicalLocation": {
                "artifactLocation": { "uri": uri(file) },
                "region": { "startLine": line },
            },
            "logicalLocations": [{ "fullyQualifiedName": clean(&place.function), "kind": "function" }],
            "message": { "text": clean(&step.describe()) },
        }));
    }
    places
}

/// The file that says what the target is, where there is one: a page of code scanning wants a file.
fn target_file(report: &Report) -> Option<Value> {
    let name = &report.target.name;
    name.ends_with(".toml")
        .then(|| json!({ "physicalLocation": { "artifactLocation": { "uri": uri(name) } } }))
}

/// A path as a reference of RFC 3986: relative where it is.
fn uri(path: &str) -> String {
    let mut uri = String::from(if path.starts_with('/') { "file://" } else { "" });
    for byte in path.bytes() {
        match byte {
            b'/' | b'-' | b'.' | b'_' | b'~' => uri.push(byte as char),
            byte if byte.is_ascii_alphanumeric() => uri.push(byte as char),
            byte => uri.push_str(&format!("%{byte:02X}")),
        }
    }
    uri
}

/// What was not measured, and how much was looked at.
fn notifications(report: &Report) -> Vec<Value> {
    let of =
        |level: &str, text: &str| json!({ "level": level, "message": { "text": clean(text) } });
    let mut all = vec![of("note", &closing(report))];
    for row in &report.faults {
        if matches!(row.verdict, Verdict::NotMeasured | Verdict::HarnessError) {
            let verdict = capital(verdict_words(row.verdict));
            all.push(of("warning", &format!("{verdict}: {}", row.fault)));
        }
    }
    all.extend(report.warnings.iter().map(|text| of("warning", text)));
    all
}

#[cfg(test)]
mod tests {
    use super::uri;

    #[test]
    fn a_path_is_a_reference() {
        assert_eq!(uri("src/a b.rs"), "src/a%20b.rs");
        assert_eq!(uri("/x/ü.c"), "file:///x/%C3%BC.c");
        assert_eq!(uri("c:d"), "c%3Ad");
    }
}
