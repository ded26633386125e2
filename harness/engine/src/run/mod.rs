//! Live faults against a target that runs: which of them, in which order, and one trial of each.

mod confirm;
mod control;
mod schedule;
mod selection;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use plugpull_faults::trigger::{Trigger, When};
use plugpull_reports::{Evidence, ReportedFinding, TargetInfo, Trial, Tries};
use plugpull_workloads::{FindingKind, Verdict};

use control::{Controls, Whose};

pub use schedule::{Schedule, Until};
pub use selection::{Machinery, NotTried, Selected, every_fault, selected};

use crate::experiment::{Experiment, Made, NextTrial};
use crate::explore::{CpuLease, NewSandbox, SandboxWorker, StartLimits};
use crate::keep::{Exported, Keep};
use crate::seed;
use crate::trial::{self, ChosenFault, Crashed, Elsewhere, Setup, TrialResult, TrialSpec};

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
    /// Where artifacts of findings are kept; nowhere when none.
    pub artifacts: Option<PathBuf>,
    /// The target, as reports have it.
    pub info: TargetInfo,
    /// The command that the trials are repeated by, without the fault and the seed.
    pub again: String,
    /// Makes another sandbox.
    pub new_host: NewSandbox,
}

/// A run of live faults. Its schedule knows of the trials that were made before the run was resumed.
pub struct FaultRun {
    plan: FaultPlan,
    schedule: Schedule,
    /// The crash behind the findings of the last trial.
    crashed: Option<Crashed>,
    /// Whose findings are whose.
    controls: Controls,
    /// The sandbox in which crashed disks are tried again; made when it is needed.
    worker: Option<SandboxWorker>,
    /// When the last trial was begun.
    began: Instant,
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
            controls: Controls::default(),
            worker: None,
            began: Instant::now(),
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
        let chosen = &self.plan.faults[slot];
        let fresh = || seed::of_trial(self.plan.seed, number);
        Some(NextTrial {
            number,
            slot,
            fault: chosen.name.clone(),
            spec: chosen.name.clone(),
            seed: self.plan.trial_seed.unwrap_or_else(fresh),
            class: chosen.fault.class,
        })
    }

    fn make(&mut self, next: &NextTrial) -> Option<Made> {
        let began = Instant::now();
        self.began = began;
        self.renew();
        let spec = TrialSpec {
            number: next.number,
            chosen: self.plan.faults[next.slot].clone(),
            seed: next.seed,
            elsewhere: self.elsewhere(began),
        };
        let made = trial::run(&self.plan.setup, &spec);
        let hit = made.trial.hit;
        let (made, not_measured) = self.attributed(made);
        let mut trial = made.trial;
        if let (Some(keep), Some(crashed)) = (&self.plan.keep, &made.crashed) {
            let name = format!("trial-{}-{}", next.number, trial.fault);
            if let Err(error) = keep.disk(&name, &crashed.disk).map(Exported::warned) {
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
        self.schedule.tried(next.slot, hit, began.elapsed());
        Some(Made {
            not_measured,
            ..trial.into()
        })
    }

    fn explain(&mut self, trial: &mut Trial, findings: &[usize]) {
        let crashed = self.crashed.take();
        let took = Duration::from_micros(trial.took_us);
        let mut again = None;
        let mut taken_back = Vec::new();
        for index in findings {
            let kind = trial.findings[*index].finding.kind;
            let again = again.get_or_insert_with(|| self.made_again(trial, took));
            let mut tries = Tries {
                repeated: again.iter().filter(|kinds| kinds.contains(&kind)).count() as u64,
                tries: again.len() as u64,
                ..Tries::default()
            };
            if let Some(crashed) = &crashed {
                self.replay(crashed, kind, took, &mut tries);
            }
            if !confirm::stands(kind, &tries) {
                taken_back.push((*index, tries));
                continue;
            }
            let mut evidence = evidence(crashed.as_ref(), &trial.findings[*index]);
            if let Some(crashed) = &crashed {
                let name = match index {
                    0 => format!("trial-{}-{}", trial.number, trial.fault),
                    n => format!("trial-{}-{}-{}", trial.number, trial.fault, n + 1),
                };
                match self.artifact(&name, crashed, trial, *index) {
                    Ok(path) => evidence.artifact = path.map(|path| path.display().to_string()),
                    Err(error) => trial.why = format!("the artifact could not be kept: {error:#}"),
                }
            }
            let finding = &mut trial.findings[*index];
            // A command that did not repeat it once is no way to see it again.
            if tries.tries > 0 && tries.repeated == 0 {
                let artifact = evidence.artifact.as_deref();
                finding.repeat = artifact
                    .map(|path| format!("plugpull replay {path}"))
                    .unwrap_or_default();
            }
            evidence.tries = Some(tries);
            finding.evidence = Some(Box::new(evidence));
        }
        take_back(trial, &taken_back);
    }
}

/// Findings that did not show again are none: with nothing else found the trial is not measured.
fn take_back(trial: &mut Trial, taken_back: &[(usize, Tries)]) {
    for (index, tries) in taken_back.iter().rev() {
        let gone = trial.findings.remove(*index);
        if trial.findings.is_empty() {
            trial.verdict = Verdict::NotMeasured;
            trial.why = format!(
                "seen once and not again, so it may have been the machine ({}): {}",
                tries.describe(),
                gone.finding.sentence
            );
        }
    }
}

impl FaultRun {
    /// The trial, or where the kill at its end brings all that it found, the control that shows this,
    /// with why the fault is not measured then.
    fn attributed(&mut self, made: TrialResult) -> (TrialResult, Option<(String, String)>) {
        let took = Duration::from_micros(made.trial.took_us);
        let number = made.trial.number;
        let end = self.elsewhere(self.began);
        let (setup, trial) = (&self.plan.setup, &made.trial);
        let mut seeds = trial.seed..;
        let control = || {
            if !has_time(end, took) {
                return None;
            }
            let spec = TrialSpec {
                number,
                chosen: ChosenFault {
                    trigger: Some(Trigger::at(When::Ack(trial.acked.max(1)))),
                    ..plugpull_faults::fault("kill")?.into()
                },
                seed: seeds.next()?,
                elsewhere: Elsewhere::Never,
            };
            Some(trial::run(setup, &spec))
        };
        let whose = self
            .controls
            .whose(trial, made.later, control, |made| &made.trial);
        match whose {
            Whose::Fault => (made, None),
            Whose::Kill(mut control) => {
                let why = "the SIGKILL that ends each trial breaks a promise by itself: see kill";
                control.trial.took_us += made.trial.took_us;
                (control, Some((made.trial.fault, why.into())))
            }
        }
    }

    /// What was found when the same trial was made again, each time.
    fn made_again(&self, trial: &Trial, took: Duration) -> Vec<BTreeSet<FindingKind>> {
        let mut planned = self.plan.faults.iter();
        let planned = planned.find(|chosen| chosen.name == trial.fault).cloned();
        // A control is a kill, which may not be among those that were chosen.
        let chosen = planned.or_else(|| plugpull_faults::fault(&trial.fault).map(Into::into));
        let (Some(chosen), Some((_, trigger))) = (chosen, trial.spec.split_once('@')) else {
            return Vec::new();
        };
        let usual = Trigger::at(When::Ack(1));
        let Ok(trigger) = Trigger::parse(trigger, &usual) else {
            return Vec::new();
        };
        let end = self.elsewhere(self.began);
        let mut all = Vec::new();
        for _ in 0..confirm::TRIES {
            if !has_time(end, took) {
                break;
            }
            let spec = TrialSpec {
                number: trial.number,
                chosen: ChosenFault {
                    trigger: Some(trigger.clone()),
                    ..chosen.clone()
                },
                seed: trial.seed,
                elsewhere: Elsewhere::Never,
            };
            let again = trial::run(&self.plan.setup, &spec).trial;
            let kinds = again.findings.iter().map(|one| one.finding.kind);
            all.push(kinds.collect());
        }
        all
    }

    /// Counts how often the crashed disk shows a finding again.
    fn replay(&mut self, crashed: &Crashed, kind: FindingKind, took: Duration, tries: &mut Tries) {
        if !confirm::on_disk(kind, crashed) {
            return;
        }
        if self.worker.is_none() {
            let (another, setup) = (self.plan.new_host.clone(), &self.plan.setup);
            let (target, limit) = (setup.target.clone(), setup.start_limit);
            let limits = StartLimits::new(limit);
            self.worker = SandboxWorker::new(another, target, limits, CpuLease::default()).ok();
        }
        let Some(worker) = &self.worker else { return };
        let end = self.elsewhere(self.began);
        for _ in 0..confirm::TRIES {
            if !has_time(end, took) {
                return;
            }
            match confirm::replayed(worker, &self.plan.setup, crashed, kind) {
                Ok(seen) => {
                    tries.replays += 1;
                    tries.replayed += u64::from(seen);
                }
                // Nothing is known of the target then.
                Err(_) => {
                    self.worker = None;
                    return;
                }
            }
        }
    }

    fn artifact(
        &self,
        name: &str,
        crashed: &Crashed,
        trial: &Trial,
        index: usize,
    ) -> anyhow::Result<Option<PathBuf>> {
        let Some(into) = &self.plan.artifacts else {
            return Ok(None);
        };
        let (setup, info) = (&self.plan.setup, &self.plan.info);
        let found = (&trial.findings[index], trial.seed, trial.what.as_str());
        confirm::keep(into, name, setup, info, crashed, found).map(Some)
    }
}

/// Whether there is time for something that takes so long; always where one trial is asked for.
fn has_time(end: Elsewhere, took: Duration) -> bool {
    match end {
        Elsewhere::Never | Elsewhere::Always => true,
        Elsewhere::Until(end) => Instant::now() + took <= end,
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
