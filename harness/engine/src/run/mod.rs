//! Live faults against a target that runs: which of them, in which order, and one trial of each.

mod schedule;
mod selection;

use std::sync::Arc;
use std::time::{Duration, Instant};

use plugpull_faults::trigger::Trigger;
use plugpull_reports::{Evidence, ReportedFinding, Trial};

pub use schedule::{Schedule, Until};
pub use selection::{
    ChosenFault, Machinery, NotTried, Selected, chosen_faults, selected, without_skipped,
};

use crate::experiment::{Experiment, Made, NextTrial};
use crate::keep::Keep;
use crate::seed;
use crate::trial::{self, Crashed, Elsewhere, SandboxHost, Setup, TrialSpec};

/// Makes another sandbox, when plugpull failed in one.
pub type NewHost = Box<dyn Fn() -> anyhow::Result<SandboxHost>>;

/// What a run of live faults tries.
pub struct FaultPlan {
    /// What is the same for all trials.
    pub setup: Setup,
    /// What is injected.
    pub faults: Vec<ChosenFault>,
    /// The seed that those of all trials come from.
    pub seed: u64,
    /// The seed of the only trial, where one is repeated.
    pub trial_seed: Option<u64>,
    /// Where the crashed data directories of findings are kept.
    pub keep: Option<Keep>,
    /// The command that the trials are repeated by, without the fault and the seed.
    pub again: String,
    /// Makes another sandbox.
    pub new_host: NewHost,
}

/// A run of live faults. Its schedule knows of the trials that were made before the run was resumed.
pub struct FaultRun {
    plan: FaultPlan,
    schedule: Schedule,
    /// The crash behind the findings of the last trial.
    crashed: Option<Crashed>,
    /// How long the run had taken when the last trial was chosen.
    elapsed: Duration,
}

impl FaultRun {
    /// Nothing was tried yet but for what the schedule knows of.
    pub fn new(plan: FaultPlan, schedule: Schedule) -> Self {
        Self {
            plan,
            schedule,
            crashed: None,
            elapsed: Duration::ZERO,
        }
    }

    /// Whether a trial that begins now and whose fault does nothing is made elsewhere.
    fn elsewhere(&self, now: Instant) -> Elsewhere {
        match (self.plan.trial_seed, self.schedule.budget()) {
            (Some(_), _) => Elsewhere::Never,
            (None, None) => Elsewhere::Always,
            (None, Some(budget)) => Elsewhere::Until(now + budget.saturating_sub(self.elapsed)),
        }
    }

    /// How many faults never had their turn, and how long one round of all of them takes: none when
    /// all had it.
    pub fn left_out(&self) -> Option<(usize, Duration)> {
        self.schedule.left_out()
    }

    fn trigger(&self, next: &NextTrial) -> Option<Trigger> {
        self.plan.faults[next.slot].1.clone()
    }

    /// A sandbox in which plugpull failed says nothing of the target any more. Where there can be no
    /// other, the next trial says so.
    fn renew(&mut self) {
        if self.plan.setup.host.usable().is_ok() {
            return;
        }
        match (self.plan.new_host)() {
            Ok(host) => self.plan.setup.host = Arc::new(host),
            Err(error) => eprintln!("plugpull: there can be no other sandbox: {error:#}"),
        }
    }
}

impl Experiment for FaultRun {
    fn next(&mut self, elapsed: Duration) -> Option<NextTrial> {
        self.elapsed = elapsed;
        let (number, slot) = self.schedule.next(elapsed)?;
        let fault = self.plan.faults[slot].0;
        let fresh = || seed::of_trial(self.plan.seed, number);
        Some(NextTrial {
            number,
            slot,
            fault: fault.name.to_string(),
            spec: fault.name.to_string(),
            seed: self.plan.trial_seed.unwrap_or_else(fresh),
            class: fault.class,
        })
    }

    fn make(&mut self, next: &NextTrial) -> Option<Made> {
        let began = Instant::now();
        self.renew();
        let spec = TrialSpec {
            number: next.number,
            fault: self.plan.faults[next.slot].0,
            trigger: self.trigger(next),
            seed: next.seed,
            elsewhere: self.elsewhere(began),
        };
        let made = trial::run(&self.plan.setup, &spec);
        let mut trial = made.trial;
        if let (Some(keep), Some(crashed)) = (&self.plan.keep, &made.crashed) {
            let name = format!("trial-{}-{}", next.number, next.fault);
            if let Err(error) = keep.disk(&name, &crashed.disk) {
                trial.why = format!("the crashed directory could not be kept: {error}");
            }
        }
        for finding in &mut trial.findings {
            finding.repeat = format!(
                "plugpull run {} --fault '{}' --trial-seed {}",
                self.plan.again, trial.spec, trial.seed
            );
        }
        self.crashed = made.crashed;
        self.schedule.tried(next.slot, trial.hit, began.elapsed());
        Some(trial.into())
    }

    fn explain(&mut self, trial: &mut Trial, findings: &[usize]) {
        let crashed = self.crashed.take();
        for index in findings {
            let finding = &mut trial.findings[*index];
            finding.evidence = Some(Box::new(evidence(crashed.as_ref(), finding)));
        }
    }
}

/// What is known of the crash behind a finding.
fn evidence(crashed: Option<&Crashed>, finding: &ReportedFinding) -> Evidence {
    match crashed {
        Some(crashed) => crashed.evidence(finding.finding.ack),
        None => Evidence {
            unrecorded:
                "The trial ran without the crash filesystem, which is what records storage \
                         operations: there is no time line and no list of files."
                    .into(),
            ..Evidence::default()
        },
    }
}
