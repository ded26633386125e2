//! What every target offers.

use std::io;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use plugpull_workloads::{Checker, Promise, WorkloadConfig};
use thiserror::Error;

use crate::{Action, Client, ClientError, Host, Process, Scripted};

/// Why a target did not come up.
#[derive(Debug, Error)]
pub enum StartError {
    /// It ended before it was ready.
    #[error("it ended with code {code} before it was ready: {output}")]
    Exited {
        /// Exit code, or 128 + signal.
        code: i32,
        /// The end of its output.
        output: String,
    },
    /// It was neither ready nor gone in time.
    #[error("it was neither ready nor gone after {waited:.1?}: {output}")]
    Timeout {
        /// How long it was waited for.
        waited: Duration,
        /// The end of its output.
        output: String,
    },
    /// It was started, and said that it cannot open what is in its data directory.
    #[error("{0}")]
    Refused(String),
    /// It printed that it could not open what is in its data directory, and goes on answering.
    #[error("{0}")]
    WentOn(String),
    /// It could not be started at all: the program is missing, the sandbox refused, or who speaks
    /// for it did something wrong. Nothing is known of the target.
    #[error("it could not be started: {0}")]
    Host(#[from] io::Error),
}

/// A target that is up. Dropping it does not stop the process: the host does.
pub trait Running: Send {
    /// A new connection.
    fn connect(&self, deadline: Instant) -> Result<Box<dyn Client>, ClientError>;
    /// The process that is the target; none where nothing keeps running.
    fn process(&mut self) -> Option<&mut dyn Process>;
}

/// What clients may ask of a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Abilities {
    /// It can roll a transaction back at its end.
    pub abort: bool,
    /// It can remove a key.
    pub delete: bool,
    /// It can make durable what was acknowledged before.
    pub barrier: bool,
}

impl Default for Abilities {
    /// All of them.
    fn default() -> Self {
        Self {
            abort: true,
            delete: true,
            barrier: true,
        }
    }
}

/// A program under test, with its settings applied.
pub trait Target: Send + Sync {
    /// Its name on the command line.
    fn name(&self) -> &str;
    /// True where the user brought what decides of it: a check or a driver of his own.
    fn users_own(&self) -> bool {
        false
    }
    /// How long it may take to start, where it says so itself.
    fn start_limit(&self) -> Option<Duration> {
        None
    }
    /// True when only the program itself can tell what it is and promises, and it has not been
    /// asked yet: see [`Target::introduce`].
    fn must_be_asked(&self) -> bool {
        false
    }
    /// Asks the program, by starting it once on a host with an empty data directory; the caller kills
    /// it. Until then a target that must be asked knows no promises.
    fn introduce(&self, host: &dyn Host, deadline: Instant) -> Result<(), StartError> {
        let _ = (host, deadline);
        Ok(())
    }
    /// What its clients may be asked for.
    fn abilities(&self) -> Abilities {
        Abilities::default()
    }
    /// Its version and settings, for reports: "SQLite 3.50.2, journal_mode=wal, synchronous=full".
    fn version(&self) -> String;
    /// Why it cannot be run here, and how to change that; none when it can.
    fn absent(&self) -> Option<String> {
        None
    }
    /// How many keys a transaction should write, without the head key of its client.
    fn ops_per_txn(&self) -> RangeInclusive<u32> {
        WorkloadConfig::default().ops_per_txn
    }
    /// What its driver can do to it besides transactions. Those that are done while it is up come
    /// from a [`Client`].
    fn actions(&self) -> &[Action] {
        &[]
    }
    /// Does one of its actions that are done while it is down, on `host`, where its data directory is
    /// as it left it; says why where the driver did not do it.
    ///
    /// # Errors
    /// The driver could not be started, or does not end.
    fn act_down(
        &self,
        host: &dyn Host,
        action: &Action,
        amount: Option<u32>,
        deadline: Instant,
    ) -> io::Result<Result<(), String>> {
        let _ = (host, action, amount, deadline);
        Err(io::ErrorKind::Unsupported.into())
    }
    /// Whether it keeps snapshots of its state in files of their own.
    fn keeps_snapshots(&self) -> bool {
        false
    }
    /// Whether the file at this path in its data directory holds a snapshot.
    fn is_snapshot(&self, path: &str) -> bool {
        let _ = path;
        false
    }
    /// Files and directories outside of the data directory that must stay visible in a sandbox.
    fn visible(&self) -> Vec<PathBuf> {
        self.scripted().map(Scripted::visible).unwrap_or_default()
    }
    /// How many times longer than usual its transactions are waited for, at least 1: more where each
    /// takes seconds, so that a slow machine is not taken for a target that does nothing.
    fn patience(&self) -> u32 {
        1
    }
    /// What it promises with these settings.
    fn promises(&self) -> Vec<Promise>;
    /// Starts it on `host` and waits until it takes connections, or until `deadline`.
    /// What runs borrows the host, because only the host can open connections to it.
    fn start<'host>(
        &self,
        host: &'host dyn Host,
        deadline: Instant,
    ) -> Result<Box<dyn Running + 'host>, StartError>;
    /// Whose its integrity check is: only what the target itself says is a detection by it.
    fn checker(&self) -> Checker {
        Checker::Target
    }
    /// Its own workload and check, where it brings them. Then it has no [`Client`]s.
    fn scripted(&self) -> Option<&dyn Scripted> {
        None
    }
}
