//! Shows a made-up run as a terminal would see it: `show 12` for one with twelve findings,
//! `show 0 --progress` to see the progress bar first, `show 1 --json FILE` to write it down.

use std::time::Duration;

use plugpull_reports::{Event, JsonReporter, Progress, Reporter, TableReporter};

#[path = "../tests/reports/made_up.rs"]
mod made_up;

fn main() -> std::io::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let findings = arguments.next().and_then(|n| n.parse().ok()).unwrap_or(0);
    let option = arguments.next();
    let report = made_up::report(findings);
    let mut reporters: Vec<Box<dyn Reporter>> = Vec::new();
    let progress = option.as_deref() == Some("--progress");
    if progress {
        reporters.push(Box::new(Progress::new(false)));
    }
    reporters.push(Box::new(TableReporter));
    if option.as_deref() == Some("--json")
        && let Some(path) = arguments.next()
    {
        reporters.push(Box::new(JsonReporter::new(path)));
    }
    let mut tell = |event: Event| reporters.iter_mut().try_for_each(|r| r.event(&event));
    tell(Event::RunStarted {
        target: report.target.clone(),
        seed: report.seed,
        budget: Duration::from_secs(10),
        faults: report.faults.iter().map(|row| row.fault.clone()).collect(),
        unavailable: vec![],
    })?;
    for trial in &report.trial_log {
        tell(Event::TrialStarted {
            number: trial.number,
            fault: trial.spec.clone(),
        })?;
        if progress {
            // An example may sleep: it plays a run to someone who watches.
            std::thread::sleep(Duration::from_millis(50));
        }
        tell(Event::TrialFinished(Box::new(trial.clone())))?;
    }
    tell(Event::RunFinished(Box::new(report)))
}
