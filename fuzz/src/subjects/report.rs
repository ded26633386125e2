//! Run files, reports and baselines, and every form that is made of them.

use std::fs;
use std::path::Path;

use plugpull_reports::{Form, Look, Report, compare, load, merge, parse, render};
use serde_json::Value;

use crate::subject::{Reading, Shape, Subject};

/// `report FILE`, `resume FILE`.
pub(crate) const RUN_FILE: Subject = Subject {
    name: "run-file",
    shape: Shape::Json,
    seeds: run_files,
    property: read_run_file,
    mutant: count_on_a_header,
};

/// `merge FILE`, and a report in each form.
pub(crate) const REPORT: Subject = Subject {
    name: "report",
    shape: Shape::Json,
    seeds: reports,
    property: read_report,
    mutant: paste_what_targets_say,
};

/// `--baseline FILE`, `compare FILE FILE`.
pub(crate) const BASELINE: Subject = Subject {
    name: "baseline",
    shape: Shape::Json,
    seeds: reports,
    property: hold_against,
    mutant: divide_by_trials,
};

/// A stored report of an earlier plugpull.
const STORED: &[u8] = include_bytes!("../../../reports/tests/data/report-v1.json");
/// A run as it is written down.
const RUN: &str = concat!(
    r#"{"at_us":0,"record":"header","schema":"plugpull.run/1","plugpull":"0.1.0","command":"run","#,
    r#""target":{"name":"reference","version":"1","settings":{},"promises":[]},"seed":7,"#,
    r#""faults":["kill","power-loss"]}"#,
    "\n",
    r#"{"at_us":5,"record":"trial-started","number":1,"fault":"kill","spec":"kill","seed":3}"#,
    "\n",
    r#"{"at_us":9,"record":"trial","trial":{"number":1,"fault":"kill","spec":"kill","seed":3,"#,
    r#""verdict":"pass","bit":true,"what":"SIGKILL","acked":12,"recovery_us":[900]}}"#,
    "\n",
    r#"{"at_us":10,"record":"end","reason":"complete","took_us":12}"#,
    "\n",
);

fn run_files() -> Vec<Vec<u8>> {
    vec![RUN.as_bytes().to_vec()]
}

fn reports() -> Vec<Vec<u8>> {
    vec![STORED.to_vec()]
}

fn loaded(input: &[u8], scratch: &Path) -> Result<Option<Report>, String> {
    let path = scratch.join("report.json");
    fs::write(&path, input).map_err(|error| error.to_string())?;
    Ok(load(&path).ok())
}

/// Nothing that a target says is more than text to whoever reads the form.
fn escaped(form: Form, text: &str) -> Result<(), String> {
    let bad = match form {
        Form::Html => text.contains("<script>pp"),
        Form::Annotations => text
            .lines()
            .any(|line| line.starts_with("::stop-commands::")),
        Form::Junit => text.contains('\u{1b}') || text.contains("<script>pp"),
        // JSON would have it as an escape.
        Form::Sarif => text.contains("\\u001b"),
        Form::Markdown | Form::Json => text.contains('\u{1b}'),
    };
    match bad {
        true => Err(format!("{form:?} has what a target said as it said it")),
        false => Ok(()),
    }
}

fn in_each_form(report: &Report) -> Result<(), String> {
    for form in [
        Form::Json,
        Form::Junit,
        Form::Sarif,
        Form::Markdown,
        Form::Html,
        Form::Annotations,
    ] {
        let mut text = Vec::new();
        if form.write(report, &mut text).is_ok() {
            escaped(form, &String::from_utf8_lossy(&text))?;
        }
    }
    match render(report, Look::PLAIN).contains('\u{1b}') {
        true => Err("the table has an escape sequence".into()),
        false => Ok(()),
    }
}

fn read_run_file(input: &[u8], scratch: &Path) -> Result<Reading, String> {
    let lines = input.split(|byte| *byte == b'\n').count();
    if parse(input).len() > lines {
        return Err("more records than lines".into());
    }
    match loaded(input, scratch)? {
        Some(report) => in_each_form(&report).map(|()| Reading::Read),
        None => Ok(Reading::Refused),
    }
}

/// A reader that takes the first line for a header.
fn count_on_a_header(input: &[u8], _scratch: &Path) -> Result<Reading, String> {
    let first = input
        .split(|byte| *byte == b'\n')
        .next()
        .unwrap_or_default();
    let header: Value = serde_json::from_slice(first).map_err(|error| error.to_string())?;
    let faults = header["faults"].as_array();
    match faults.map(Vec::len) {
        Some(_) => Ok(Reading::Read),
        None => Err("there is no list of faults".into()),
    }
}

fn read_report(input: &[u8], scratch: &Path) -> Result<Reading, String> {
    let Some(report) = loaded(input, scratch)? else {
        return Ok(Reading::Refused);
    };
    in_each_form(&report)?;
    if let Ok(merged) = merge(vec![report.clone(), report]) {
        in_each_form(&merged)?;
    }
    Ok(Reading::Read)
}

/// A page that has what targets say as they say it.
fn paste_what_targets_say(input: &[u8], scratch: &Path) -> Result<Reading, String> {
    let Some(report) = loaded(input, scratch)? else {
        return Ok(Reading::Refused);
    };
    let page = format!("<pre>{}</pre>", serde_json::json!(report));
    escaped(Form::Html, &page).map(|()| Reading::Read)
}

fn hold_against(input: &[u8], scratch: &Path) -> Result<Reading, String> {
    let (Some(then), Some(now)) = (loaded(input, scratch)?, loaded(STORED, scratch)?) else {
        return Ok(Reading::Refused);
    };
    for (before, after) in [(&then, &now), (&now, &then), (&then, &then)] {
        if let Ok(comparison) = compare(before, after)
            && plugpull_reports::render_comparison(&comparison, Look::PLAIN).contains('\u{1b}')
        {
            return Err("the comparison has an escape sequence".into());
        }
    }
    Ok(Reading::Read)
}

/// A comparison that takes each fault to have trials.
fn divide_by_trials(input: &[u8], scratch: &Path) -> Result<Reading, String> {
    let Some(report) = loaded(input, scratch)? else {
        return Ok(Reading::Refused);
    };
    let share = |row: &plugpull_reports::FaultRow| 100 * row.hit / row.trials;
    let most = report.faults.iter().map(share).max();
    Ok(most.map_or(Reading::Refused, |_| Reading::Read))
}
