//! What the lines mean that a daemon prints while it starts, where its driver says so.

use std::io::ErrorKind;
use std::time::{Duration, Instant};

use crate::protocol::LaunchAnswer;
use crate::{Process, StartError};

/// How long the line is waited for that a daemon prints once it is up: another version may not print
/// it.
const SETTLED_LIMIT: Duration = Duration::from_secs(1);

/// The texts that are looked for, and what was found.
#[derive(Debug, Default)]
pub(super) struct Lines {
    ready: Option<String>,
    settled: Option<String>,
    refusals: Vec<String>,
    is_settled: bool,
}

impl Lines {
    pub(super) fn new(launch: &LaunchAnswer) -> Self {
        Self {
            ready: launch.ready_line.clone(),
            settled: launch.settled_line.clone(),
            refusals: launch.refusal_lines.clone(),
            is_settled: false,
        }
    }

    /// Whether any of the lines that a daemon prints is looked for.
    pub(super) fn mean_something(&self) -> bool {
        self.ready.is_some() || self.settled.is_some() || !self.refusals.is_empty()
    }

    /// Waits for the line that says that the daemon is ready, where there is one.
    pub(super) fn ready(
        &mut self,
        process: &mut dyn Process,
        deadline: Instant,
    ) -> Result<(), StartError> {
        let began = Instant::now();
        let Some(text) = self.ready.take() else {
            return Ok(());
        };
        let late = |process: &dyn Process| StartError::Timeout {
            waited: began.elapsed(),
            output: process.output(),
        };
        loop {
            match process.stdout_line(deadline) {
                Ok(Some(line)) => {
                    self.read(&line).map_err(StartError::WentOn)?;
                    if line.contains(&text) {
                        return Ok(());
                    }
                }
                // It may close its standard output and live on, but it says no more.
                Ok(None) => {
                    return Err(match process.wait(deadline)? {
                        Some(code) => StartError::Exited {
                            code,
                            output: process.complaint(),
                        },
                        None => late(process),
                    });
                }
                Err(error) if error.kind() == ErrorKind::TimedOut => return Err(late(process)),
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Why the daemon refuses to start, by the lines that it has printed since; none where it does
    /// not.
    pub(super) fn refusal(&mut self, process: &mut dyn Process) -> Option<String> {
        if self.refusals.is_empty() {
            return None;
        }
        while let Ok(Some(line)) = process.stdout_line(Instant::now()) {
            if let Err(why) = self.read(&line) {
                return Some(why);
            }
        }
        None
    }

    /// Waits for the line after which nothing is refused any more, where there is one.
    pub(super) fn settled(&mut self, process: &mut dyn Process) -> Result<(), StartError> {
        if let Some(why) = self.refusal(process) {
            return Err(StartError::WentOn(why));
        }
        let limit = Instant::now() + SETTLED_LIMIT;
        while self.settled.is_some() && !self.is_settled {
            match process.stdout_line(limit) {
                Ok(Some(line)) => self.read(&line).map_err(StartError::WentOn)?,
                Ok(None) => return Ok(()),
                Err(error) if error.kind() == ErrorKind::TimedOut => return Ok(()),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Reads a line; an error is that it refuses to start.
    fn read(&mut self, line: &str) -> Result<(), String> {
        if let Some(at) = self
            .refusals
            .iter()
            .find_map(|text| line.find(text.as_str()))
        {
            return Err(format!("it prints {:?}", &line[at..]));
        }
        let settled = self.settled.as_deref();
        self.is_settled |= settled.is_some_and(|text| line.contains(text));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_found_within_its_line() {
        let launch = LaunchAnswer {
            settled_line: Some("all set".into()),
            refusal_lines: vec!["no database".into()],
            ..LaunchAnswer::default()
        };
        let mut lines = Lines::new(&launch);
        assert_eq!(lines.read("12:00 starting"), Ok(()));
        assert!(!lines.is_settled);
        assert_eq!(lines.read("12:01 all set."), Ok(()));
        assert!(lines.is_settled);
        let why = lines.read("12:02 no database: gone").expect_err("refused");
        assert_eq!(why, "it prints \"no database: gone\"");
    }
}
