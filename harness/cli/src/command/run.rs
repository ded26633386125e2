//! `plugpull run`: live faults against a living target, within a time budget.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use anyhow::Context;
use plugpull_crashsim::persist::{self, Device};
use plugpull_faults::fault::{Fault, Need};
use plugpull_faults::trigger::{Trigger, When};
use plugpull_faults::{FAULTS, current_name, fault};
use plugpull_reports::{
    Emit as _, EndReason, Evidence, Header, NotMeasured, Record, ReportedFinding, RunCommand,
    Shard, TargetInfo, Trial, TrialRecord, TrialStarted,
};
use plugpull_sandbox::{Isolation, Sandbox};
use plugpull_targets::{Reorgs, Target};
use plugpull_workloads::{Distribution, WorkloadConfig};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use super::asked::{Asked, again, baseline, outputs};
use super::baseline::Baseline;
use super::interrupt::{Stop, stop_on_signal};
use super::live_run::{LiveRun, Resumed};
use super::place::{NO_SANDBOX, mounts_fuse, options_for};
use super::wrong;
use crate::cli::RunArgs;
use plugpull_engine::keep::Keep;
use plugpull_engine::run::{Schedule, Until};
use plugpull_engine::seed;
use plugpull_engine::trial::{self, Crashed, SandboxHost, Setup, StorageRules, TrialSpec, micros};
use plugpull_sandbox::pin;

/// What the user asked for, checked.
struct Wanted {
    setup: Setup,
    info: TargetInfo,
    faults: Vec<(&'static Fault, Option<Trigger>)>,
    unavailable: Vec<(String, String)>,
    seed: u64,
    keep: Option<Keep>,
    baseline: Option<Baseline>,
    /// The target and the options that a repetition needs, as they were typed.
    again: String,
}

/// Runs the trials and reports them. A run that is resumed has the seed of the one before among its
/// options, and makes the trials that are missing.
pub(crate) fn run(args: &RunArgs, resumed: Option<Resumed>) -> anyhow::Result<u8> {
    let began = Instant::now();
    // From the beginning, so that no signal ends a run without a report.
    let stop = stop_on_signal();
    let wanted = check(args)?;
    let planned = planned(args, &wanted);
    if let (Some(shard), true) = (args.shard, planned.is_empty()) {
        return Err(wrong(format!(
            "--shard {shard}: there are too few trials for so many shards; nothing is left for this one"
        )));
    }
    can_start(&wanted)?;
    if let Some(keep) = &wanted.keep {
        keep.claim()?;
    }
    let header = header(args, &wanted, planned);
    let mut schedule = Schedule::new(wanted.faults.len(), until(args), args.shard);
    let done = resumed.as_ref().map(|resumed| done(resumed, &header));
    for (trial, slot) in done.transpose()?.unwrap_or_default() {
        let took = Duration::from_micros(trial.took_us);
        schedule.resume(trial.number, slot, trial.hit, took);
    }
    let mut live = LiveRun::new(RunCommand::Run, &args.outputs, &stop, began).resume(resumed);
    live.emit(Record::Header(Box::new(header)));
    let trials = Trials {
        args,
        wanted: &wanted,
        stop: &stop,
    };
    let ended = trials.make(&mut schedule, &mut live);
    let left_out = schedule.left_out().filter(|_| !ended);
    let reason = match (ended, left_out) {
        (true, _) => EndReason::Interrupted,
        (false, Some(_)) => EndReason::Budget,
        (false, None) => EndReason::Complete,
    };
    let took = live.elapsed();
    let code = live.finish(reason, took, wanted.baseline.as_ref())?;
    if let Some((faults, round)) = left_out {
        eprintln!(
            "plugpull: the budget of {:?} was over before {faults} of the faults had their turn; one round \
             of all takes about {:.0?}",
            args.budget, round
        );
    }
    Ok(code)
}

/// What is known before the first trial.
fn header(args: &RunArgs, wanted: &Wanted, planned: Vec<String>) -> Header {
    let unavailable = wanted.unavailable.iter();
    Header {
        target: wanted.info.clone(),
        seed: wanted.seed,
        budget_us: match until(args) {
            Until::Budget(budget) => Some(micros(budget)),
            Until::Rounds(_) => None,
        },
        faults: planned,
        unavailable: unavailable
            .map(|(what, why)| NotMeasured {
                what: what.clone(),
                why: why.clone(),
            })
            .collect(),
        recovery_bound_us: wanted.setup.recovery_bound.map(micros),
        shard: shard(args, wanted).map(Box::new),
        ..Header::default()
    }
}

/// The trials of the run that is resumed, each with the place of its fault among those that are
/// tried. An error when what would be tried now is something else.
fn done(resumed: &Resumed, now: &Header) -> anyhow::Result<Vec<(Trial, usize)>> {
    resumed.same_work(now)?;
    let mut all = Vec::new();
    resumed.run.each(|line| {
        if let Record::Trial(one) = line.record
            && let Some(slot) = one.slot.and_then(|slot| usize::try_from(slot).ok())
        {
            let kept = Trial {
                findings: Vec::new(),
                ..one.trial
            };
            all.push((kept, slot));
        }
    })?;
    Ok(all)
}

/// When the run is over.
fn until(args: &RunArgs) -> Until {
    match (args.trial_seed, args.rounds) {
        (Some(_), _) => Until::Rounds(1),
        (None, Some(rounds)) => Until::Rounds(rounds),
        (None, None) => Until::Budget(args.budget),
    }
}

/// The names of the faults that will be tried: those of this shard.
fn planned(args: &RunArgs, wanted: &Wanted) -> Vec<String> {
    let schedule = Schedule::new(wanted.faults.len(), until(args), args.shard);
    let own = wanted.faults.iter().enumerate();
    own.filter(|(index, _)| schedule.plans(*index))
        .map(|(_, (fault, _))| fault.name.to_string())
        .collect()
}

/// What the report of a shard has besides, for `plugpull merge`.
fn shard(args: &RunArgs, wanted: &Wanted) -> Option<Shard> {
    let shard = args.shard?;
    let mut options = options_again(args);
    for fault in &args.faults {
        options.push_str(&format!(" --fault '{fault}'"));
    }
    if let Some(rounds) = args.rounds {
        options.push_str(&format!(" --rounds {rounds}"));
    }
    let faults = wanted.faults.iter();
    Some(Shard {
        number: shard.number,
        of: shard.of,
        options,
        faults: faults.map(|(fault, _)| fault.name.to_string()).collect(),
        ..Shard::default()
    })
}

/// The trials of a run.
struct Trials<'a> {
    args: &'a RunArgs,
    wanted: &'a Wanted,
    stop: &'a Stop,
}

impl Trials<'_> {
    /// Makes them. Returns whether the user ended it.
    fn make(&self, schedule: &mut Schedule, live: &mut LiveRun<'_>) -> bool {
        let (args, wanted) = (self.args, self.wanted);
        while let Some((number, index)) = schedule.next(live.elapsed()) {
            if self.stop.flag().load(Ordering::Relaxed) {
                return true;
            }
            let began = Instant::now();
            let (fault, trigger) = &wanted.faults[index];
            let plan = TrialSpec {
                number,
                fault,
                trigger: trigger.clone(),
                seed: args
                    .trial_seed
                    .unwrap_or_else(|| seed::of_trial(wanted.seed, number)),
            };
            live.emit(Record::TrialStarted(TrialStarted {
                number,
                fault: fault.name.to_string(),
                slot: Some(index as u64),
            }));
            let mut done = trial::run(&wanted.setup, &plan);
            if let (Some(keep), Some(crashed)) = (&wanted.keep, &done.crashed) {
                let name = format!("trial-{number}-{}", fault.name);
                if let Err(error) = keep.disk(&name, &crashed.disk) {
                    done.trial.why = format!("the crashed directory could not be kept: {error}");
                }
            }
            for finding in &mut done.trial.findings {
                finding.repeat = repeat(wanted, &done.trial.spec, plan.seed);
            }
            for index in live.firsts(&done.trial) {
                let finding = &mut done.trial.findings[index];
                finding.evidence = Some(Box::new(evidence(done.crashed.as_ref(), finding)));
            }
            schedule.tried(index, done.trial.hit, began.elapsed());
            live.emit(Record::Trial(Box::new(TrialRecord {
                trial: done.trial,
                slot: Some(index as u64),
                explored: None,
            })));
        }
        false
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

/// The command that makes a trial again.
fn repeat(wanted: &Wanted, spec: &str, seed: u64) -> String {
    format!(
        "plugpull run {} --fault '{spec}' --trial-seed {seed}",
        wanted.again
    )
}

fn check(args: &RunArgs) -> anyhow::Result<Wanted> {
    let asked = Asked::new(&args.target)?;
    let model = persist::model(&args.model).ok_or_else(|| {
        let known: Vec<&str> = persist::MODELS.iter().map(|model| model.name()).collect();
        wrong(format!(
            "--model {} is not known; known are {}",
            args.model,
            known.join(", ")
        ))
    })?;
    let workload = asked.fit(workload(args));
    workload.validate().map_err(wrong)?;
    note_former_names(&args.faults);
    let faults = chosen_faults(&args.faults)?;
    let (faults, without) = fitting(faults, &asked, !args.faults.is_empty());
    if args.trial_seed.is_some() && args.faults.len() != 1 {
        return Err(wrong(
            "--trial-seed repeats one trial, so it wants exactly one --fault",
        ));
    }
    let keep = outputs(&args.outputs)?;
    let baseline = baseline(&args.outputs, &asked.info)?;

    let sandbox = Sandbox::open(&options_for(&*asked.target)).context(NO_SANDBOX)?;
    let fuse = !args.no_fuse && sandbox.isolation() == Isolation::Full && mounts_fuse(&sandbox);
    let cgroup = sandbox.memory().is_ok();
    let host = Arc::new(SandboxHost::new(sandbox, pin::choose(), cgroup));
    let (faults, mut unavailable) = available(faults, fuse, cgroup, &host, args.no_fuse);
    unavailable.extend(without);
    let faults = with_a_recovery(faults, &*asked.target, &mut unavailable);
    let setup = Setup {
        host,
        target: asked.target,
        promises: asked.info.promises.clone(),
        workload,
        rules: StorageRules {
            model,
            device: args.device.device(),
            fuse,
        },
        recovery_bound: asked.recovery_bound,
        start_limit: asked.start_limit,
    };
    Ok(Wanted {
        setup,
        info: asked.info,
        faults,
        unavailable,
        seed: args.seed.unwrap_or_else(seed::fresh),
        keep,
        baseline,
        again: options_again(args),
    })
}

fn workload(args: &RunArgs) -> WorkloadConfig {
    let distribution = match args.zipf {
        Some(exponent) => Distribution::Zipf { exponent },
        None => Distribution::Uniform,
    };
    WorkloadConfig {
        clients: args.clients,
        value_len: 1..=args.value_size,
        distribution,
        shared_keys: args.shared_keys,
        ..WorkloadConfig::default()
    }
}

type Chosen = Vec<(&'static Fault, Option<Trigger>)>;

/// Says which of these faults are named by a former name.
fn note_former_names(given: &[String]) {
    for text in given {
        let name = text.split('@').next().unwrap_or_default();
        if let Some(current) = current_name(name) {
            eprintln!("plugpull: note: the fault '{name}' is called '{current}' now");
        }
    }
}

fn chosen_faults(given: &[String]) -> anyhow::Result<Chosen> {
    if given.is_empty() {
        return Ok(FAULTS.iter().map(|fault| (*fault, None)).collect());
    }
    given
        .iter()
        .map(|text| {
            let (name, trigger) = match text.split_once('@') {
                Some((name, trigger)) => (name, Some(trigger)),
                None => (text.as_str(), None),
            };
            let found = fault(name).ok_or_else(|| {
                let known: Vec<&str> = FAULTS.iter().map(|fault| fault.name).collect();
                wrong(format!(
                    "there is no fault '{name}'; there are {}",
                    known.join(", ")
                ))
            })?;
            let trigger = trigger
                .map(|text| {
                    // Where the text names no moment, the usual one of a fixed seed stands in.
                    let usual = (found.default_trigger)(&mut ChaCha8Rng::seed_from_u64(0));
                    let usual = match usual.when {
                        When::Ack(_) if text.contains("recovery") => {
                            Trigger::parse("n=1,recovery", &usual).map_err(wrong)?
                        }
                        _ => usual,
                    };
                    let trigger = Trigger::parse(text, &usual).map_err(wrong)?;
                    if let Some(why) = found.cannot_take(&trigger) {
                        return Err(wrong(format!("--fault {name}@{text}: {why}")));
                    }
                    Ok(trigger)
                })
                .transpose()?;
            Ok((found, trigger))
        })
        .collect()
}

/// Splits the faults into those that can be about this target and the others, with why. The others
/// are left out without a word where nobody asked for them by name.
fn fitting(faults: Chosen, asked: &Asked, by_name: bool) -> (Chosen, Vec<(String, String)>) {
    let target = &asked.target;
    let lacking = |fault: &Fault| {
        let lacks = |need: &Need| match need {
            Need::Chain if target.reorgs() == Reorgs::Never => {
                Some("follows no chain that could be reorganised")
            }
            Need::Snapshots if target.snapshots().is_none() => {
                Some("keeps no snapshots in files of their own that plugpull knows of")
            }
            _ => None,
        };
        fault.needs.iter().find_map(lacks)
    };
    let (kept, others): (Chosen, Chosen) = faults
        .into_iter()
        .partition(|(fault, _)| lacking(fault).is_none());
    let name = &asked.info.name;
    let why = |(fault, _): &(&'static Fault, _)| {
        let lacks = lacking(fault).unwrap_or_default();
        (fault.name.to_string(), format!("{name} {lacks}"))
    };
    let others = others.iter().map(why).filter(|_| by_name).collect();
    (kept, others)
}

/// Splits the faults into those that this machine can inject and the others, with why.
fn available(
    faults: Chosen,
    fuse: bool,
    cgroup: bool,
    host: &SandboxHost,
    unwanted: bool,
) -> (Chosen, Vec<(String, String)>) {
    let limited = fuse || host.sandbox.isolation() == Isolation::Full;
    let mut unavailable = Vec::new();
    let kept = faults
        .into_iter()
        .filter(|(fault, trigger)| {
            let mut needs = fault.needs.to_vec();
            if trigger.as_ref().is_some_and(Trigger::at_operation) {
                needs.push(Need::CrashFs);
            }
            let lacking = |what: &str| {
                format!("needs {what}, which this machine does not give; see `plugpull doctor`")
            };
            let why = needs.iter().find_map(|need| match need {
                Need::CrashFs if unwanted => {
                    Some("needs FUSE, which --no-fuse does without".into())
                }
                Need::CrashFs if !fuse => Some(lacking("FUSE")),
                Need::LimitedStorage if !limited => Some(lacking("FUSE or mounts of its own")),
                Need::MemoryCgroup if !cgroup => Some(lacking("a cgroup with a memory limit")),
                _ => None,
            });
            if let Some(why) = &why {
                unavailable.push((fault.name.to_string(), why.clone()));
            }
            why.is_none()
        })
        .collect();
    (kept, unavailable)
}

/// Of the faults those that can strike: where starting the target runs nothing, there is no moment
/// of its recovery.
fn with_a_recovery(
    faults: Chosen,
    target: &dyn Target,
    unavailable: &mut Vec<(String, String)>,
) -> Chosen {
    if target.scripted().is_none_or(|script| script.recovers()) {
        return faults;
    }
    let mut rng = ChaCha8Rng::seed_from_u64(0);
    let (kept, without): (Chosen, Chosen) = faults.into_iter().partition(|(fault, trigger)| {
        let strikes = trigger.clone();
        !strikes
            .unwrap_or_else(|| (fault.default_trigger)(&mut rng))
            .recovery
    });
    let why = "strikes during recovery, and starting this target runs nothing";
    unavailable.extend(
        without
            .iter()
            .map(|(fault, _)| (fault.name.to_string(), why.to_string())),
    );
    kept
}

/// Starts the target once, on an empty data folder, before anything is claimed about it.
fn can_start(wanted: &Wanted) -> anyhow::Result<()> {
    trial::try_start(&wanted.setup).map_err(|why| {
        // What it said may have many lines; an error of ours has one.
        let why: Vec<&str> = why
            .lines()
            .map(str::trim)
            .filter(|line| !line.is_empty())
            .collect();
        wrong(format!(
            "the target '{}' cannot be started: {}",
            wanted.info.name,
            why.join("; ")
        ))
    })
}

/// The command's options as they were typed.
fn options_again(args: &RunArgs) -> String {
    let mut text = again(&args.target);
    let mut add = |option: String| {
        text.push(' ');
        text.push_str(&option);
    };
    if args.clients != 4 {
        add(format!("--clients {}", args.clients));
    }
    if args.value_size != 4096 {
        add(format!("--value-size {}", args.value_size));
    }
    if let Some(exponent) = args.zipf {
        add(format!("--zipf {exponent}"));
    }
    if args.shared_keys {
        add("--shared-keys".into());
    }
    if args.model != "journaled" {
        add(format!("--model {}", args.model));
    }
    if args.no_fuse {
        add("--no-fuse".into());
    }
    if args.device.device() != Device::default() {
        add(format!("--device {}", args.device.device()));
    }
    text
}
