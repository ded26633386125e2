//! What the forms of a report need of its trials, gathered in one pass over them.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use plugpull_workloads::{FailureClass, Verdict};

use crate::report::Report;
use crate::times::Times;
use crate::trial::{ReportedFinding, Trial};

/// So many of the slowest restarts are named.
const SLOWEST: usize = 5;

/// Its size depends on how many faults, findings and different times there are, not on how many
/// trials.
#[derive(Clone, Debug, Default)]
pub(crate) struct Facts {
    /// By the fault's name.
    pub(crate) faults: BTreeMap<String, FaultFacts>,
    /// Every timed restart of the report's own figure: measured, and not of a fault that stalls.
    pub(crate) times: Times,
    /// The slowest of them, slowest first.
    pub(crate) slowest: Vec<SlowRestart>,
    /// The most storage operations before a crash from which a restart was timed.
    pub(crate) most_operations: u64,
    /// Of a report that measured growth: the trials that were not measured, one for each spec, with
    /// the reason.
    pub(crate) not_measured: Vec<(String, String)>,
    /// The class of failure of the trials that the findings name.
    classes: BTreeMap<u64, FailureClass>,
}

/// What is known of the trials of one fault.
#[derive(Clone, Debug, Default)]
pub(crate) struct FaultFacts {
    /// The class of failure of its first trial.
    pub(crate) first_class: Option<FailureClass>,
    /// Those of all of them.
    pub(crate) classes: BTreeSet<FailureClass>,
    /// Those of the ones that were measured.
    pub(crate) measured_classes: BTreeSet<FailureClass>,
    /// How long they took together, in microseconds.
    pub(crate) took_us: u64,
    /// Why plugpull failed, of the first in which it did.
    pub(crate) harness_error: Option<String>,
    /// Their findings, one for each kind and promise.
    pub(crate) findings: Vec<ReportedFinding>,
    /// The first restart of each measured trial: later ones of the same trial meet the same disk,
    /// and would count one crash twice.
    pub(crate) first_restarts: Times,
}

/// One of the slowest restarts.
#[derive(Clone, Debug)]
pub(crate) struct SlowRestart {
    pub(crate) us: u64,
    pub(crate) trial: u64,
    pub(crate) spec: String,
    pub(crate) what: String,
}

impl Facts {
    /// Those of a report. An error when its trials cannot be read.
    pub(crate) fn of(report: &Report) -> io::Result<Self> {
        let mut facts = Self::default();
        let named: BTreeSet<u64> = report.findings.iter().map(|one| one.trial).collect();
        let mut specs = BTreeSet::new();
        report.trial_log.each(|trial| {
            if named.contains(&trial.number) {
                facts.classes.entry(trial.number).or_insert(trial.class);
            }
            if report.growth.is_some()
                && trial.verdict == Verdict::NotMeasured
                && specs.insert(trial.spec.clone())
            {
                let one = (trial.spec.clone(), trial.why.clone());
                facts.not_measured.push(one);
            }
            facts.of_fault(trial);
            facts.restarts(trial);
        })?;
        Ok(facts)
    }

    fn of_fault(&mut self, trial: &Trial) {
        let fault = match self.faults.get_mut(&trial.fault) {
            Some(fault) => fault,
            None => self.faults.entry(trial.fault.clone()).or_default(),
        };
        fault.first_class.get_or_insert(trial.class);
        fault.classes.insert(trial.class);
        if trial.is_measured() {
            fault.measured_classes.insert(trial.class);
        }
        fault.took_us = fault.took_us.saturating_add(trial.took_us);
        if trial.verdict == Verdict::HarnessError && fault.harness_error.is_none() {
            fault.harness_error = Some(trial.why.clone());
        }
        for found in &trial.findings {
            if !fault.findings.iter().any(|one| alike(one, found)) {
                fault.findings.push(found.clone());
            }
        }
        if timed(trial)
            && let Some(us) = trial.recovery_us.first()
        {
            fault.first_restarts.add(*us);
        }
    }

    fn restarts(&mut self, trial: &Trial) {
        if !timed(trial) || trial.recovery_us.is_empty() {
            return;
        }
        self.most_operations = self.most_operations.max(trial.operations);
        for us in &trial.recovery_us {
            self.times.add(*us);
            // Of equal times those of earlier trials.
            let at = self.slowest.partition_point(|one| one.us >= *us);
            if at < SLOWEST {
                let one = SlowRestart {
                    us: *us,
                    trial: trial.number,
                    spec: trial.spec.clone(),
                    what: trial.what.clone(),
                };
                self.slowest.insert(at, one);
                self.slowest.truncate(SLOWEST);
            }
        }
    }

    /// The class of failure of the trial that a finding names, or of the first trial of its fault.
    pub(crate) fn class_of(&self, finding: &ReportedFinding, fault: &str) -> Option<FailureClass> {
        let named = self.classes.get(&finding.trial).copied();
        named.or_else(|| self.faults.get(fault)?.first_class)
    }
}

/// True when the restarts of a trial count for the report's own figure.
pub(crate) fn timed(trial: &Trial) -> bool {
    trial.is_measured() && trial.class != FailureClass::Stall
}

/// True when two findings are of the same kind and against the same promise.
pub(crate) fn alike(one: &ReportedFinding, other: &ReportedFinding) -> bool {
    one.finding.kind == other.finding.kind && one.finding.promise == other.finding.promise
}
