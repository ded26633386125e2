//! The event stream: the runner emits, reporters consume.

use std::io;
use std::time::Duration;

use crate::{Report, TargetInfo, Trial};

/// Something that happened in a run.
#[derive(Clone, Debug)]
pub enum Event {
    /// A run begins.
    RunStarted {
        /// What is tested.
        target: TargetInfo,
        /// The seed of everything that plugpull decides.
        seed: u64,
        /// How long it may take; zero where no budget ends it.
        budget: Duration,
        /// The faults that will be tried, by name.
        faults: Vec<String>,
        /// Faults that this machine cannot inject, with the reason.
        unavailable: Vec<(String, String)>,
    },
    /// A trial begins.
    TrialStarted {
        /// Its number, from 1.
        number: u64,
        /// Its fault with trigger.
        fault: String,
    },
    /// A trial has ended.
    TrialFinished(Box<Trial>),
    /// The run has ended, by itself, by its budget or by the user.
    RunFinished(Box<Report>),
}

/// Consumes events. An error of one reporter does not stop the run.
pub trait Reporter {
    /// Takes note of an event.
    fn event(&mut self, event: &Event) -> io::Result<()>;
}
