//! Where the workers of an exploration come from.

use std::sync::Arc;

use plugpull_crashsim::persist::{Device, LossSet, MODELS, Window};
use plugpull_engine::explore::{
    CpuLease, CrashDisk, NewSandbox, SandboxWorker, StartLimits, Trace, TryState, WorkerPool,
};
use plugpull_engine::prepare::with_crash_filesystem;
use plugpull_engine::trial::{Acked, Forking, SandboxHost};
use plugpull_sandbox::pin;
use plugpull_workloads::{Promise, Start};

use super::resolved_target::ResolvedTarget;
use crate::cli::ExploreArgs;

/// Whether targets may be forked: not where the user wants recoveries to be timed, which only a start can be.
fn forking(args: &ExploreArgs, tested: &ResolvedTarget) -> Option<Arc<Forking>> {
    if args.no_fork || tested.recovery_bound.is_some() {
        return None;
    }
    let bounds = tested.promises().iter();
    let bound = bounds.filter_map(Promise::recovery_bound).min();
    Some(Forking::new(bound, |why| {
        eprintln!("plugpull: warning: the driver is started for each state: {why}");
    }))
}

/// What workers are made of.
pub(super) struct WorkerSource<'a> {
    tested: &'a ResolvedTarget,
    limits: Arc<StartLimits>,
    cpus: Vec<usize>,
    pub(super) leases: Vec<CpuLease>,
    /// Whether targets may be forked; none for never.
    pub(super) forking: Option<Arc<Forking>>,
}

impl<'a> WorkerSource<'a> {
    pub(super) fn new(args: &ExploreArgs, tested: &'a ResolvedTarget) -> Self {
        let cpus = pin::all();
        let workers = args.workers.map_or(cpus.len().max(1), usize::from);
        let leases = std::iter::repeat_with(CpuLease::default);
        Self {
            tested,
            limits: StartLimits::new(tested.start_limit),
            cpus,
            leases: leases.take(workers).collect(),
            forking: forking(args, tested),
        }
    }

    /// One that starts each target, where `forking` is none.
    pub(super) fn worker(
        &self,
        number: usize,
        forking: Option<Arc<Forking>>,
    ) -> anyhow::Result<SandboxWorker> {
        let cpus = &self.cpus;
        let cpu = (!cpus.is_empty()).then(|| cpus[number % cpus.len()]);
        let target = self.tested.target.clone();
        let sandbox: NewSandbox = Arc::new(move || {
            // What speaks with the target shares its CPU: an idle CPU takes long to wake.
            let sandbox = pin::on(cpu, || with_crash_filesystem("exploring", &*target))?;
            Ok(SandboxHost::new(sandbox, cpu, false).with_forking(forking.clone()))
        });
        let lease = self.leases[number % self.leases.len()].clone();
        let limits = self.limits.clone();
        SandboxWorker::new(sandbox, self.tested.target.clone(), limits, lease)
    }

    /// Learns from the disk at the end of the recorded run how long starts and checks take. A bound that
    /// the user named stays as it is.
    pub(super) fn learn(&self, own: &SandboxWorker, trace: &Trace, tested: &ResolvedTarget) {
        let end = trace.log.records().len();
        let window = Window::new(&trace.log, end, MODELS[0], Device::default());
        let acked = Acked::of(&trace.about.history, &*tested.target);
        let disk = CrashDisk {
            key: 0,
            tree: window.state(&LossSet::default()).tree,
            acked,
            then: None,
        };
        // Where it does not come up, nothing is learned.
        if let Ok(attempt) = own.attempt(&disk)
            && attempt.observed.start == Start::Started
        {
            if tested.recovery_bound.is_none() {
                self.limits.learn(attempt.took);
            }
            if let Some(forking) = &self.forking {
                forking.learn(attempt.observed.recovery);
            }
            self.limits.comes_up_on(disk);
        }
    }

    /// All workers, and `own` for what is tried beside them.
    pub(super) fn pool(&self, own: SandboxWorker) -> anyhow::Result<WorkerPool> {
        // A CPU that has no worker sets up the next state while the target of this one runs.
        let workers = self.leases.len();
        let sandboxes = workers.max(self.cpus.len().min(2 * workers));
        let worker = |number| {
            let worker = self.worker(number, self.forking.clone())?;
            Ok(Box::new(worker) as Box<dyn TryState>)
        };
        let workers = (0..sandboxes).map(worker).collect::<anyhow::Result<_>>()?;
        let pool = WorkerPool::start(Box::new(own), workers);
        Ok(pool.with_forking(self.forking.clone()))
    }
}
