//! Waiting until a daemon is ready.

use std::io::ErrorKind;
use std::time::{Duration, Instant};

use super::line::Line;
use crate::{Host, Process, StartError};

/// How often a port is tried and a command is run. Nothing tells when a port opens.
const AGAIN: Duration = Duration::from_millis(2);

/// How a daemon is known ready.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Ready {
    /// A line of its standard output contains this text.
    Line(String),
    /// This TCP port of the loopback takes connections.
    Port(u16),
    /// This command ends with exit code 0.
    Command(Line),
}

/// Waits until a line of a process's standard output contains `text`.
pub(crate) fn line(
    text: &str,
    process: &mut dyn Process,
    deadline: Instant,
) -> Result<(), StartError> {
    let began = Instant::now();
    loop {
        match process.stdout_line(deadline) {
            Ok(Some(line)) if line.contains(text) => return Ok(()),
            Ok(Some(_)) => {}
            // It may close its standard output and live on, but it says no more.
            Ok(None) => {
                return Err(match process.wait(deadline)? {
                    Some(code) => StartError::Exited {
                        code,
                        output: process.complaint(),
                    },
                    None => late(began, process),
                });
            }
            Err(error) if error.kind() == ErrorKind::TimedOut => return Err(late(began, process)),
            Err(error) => return Err(error.into()),
        }
    }
}

/// It was neither ready nor gone in time.
fn late(began: Instant, process: &dyn Process) -> StartError {
    StartError::Timeout {
        waited: began.elapsed(),
        output: process.output(),
    }
}

impl Ready {
    /// Waits for it, until the process has ended or the deadline has passed.
    pub(super) fn wait(
        &self,
        process: &mut dyn Process,
        host: &dyn Host,
        deadline: Instant,
    ) -> Result<(), StartError> {
        let began = Instant::now();
        if let Self::Line(text) = self {
            return line(text, process, deadline);
        }
        loop {
            if self.is_so(host, deadline)? {
                return Ok(());
            }
            // This waits for its end, and is no sleep.
            if let Some(code) = process.wait(deadline.min(Instant::now() + AGAIN))? {
                return Err(StartError::Exited {
                    code,
                    output: process.complaint(),
                });
            }
            if Instant::now() >= deadline {
                return Err(late(began, process));
            }
        }
    }

    /// Whether the port is open or the command ends well.
    fn is_so(&self, host: &dyn Host, deadline: Instant) -> Result<bool, StartError> {
        match self {
            Self::Line(_) => Ok(false),
            Self::Port(port) => Ok(host.connect(*port).is_ok()),
            Self::Command(line) => {
                let mut probe = host.spawn_beside(&line.launch(host), None)?;
                Ok(probe.wait(deadline)? == Some(0))
            }
        }
    }
}
