//! Who is told what happens in a run.

use std::io::Write as _;

use plugpull_reports::{
    Comparison, Event, FileReporter, Form, Look, Progress, Report, Reporter, StdoutReporter,
    TableReporter, annotations, html, json, junit, markdown, render_comparison,
};

use crate::cli::{Format, ReportOptions};

/// All reporters of a run. What one of them fails to say is said at the end, once.
pub(super) struct Reporters {
    all: Vec<Box<dyn Reporter>>,
    format: Format,
    failures: Vec<String>,
}

impl Reporters {
    /// The progress bar unless `quiet`, what standard output gets, and the files that are wanted.
    pub(super) fn new(wanted: &ReportOptions, quiet: bool) -> Self {
        // The bar first: it clears its line before anything else is written.
        let mut all: Vec<Box<dyn Reporter>> = vec![Box::new(Progress::new(quiet))];
        match wanted.format {
            Format::Human => all.push(Box::new(TableReporter)),
            Format::Json => all.push(Box::new(StdoutReporter::new(json))),
            Format::Github => {
                all.push(Box::new(StdoutReporter::new(annotations)));
                all.push(Box::new(TableReporter));
            }
        }
        let files: [(&Option<std::path::PathBuf>, Form); 4] = [
            (&wanted.json, json),
            (&wanted.junit, junit),
            (&wanted.markdown, markdown),
            (&wanted.html, html),
        ];
        for (path, form) in files {
            if let Some(path) = path {
                all.push(Box::new(FileReporter::new(path, form)));
            }
        }
        Self {
            all,
            format: wanted.format,
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
        self.check()
    }

    /// The same with what became of the baseline, behind everything else: on standard output, or
    /// where that holds the report alone, on standard error.
    pub(super) fn finish_against(
        mut self,
        report: Report,
        comparison: &Comparison,
    ) -> anyhow::Result<()> {
        self.tell(&Event::RunFinished(Box::new(report)));
        let written = match self.format {
            Format::Json => {
                let text = render_comparison(comparison, Look::of_stderr());
                std::io::stderr().write_all(text.as_bytes())
            }
            Format::Human | Format::Github => {
                let text = render_comparison(comparison, Look::of_stdout());
                write!(std::io::stdout(), "\nAgainst the baseline:\n\n{text}")
            }
        };
        if let Err(error) = written {
            self.failures.push(error.to_string());
        }
        self.check()
    }

    fn check(self) -> anyhow::Result<()> {
        match self.failures.is_empty() {
            true => Ok(()),
            false => anyhow::bail!(
                "the report could not be written: {}",
                self.failures.join("; ")
            ),
        }
    }
}
