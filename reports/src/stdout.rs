//! Forms that a program reads from standard output.

use std::io::{self, Write as _};

use crate::file::Form;
use crate::{Event, Reporter};

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
    fn event(&mut self, event: &Event) -> io::Result<()> {
        if let Event::RunFinished(report) = event {
            let text = (self.form)(report)?;
            let mut out = io::stdout().lock();
            out.write_all(text.as_bytes())?;
            out.flush()?;
        }
        Ok(())
    }
}
