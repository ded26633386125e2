//! A report of trials that are kept in memory: of made-up ones.

// tidy: small because made-up trials are a subject of their own

use std::time::Duration;

use crate::fold::{Fold, evidence_once, micros, settled};
use crate::report::{Ended, Plan, Report};
use crate::rows::Rows;
use crate::run_file::record::EndReason;
use crate::trial::Trial;

/// Collects trials, in any order, and makes the [`Report`] of them.
#[derive(Clone, Debug)]
pub struct ReportBuilder {
    fold: Fold,
    trials: Vec<Trial>,
}

impl ReportBuilder {
    /// Without trials yet.
    pub fn new(plan: Plan) -> Self {
        Self {
            fold: Fold::new(plan),
            trials: Vec::new(),
        }
    }

    /// Takes a trial that has ended.
    pub fn trial(&mut self, trial: &Trial) {
        self.fold.trial(trial);
        self.trials.push(settled(trial.clone()));
    }

    /// Which findings of a trial, by index, are the first of their entry in the report: those that
    /// have their evidence there.
    pub fn firsts(&self, trial: &Trial) -> Vec<usize> {
        self.fold.firsts(trial)
    }

    /// The report of all trials so far. `interrupted` when the user or the budget ended the run
    /// before every fault was tried.
    pub fn finish(mut self, took: Duration, interrupted: bool) -> Report {
        self.trials.sort_by_key(|trial| trial.number);
        let mut report = self
            .fold
            .report_of(micros(took), interrupted, Rows::default());
        evidence_once(&mut self.trials, &report.findings);
        report.trial_log = self.trials.into();
        report.ended = Some(Ended {
            reason: match interrupted {
                true => EndReason::Interrupted,
                false => EndReason::Complete,
            },
            why: String::new(),
        });
        report
    }
}
