//! Recording one run of the workload on the crash filesystem.

use std::sync::Arc;
use std::time::Duration;

use plugpull_crashsim::fs::{LogLimit, ROOT};
use plugpull_driver::Target;
use plugpull_faults::machine::Machine;
use plugpull_reports::TargetInfo;
use plugpull_sandbox::StackRecorder;
use plugpull_workloads::{Call, History, Outcome, Stamp, WorkloadConfig};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use super::trace::{Recorded, Trace, TraceFile};
use crate::trial::{SandboxHost, StorageRules, Testbed};
use crate::wrong;

/// What is kept of a log in memory. It is never folded: each of its operations is a crash point.
pub(super) const LOG_LIMIT: LogLimit = LogLimit::Stop(1 << 30);
/// How many acks a recording has that ends for its many operations: with one alone nothing is ever
/// overwritten.
const FEWEST_ACKS: u64 = 2;

/// What is recorded.
pub struct RecordingPlan<'a> {
    /// The target.
    pub target: &'a Arc<dyn Target>,
    /// What reports say of it.
    pub info: &'a TargetInfo,
    /// How its storage behaves.
    pub rules: StorageRules,
    /// What is written.
    pub workload: &'a WorkloadConfig,
    /// The seed of the workload.
    pub seed: u64,
    /// How many acknowledged transactions, at most.
    pub acks: u64,
    /// After so many operations it ends at the next ack, where there were two; none for any number.
    pub operations: Option<u64>,
    /// After so long it ends at the last ack.
    pub time: Duration,
    /// How long the target may take to start.
    pub start_limit: Duration,
    /// Record who made each operation.
    pub stacks: bool,
}

/// Runs the workload until so many transactions are acknowledged, and kills the target then. The
/// recording ends at the last of these acks, whatever the target did until it died. With a file,
/// everything goes there as it happens, and the trace that is returned has no operations.
///
/// # Errors
/// The target did not start or acknowledged nothing, or plugpull failed.
pub fn record(
    host: &Arc<SandboxHost>,
    plan: &RecordingPlan<'_>,
    to: Option<&TraceFile>,
) -> anyhow::Result<Trace> {
    let recorder = plan.stacks.then(Arc::<StackRecorder>::default);
    host.sandbox.record_stacks(recorder.clone());
    let recorded = record_in(host, plan, (to, recorder));
    host.sandbox.record_stacks(None);
    recorded
}

fn record_in(
    host: &Arc<SandboxHost>,
    plan: &RecordingPlan<'_>,
    to: (Option<&TraceFile>, Option<Arc<StackRecorder>>),
) -> anyhow::Result<Trace> {
    let rng = ChaCha8Rng::seed_from_u64(plan.seed);
    let mut testbed = Testbed::new(
        host,
        plan.target,
        plan.rules,
        plan.workload,
        plan.seed,
        rng,
        plan.start_limit,
    )?;
    let result = record_on(&mut testbed, plan, to);
    testbed.tear_down()?;
    result
}

fn record_on(
    testbed: &mut Testbed<'_>,
    plan: &RecordingPlan<'_>,
    (to, recorder): (Option<&TraceFile>, Option<Arc<StackRecorder>>),
) -> anyhow::Result<Trace> {
    let fs = testbed
        .fs()
        .ok_or_else(|| anyhow::anyhow!("exploring needs the crash filesystem"))?;
    let writer = to.map(TraceFile::create).transpose()?;
    match &writer {
        Some(writer) => fs.stream_to(writer.sink()),
        None => fs.limit_log(LOG_LIMIT),
    }
    fs.settle_mappings();
    if let Some(recorder) = &recorder {
        fs.record_stacks(recorder);
    }
    testbed.start_empty()?;
    testbed.work()?;
    testbed.first_barrier()?;
    let scripted = plan.target.scripted().is_some();
    let warm = acks(&testbed.recorder.history(), scripted).len() as u64;
    let missing = plan.acks.saturating_sub(warm);
    let too_long = || fs.inspect(|_, log| !log.is_complete());
    let enough = |ok: u64| {
        let operations = || fs.inspect(|_, log| log.next_seq());
        ok >= missing
            || warm + ok >= FEWEST_ACKS && plan.operations.is_some_and(|most| operations() >= most)
    };
    testbed.work_until(plan.time, &|tally| enough(tally.ok) || too_long())?;
    if too_long() {
        return Err(refused());
    }
    let ended = testbed.workload_end();
    if let Some(why) = testbed.workload_trouble() {
        return Err(wrong(format!("before any fault, {why}")));
    }
    testbed.kill()?;
    // As long as the files of the programs can be seen.
    let stacks = recorder.map(|recorder| recorder.finish());
    let owner = fs.inspect(|tree, _| tree.get(ROOT).map(|root| (root.uid, root.gid)))?;
    let history = testbed.recorder.history();
    let acks = acks(&history, scripted);
    let Some(&last_ack) = acks.last() else {
        anyhow::bail!("the target acknowledged nothing within {:?}", plan.time);
    };
    let mut about = Recorded {
        plugpull: env!("CARGO_PKG_VERSION").into(),
        target: plan.info.name.clone(),
        version: plan.info.version.clone(),
        settings: plan.info.settings.clone(),
        seed: plan.seed,
        clients: plan.workload.clients,
        value_size: *plan.workload.value_len.end(),
        owner,
        history,
        output: testbed.outputs.concat(),
        end: None,
        last_ack: None,
        read_late: testbed.read_late,
        stacks: stacks.transpose()?.map(Arc::new),
    };
    let cut_short = ended.is_none().then_some(last_ack);
    let end = end_of(&acks, plan.acks).or(cut_short);
    let end = end.map(|end| end.max(first_barrier(&about.history, plan)));
    match end {
        Some(end) => about.end_at(end),
        None => about.last_ack = ended.map(|_| last_ack),
    }
    let log = fs.take_log();
    if !log.is_complete() {
        return Err(refused());
    }
    if let (Some(file), Some(writer)) = (to, writer) {
        file.finish(writer, &about)?;
        return Ok(Trace { log, about });
    }
    Trace::new(log, about).map_err(|why| anyhow::anyhow!("the recording is not sound: {why}"))
}

fn refused() -> anyhow::Error {
    anyhow::anyhow!(
        "the run wrote more than 1 GiB, which is not kept in memory: record it into a file \
         (--record FILE), or write less (--txns, --value-size)"
    )
}

/// The moments of the acks that count, in order: of all that leaves something behind. Barriers count
/// where clients call them.
fn acks(history: &History, scripted: bool) -> Vec<Stamp> {
    let counts = |call: &Call| match call {
        Call::Txn(txn) => !txn.abort,
        Call::Barrier => !scripted,
    };
    let mut acks: Vec<Stamp> = history
        .entries
        .iter()
        .filter(|entry| counts(&entry.call))
        .filter_map(|entry| match &entry.done {
            Some((at, Outcome::Ok)) => Some(*at),
            _ => None,
        })
        .collect();
    acks.sort_unstable();
    acks
}

/// The moment of the last ack that was wanted; none when there are fewer.
fn end_of(acks: &[Stamp], wanted: u64) -> Option<Stamp> {
    let last = usize::try_from(wanted).ok()?.checked_sub(1)?;
    acks.get(last).copied()
}

/// The first barrier of a workload that nothing may happen to before.
fn first_barrier(history: &History, plan: &RecordingPlan<'_>) -> Stamp {
    if plan
        .target
        .scripted()
        .and_then(|one| one.first_barrier())
        .is_none()
    {
        return Stamp::default();
    }
    let barriers = history.entries.iter();
    let mut barriers = barriers.filter(|entry| matches!(entry.call, Call::Barrier));
    let first = barriers.find_map(|entry| entry.done.as_ref().map(|(at, _)| *at));
    first.unwrap_or_default()
}
