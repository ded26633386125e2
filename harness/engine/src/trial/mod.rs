//! One trial: start, write, inject, start again, read back, judge.

pub mod ballast;
mod clients;
pub mod controls;
mod crashes;
mod elsewhere;
mod explain;
pub mod flip;
pub mod host;
pub mod input;
mod prefork;
mod progress;
pub mod restart;
pub mod script;
pub mod storage;
mod testbed;
mod untouched;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use plugpull_crashsim::fs::Tree;
use plugpull_driver::{Action, Target};
use plugpull_faults::fault::{Effect, Fault, Injected};
use plugpull_faults::machine::{Afterwards, InjectError, Machine};
use plugpull_faults::trigger::Trigger;
use plugpull_reports::{ReportedFinding, Trial};
use plugpull_workloads::{
    Damage, FailureClass, FindingKind, FindingPart, Guarantee, Judgement, PartKind, Promise, Stamp,
    Verdict, WorkloadConfig, beginning, judge,
};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use crate::outcome::{HarnessFailed, Observed, guard};

pub(crate) use clients::{CALL_LIMIT, make};
pub(crate) use controls::STOP_LIMIT;
pub use crashes::{Crashed, JudgedBy};
use elsewhere::Came;
pub use elsewhere::{Elsewhere, run};
use explain::explain;
pub use host::SandboxHost;
pub use prefork::Forking;
pub use script::Acked;
pub use testbed::{Stopped, StorageRules, Testbed};
pub use untouched::{Untouched, WroteTo};

/// The key whose answer tells that the target is back: written by client 0 in every transaction.
pub const PROBE: &str = "c0.head";
/// How many transactions the target acknowledges between the second restart and the third.
const MORE_ACKS: u64 = 8;
/// How long they may take.
const MORE_LIMIT: Duration = Duration::from_secs(5);
/// So many acknowledged transactions without an operation of a kind show that the target does none.
const ENOUGH_ACKS: usize = 20;
/// How long a new session of the workload has for its first.
const SESSION_LIMIT: Duration = Duration::from_secs(10);
/// A recovery over its bound is timed so many times more, from the same disk, before it counts.
const SLOW_AGAIN: usize = 2;
/// How often a fault chooses another moment where its first cannot be had.
const OTHER_MOMENTS: usize = 64;

/// What is the same for all trials of a run.
pub struct Setup {
    /// The sandbox.
    pub host: Arc<SandboxHost>,
    /// The program under test.
    pub target: Arc<dyn Target>,
    /// What the target promises, and what was demanded.
    pub promises: Vec<Promise>,
    /// What is written.
    pub workload: WorkloadConfig,
    /// How the storage behaves.
    pub rules: StorageRules,
    /// The bound on recovery that the user named.
    pub recovery_bound: Option<Duration>,
    /// How long a start may take before it counts as hung.
    pub start_limit: Duration,
}

/// What a trial injects.
#[derive(Clone)]
pub struct ChosenFault {
    /// Its name in reports: the fault's, or the action's.
    pub name: String,
    /// The fault.
    pub fault: &'static Fault,
    /// The action, of a fault that does one.
    pub action: Option<Action>,
    /// The user's trigger; a seeded one when none.
    pub trigger: Option<Trigger>,
}

impl From<&'static Fault> for ChosenFault {
    fn from(fault: &'static Fault) -> Self {
        Self {
            name: fault.name.to_owned(),
            fault,
            action: None,
            trigger: None,
        }
    }
}

/// One trial to make.
pub struct TrialSpec {
    /// Its number in the run, from 1.
    pub number: u64,
    /// What is injected.
    pub chosen: ChosenFault,
    /// The seed of everything random in it.
    pub seed: u64,
    /// What becomes of it where the fault does nothing.
    pub elsewhere: Elsewhere,
}

/// A trial's record, and where a promise was broken the crash behind it; none without a crash
/// filesystem.
pub struct TrialResult {
    /// The record.
    pub trial: Trial,
    /// The crash behind its findings.
    pub crashed: Option<Crashed>,
    /// The fault was over, and its recovery well: the findings came with the kill after that.
    pub later: bool,
}

/// Makes a trial once; a moment that nobody named is `earlier` times as early. Also says what became of
/// its fault.
fn attempt(setup: &Setup, plan: &TrialSpec, earlier: u64) -> (TrialResult, Came) {
    let began = Instant::now();
    let mut rng = ChaCha8Rng::seed_from_u64(plan.seed);
    // In any case, so that the seed and the moment together repeat the trial.
    let ChosenFault {
        name,
        fault,
        action,
        trigger,
    } = &plan.chosen;
    let usual = usual(fault, setup.rules.fuse, &mut rng);
    let trigger = match trigger {
        Some(named) => named.clone(),
        None => usual.earlier(earlier),
    };
    let spec = format!("{name}@{trigger}");
    let mut trial = Trial::begun(plan.number, name, spec, plan.seed, fault.class);
    let mut crashed = None;
    let mut came = Came::Measured;
    let mut later = false;
    let testbed = guard(|| {
        Testbed::new(
            &setup.host,
            &setup.target,
            setup.rules,
            &setup.workload,
            plan.seed,
            rng,
            setup.start_limit,
        )
    });
    match testbed {
        Ok(mut testbed) => {
            testbed.action.clone_from(action);
            let made = guard(|| {
                let mut runner = TrialRunner {
                    setup,
                    plan,
                    trial: &mut trial,
                    crashed: &mut crashed,
                    came: &mut came,
                    later: &mut later,
                };
                runner.run(&mut testbed, &trigger)
            });
            trial.operations = testbed.operations();
            end_trial(&mut trial, made, testbed);
        }
        Err(failed) => not_measured(&mut trial, &failed),
    }
    trial.took_us = micros(began.elapsed());
    let result = TrialResult {
        trial,
        crashed,
        later,
    };
    (result, came)
}

/// Notes that plugpull failed in a trial. Findings of it that were made before stand; what it
/// concluded else does not.
pub fn not_measured(trial: &mut Trial, failed: &HarnessFailed) {
    trial.verdict = Verdict::HarnessError;
    trial.why = failed.to_string();
}

/// Ends a trial: notes whether plugpull failed in it, and leaves the machine clean for the next.
pub fn end_trial(trial: &mut Trial, made: Result<(), HarnessFailed>, testbed: Testbed<'_>) {
    let cleaned = testbed.tear_down();
    let cleaned = cleaned.map_err(|failed| failed.during("cleaning up"));
    if let Err(failed) = made.and(cleaned) {
        not_measured(trial, &failed);
    }
}

/// A moment that a fault chooses: without FUSE one that is no storage operation, where it has such.
fn usual(fault: &Fault, fuse: bool, rng: &mut ChaCha8Rng) -> Trigger {
    let mut trigger = (fault.default_trigger)(rng);
    for _ in 0..OTHER_MOMENTS {
        if fuse || !trigger.at_operation() {
            break;
        }
        trigger = (fault.default_trigger)(rng);
    }
    trigger
}

struct TrialRunner<'a> {
    setup: &'a Setup,
    plan: &'a TrialSpec,
    trial: &'a mut Trial,
    crashed: &'a mut Option<Crashed>,
    came: &'a mut Came,
    later: &'a mut bool,
}

impl TrialRunner<'_> {
    fn run(&mut self, testbed: &mut Testbed<'_>, trigger: &Trigger) -> Result<(), HarnessFailed> {
        testbed.start_empty()?;
        testbed.work()?;
        let warm = testbed.warm_up();
        let injected = match warm.and_then(|()| (self.plan.chosen.fault.inject)(testbed, trigger)) {
            Ok(injected) => injected,
            Err(error @ InjectError::NeverReached(_)) => {
                let acked = testbed.acked();
                (*self.came, self.trial.verdict) = match &self.plan.chosen.trigger {
                    // Not one such operation in all that was acknowledged.
                    None if trigger.is_first_of_its_kind() && acked >= ENOUGH_ACKS => {
                        (Came::NotApplicable, Verdict::NotApplicable)
                    }
                    _ => (Came::NeverReached, Verdict::NotMeasured),
                };
                self.trial.why = format!("{error} ({acked} transactions were acknowledged)");
                return Ok(());
            }
            Err(error) => return Err(error.into()),
        };
        // Without a crash filesystem the control of the user's own targets has looked.
        if testbed.fs().is_some()
            && testbed.acked() > 0
            && let Some(untouched) = testbed.untouched()?
        {
            self.trial.verdict = Verdict::NotMeasured;
            self.trial.why = untouched.to_string();
            return Ok(());
        }
        testbed.kill()?;
        testbed.must_have_read_in_time()?;
        self.trial.what = injected.what.clone();
        self.trial.acked = testbed.acked() as u64;
        let hits = testbed.storage.fs().map_or(0, |fs| fs.damage_hits().0);
        let mut before = testbed.crashed(injected.damage.clone());
        let (mut observed, mut judgement) = self.verify_recovery(testbed, &injected)?;
        if too_slow_only(&judgement)
            && let Some(before) = &before
        {
            (observed, judgement) = self.time_again(testbed, &injected, &before.disk, observed)?;
        }
        let read = testbed.storage.fs().map_or(0, |fs| fs.damage_hits().0) > hits;
        self.trial.hit = match injected.effect {
            Effect::Hit => true,
            Effect::Nothing | Effect::NotApplicable => false,
            Effect::HitIfRead => read,
        };
        let damaged = injected.damage.is_some();
        self.note(testbed, judgement);
        let mut later = None;
        if self.trial.verdict == Verdict::Pass
            && !damaged
            && let Some(Ok(state)) = observed.state
        {
            later = self.verify_writable(testbed, state)?;
        }
        if !self.trial.hit && self.trial.findings.is_empty() {
            (*self.came, self.trial.verdict) = match injected.effect {
                Effect::NotApplicable => (Came::NotApplicable, Verdict::NotApplicable),
                _ => (Came::Nothing, Verdict::NotMeasured),
            };
            self.trial.why = match injected.effect {
                Effect::NotApplicable => self.trial.what.clone(),
                _ => format!("the fault had no effect: {}", self.trial.what),
            };
        }
        if !self.trial.findings.is_empty() {
            *self.later = later.is_some();
            if let Some(before) = &mut before {
                before.judged = JudgedBy {
                    history: testbed.recorder.history(),
                    at: testbed.crashed_at,
                    class: Some(self.trial.class),
                    promises: required(&self.setup.promises, self.trial.class, injected.lost_power),
                    bound: self.setup.recovery_bound,
                };
            }
            *self.crashed = later.or(before);
        }
        Ok(())
    }

    /// The first restart, the read-back, a second restart without writes in between.
    fn verify_recovery(
        &mut self,
        testbed: &mut Testbed<'_>,
        injected: &Injected,
    ) -> Result<(Observed, Judgement), HarnessFailed> {
        let mut observed = Observed {
            stays_down: injected.stays_down.clone(),
            damage: match &injected.damage {
                Some(description) => Damage::SingleCopy {
                    description: description.clone(),
                },
                None => Damage::None,
            },
            ..Observed::default()
        };
        self.observe(testbed, &mut observed)?;
        testbed.kill()?;
        if matches!(observed.state, Some(Ok(_))) {
            let second = match testbed.bring_up(PROBE)? {
                Ok(mut up) => {
                    self.trial.recovery_us.extend(up.took.map(micros));
                    Ok(up.read_all()?)
                }
                Err(failed) => Err(failed),
            };
            observed.second = Some(match second {
                Ok(state) => state,
                Err(failed) => Err(testbed.confirmed(failed)?.to_string()),
            });
        }
        let judgement = self.judge(testbed, &observed, injected.lost_power);
        Ok((observed, judgement))
    }

    /// Starts the target and notes what it shows.
    fn observe(
        &mut self,
        testbed: &mut Testbed<'_>,
        observed: &mut Observed,
    ) -> Result<(), HarnessFailed> {
        let printed = testbed.observe(observed)?;
        self.trial.recovery_us.extend(observed.recovery.map(micros));
        testbed.outputs.push(printed);
        Ok(())
    }

    fn judge(&self, testbed: &Testbed<'_>, observed: &Observed, lost_power: bool) -> Judgement {
        let class = self.trial.class;
        let promises = required(&self.setup.promises, class, lost_power);
        let bound = self.setup.recovery_bound;
        judge(
            &testbed.recorder.history(),
            observed,
            &promises,
            class,
            testbed.crashed_at,
            bound,
        )
    }

    /// A busy machine makes any target late: times the same recovery again and keeps the best.
    fn time_again(
        &mut self,
        testbed: &mut Testbed<'_>,
        injected: &Injected,
        disk: &Tree,
        mut observed: Observed,
    ) -> Result<(Observed, Judgement), HarnessFailed> {
        for _ in 0..SLOW_AGAIN {
            testbed.kill()?;
            testbed.restore(disk.clone())?;
            if let Ok(up) = testbed.bring_up(PROBE)? {
                self.trial.recovery_us.extend(up.took.map(micros));
                let took = observed.recovery.into_iter().chain(up.took);
                observed.recovery = took.min();
            }
        }
        let judgement = self.judge(testbed, &observed, injected.lost_power);
        Ok((observed, judgement))
    }

    /// The recovered store must also be good to work on: some more transactions, a SIGKILL, and
    /// all of it must be there. What recovery left behind (a torn tail, a stale counter) shows
    /// only now. That SIGKILL, where it shows a finding.
    fn verify_writable(
        &mut self,
        testbed: &mut Testbed<'_>,
        state: BTreeMap<String, String>,
    ) -> Result<Option<Crashed>, HarnessFailed> {
        testbed.new_history(beginning(state, Stamp::default()));
        testbed.crashed_at = None;
        testbed.work()?;
        let limit = testbed.patient(MORE_LIMIT);
        let session = testbed.patient(SESSION_LIMIT);
        let mut after = testbed.fares(limit, MORE_ACKS, session)?;
        if let Afterwards::Ended(_) = &after {
            // Once may be what it does with what was left to do; a new session shows it.
            testbed.kill()?;
            if testbed.bring_up(PROBE)?.is_ok() {
                testbed.work()?;
                after = match testbed.fares(session, 1, session)? {
                    Afterwards::Ended(how) => Afterwards::Refuses(format!(
                        "it ended by itself when it was written to, and so at its next start: {how}"
                    )),
                    other => other,
                };
            }
        }
        testbed.kill()?;
        let mut crashed = testbed.crashed(None);
        if after != Afterwards::Works {
            let words = after.describe();
            let words = words.trim_start_matches("; ");
            self.trial.why = format!("the recovered target acknowledged nothing more: {words}");
        }
        let mut observed = Observed {
            stays_down: after
                .stays_down()
                .map(|how| format!("after recovery {how}")),
            ..Observed::default()
        };
        self.observe(testbed, &mut observed)?;
        let history = testbed.history();
        let class = self.trial.class;
        let promises = required(&self.setup.promises, FailureClass::ProcessCrash, false);
        if let Some(crashed) = &mut crashed {
            crashed.judged = JudgedBy {
                history: history.clone(),
                at: testbed.crashed_at,
                class: Some(FailureClass::ProcessCrash),
                promises: promises.clone(),
                bound: self.setup.recovery_bound,
            };
        }
        // Judged as the process crash that it was, after whatever came before.
        let mut judgement = judge(
            &history,
            &observed,
            &promises,
            FailureClass::ProcessCrash,
            testbed.crashed_at,
            self.setup.recovery_bound,
        );
        if judgement.verdict == Verdict::Broken {
            for finding in &mut judgement.findings {
                let before = format!(
                    "after recovering from {} it was written to and killed again",
                    class.label()
                );
                finding.sentence = format!("{before}: {}", finding.sentence);
                finding
                    .parts
                    .push(FindingPart::new(PartKind::Before, before));
            }
            self.note(testbed, judgement);
            return Ok(crashed);
        }
        Ok(None)
    }

    fn note(&mut self, testbed: &Testbed<'_>, judgement: Judgement) {
        note(self.trial, testbed, judgement);
    }
}

/// Notes what was judged of a trial: its verdict, and its findings with all that is known here.
pub fn note(trial: &mut Trial, testbed: &Testbed<'_>, judgement: Judgement) {
    trial.verdict = judgement.verdict;
    trial.why = judgement.why;
    trial.observed = judgement.observed;
    for mut finding in judgement.findings {
        explain(testbed, &mut finding);
        finding.fault.clone_from(&trial.spec);
        trial.findings.push(ReportedFinding {
            finding,
            trial: trial.number,
            count: 1,
            repeat: String::new(),
            output: testbed.outputs.clone(),
            evidence: None,
        });
    }
}

/// What is required after a failure of this class, when the machine lost power as well: of every kind
/// of guarantee that is given for both, the one given for power loss, which is never the stronger.
fn required(promises: &[Promise], class: FailureClass, lost_power: bool) -> Vec<Promise> {
    let given = |class: FailureClass| promises.iter().filter(move |p| p.classes.contains(&class));
    if !lost_power || class == FailureClass::PowerLoss {
        // The judge takes those for the class, and needs the others to know what was safe before.
        return promises.to_vec();
    }
    let kind = |promise: &Promise| std::mem::discriminant::<Guarantee>(&promise.guarantee);
    given(FailureClass::PowerLoss)
        .filter(|required| given(class).any(|other| kind(other) == kind(required)))
        .map(|required| {
            let mut required = required.clone();
            required.classes.push(class);
            required
        })
        .collect()
}

fn too_slow_only(judgement: &Judgement) -> bool {
    !judgement.findings.is_empty()
        && judgement
            .findings
            .iter()
            .all(|f| f.kind == FindingKind::TooSlow)
}

/// Microseconds; the largest number where there are more.
pub fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// The history, for tests of what lies beside it.
#[cfg(test)]
mod tests {
    use plugpull_workloads::{Durability, History};

    use super::*;

    fn promise(classes: &[FailureClass], guarantee: Guarantee) -> Promise {
        Promise {
            classes: classes.to_vec(),
            guarantee,
            words: String::new(),
            source: String::new(),
            demanded: false,
        }
    }

    #[test]
    fn after_an_error_and_a_power_loss_only_what_both_promise_is_required() {
        use FailureClass::{IoError, PowerLoss};
        let all = [
            promise(&[IoError], Guarantee::Durable(Durability::AtAck)),
            promise(&[PowerLoss], Guarantee::Durable(Durability::AtBarrier)),
            promise(&[PowerLoss], Guarantee::Atomic),
            promise(&[IoError, PowerLoss], Guarantee::Consistent),
        ];
        let required: Vec<Guarantee> = required(&all, IoError, true)
            .into_iter()
            .map(|promise| promise.guarantee)
            .collect();
        assert_eq!(
            required,
            [
                Guarantee::Durable(Durability::AtBarrier),
                Guarantee::Consistent
            ]
        );
        assert_eq!(super::required(&all, IoError, false), all);
    }

    #[test]
    fn a_history_can_begin_with_a_state() {
        let state = BTreeMap::from([("k".to_string(), "v".to_string())]);
        let history = History {
            entries: vec![beginning(state, Stamp::default())],
        };
        assert_eq!(history.acked(), 1);
    }
}
