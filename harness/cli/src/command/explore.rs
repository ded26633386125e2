//! `plugpull explore`: record one run, then try the crash states that it could have left.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Context;
use nix::unistd::{getegid, geteuid};
use plugpull_crashsim::fs::Tree;
use plugpull_crashsim::trace::fingerprint;
use plugpull_engine::explore::{
    CrashDisk, CrashModel, Explorer, FollowUpShare, FollowUps, KnownStates, KnownWorkers, Limits,
    Oracle, RecordingPlan, SandboxWorker, StateEnumerator, Summary, Trace, TraceFile, Workers,
    record,
};
use plugpull_engine::keep::Keep;
use plugpull_engine::seed;
use plugpull_engine::trial::{Acked, SandboxHost, StorageRules, Untouched, WroteTo, micros};
use plugpull_reports::{Emit as _, EndReason, Header, Record, Recording, RunCommand, Shard};
use plugpull_sandbox::Sandbox;
use plugpull_workloads::{Call, Durability, FollowUp, Guarantee, Promise, WorkloadConfig};

use super::baseline::Baseline;
use super::controls::{
    Controlled, controlled, controlled_trace, machine_notes, machine_warnings, nothing_measured,
    say_not_measured,
};
use super::interrupt::{Stop, stop_on_signal};
use super::live_run::{LiveRun, Resumed};
use super::outputs::writable;
use super::resolved_target::ResolvedTarget;
use super::run_files::trace_beside;
use super::run_sink::RunSink;
use super::smaller::SmallerRecorder;
use super::worker_source::WorkerSource;
use super::{outputs, wrong};
use crate::cli::ExploreArgs;

/// What the command line resolved to, checked before anything is started.
struct ResolvedExploration {
    tested: ResolvedTarget,
    models: Vec<CrashModel>,
    memory: Memory,
    workload: WorkloadConfig,
    seed: u64,
    /// Of a trace that was recorded before.
    digest: Option<u128>,
    keep: Option<Keep>,
}

/// Where the trace comes from.
enum Origin {
    /// It was recorded before, into this file.
    Recorded(Box<Trace>, PathBuf),
    /// It is recorded now, into the user's file where one is named.
    New(Option<TraceFile>),
}

/// Records, tries and reports. An exploration that is resumed takes the trace of the one before, and
/// what is known of its states.
pub(crate) fn run(args: &ExploreArgs, resumed: Option<Resumed>) -> anyhow::Result<u8> {
    let command_began = Instant::now();
    let (resolved, origin) = resolve(args, resumed.as_ref())?;
    let baseline = Baseline::named(&args.outputs, &resolved.tested.info)?;
    let source = WorkerSource::new(args, &resolved.tested);
    let own = source.worker(0, None)?;
    let stop = stop_on_signal();
    if args.stacks && matches!(origin, Origin::New(_)) {
        can_record_stacks(&own.host().sandbox)?;
    }
    let mut plan = resolved.recording_plan(args);
    let controlled = resolved.controlled(&origin, &own, plan.rules)?;
    if let Some(keep) = &resolved.keep {
        keep.claim()?;
    }
    if let (Controlled::Ready(_), Origin::New(to)) = (&controlled, &origin) {
        if args.txns.is_none() {
            let took = one_trial(&own)?;
            plan.operations = Some(operations_within(args.budget, took, source.leases.len()));
        }
        if let (Some(0), Some(file)) = (args.states, to) {
            let trace = record(own.host(), &plan, Some(file)).context("recording the run")?;
            return say_recorded(file, &trace);
        }
    }
    let mut header = resolved.header(args, &own.host().sandbox);
    let known = resumed.as_ref().map(|resumed| known(resumed, &header));
    let mut known = known.transpose()?.unwrap_or_default();
    if source.forking.is_none() {
        known.forget_forked();
    }
    let command = RunCommand::Explore;
    let live = LiveRun::new(command, &args.outputs, baseline, &stop, command_began);
    let mut live = live.resume(resumed);
    match controlled {
        Controlled::Ready(warnings) => header.warnings.extend(warnings),
        Controlled::NotMeasured(why) => return nothing_measured(live, header, &why),
    }
    live.emit(Record::Header(Box::new(header)));
    let is_new = matches!(origin, Origin::New(_));
    let (trace, path) = match origin {
        Origin::Recorded(trace, path) => (*trace, Some(path)),
        Origin::New(to) => {
            let beside = (live.run_file(), resolved.memory.buffer);
            let recorded = recorded(&own, &plan, to, beside);
            recorded.inspect_err(|error| live.failed(error))?
        }
    };
    let recording = recording(&trace, path.as_deref(), resolved.digest)?;
    live.emit(Record::Recording(recording));
    if let Some(untouched) = untouched(&trace, own.host(), resolved.tested.promises()) {
        return nothing_to_try(live, &resolved.models, &untouched.to_string());
    }
    source.learn(&own, &trace, &resolved.tested);
    let can = can_follow_up(&own, args.follow_up.share());
    let workers = source.pool(own)?;
    let known = KnownWorkers::new(&workers, known);
    let smaller = is_new
        .then(|| SmallerRecorder::new(args, &source, &plan))
        .flatten();
    let run = (&trace, &can, smaller.as_ref());
    let (summary, live) = resolved.explore(args, run, &known, live, &stop)?;
    drop(known);
    let took = live.elapsed();
    let (reason, why) = ended(&summary, args);
    let code = live.finish(reason, &why, took);
    // What they are at after a signal is of no use, and may take long.
    if !stop.is_raised() {
        workers.finish();
    }
    code
}

/// Checks what the command line names, and reads a trace that was recorded before; starts nothing.
fn resolve(
    args: &ExploreArgs,
    resumed: Option<&Resumed>,
) -> anyhow::Result<(ResolvedExploration, Origin)> {
    let earlier = resumed.map(earlier_trace).transpose()?;
    let resumes = earlier.is_some();
    let path = args.trace.clone().or(earlier);
    let kept = path.as_deref().map(read_trace).transpose()?;
    let tested = match (&kept, &args.trace) {
        (Some(trace), Some(_)) => ResolvedTarget::of(
            &trace.about.target,
            trace.about.settings.clone(),
            &args.target,
        )?,
        _ => ResolvedTarget::new(&args.target)?,
    };
    let models = chosen_models(&args.models)?;
    if let Some(on) = args.cost_on.as_ref().filter(|on| !on.is_dir()) {
        return Err(wrong(format!("--cost-on {} is no directory", on.display())));
    }
    if args.audit && args.shard.is_some() {
        return Err(wrong(
            "a shard audits no syncs: leave --shard out".to_owned(),
        ));
    }
    let memory = Memory::of(args)?;
    let workload = workload(args, &tested)?;
    // Which trace it was, before anybody can put another in its place.
    let digest = path.as_ref().map(|path| fingerprint(path).map_err(wrong));
    let digest = digest.transpose()?;
    let keep = outputs::check(&args.outputs)?;
    let record_to = args.record.as_deref().filter(|_| !resumes);
    let record_to = record_to
        .map(|path| trace_file(path, memory.buffer))
        .transpose()?;
    if args.states == Some(0) && record_to.is_none() {
        return Err(wrong("--states 0 tries nothing; it wants --record FILE"));
    }
    let seed = match (args.seed, &kept) {
        (Some(seed), _) => seed,
        (None, Some(trace)) => trace.about.seed,
        (None, None) => seed::fresh(),
    };
    let origin = match kept.zip(path) {
        Some((trace, path)) => Origin::Recorded(Box::new(trace), path),
        None => Origin::New(record_to),
    };
    let resolved = ResolvedExploration {
        tested,
        models,
        memory,
        workload,
        seed,
        digest,
        keep,
    };
    Ok((resolved, origin))
}

/// How many transactions are recorded when nobody says how many, at most.
const TXNS: u64 = 100;
/// The part of a budget, as one in so many, that recording may take.
const RECORDING: u32 = 3;
/// But not less than this: without an ack there is nothing to explore.
const LEAST_RECORDING: Duration = Duration::from_secs(1);
/// How long a run may take that is recorded and not explored.
const RECORDING_ALONE: Duration = Duration::from_secs(120);
/// How many different states a crash point has when it is first visited, about.
const STATES_A_POINT: u128 = 4;
/// The fewest operations that a recording has before it ends for their number.
const FEWEST_OPERATIONS: u64 = 32;

/// How many operations are recorded when nobody says how many transactions: twice as many as there
/// are crash points that can be reached in what recording leaves of a budget.
fn operations_within(budget: Duration, one_trial: Duration, side_by_side: usize) -> u64 {
    let left = (budget - budget / RECORDING).as_micros() * side_by_side as u128;
    let points = left / one_trial.as_micros().max(1) / STATES_A_POINT;
    u64::try_from(2 * points)
        .unwrap_or(u64::MAX)
        .max(FEWEST_OPERATIONS)
}

/// Refuses `--stacks` where nothing can be traced.
fn can_record_stacks(sandbox: &Sandbox) -> anyhow::Result<()> {
    sandbox.try_stacks().map_err(|why| {
        wrong(format!(
            "--stacks cannot be had here: {why}; `plugpull doctor` says what is missing (stacks)"
        ))
    })
}

/// The trace that an exploration explored before it was interrupted.
fn earlier_trace(resumed: &Resumed) -> anyhow::Result<PathBuf> {
    let refused = |why: String| wrong(format!("the run cannot be resumed: {why}"));
    let recording = resumed.run.fold.recording();
    let recording = recording
        .ok_or_else(|| refused("it ended before its trace was recorded; begin it again".into()))?;
    let Some(path) = recording.trace.as_ref().map(PathBuf::from) else {
        return Err(refused(
            "its trace was kept in memory alone, because it was over 1 GiB or there was no room \
             for it; --record FILE keeps one"
                .into(),
        ));
    };
    let digest = fingerprint(&path).map_err(|error| refused(format!("its trace: {error}")))?;
    if recording.digest != Some(format!("{digest:032x}")) {
        return Err(refused(format!(
            "{} is not the trace that it explored",
            path.display()
        )));
    }
    Ok(path)
}

/// What the run that is resumed learned of states.
fn known(resumed: &Resumed, header: &Header) -> anyhow::Result<KnownStates> {
    resumed.same_work(header)?;
    let mut known = KnownStates::default();
    resumed.run.each(|line| {
        if let Record::Progress(mark) = line.record {
            known.note(mark);
        }
    })?;
    Ok(known)
}

/// The most bytes of a trace that is kept beside the run file.
const BESIDE_LIMIT: u64 = 1 << 30;
/// How many bytes of a trace may wait in memory to be written.
const RECORD_BUFFER: u64 = 64 << 20;

/// Records a run, into the user's file, or into one beside the run file so that the exploration can
/// be resumed. The trace, and where it is.
fn recorded(
    own: &SandboxWorker,
    plan: &RecordingPlan<'_>,
    to: Option<TraceFile>,
    (run_file, buffer): (Option<PathBuf>, u64),
) -> anyhow::Result<(Trace, Option<PathBuf>)> {
    let into = |file: &TraceFile| {
        record(own.host(), plan, Some(file)).context("recording the run")?;
        file.read()
    };
    if let Some(file) = to {
        return Ok((into(&file)?, Some(file.path)));
    }
    if let Some(run_file) = run_file {
        let file = TraceFile {
            path: trace_beside(&run_file),
            memory: buffer,
        };
        // One of an earlier run file of this name.
        drop(std::fs::remove_file(&file.path));
        let trace = into(&file);
        let size = std::fs::metadata(&file.path).map_or(0, |meta| meta.len());
        match trace {
            Ok(trace) if size <= BESIDE_LIMIT => return Ok((trace, Some(file.path))),
            Ok(trace) => {
                drop(std::fs::remove_file(&file.path));
                return Ok((trace, None));
            }
            // No room for it is no failure of the run; a target that fails does so again.
            Err(_) => drop(std::fs::remove_file(&file.path)),
        }
    }
    let trace = record(own.host(), plan, None).context("recording the run")?;
    Ok((trace, None))
}

impl ResolvedExploration {
    /// How a run is recorded, until it has so many acks or its time is over.
    fn recording_plan(&self, args: &ExploreArgs) -> RecordingPlan<'_> {
        RecordingPlan {
            target: &self.tested.target,
            info: &self.tested.info,
            rules: StorageRules {
                model: self.models[0].model,
                device: args.device.device(),
                fuse: true,
            },
            workload: &self.workload,
            seed: self.seed,
            acks: args.txns.unwrap_or(TXNS),
            operations: None,
            time: match args.states {
                Some(0) => RECORDING_ALONE,
                _ => (args.budget / RECORDING).max(LEAST_RECORDING),
            },
            start_limit: self.tested.start_limit,
            stacks: args.stacks,
        }
    }

    /// Whether the target, or the run that was recorded of it, can show anything.
    fn controlled(
        &self,
        origin: &Origin,
        own: &SandboxWorker,
        rules: StorageRules,
    ) -> anyhow::Result<Controlled> {
        let workload = self.workload.clone();
        let setup = self.tested.setup(own.host().clone(), workload, rules);
        let name = &self.tested.info.name;
        match origin {
            Origin::Recorded(trace, _) => controlled_trace(name, &setup, &trace.about.history),
            Origin::New(_) => controlled(name, &setup),
        }
    }

    /// What is known before the first state.
    fn header(&self, args: &ExploreArgs, sandbox: &Sandbox) -> Header {
        let machine = machine_notes(sandbox);
        Header {
            target: self.tested.info.clone(),
            seed: self.seed,
            budget_us: Some(micros(args.budget)),
            faults: names(&self.models),
            recovery_bound_us: self.tested.recovery_bound.map(micros),
            shard: shard(args, self.digest, &self.models).map(Box::new),
            warnings: machine_warnings(&machine),
            assumed: args.device.assumed(),
            machine,
            min_coverage: args.min_coverage,
            ..Header::default()
        }
    }

    /// Tries states until there are none left or a limit is reached.
    fn explore<'r>(
        &self,
        args: &ExploreArgs,
        (trace, can, smaller): (&Trace, &CanFollowUp, Option<&SmallerRecorder<'_>>),
        workers: &dyn Workers,
        live: LiveRun<'r>,
        stop: &Stop,
    ) -> anyhow::Result<(Summary, LiveRun<'r>)> {
        let tested = &self.tested;
        let device = args.device.device();
        let indexes = CrashModel::indexes(&self.models, &trace.log, device);
        let oracle = Oracle::new(
            trace,
            (&self.models, &indexes),
            device,
            tested.promises(),
            tested.recovery_bound,
            Acked::of(&trace.about.history, &*tested.target),
        );
        // The time before an interruption counts.
        let left = args.budget.saturating_sub(live.elapsed());
        let limits = Limits {
            states: args.states,
            decide: args.decide,
            check_one_in: args.check_decided,
            diagnose: !args.no_diagnosis,
            audit: args.audit,
            smaller: smaller.map(|_| Limits::for_smaller(left)),
            memory: self.memory.limit,
            ..Limits::within(left, args.recovery_depth, stop.flag())
        };
        let mut sink = RunSink {
            args,
            oracle: &oracle,
            keep: self.keep.as_ref(),
            info: &tested.info,
            seed: self.seed,
            live,
            failed: None,
        };
        let mut states = StateEnumerator::of_run(trace, oracle.space(), self.seed, args.shard);
        let shares = args.shard.is_some();
        let can = |one| can.get(&one).cloned().unwrap_or(Ok(()));
        let follow_ups = FollowUps::new(args.follow_up.share(), can, oracle.life.clone());
        let explorer = Explorer::new(&oracle, workers, limits, shares, &mut sink);
        let explorer = explorer.following_up(follow_ups);
        let (summary, groups) = explorer.explore(&mut states);
        if let Some(smaller) = smaller.filter(|_| summary.gave_up.is_none()) {
            smaller.look(&mut sink, &groups, workers, &limits);
        }
        sink.name_artifacts();
        match sink.failed {
            Some(error) => Err(error),
            None => Ok((summary, sink.live)),
        }
    }
}

/// For each follow-up whether the target can have it, or why not.
type CanFollowUp = BTreeMap<FollowUp, Result<(), String>>;

/// What of them the target can have; nothing is tried where none is wanted.
fn can_follow_up(own: &SandboxWorker, share: FollowUpShare) -> CanFollowUp {
    let wanted = FollowUp::ALL.into_iter();
    let wanted = wanted.filter(|_| share != FollowUpShare::None);
    wanted.map(|one| (one, own.can_follow_up(one))).collect()
}

/// How much memory may be taken, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Memory {
    /// By the whole of plugpull; none for no limit.
    limit: Option<u64>,
    /// By what waits to be written into a trace.
    buffer: u64,
}

impl Memory {
    /// The least limit: less is taken before the first state.
    const LEAST: u64 = 128 << 20;

    fn of(args: &ExploreArgs) -> anyhow::Result<Self> {
        let given = args.record_buffer.map(|mib| mib << 20);
        match args.memory {
            // As it was called in 0.1.
            Some(buffer) if buffer < Self::LEAST && given.is_none() && args.record.is_some() => {
                let mib = buffer >> 20;
                eprintln!("plugpull: note: --memory {mib} is called --record-buffer {mib} now");
                Ok(Self {
                    limit: None,
                    buffer,
                })
            }
            Some(limit) if limit < Self::LEAST => Err(wrong(
                "--memory wants 128M or more; less is taken before the first state",
            )),
            limit => Ok(Self {
                limit,
                buffer: given.unwrap_or(match limit {
                    Some(limit) => RECORD_BUFFER.min(limit / 8),
                    None => RECORD_BUFFER,
                }),
            }),
        }
    }
}

/// Why an exploration ended, and by what, where the reason does not say.
fn ended(summary: &Summary, args: &ExploreArgs) -> (EndReason, String) {
    if let Some(why) = &summary.gave_up {
        eprintln!("plugpull: the exploration was given up: {why}");
        return (EndReason::Failed, why.clone());
    }
    if summary.out_of_memory {
        eprintln!("plugpull: the exploration ended when most of --memory was taken");
        return (EndReason::Budget, "--memory".into());
    }
    let states = args.states.filter(|_| summary.enough);
    match (summary.interrupted, states) {
        (true, _) => (EndReason::Interrupted, String::new()),
        (false, _) if summary.complete => (EndReason::Complete, String::new()),
        (false, Some(states)) => (EndReason::Budget, format!("--states {states}")),
        (false, None) => (EndReason::Budget, String::new()),
    }
}

/// That a recording obliges to less than was acknowledged in it.
const READ_LATE: &str = "while this was recorded, plugpull had no time to read acks for over a second: some \
                         count from later than they were written, where less can be lost; record it again";

/// Which trace is explored.
fn recording(
    trace: &Trace,
    path: Option<&Path>,
    digest: Option<u128>,
) -> anyhow::Result<Recording> {
    let digest = match (path, digest) {
        (Some(path), None) => Some(fingerprint(path)?),
        (_, digest) => digest,
    };
    let late = trace.about.read_late.then(|| READ_LATE.to_owned());
    if let Some(warning) = &late {
        eprintln!("plugpull: warning: {warning}");
    }
    Ok(Recording {
        warnings: late.into_iter().collect(),
        operations: trace.log.records().len() as u64,
        acked: trace.about.history.acked() as u64,
        trace: path.map(|path| path.display().to_string()),
        digest: digest.map(|digest| format!("{digest:032x}")),
    })
}

/// The workload that is recorded.
fn workload(args: &ExploreArgs, tested: &ResolvedTarget) -> anyhow::Result<WorkloadConfig> {
    let workload = tested.fit(WorkloadConfig {
        clients: args.clients,
        value_len: 1..=args.value_size,
        ..WorkloadConfig::default()
    });
    workload.validate().map_err(wrong)?;
    Ok(workload)
}

/// What the report of a shard has besides, for `plugpull merge`.
fn shard(args: &ExploreArgs, digest: Option<u128>, models: &[CrashModel]) -> Option<Shard> {
    let states = args.states.map_or("all".into(), |most| most.to_string());
    Some(Shard {
        number: args.shard?.number,
        of: args.shard?.of,
        trace: digest.map(|digest| format!("{digest:032x}")),
        options: format!(
            "--states {states} --recovery-depth {} --device {} --follow-up {}{}",
            args.recovery_depth,
            args.device.device(),
            args.follow_up.name(),
            if args.decide { " --decide" } else { "" }
        ),
        faults: names(models),
        ..Shard::default()
    })
}

fn say_recorded(file: &TraceFile, trace: &Trace) -> anyhow::Result<u8> {
    println!(
        "Recorded {} acknowledged transactions of {} into {} ({:.1} MB); \
         `plugpull explore --trace {}` explores them.",
        trace.about.history.acked(),
        trace.about.version,
        file.path.display(),
        std::fs::metadata(&file.path)?.len() as f64 / 1e6,
        file.path.display()
    );
    Ok(crate::KEPT)
}

/// That what was recorded did nothing in the data directory; none where it did.
fn untouched(trace: &Trace, host: &SandboxHost, promises: &[Promise]) -> Option<Untouched> {
    let history = &trace.about.history;
    let acked = history.acked() as u64;
    let at_barrier = Guarantee::Durable(Durability::AtBarrier);
    let awaits_barrier = promises.iter().any(|one| one.guarantee == at_barrier)
        && !history
            .entries
            .iter()
            .any(|entry| entry.call == Call::Barrier);
    (trace.log.records().is_empty() && acked > 0).then(|| Untouched {
        directory: host.sandbox.data_dir().to_path_buf(),
        acked,
        elsewhere: match awaits_barrier {
            true => WroteTo::NoBarrier,
            false => WroteTo::NotLooked,
        },
    })
}

/// Ends an exploration whose recording leaves nothing to try.
fn nothing_to_try(mut live: LiveRun<'_>, models: &[CrashModel], why: &str) -> anyhow::Result<u8> {
    eprintln!("plugpull: not measured: {why}");
    say_not_measured(&mut live, &names(models), why);
    let took = live.elapsed();
    live.finish(EndReason::Complete, "", took)
}

/// How long one trial takes on an empty data directory.
fn one_trial(worker: &SandboxWorker) -> anyhow::Result<Duration> {
    let owner = (geteuid().as_raw(), getegid().as_raw());
    let disk = CrashDisk {
        key: 0,
        tree: Tree::new(owner.0, owner.1, 0),
        acked: Acked::default(),
        then: None,
    };
    Ok(worker.attempt(&disk)?.took)
}

/// A trace that was recorded before.
fn read_trace(path: &Path) -> anyhow::Result<Trace> {
    let file = TraceFile {
        path: path.to_path_buf(),
        memory: 0,
    };
    file.read().map_err(|error| wrong(format!("{error:#}")))
}

/// Where to record to; nothing may be there.
fn trace_file(path: &Path, buffer: u64) -> anyhow::Result<TraceFile> {
    writable(path, "the trace")?;
    if path.symlink_metadata().is_ok() {
        return Err(wrong(format!(
            "the trace cannot be written to {}: there is something already",
            path.display()
        )));
    }
    Ok(TraceFile {
        path: path.to_path_buf(),
        memory: buffer,
    })
}

/// What reports call them.
fn names(models: &[CrashModel]) -> Vec<String> {
    models.iter().map(|one| one.name.to_string()).collect()
}

fn chosen_models(given: &[String]) -> anyhow::Result<Vec<CrashModel>> {
    let all = CrashModel::all();
    if given.is_empty() {
        return Ok(all);
    }
    given
        .iter()
        .map(|name| {
            all.iter()
                .copied()
                .find(|one| one.name == name)
                .ok_or_else(|| {
                    let known: Vec<&str> = all.iter().map(|one| one.name).collect();
                    wrong(format!(
                        "--model {name} is not known; known are {}",
                        known.join(", ")
                    ))
                })
        })
        .collect()
}
