//! Smaller workloads for the findings of an exploration: they are recorded when all states are tried, and what
//! shows a finding is said beside it.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use plugpull_engine::explore::{
    CrashModel, FoundGroup, Group, Groups, Limits, Minimised, Oracle, RecordingPlan, SandboxWorker,
    SmallerRun, SmallerRuns, Trace, Workers, WorkloadSize, finding_of, finding_record, record,
    reported,
};
use plugpull_engine::trial::Acked;
use plugpull_reports::{Emit as _, SmallestWorkload};
use plugpull_workloads::WorkloadConfig;

use super::resolved_target::again;
use super::run_sink::{RunSink, artifact_path};
use super::worker_source::WorkerSource;
use crate::cli::ExploreArgs;

/// Records smaller workloads.
pub(super) struct SmallerRecorder<'a> {
    args: &'a ExploreArgs,
    source: &'a WorkerSource<'a>,
    plan: &'a RecordingPlan<'a>,
}

impl<'a> SmallerRecorder<'a> {
    /// As the run was recorded; none where nobody wants to know more of findings, or where others try parts of
    /// the same recording.
    pub(super) fn new(
        args: &'a ExploreArgs,
        source: &'a WorkerSource<'a>,
        plan: &'a RecordingPlan<'a>,
    ) -> Option<Self> {
        let wanted = !args.no_diagnosis && !args.audit && args.shard.is_none();
        wanted.then_some(Self { args, source, plan })
    }

    /// Looks for a smaller workload for each finding, in its share of the time, and reports what was found.
    pub(super) fn look(
        &self,
        sink: &mut RunSink<'_, '_>,
        groups: &Groups,
        workers: &dyn Workers,
        limits: &Limits<'_>,
    ) {
        let is_one = |group: &Group| {
            let minimised = &group.minimised;
            group.same_as.is_none() && !minimised.varies() && minimised.crash.depth() == 0
        };
        let all: Vec<(usize, &Group)> = (groups.all().iter().enumerate())
            .filter(|(_, group)| is_one(group))
            .collect();
        if all.is_empty() || limits.stopped() {
            return;
        }
        // Targets are never forked here: this is a recording.
        let own = match self.source.worker(0, None) {
            Ok(own) => own,
            Err(error) => {
                eprintln!("plugpull: warning: no smaller workload was looked for: {error:#}");
                return;
            }
        };
        let share = limits
            .smaller
            .and_then(|share| Instant::now().checked_add(share));
        let until = [limits.until, share].into_iter().flatten().min();
        let whole = WorkloadSize {
            clients: self.plan.workload.clients,
            txns: sink.oracle.trace.about.history.acked() as u64,
            value_size: *self.plan.workload.value_len.end(),
        };
        for (nth, (id, group)) in all.iter().enumerate() {
            let of_each = until.map(|until| {
                let left = until.saturating_duration_since(Instant::now());
                Instant::now() + left / u32::try_from(all.len() - nth).unwrap_or(u32::MAX)
            });
            let search = SmallerRuns {
                oracle: sink.oracle,
                target: &**self.plan.target,
                workers,
                record: &|size, time| self.record(&own, size, time),
                stop: limits.stop,
                until: of_each,
            };
            if let Some(run) = search.of(&group.minimised, whole) {
                self.report(sink, (*id as u64, group), &run);
            }
        }
    }

    /// One recording, as that of the exploration was made but for the size.
    fn record(
        &self,
        own: &SandboxWorker,
        size: WorkloadSize,
        time: Duration,
    ) -> anyhow::Result<Trace> {
        let plan = self.plan;
        let workload = WorkloadConfig {
            clients: size.clients,
            value_len: 1..=size.value_size,
            ..plan.workload.clone()
        };
        let plan = RecordingPlan {
            workload: &workload,
            acks: size.txns,
            operations: None,
            time: time.min(plan.time),
            stacks: false,
            ..*plan
        };
        record(own.host(), &plan, None)
    }

    /// Says beside a finding which smaller workload shows it, and keeps an artifact of that.
    fn report(&self, sink: &mut RunSink<'_, '_>, (id, group): (u64, &Group), run: &SmallerRun) {
        let of = sink.oracle;
        let model = of.models[group.minimised.crash.model];
        let models = [model];
        let indexes = CrashModel::indexes(&models, &run.trace.log, of.device);
        let acked = Acked::of(&run.trace.about.history, &**self.plan.target);
        let oracle = Oracle::new(
            &run.trace,
            (&models, &indexes),
            of.device,
            of.promises,
            of.recovery_bound,
            acked,
        );
        let kept = sink.keep.map(|keep| artifact_path(keep, id));
        let beside = kept.as_deref().map(smallest_beside);
        if let Some(path) = &beside
            && let Err(error) = sink.write_artifact(&oracle, &run.minimised, path)
        {
            sink.failed.get_or_insert(error);
            return;
        }
        let smallest = SmallestWorkload {
            clients: run.size.clients,
            transactions: run.trace.about.history.acked() as u64,
            value_size: run.size.value_size,
            changes: changes(&run.trace, &run.minimised),
            power: model.power,
            again: run.again,
            sentence: finding_of(&run.minimised, &oracle).sentence,
            artifact: beside.map(|path| path.display().to_string()),
            explore: self.explored_again(run.size, model),
        };
        let mut finding = reported(of, group, kept.as_deref(), sink.again());
        if let Some(evidence) = &mut finding.evidence {
            evidence.smallest = Some(Box::new(smallest));
        }
        let found = FoundGroup {
            id: Some(id),
            index: None,
            together: None,
            group,
        };
        sink.live.emit(finding_record(&found, finding));
    }

    /// The command that records and explores a workload of this size.
    fn explored_again(&self, size: WorkloadSize, model: CrashModel) -> String {
        format!(
            "plugpull explore {} --seed {} --clients {} --txns {} --value-size {} --model {}",
            again(&self.args.target),
            self.plan.seed,
            size.clients,
            size.txns,
            size.value_size,
            model.name
        )
    }
}

/// How many operations changed the disk before a crash; syncs are none.
fn changes(trace: &Trace, minimised: &Minimised) -> u64 {
    let before = trace
        .log
        .records()
        .iter()
        .take(minimised.crash.point as usize);
    before.filter(|record| record.op.changes()).count() as u64
}

/// Where the artifact of the smallest workload is kept: beside that of the finding.
fn smallest_beside(artifact: &Path) -> PathBuf {
    let stem = artifact.file_stem().unwrap_or_default().to_string_lossy();
    artifact.with_file_name(format!("{stem}-smallest.json"))
}
