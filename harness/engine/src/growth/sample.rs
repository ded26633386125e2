//! One measurement: grow the log, crash, and time several restarts from the same disk.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use plugpull_crashsim::fs::{LogLimit, Tree};
use plugpull_crashsim::persist::Loss;
use plugpull_faults::machine::{InjectError, Machine};
use plugpull_faults::trigger::When;
use plugpull_reports::{GrowthSample, SizeUnit, Trial};
use plugpull_workloads::{
    Call, FailureClass, History, Judgement, Outcome, Start, Verdict, Write, judge, recent, settles,
};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use super::sizes::{pilot_acks, pilot_time};
use crate::outcome::{HarnessFailed, Observed, guard};
use crate::trial::{PROBE, Setup, Testbed, end_trial, micros, not_measured, note};

/// Restarts from each disk: the median of their times is the measurement.
const RESTARTS: usize = 3;
/// How often it is looked whether the log grows.
const LOOK: Duration = Duration::from_secs(1);
/// How long the target may acknowledge nothing before the log counts as stuck.
const STUCK: Duration = Duration::from_secs(20);
/// The least that the pilot may take: a first transaction can be slow.
const LEAST_PILOT: Duration = Duration::from_millis(200);
/// Bytes of writes that are kept to cut the power in; older ones count as written back.
const LOG_BYTES: u64 = 64 << 20;
/// How many calls of each client are judged one by one before the whole history is.
const RECENT: usize = 32;

/// How the target is brought down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CrashKind {
    /// By SIGKILL.
    Kill,
    /// By a power loss; nothing unsynced survives.
    PowerLoss,
}

impl CrashKind {
    /// The fault's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Kill => "kill",
            Self::PowerLoss => "power-loss",
        }
    }

    /// The class of failure whose promises are judged.
    pub fn class(self) -> FailureClass {
        match self {
            Self::Kill => FailureClass::ProcessCrash,
            Self::PowerLoss => FailureClass::PowerLoss,
        }
    }
}

/// One measurement to make.
pub struct SampleSpec {
    /// Its number in the run, from 1.
    pub number: u64,
    /// How many transactions are acknowledged before the crash.
    pub acks: u64,
    /// What recovery is from.
    pub crash: CrashKind,
    /// The seed of what is written.
    pub seed: u64,
}

impl SampleSpec {
    /// As `plugpull run --fault` would have it.
    pub fn spec(&self) -> String {
        format!("{}@ack={}", self.crash.name(), self.acks)
    }
}

/// A measurement, with the trial that it is for reports.
pub struct Sampled {
    pub trial: Trial,
    /// None where nothing was timed.
    pub sample: Option<GrowthSample>,
    /// The disk as the target found it, where a promise was broken.
    pub disk: Option<Tree>,
}

/// Makes one measurement. It ends early, and measured nothing, when `stop` is raised.
pub fn sample(setup: &Setup, wanted: &SampleSpec, stop: &AtomicBool) -> Sampled {
    let began = Instant::now();
    let mut sampled = Sampled {
        trial: Trial::begun(
            wanted.number,
            wanted.crash.name(),
            wanted.spec(),
            wanted.seed,
            wanted.crash.class(),
        ),
        sample: None,
        disk: None,
    };
    match guard(|| testbed(setup, wanted.seed)) {
        Ok(mut testbed) => {
            let measured = guard(|| measure(setup, wanted, stop, &mut testbed, &mut sampled));
            end_trial(&mut sampled.trial, measured, testbed);
        }
        Err(failed) => not_measured(&mut sampled.trial, &failed),
    }
    sampled.trial.took_us = micros(began.elapsed());
    sampled
}

/// How many transactions the target acknowledges in a part of the budget, at most as many as
/// matter.
///
/// # Errors
/// It does not start, or acknowledges nothing at all.
pub fn pilot(setup: &Setup, budget: Duration) -> anyhow::Result<u64> {
    let mut testbed = testbed(setup, 0)?;
    let tried = (|| {
        testbed.start_empty()?;
        testbed.work()?;
        let (time, most) = (pilot_time(budget).max(LEAST_PILOT), pilot_acks());
        let mut tally = testbed.work_until(time, &|tally| tally.ok >= most)?;
        if tally.ok == 0 {
            tally = testbed.work_until(STUCK, &|tally| tally.ok > 0)?;
        }
        anyhow::ensure!(
            tally.ok > 0,
            "the target acknowledged nothing in {STUCK:.1?}"
        );
        testbed.kill()?;
        Ok(tally.ok)
    })();
    let cleaned = testbed.tear_down();
    let acked = tried?;
    cleaned?;
    Ok(acked)
}

fn testbed(setup: &Setup, seed: u64) -> Result<Testbed<'_>, HarnessFailed> {
    let rng = ChaCha8Rng::seed_from_u64(seed);
    let testbed = Testbed::new(
        &setup.host,
        &setup.target,
        setup.rules,
        &setup.workload,
        seed,
        rng,
        setup.start_limit,
    )?;
    if let Some(fs) = testbed.fs() {
        fs.limit_log(LogLimit::Fold(LOG_BYTES));
    }
    Ok(testbed)
}

fn measure(
    setup: &Setup,
    wanted: &SampleSpec,
    stop: &AtomicBool,
    testbed: &mut Testbed<'_>,
    sampled: &mut Sampled,
) -> Result<(), HarnessFailed> {
    let trial = &mut sampled.trial;
    testbed.start_empty()?;
    testbed.work()?;
    if let Err(why) = grow(testbed, wanted.acks, stop)? {
        trial.verdict = Verdict::NotMeasured;
        trial.why = why;
        return Ok(());
    }
    trial.operations = testbed.operations();
    trial.what = match wanted.crash {
        CrashKind::Kill => {
            trial.hit = testbed.kill()?;
            format!("killed after {} acknowledged transactions", wanted.acks)
        }
        CrashKind::PowerLoss => {
            let off = testbed.power_off(Loss::Everything)?;
            trial.hit = true;
            format!(
                "power lost after {} acknowledged transactions: {} unsynced changes were lost",
                wanted.acks, off.lost
            )
        }
    };
    let history = testbed.history();
    trial.acked = history.acked() as u64;
    let disk_bytes = testbed.files()?.iter().map(|(_, size)| size).sum();
    let disk = testbed.snapshot();
    let observed = restarts(testbed, disk.as_ref(), trial)?;
    note(
        trial,
        testbed,
        judged(setup, wanted, testbed, &history, &observed),
    );
    let unit = unit(setup);
    if let Some(recovery_us) = median(&trial.recovery_us) {
        sampled.sample = Some(GrowthSample {
            trial: wanted.number,
            wanted: wanted.acks,
            size: match unit {
                SizeUnit::Bytes => written(&history),
                SizeUnit::Transactions => trial.acked,
            },
            disk_bytes,
            recovery_us,
            restored_nothing: trial.acked > 0
                && matches!(&observed.state, Some(Ok(state)) if state.is_empty()),
        });
    }
    if !trial.findings.is_empty() {
        sampled.disk = disk;
    }
    Ok(())
}

/// What sizes count for a target: nobody knows the bytes that a workload of its own writes.
pub fn unit(setup: &Setup) -> SizeUnit {
    match setup.target.scripted() {
        Some(_) => SizeUnit::Transactions,
        None => SizeUnit::Bytes,
    }
}

/// Lets the workload go on until so many transactions are acknowledged. The inner error says why
/// that will not be.
fn grow(
    testbed: &mut Testbed<'_>,
    acks: u64,
    stop: &AtomicBool,
) -> Result<Result<(), String>, HarnessFailed> {
    let mut got = 0;
    let mut last = Instant::now();
    while got < acks {
        let missing = acks - got;
        let tally = testbed.work_until(LOOK, &|tally| tally.ok >= missing)?;
        got += tally.ok;
        if stop.load(Ordering::Relaxed) {
            return Ok(Err("the user ended the run".into()));
        }
        if tally.ok > 0 {
            last = Instant::now();
        } else if last.elapsed() >= STUCK {
            return Ok(Err(format!(
                "after {got} transactions nothing was acknowledged for {STUCK:.1?}"
            )));
        }
        if got < acks {
            // Whether there is anything left to wait for.
            match testbed.until(&When::Time(Duration::ZERO)) {
                Ok(()) => {}
                Err(InjectError::NeverReached(why)) => {
                    return Ok(Err(format!("after {got} of {acks} transactions: {why}")));
                }
                Err(error) => return Err(error.into()),
            }
        }
    }
    Ok(Ok(()))
}

/// Restarts the target from the crashed disk, several times where the disk can be put back, and
/// looks at what it holds after the first.
fn restarts(
    testbed: &mut Testbed<'_>,
    disk: Option<&Tree>,
    trial: &mut Trial,
) -> Result<Observed, HarnessFailed> {
    let mut observed = Observed::default();
    for number in 0..RESTARTS {
        match disk {
            // Each meets a fresh mount, with nothing in the kernel's caches.
            Some(tree) => testbed.restore(tree.clone())?,
            None if number > 0 => break,
            None => {}
        }
        let mut printed = String::new();
        if number == 0 {
            printed = testbed.observe(&mut observed)?;
            trial.recovery_us.extend(observed.recovery.map(micros));
        } else {
            let failed = match testbed.bring_up(PROBE)? {
                Ok(up) => {
                    trial.recovery_us.extend(up.took.map(micros));
                    None
                }
                Err(failed) => Some(failed),
            };
            if let Some(failed) = failed {
                testbed.confirmed(failed)?.note(&mut observed);
            }
        }
        testbed.kill()?;
        testbed.outputs.push(printed);
        if observed.start != Start::Started {
            break;
        }
    }
    // A busy machine makes any target late: its best time counts, as in `run`.
    let best = trial.recovery_us.iter().min().copied();
    observed.recovery = best.map(Duration::from_micros);
    Ok(observed)
}

fn judged(
    setup: &Setup,
    wanted: &SampleSpec,
    testbed: &Testbed<'_>,
    history: &History,
    observed: &Observed,
) -> Judgement {
    let class = wanted.crash.class();
    let by = |history: &History| {
        judge(
            history,
            observed,
            &setup.promises,
            class,
            testbed.crashed_at(),
            setup.recovery_bound,
        )
    };
    if settles(&setup.promises, class)
        && let Some(short) = recent(history, RECENT)
    {
        let judgement = by(&short);
        if judgement.verdict == Verdict::Pass {
            return judgement;
        }
    }
    by(history)
}

/// The bytes of keys and values in acknowledged transactions.
fn written(history: &History) -> u64 {
    let acked = history
        .entries
        .iter()
        .filter(|entry| matches!(entry.done, Some((_, Outcome::Ok))));
    let txns = acked.filter_map(|entry| match &entry.call {
        Call::Txn(txn) if !txn.abort => Some(txn),
        _ => None,
    });
    let bytes = txns.flat_map(|txn| &txn.ops).map(|op| {
        let value = match &op.write {
            Write::Put(value) => value.size(),
            Write::Delete => 0,
        };
        (op.key.len() + value) as u64
    });
    bytes.sum()
}

/// The median, the lower of two in the middle; none of nothing.
fn median(times: &[u64]) -> Option<u64> {
    let mut sorted = times.to_vec();
    sorted.sort_unstable();
    sorted.get(sorted.len().saturating_sub(1) / 2).copied()
}
