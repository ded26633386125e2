//! What shows a run: while it lasts, and at its end.

use std::io::{self, Write as _};
use std::path::PathBuf;

use crate::file::replace_file;
use crate::github::annotations;
use crate::html::html;
use crate::json::json;
use crate::junit::junit;
use crate::markdown::markdown;
use crate::report::Report;
use crate::run_file::record::Line;
use crate::sarif::sarif;

/// Shows a run. An error of one reporter does not stop the run.
pub trait Reporter: Send {
    /// A record was written.
    fn record(&mut self, _line: &Line) -> io::Result<()> {
        Ok(())
    }

    /// The run has ended, by itself, by its budget or by the user.
    fn finish(&mut self, report: &Report) -> io::Result<()>;
}

/// A form that a report can be written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// The JSON report.
    Json,
    /// JUnit XML.
    Junit,
    /// SARIF.
    Sarif,
    /// Markdown.
    Markdown,
    /// A page.
    Html,
    /// Annotations for a GitHub job.
    Annotations,
}

impl Form {
    /// Writes the report in this form.
    pub fn write(self, report: &Report, to: &mut dyn io::Write) -> io::Result<()> {
        let text = match self {
            Form::Json => return json(report, to),
            Form::Junit => junit(report)?,
            Form::Sarif => sarif(report)?,
            Form::Markdown => markdown(report)?,
            Form::Html => html(report)?,
            Form::Annotations => annotations(report)?,
        };
        to.write_all(text.as_bytes())
    }
}

/// Writes the report in some form when the run has ended.
#[derive(Clone, Debug)]
pub struct FileReporter {
    path: PathBuf,
    form: Form,
}

impl FileReporter {
    /// Will write to this file. Nothing is touched before the run has ended.
    pub fn new(path: impl Into<PathBuf>, form: Form) -> Self {
        Self {
            path: path.into(),
            form,
        }
    }
}

impl Reporter for FileReporter {
    fn finish(&mut self, report: &Report) -> io::Result<()> {
        replace_file(&self.path, |file| self.form.write(report, file)).map_err(|error| {
            io::Error::new(error.kind(), format!("{}: {error}", self.path.display()))
        })
    }
}

/// Writes the report in some form to standard output when the run has ended, and nothing else.
#[derive(Clone, Copy, Debug)]
pub struct StdoutReporter {
    form: Form,
}

impl StdoutReporter {
    /// In this form.
    pub fn new(form: Form) -> Self {
        Self { form }
    }
}

impl Reporter for StdoutReporter {
    fn finish(&mut self, report: &Report) -> io::Result<()> {
        let mut out = io::BufWriter::new(io::stdout().lock());
        self.form.write(report, &mut out)?;
        out.flush()
    }
}
