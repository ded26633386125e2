//! A measurement of growth: rounds of all sizes, until there were enough or the time is over.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use plugpull_reports::LEAST_REPEATS;

use super::sample::{CrashKind, SampleSpec, sample};
use super::sizes::Round;
use crate::experiment::{Experiment, Made, NextTrial};
use crate::keep::{Exported, Keep};
use crate::seed;
use crate::trial::Setup;

/// What is measured.
pub struct GrowthSpec<'a> {
    /// What is the same for all measurements.
    pub setup: Setup,
    /// What recovery is from.
    pub crash: CrashKind,
    /// How many transactions are acknowledged before the crash, smallest first.
    pub sizes: Vec<u64>,
    /// The seed that those of all measurements come from.
    pub seed: u64,
    /// How often each size is measured, unless the budget ends it.
    pub repeats: u64,
    /// No further round begins after this time, once there were as many as say something.
    pub budget: Duration,
    /// Where the crashed data directories of findings are kept.
    pub keep: Option<Keep>,
    /// The command that measures the same again.
    pub again: String,
    /// Raised when the run is to end.
    pub stop: &'a AtomicBool,
}

/// A measurement under way.
pub struct GrowthRun<'a> {
    plan: GrowthSpec<'a>,
    /// Rounds that have begun.
    rounds: u64,
    /// What is left of the last one.
    round: std::vec::IntoIter<u64>,
    /// The number of the last measurement, and its size.
    last: (u64, u64),
    /// How many were made before.
    done: u64,
}

impl<'a> GrowthRun<'a> {
    /// The first `done` measurements were made before the run was resumed.
    pub fn new(plan: GrowthSpec<'a>, done: u64) -> Self {
        Self {
            plan,
            rounds: 0,
            round: Vec::new().into_iter(),
            last: (0, 0),
            done,
        }
    }

    /// The next size; none when there were enough rounds. Fewer than the least would have measured
    /// nothing.
    fn next_size(&mut self, elapsed: Duration) -> Option<u64> {
        loop {
            if let Some(size) = self.round.next() {
                return Some(size);
            }
            let late = elapsed >= self.plan.budget && self.rounds >= LEAST_REPEATS as u64;
            if late || self.rounds >= self.plan.repeats || self.plan.sizes.is_empty() {
                return None;
            }
            self.round = Round::new(&self.plan.sizes, self.plan.seed, self.rounds).into_iter();
            self.rounds += 1;
        }
    }

    fn spec(&self, number: u64, acks: u64) -> SampleSpec {
        SampleSpec {
            number,
            acks,
            crash: self.plan.crash,
            seed: seed::of_trial(self.plan.seed, number),
        }
    }
}

impl Experiment for GrowthRun<'_> {
    fn next(&mut self, elapsed: Duration) -> Option<NextTrial> {
        // What was made before is passed over, whatever the time.
        while self.last.0 < self.done {
            self.last = (self.last.0 + 1, self.next_size(Duration::ZERO)?);
        }
        let acks = self.next_size(elapsed)?;
        let number = self.last.0 + 1;
        self.last = (number, acks);
        let spec = self.spec(number, acks);
        Some(NextTrial {
            number,
            slot: 0,
            fault: spec.crash.name().to_string(),
            spec: spec.spec(),
            seed: spec.seed,
            class: spec.crash.class(),
        })
    }

    fn make(&mut self, next: &NextTrial) -> Option<Made> {
        let spec = self.spec(next.number, self.last.1);
        let sampled = sample(&self.plan.setup, &spec, self.plan.stop);
        let mut trial = sampled.trial;
        if sampled.sample.is_none() && self.plan.stop.load(Ordering::Relaxed) {
            return None;
        }
        if let (Some(keep), Some(disk)) = (&self.plan.keep, &sampled.disk) {
            let name = format!("trial-{}-{}", next.number, next.fault);
            if let Err(error) = keep.disk(&name, disk).map(Exported::warned) {
                trial.why = format!("the crashed directory could not be kept: {error}");
            }
        }
        for finding in &mut trial.findings {
            finding.repeat.clone_from(&self.plan.again);
        }
        Some(Made {
            trial,
            sample: sampled.sample,
            not_measured: None,
        })
    }
}
