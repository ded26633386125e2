//! Shows a made-up run as a terminal would see it: `show 12` for one with twelve findings,
//! `show 0 --progress` to see the progress bar first, `show 1 --html FILE` (or `--json`,
//! `--junit`, `--markdown`) to write it down; with `--explored` before the file it is an
//! exploration.

use std::time::Duration;

use plugpull_reports::{
    FileReporter, Form, Header, Line, Progress, Record, Reporter, TableReporter, TrialRecord,
    TrialStarted,
};

#[path = "../tests/reports/explored.rs"]
mod explored;
#[path = "../tests/reports/made_up.rs"]
mod made_up;

fn main() -> std::io::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let findings = arguments.next().and_then(|n| n.parse().ok()).unwrap_or(0);
    let mut reporters: Vec<Box<dyn Reporter>> = Vec::new();
    let mut report = made_up::report(findings);
    let mut progress = false;
    while let Some(option) = arguments.next() {
        let form = match option.as_str() {
            "--progress" => {
                progress = true;
                reporters.push(Box::new(Progress::new(false)));
                continue;
            }
            "--explored" => {
                report = explored::explored(findings);
                continue;
            }
            "--html" => Form::Html,
            "--json" => Form::Json,
            "--junit" => Form::Junit,
            "--markdown" => Form::Markdown,
            other => return Err(std::io::Error::other(format!("{other} is not known"))),
        };
        let path = arguments.next().unwrap_or_default();
        reporters.push(Box::new(FileReporter::new(path, form)));
    }
    reporters.push(Box::new(TableReporter));
    let mut show = |record: Record| {
        let line = Line { at_us: 0, record };
        reporters.iter_mut().try_for_each(|r| r.record(&line))
    };
    show(Record::Header(Box::new(Header {
        budget_us: Some(10_000_000),
        ..Header::default()
    })))?;
    for trial in report.trial_log.in_memory() {
        show(Record::TrialStarted(TrialStarted {
            number: trial.number,
            fault: trial.spec.clone(),
            slot: None,
        }))?;
        if progress {
            // An example may sleep: it plays a run to someone who watches.
            std::thread::sleep(Duration::from_millis(50));
        }
        show(Record::Trial(Box::new(TrialRecord::live(trial.clone()))))?;
    }
    reporters.iter_mut().try_for_each(|r| r.finish(&report))
}
