//! One trial: start, write, inject, start again, read back, judge.

mod ahead;
pub mod ballast;
mod bench;
mod clients;
mod crashes;
mod explain;
pub mod flip;
pub mod host;
pub mod input;
pub mod restart;
pub mod script;
pub mod storage;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use plugpull_crashsim::fs::Tree;
use plugpull_faults::fault::{Bite, Fault, InjectError, Injected, Machine};
use plugpull_faults::trigger::Trigger;
use plugpull_reports::{ReportedFinding, Trial, class_words};
use plugpull_targets::Target;
use plugpull_workloads::{
    Damage, FailureClass, FindingKind, Guarantee, Judgement, Promise, Stamp, Verdict,
    WorkloadConfig, beginning, judge,
};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use crate::outcome::{HarnessFailed, Observed, guard};

pub use bench::{Bench, StorageRules};
pub use crashes::Crashed;
use explain::explain;
pub use host::SandboxHost;
pub use script::Acked;

/// The key whose answer tells that the target is back: written by client 0 in every transaction.
pub const PROBE: &str = "c0.head";
/// How many transactions the target acknowledges between the second restart and the third.
const MORE_ACKS: u64 = 8;
/// How long they may take.
const MORE_LIMIT: Duration = Duration::from_secs(5);
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

/// One trial to make.
pub struct Order {
    /// Its number in the run, from 1.
    pub number: u64,
    /// What is injected.
    pub fault: &'static Fault,
    /// The user's trigger; a seeded one when none.
    pub trigger: Option<Trigger>,
    /// The seed of everything random in it.
    pub seed: u64,
}

/// A trial's record, and where a promise was broken the crash behind it; none without a crash
/// filesystem.
pub struct Done {
    /// The record.
    pub trial: Trial,
    /// The crash behind its findings.
    pub crashed: Option<Crashed>,
}

/// Makes one trial.
pub fn run(setup: &Setup, order: &Order) -> Done {
    let began = Instant::now();
    let mut rng = ChaCha8Rng::seed_from_u64(order.seed);
    let trigger = order
        .trigger
        .clone()
        .unwrap_or_else(|| usual(order.fault, setup.rules.fuse, &mut rng));
    let spec = format!("{}@{trigger}", order.fault.name);
    let mut trial = Trial::begun(
        order.number,
        order.fault.name,
        spec,
        order.seed,
        order.fault.class,
    );
    let mut crashed = None;
    let bench = guard(|| {
        Bench::new(
            &setup.host,
            &setup.target,
            setup.rules,
            &setup.workload,
            order.seed,
            rng,
            setup.start_limit,
        )
    });
    match bench {
        Ok(mut bench) => {
            let made = guard(|| {
                let mut story = Story {
                    setup,
                    order,
                    trial: &mut trial,
                    crashed: &mut crashed,
                };
                story.tell(&mut bench, &trigger)
            });
            trial.operations = bench.operations();
            close(&mut trial, made, bench);
        }
        Err(failed) => not_measured(&mut trial, &failed),
    }
    trial.took_us = micros(began.elapsed());
    Done { trial, crashed }
}

/// Notes that plugpull failed in a trial. Findings of it that were made before stand; what it
/// concluded else does not.
pub fn not_measured(trial: &mut Trial, failed: &HarnessFailed) {
    trial.verdict = Verdict::HarnessError;
    trial.why = failed.to_string();
}

/// Ends a trial: notes whether plugpull failed in it, and leaves the machine clean for the next.
pub fn close(trial: &mut Trial, made: Result<(), HarnessFailed>, bench: Bench<'_>) {
    let cleaned = bench.tear_down();
    let cleaned = cleaned.map_err(|failed| failed.during("cleaning up"));
    if let Err(failed) = made.and(cleaned) {
        not_measured(trial, &failed);
    }
}

/// A moment that a fault chooses: without FUSE one that is no storage operation, where it has such.
fn usual(fault: &Fault, fuse: bool, rng: &mut ChaCha8Rng) -> Trigger {
    let mut trigger = (fault.usual_trigger)(rng);
    for _ in 0..OTHER_MOMENTS {
        if fuse || !trigger.at_operation() {
            break;
        }
        trigger = (fault.usual_trigger)(rng);
    }
    trigger
}

/// Starts the target on an empty data folder and stops it again. The error says what it said.
pub fn try_start(setup: &Setup) -> Result<(), String> {
    let rng = ChaCha8Rng::seed_from_u64(0);
    let (host, target, rules) = (&setup.host, &setup.target, setup.rules);
    let mut bench = Bench::new(
        host,
        target,
        rules,
        &setup.workload,
        0,
        rng,
        setup.start_limit,
    )
    .map_err(|failed| failed.to_string())?;
    let started = tried(&mut bench, target.scripted().is_some());
    let cleaned = bench.tear_down().map_err(|failed| failed.to_string());
    started.and(cleaned)
}

/// Starts the target; one with a check of its own must also be found sound.
fn tried(bench: &mut Bench<'_>, scripted: bool) -> Result<(), String> {
    let ours = |failed: HarnessFailed| failed.to_string();
    let up = bench.bring_up(PROBE).map_err(ours)?;
    let mut up = up.map_err(|failed| failed.to_string())?;
    if !scripted {
        return Ok(());
    }
    let mut observed = Observed::default();
    up.note(&mut observed).map_err(ours)?;
    script::must_be_sound(&observed)
}

struct Story<'a> {
    setup: &'a Setup,
    order: &'a Order,
    trial: &'a mut Trial,
    crashed: &'a mut Option<Crashed>,
}

impl Story<'_> {
    fn tell(&mut self, bench: &mut Bench<'_>, trigger: &Trigger) -> Result<(), HarnessFailed> {
        bench.start_empty()?;
        bench.work()?;
        let warm = bench.warm_up();
        let injected = match warm.and_then(|()| (self.order.fault.inject)(bench, trigger)) {
            Ok(injected) => injected,
            Err(error @ InjectError::NeverReached(_)) => {
                self.trial.verdict = Verdict::NotMeasured;
                self.trial.why = error.to_string();
                return Ok(());
            }
            Err(error) => return Err(error.into()),
        };
        bench.kill()?;
        self.trial.what = injected.what.clone();
        self.trial.acked = bench.acked() as u64;
        let hits = bench.storage.fs().map_or(0, |fs| fs.damage_hits().0);
        let before = bench.crashed(injected.damage.clone());
        let (mut observed, mut judgement) = self.first_look(bench, &injected)?;
        if too_slow_only(&judgement)
            && let Some(before) = &before
        {
            (observed, judgement) = self.time_again(bench, &injected, &before.disk, observed)?;
        }
        let read = bench.storage.fs().map_or(0, |fs| fs.damage_hits().0) > hits;
        self.trial.bit = match injected.bite {
            Bite::Known(bit) => bit,
            Bite::WhenRead => read,
        };
        let damaged = injected.damage.is_some();
        self.note(bench, judgement);
        let mut later = None;
        if self.trial.verdict == Verdict::Pass
            && !damaged
            && let Some(Ok(state)) = observed.state
        {
            later = self.second_look(bench, state)?;
        }
        if !self.trial.bit && self.trial.findings.is_empty() {
            self.trial.verdict = Verdict::NotMeasured;
            self.trial.why = format!("the fault had no effect: {}", self.trial.what);
        }
        if !self.trial.findings.is_empty() {
            *self.crashed = later.or(before);
        }
        Ok(())
    }

    /// The first restart, the read-back, a second restart without writes in between.
    fn first_look(
        &mut self,
        bench: &mut Bench<'_>,
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
        self.look(bench, &mut observed)?;
        bench.kill()?;
        if matches!(observed.state, Some(Ok(_))) {
            observed.second = Some(match bench.bring_up(PROBE)? {
                Ok(mut up) => {
                    self.trial.recovery_us.extend(up.took.map(micros));
                    up.read_all()?
                }
                Err(failed) => Err(failed.to_string()),
            });
        }
        let judgement = self.judge(bench, &observed, injected.lost_power);
        Ok((observed, judgement))
    }

    /// Starts the target and notes what it shows.
    fn look(
        &mut self,
        bench: &mut Bench<'_>,
        observed: &mut Observed,
    ) -> Result<(), HarnessFailed> {
        let printed = bench.observe(observed)?;
        self.trial.recovery_us.extend(observed.recovery.map(micros));
        bench.outputs.push(printed);
        Ok(())
    }

    fn judge(&self, bench: &Bench<'_>, observed: &Observed, lost_power: bool) -> Judgement {
        let class = self.trial.class;
        let promises = owed(&self.setup.promises, class, lost_power);
        let bound = self.setup.recovery_bound;
        judge(
            &bench.recorder.history(),
            observed,
            &promises,
            class,
            bench.crashed_at,
            bound,
        )
    }

    /// A busy machine makes any target late: times the same recovery again and keeps the best.
    fn time_again(
        &mut self,
        bench: &mut Bench<'_>,
        injected: &Injected,
        disk: &Tree,
        mut observed: Observed,
    ) -> Result<(Observed, Judgement), HarnessFailed> {
        for _ in 0..SLOW_AGAIN {
            bench.kill()?;
            bench.restore(disk.clone())?;
            if let Ok(up) = bench.bring_up(PROBE)? {
                self.trial.recovery_us.extend(up.took.map(micros));
                let took = observed.recovery.into_iter().chain(up.took);
                observed.recovery = took.min();
            }
        }
        let judgement = self.judge(bench, &observed, injected.lost_power);
        Ok((observed, judgement))
    }

    /// The recovered store must also be good to work on: some more transactions, a SIGKILL, and
    /// all of it must be there. What recovery left behind (a torn tail, a stale counter) shows
    /// only now. That SIGKILL, where it shows a finding.
    fn second_look(
        &mut self,
        bench: &mut Bench<'_>,
        state: BTreeMap<String, String>,
    ) -> Result<Option<Crashed>, HarnessFailed> {
        bench.new_history(beginning(state, Stamp::default()));
        bench.crashed_at = None;
        bench.work()?;
        let limit = bench.patient(MORE_LIMIT);
        let tally = bench.work_until(limit, &|tally| tally.ok >= MORE_ACKS)?;
        bench.kill()?;
        let crashed = bench.crashed(None);
        if tally.ok == 0 {
            self.trial.why = "the recovered target acknowledged nothing more".into();
        }
        let mut observed = Observed::default();
        if tally.ok == 0 {
            observed.stays_down = Some(format!(
                "after recovery no transaction was acknowledged within {limit:?} ({} refused, \
                 {} unanswered)",
                tally.fail, tally.info
            ));
        }
        self.look(bench, &mut observed)?;
        let history = bench.history();
        let class = self.trial.class;
        let promises = owed(&self.setup.promises, FailureClass::ProcessCrash, false);
        // Judged as the process crash that it was, after whatever came before.
        let mut judgement = judge(
            &history,
            &observed,
            &promises,
            FailureClass::ProcessCrash,
            bench.crashed_at,
            self.setup.recovery_bound,
        );
        if judgement.verdict == Verdict::Broken {
            for finding in &mut judgement.findings {
                finding.sentence = format!(
                    "after recovering from {} it was written to and killed again: {}",
                    class_words(class),
                    finding.sentence
                );
            }
            self.note(bench, judgement);
            return Ok(crashed);
        }
        Ok(None)
    }

    fn note(&mut self, bench: &Bench<'_>, judgement: Judgement) {
        note(self.trial, bench, judgement);
    }
}

/// Notes what was judged of a trial: its verdict, and its findings with all that is known here.
pub fn note(trial: &mut Trial, bench: &Bench<'_>, judgement: Judgement) {
    trial.verdict = judgement.verdict;
    trial.why = judgement.why;
    for mut finding in judgement.findings {
        explain(bench, &mut finding);
        finding.fault.clone_from(&trial.spec);
        trial.findings.push(ReportedFinding {
            finding,
            trial: trial.number,
            count: 1,
            repeat: String::new(),
            output: bench.outputs.clone(),
            evidence: None,
        });
    }
}

/// What is owed after a failure of this class, when the machine lost power as well: of every kind
/// of guarantee that is given for both, the one given for power loss, which is never the stronger.
fn owed(promises: &[Promise], class: FailureClass, lost_power: bool) -> Vec<Promise> {
    let given = |class: FailureClass| promises.iter().filter(move |p| p.classes.contains(&class));
    if !lost_power || class == FailureClass::PowerLoss {
        // The judge takes those for the class, and needs the others to know what was safe before.
        return promises.to_vec();
    }
    let kind = |promise: &Promise| std::mem::discriminant::<Guarantee>(&promise.guarantee);
    given(FailureClass::PowerLoss)
        .filter(|owed| given(class).any(|other| kind(other) == kind(owed)))
        .map(|owed| {
            let mut owed = owed.clone();
            owed.classes.push(class);
            owed
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
    fn after_an_error_and_a_power_loss_only_what_both_promise_is_owed() {
        use FailureClass::{IoError, PowerLoss};
        let all = [
            promise(&[IoError], Guarantee::Durable(Durability::AtAck)),
            promise(&[PowerLoss], Guarantee::Durable(Durability::AtBarrier)),
            promise(&[PowerLoss], Guarantee::Atomic),
            promise(&[IoError, PowerLoss], Guarantee::Consistent),
        ];
        let owed: Vec<Guarantee> = owed(&all, IoError, true)
            .into_iter()
            .map(|promise| promise.guarantee)
            .collect();
        assert_eq!(
            owed,
            [
                Guarantee::Durable(Durability::AtBarrier),
                Guarantee::Consistent
            ]
        );
        assert_eq!(super::owed(&all, IoError, false), all);
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
