//! Who is told what happens in a run.

use plugpull_reports::{Event, JsonReporter, Progress, Report, Reporter, TableReporter};

use crate::cli::OutputOptions;

/// All reporters of a run. What one of them fails to say is said at the end, once.
pub(super) struct Reporters {
    all: Vec<Box<dyn Reporter>>,
    failures: Vec<String>,
}

impl Reporters {
    /// The progress bar unless it is unwanted, the table, and the JSON report where one is wanted.
    pub(super) fn new(wanted: &OutputOptions) -> Self {
        let mut all: Vec<Box<dyn Reporter>> = vec![
            Box::new(Progress::new(wanted.quiet)),
            Box::new(TableReporter),
        ];
        if let Some(path) = &wanted.json {
            all.push(Box::new(JsonReporter::new(path.clone())));
        }
        Self {
            all,
            failures: Vec::new(),
        }
    }

    /// Tells all of them.
    pub(super) fn tell(&mut self, event: &Event) {
        for reporter in &mut self.all {
            if let Err(error) = reporter.event(event) {
                let text = error.to_string();
                if !self.failures.contains(&text) {
                    self.failures.push(text);
                }
            }
        }
    }

    /// Tells them that the run is over. An error when one of them failed on the way.
    pub(super) fn finish(mut self, report: Report) -> anyhow::Result<()> {
        self.tell(&Event::RunFinished(Box::new(report)));
        match self.failures.is_empty() {
            true => Ok(()),
            false => anyhow::bail!(
                "the report could not be written: {}",
                self.failures.join("; ")
            ),
        }
    }
}
