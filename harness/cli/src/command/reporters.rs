//! Who shows a run and its report.

use std::io::Write as _;

use plugpull_reports::{
    Comparison, FileReporter, Form, Look, Progress, Report, Reporter, StdoutReporter,
    TableReporter, render_comparison,
};

use crate::options::{Format, ReportOptions};

/// The reporters of a report. What one of them could not write is an error at the end, once.
pub(super) struct Reporters {
    all: Vec<Box<dyn Reporter>>,
    format: Format,
    failures: Vec<String>,
}

impl Reporters {
    /// What shows a run while it lasts: the progress bar unless `quiet`.
    pub(super) fn live(quiet: bool) -> Vec<Box<dyn Reporter>> {
        vec![Box::new(Progress::new(quiet))]
    }

    /// Those of a report that was made elsewhere.
    pub(super) fn new(wanted: &ReportOptions) -> Self {
        Self::ending(wanted, Vec::new(), Vec::new())
    }

    /// Those of a run at its end, behind the ones that showed it while it lasted: the bar clears its
    /// line before anything else is written.
    pub(super) fn ending(
        wanted: &ReportOptions,
        mut all: Vec<Box<dyn Reporter>>,
        failures: Vec<String>,
    ) -> Self {
        match wanted.format {
            Format::Human => all.push(Box::new(TableReporter)),
            Format::Json => all.push(Box::new(StdoutReporter::new(Form::Json))),
            Format::Github => {
                all.push(Box::new(StdoutReporter::new(Form::Annotations)));
                all.push(Box::new(TableReporter));
            }
        }
        let files = [
            (&wanted.json, Form::Json),
            (&wanted.junit, Form::Junit),
            (&wanted.sarif, Form::Sarif),
            (&wanted.markdown, Form::Markdown),
            (&wanted.html, Form::Html),
        ];
        for (path, form) in files {
            if let Some(path) = path {
                all.push(Box::new(FileReporter::new(path, form)));
            }
        }
        Self {
            all,
            format: wanted.format,
            failures,
        }
    }

    fn show(&mut self, report: &Report) {
        for reporter in &mut self.all {
            if let Err(error) = unless_unread(reporter.finish(report)) {
                let text = error.to_string();
                if !self.failures.contains(&text) {
                    self.failures.push(text);
                }
            }
        }
    }

    /// Shows the report. An error when one of them failed on the way.
    pub(super) fn finish(mut self, report: &Report) -> anyhow::Result<()> {
        self.show(report);
        self.check()
    }

    /// The same with what became of the baseline, behind everything else: on standard output, or
    /// where that holds the report alone, on standard error.
    pub(super) fn finish_against(
        mut self,
        report: &Report,
        comparison: &Comparison,
    ) -> anyhow::Result<()> {
        self.show(report);
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
        if let Err(error) = unless_unread(written) {
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

/// A reader who has gone away (`plugpull run | head`) is no failure: the exit code says the rest.
pub(crate) fn unless_unread(written: std::io::Result<()>) -> std::io::Result<()> {
    match written {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        written => written,
    }
}
