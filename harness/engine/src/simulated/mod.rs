//! The simulated target: a small store on a simulated disk, in process, with mutants. It lets the
//! explorer, the minimiser, grouping, shards and coverage be tested from a seed in milliseconds,
//! without FUSE, without processes and on any machine. It is built for tests alone.
//!
//! A [`Plan`] decides everything: which mutant, which workload, which models, how many workers. A
//! seed makes one; `PLUGPULL_SIMULATE=SEED` in the environment runs that seed alone.

mod auditing;
mod deciding;
mod diagnosing;
mod end_states;
mod files;
mod findings;
mod first_finding;
mod follow_ups;
mod forked;
mod pool;
mod properties;
mod recording;
mod store;
mod two_bugs;
mod verifying;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use plugpull_crashsim::persist::Device;
use plugpull_reports::{
    Emit as _, End, EndReason, Header, RUN_SCHEMA, Record, Report, RunCommand, RunFile, RunLog,
    TargetInfo, Trial,
};
use plugpull_workloads::{Durability, FailureClass, FollowUp, Guarantee, Promise};
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::explore::{
    CrashModel, Explorer, FollowUpShare, FollowUps, FoundGroup, Grouping, Groups, Limits, Oracle,
    Sink, StateEnumerator, Summary, Trace, Workers, coverage, finding_record, reported,
};
use crate::shard::Shard;
use crate::trial::Acked;
use store::{Mutant, Mutants};

/// `kill`, `journaled`, `strict` and `ext4`.
const WHOLE_MODELS: usize = 4;

/// What is simulated.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) seed: u64,
    pub(crate) mutant: Option<Mutant>,
    /// A second one beside it.
    pub(crate) other: Option<Mutant>,
    pub(crate) clients: u32,
    /// How often clients commit together.
    pub(crate) commits: u32,
    /// After so many of them there is a checkpoint.
    pub(crate) checkpoint_every: u32,
    /// The chance that the process is killed in a commit and started again.
    pub(crate) kill_chance: f64,
    pub(crate) models: Vec<CrashModel>,
    pub(crate) depth: u32,
    /// The most states.
    pub(crate) states: Option<u64>,
    /// True when the workload comes to its end, and the store is closed then.
    pub(crate) ends: bool,
    /// So many lines of a text log that nobody ever syncs, before the first commit.
    pub(crate) lines: u32,
    /// How many states are followed up, and how.
    pub(crate) share: FollowUpShare,
    pub(crate) follow_ups: Vec<FollowUp>,
}

impl Plan {
    /// The plan that a seed makes: small enough for milliseconds, and one in ten larger.
    pub(crate) fn of(seed: u64) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let (commits, states) = match seed.is_multiple_of(10) {
            true => (2..=5, 16..=48),
            false => (1..=3, 6..=18),
        };
        let mutants = Mutant::ALL.map(Some);
        let all = CrashModel::all();
        let power = all[1..].choose(&mut rng).copied();
        Self {
            seed,
            mutant: match rng.random_bool(0.25) {
                true => None,
                false => mutants.choose(&mut rng).copied().flatten(),
            },
            other: None,
            clients: rng.random_range(1..=3),
            commits: rng.random_range(commits),
            checkpoint_every: rng.random_range(1..=4),
            kill_chance: 0.2,
            models: [all[0]].into_iter().chain(power).collect(),
            depth: rng.random_range(0..=1),
            states: Some(rng.random_range(states)),
            ends: seed.is_multiple_of(3),
            lines: 0,
            share: FollowUpShare::None,
            follow_ups: FollowUp::ALL.into(),
        }
    }

    /// What is wrong with the store.
    pub(crate) fn mutants(&self) -> Mutants {
        match (self.mutant, self.other) {
            (Some(one), Some(other)) => [one, other].into(),
            (one, other) => one.or(other).into(),
        }
    }

    /// Everything at once, for one mutant: several models, many states.
    pub(crate) fn whole(mutant: Option<Mutant>, seed: u64) -> Self {
        Self {
            mutant,
            clients: 2,
            commits: 4,
            checkpoint_every: 3,
            kill_chance: 0.3,
            models: CrashModel::all().into_iter().take(WHOLE_MODELS).collect(),
            depth: 1,
            states: Some(800),
            ends: false,
            ..Self::of(seed)
        }
    }
}

/// What the store promises.
pub(crate) fn promises() -> Vec<Promise> {
    let guarantees = [
        Guarantee::Durable(Durability::AtAck),
        Guarantee::Atomic,
        Guarantee::Consistent,
    ];
    let promise = |guarantee| Promise {
        classes: vec![FailureClass::ProcessCrash, FailureClass::PowerLoss],
        guarantee,
        words: "a commit that was acknowledged survives, whole".into(),
        source: "the simulated store".into(),
        demanded: false,
    };
    guarantees.map(promise).into()
}

/// An exploration of the simulated target, with its report, made from a run file.
pub(crate) struct Explored {
    pub(crate) report: Report,
    /// Every trial, in order.
    pub(crate) trials: Vec<Trial>,
    pub(crate) summary: Summary,
    pub(crate) groups: Groups,
    /// Of each failing trial the findings that it counts to.
    pub(crate) counts: Vec<Vec<u64>>,
}

/// Writes what an exploration says into a run file.
struct RunSink<'a> {
    oracle: &'a Oracle<'a>,
    log: RunLog,
    counts: Vec<Vec<u64>>,
}

impl Sink for RunSink<'_> {
    fn emit(&mut self, record: Record) {
        if let Record::Trial(one) = &record
            && let Some(explored) = &one.explored
            && !explored.counts.is_empty()
        {
            self.counts.push(explored.counts.clone());
        }
        self.log.emit(record);
    }

    fn minimised(&mut self, found: &FoundGroup<'_>) {
        let finding = reported(self.oracle, found.group, None, "simulated".into());
        self.log.emit(finding_record(found, finding));
    }

    fn covered(&mut self, so_far: &Summary) {
        let coverage = coverage(self.oracle, so_far);
        self.log.emit(Record::Coverage(Box::new(coverage)));
    }
}

/// Explores a trace.
pub(crate) fn explore(
    plan: &Plan,
    oracle: &Oracle<'_>,
    workers: &dyn Workers,
    part: Option<Shard>,
) -> Explored {
    let stop = AtomicBool::new(false);
    explore_within(plan, oracle, workers, part, Limits::none(plan.depth, &stop))
}

/// The same within limits.
pub(crate) fn explore_within(
    plan: &Plan,
    oracle: &Oracle<'_>,
    workers: &dyn Workers,
    part: Option<Shard>,
    limits: Limits<'_>,
) -> Explored {
    explore_by(plan, oracle, workers, (part, limits), None)
}

/// The same with another way to know bugs from one another.
pub(crate) fn explore_by(
    plan: &Plan,
    oracle: &Oracle<'_>,
    workers: &dyn Workers,
    (part, limits): (Option<Shard>, Limits<'_>),
    grouping: Option<Arc<dyn Grouping>>,
) -> Explored {
    let limits = Limits {
        states: plan.states,
        ..limits
    };
    let faults = || plan.models.iter().map(|one| one.name.to_string()).collect();
    let header = Header {
        schema: RUN_SCHEMA.into(),
        command: RunCommand::Explore,
        target: TargetInfo {
            name: "simulated".into(),
            ..TargetInfo::default()
        },
        seed: plan.seed,
        faults: faults(),
        shard: part.map(|part| {
            Box::new(plugpull_reports::Shard {
                number: part.number,
                of: part.of,
                faults: faults(),
                ..plugpull_reports::Shard::default()
            })
        }),
        ..Header::default()
    };
    let log = RunLog::begin(RunFile::unnamed(), header, Vec::new(), Instant::now());
    let mut sink = RunSink {
        oracle,
        log,
        counts: Vec::new(),
    };
    let mut states = StateEnumerator::of_run(oracle.trace, oracle.space(), plan.seed, part);
    let can = |one| match plan.follow_ups.contains(&one) {
        true => Ok(()),
        false => Err("it was not asked for".to_owned()),
    };
    let follow_ups = FollowUps::new(plan.share, can, oracle.life.clone());
    let explorer = Explorer::new(oracle, workers, limits, part.is_some(), &mut sink);
    let mut explorer = explorer.following_up(follow_ups);
    if let Some(grouping) = grouping {
        explorer = explorer.grouped_by(grouping);
    }
    let (summary, groups) = explorer.explore(&mut states);
    let reason = match summary.complete {
        true => EndReason::Complete,
        false => EndReason::Budget,
    };
    let end = End {
        reason,
        ..End::default()
    };
    let (report, _, failures) = sink.log.finish(end);
    assert!(failures.is_empty(), "{failures:?}");
    let trials = report.trial_log.clone().into_vec().expect("the run file");
    Explored {
        report,
        trials,
        summary,
        groups,
        counts: sink.counts,
    }
}

/// Records a run of a plan and hands an oracle over it on.
pub(crate) fn with_oracle<T>(plan: &Plan, run: impl FnOnce(&Oracle<'_>) -> T) -> T {
    let trace: Trace = recording::record(plan);
    let device = Device::default();
    let indexes = CrashModel::indexes(&plan.models, &trace.log, device);
    let promises = promises();
    let oracle = Oracle::new(
        &trace,
        (&plan.models, &indexes),
        device,
        &promises,
        None,
        Acked::default(),
    );
    run(&oracle)
}
