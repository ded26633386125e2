//! Targets that bring their own workload and their own check, as commands: what they print, and
//! what it means.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use crate::{Host, Process};

/// What a target offers that is written to by a command of its own instead of by
/// [`Client`](crate::Client)s. [`Target::start`](crate::Target::start) then only brings it up.
pub trait Scripted: Send + Sync {
    /// True when starting it leaves a process running: the daemon. Without one, the workload is
    /// the process that a crash takes.
    fn serves(&self) -> bool;
    /// True when starting it runs a command at all, so that the time it takes means something.
    fn recovers(&self) -> bool;
    /// How long the workload may take to its first [`WorkloadLine::Barrier`], where no fault is to strike
    /// before it: nothing would be at stake. None where its first acks are enough.
    fn first_barrier(&self) -> Option<Duration> {
        None
    }
    /// Starts the workload, which says what is durable in [`WorkloadLine`] lines. `life` counts the
    /// workload's starts in one trial, from 1.
    fn work(&self, host: &dyn Host, life: u64) -> io::Result<Box<dyn Process>>;
    /// Runs the check on what is in the data directory now, with the IDs that were acknowledged, in
    /// the order of their acks.
    ///
    /// # Errors
    /// The check could not be run, or what it said makes no sense: nothing is known of the target.
    fn check(&self, host: &dyn Host, acked: &[String]) -> io::Result<CheckAnswer>;
    /// The same within so long, where that is less than the check's own limit.
    ///
    /// # Errors
    /// As [`Scripted::check`].
    fn check_within(
        &self,
        host: &dyn Host,
        acked: &[String],
        limit: Option<Duration>,
    ) -> io::Result<CheckAnswer> {
        let _ = limit;
        self.check(host, acked)
    }
    /// Files and directories outside of the data directory that must stay visible in a sandbox.
    fn visible(&self) -> Vec<PathBuf>;
    /// What it is made of, as names and texts, for people.
    fn described(&self) -> Vec<(String, String)>;
    /// A probable mistake in how it was named, in a sentence; for the error where it does not work.
    fn hint(&self) -> Option<String> {
        None
    }
}

/// What a line of the workload's standard output says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WorkloadLine {
    /// `try ID`: it is going to write ID.
    Try(String),
    /// `ack ID`: ID is durable.
    Ack(String),
    /// `fail ID`: ID was certainly not written.
    Fail(String),
    /// `info ID`: nobody knows whether ID was written.
    Info(String),
    /// `barrier`: every ID that was acknowledged so far is durable as from a barrier.
    Barrier,
    /// Anything else: output like any other.
    Nothing,
}

impl WorkloadLine {
    /// Reads a line. The error says what is wrong with one that begins with one of the words.
    pub fn parse(line: &str) -> Result<Self, String> {
        let mut words = line.split_whitespace();
        let make = match words.next() {
            Some("try") => Self::Try,
            Some("ack") => Self::Ack,
            Some("fail") => Self::Fail,
            Some("info") => Self::Info,
            Some("barrier") if words.next().is_none() => return Ok(Self::Barrier),
            _ => return Ok(Self::Nothing),
        };
        match (words.next(), words.next()) {
            (Some(id), None) => Ok(make(id.to_owned())),
            _ => Err(format!(
                "the workload printed {line:?}; after try, ack, fail or info comes one word, the ID"
            )),
        }
    }
}

/// A check's answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckAnswer {
    /// What it found.
    pub checked: Checked,
    /// The end of what it printed.
    pub output: String,
}

/// What a check found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Checked {
    /// The target opened.
    Opened(Missing),
    /// It did not open: what it said, or how it ended.
    Refused(String),
    /// It neither opened nor ended.
    Hung(Duration),
}

/// What a target that opened does not hold as it should. The texts are the check's own and may be
/// empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Missing {
    /// IDs that are gone.
    pub lost: BTreeMap<String, String>,
    /// IDs that are there in part.
    pub torn: BTreeMap<String, String>,
    /// What is wrong besides.
    pub corrupt: Vec<String>,
}

impl Missing {
    /// True when nothing is.
    pub fn is_empty(&self) -> bool {
        self.lost.is_empty() && self.torn.is_empty() && self.corrupt.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::WorkloadLine;

    #[test]
    fn lines_are_read() {
        assert_eq!(
            WorkloadLine::parse("ack 17"),
            Ok(WorkloadLine::Ack("17".into()))
        );
        assert_eq!(
            WorkloadLine::parse(" try  a/b \r"),
            Ok(WorkloadLine::Try("a/b".into()))
        );
        assert_eq!(
            WorkloadLine::parse("info x"),
            Ok(WorkloadLine::Info("x".into()))
        );
        assert_eq!(
            WorkloadLine::parse("fail x"),
            Ok(WorkloadLine::Fail("x".into()))
        );
        assert_eq!(
            WorkloadLine::parse("acknowledged 17"),
            Ok(WorkloadLine::Nothing)
        );
        assert_eq!(WorkloadLine::parse("barrier\r"), Ok(WorkloadLine::Barrier));
        assert_eq!(
            WorkloadLine::parse("barrier reached"),
            Ok(WorkloadLine::Nothing)
        );
        assert_eq!(WorkloadLine::parse(""), Ok(WorkloadLine::Nothing));
    }

    #[test]
    fn an_ack_of_nothing_or_of_two_is_an_error() {
        assert!(WorkloadLine::parse("ack").is_err());
        let error = WorkloadLine::parse("ack 1 2").expect_err("two words");
        assert!(error.contains("ack 1 2"), "{error}");
    }
}
