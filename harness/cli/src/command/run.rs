//! `plugpull run`: live faults against a living target, within a time budget.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use plugpull_crashsim::persist::{self, Device};
use plugpull_driver::Target;
use plugpull_engine::experiment::conduct;
use plugpull_engine::prepare::{mounts_fuse, sandbox_for};
use plugpull_engine::run::{
    FaultPlan, FaultRun, Machinery, NotTried, Schedule, Selected, Until, selected,
};
use plugpull_engine::seed;
use plugpull_engine::trial::{SandboxHost, StorageRules, micros};
use plugpull_faults::current_name;
use plugpull_reports::{
    Emit as _, EndReason, Header, NotMeasured, Record, RunCommand, Shard, TargetInfo, Trial,
};
use plugpull_sandbox::{Isolation, pin};
use plugpull_workloads::{Distribution, WorkloadConfig};

use super::baseline::Baseline;
use super::chosen_faults::{chosen_faults, without_skipped};
use super::controls::{Controlled, controlled, machine_notes, machine_warnings, nothing_measured};
use super::interrupt::stop_on_signal;
use super::live_run::{LiveRun, Resumed};
use super::resolved_target::{ResolvedTarget, again};
use super::{outputs, run_files, wrong};
use crate::cli::RunArgs;

/// What the command line resolved to.
struct ResolvedRun {
    plan: FaultPlan,
    info: TargetInfo,
    unavailable: Vec<NotTried>,
    not_applicable: Vec<NotTried>,
    baseline: Option<Baseline>,
}

/// Runs the trials and reports them. A run that is resumed has the seed of the one before among its
/// options, and makes the trials that are missing.
pub(crate) fn run(args: &RunArgs, resumed: Option<Resumed>) -> anyhow::Result<u8> {
    let began = Instant::now();
    // From the beginning, so that no signal ends a run without a report.
    let stop = stop_on_signal();
    let resolved = check(args)?;
    let planned = planned(args, &resolved);
    if let (Some(shard), true) = (args.shard, planned.is_empty()) {
        return Err(wrong(format!(
            "--shard {shard}: there are too few trials for so many shards; nothing is left for this one"
        )));
    }
    let controlled = controlled(&resolved.info.name, &resolved.plan.setup)?;
    if let Some(keep) = &resolved.plan.keep {
        keep.claim()?;
    }
    let mut header = header(args, &resolved, planned);
    let mut schedule = schedule(args, &resolved);
    let done = resumed.as_ref().map(|resumed| done(resumed, &header));
    for (trial, slot) in done.transpose()?.unwrap_or_default() {
        let took = Duration::from_micros(trial.took_us);
        schedule.resume(trial.number, slot, trial.hit, took);
    }
    let baseline = resolved.baseline;
    let mut live =
        LiveRun::new(RunCommand::Run, &args.outputs, baseline, &stop, began).resume(resumed);
    match controlled {
        Controlled::Ready(warnings) => header.warnings.extend(warnings),
        Controlled::NotMeasured(why) => return nothing_measured(live, header, &why),
    }
    live.emit(Record::Header(Box::new(header)));
    let mut plan = resolved.plan;
    plan.artifacts = (args.outputs.keep.clone()).or_else(|| {
        let run_file = live.run_file()?;
        Some(run_files::findings_beside(&run_file))
    });
    let mut faults = FaultRun::new(plan, schedule);
    let ended = conduct(&mut faults, stop.flag(), &mut live);
    let left_out = faults.left_out().filter(|_| !ended);
    let reason = match (ended, left_out) {
        (true, _) => EndReason::Interrupted,
        (false, Some(_)) => EndReason::Budget,
        (false, None) => EndReason::Complete,
    };
    let took = live.elapsed();
    let code = live.finish(reason, "", took)?;
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
fn header(args: &RunArgs, resolved: &ResolvedRun, planned: Vec<String>) -> Header {
    let named = |list: &[NotTried]| {
        let all = list.iter();
        all.map(|(what, why)| NotMeasured {
            what: what.clone(),
            why: why.clone(),
        })
        .collect()
    };
    let machine = match args.no_fuse {
        true => BTreeMap::new(),
        false => machine_notes(&resolved.plan.setup.host.sandbox),
    };
    Header {
        target: resolved.info.clone(),
        seed: resolved.plan.seed,
        budget_us: match until(args) {
            Until::Budget(budget) => Some(micros(budget)),
            Until::Rounds(_) => None,
        },
        faults: planned,
        unavailable: named(&resolved.unavailable),
        not_applicable: named(&resolved.not_applicable),
        allow_not_measured: args.allow_not_measured,
        recovery_bound_us: resolved.plan.setup.recovery_bound.map(micros),
        shard: shard(args, resolved).map(Box::new),
        warnings: machine_warnings(&machine),
        assumed: args.device.assumed(),
        machine,
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

fn schedule(args: &RunArgs, resolved: &ResolvedRun) -> Schedule {
    Schedule::new(resolved.plan.faults.len(), until(args), args.shard)
}

/// The names of the faults that will be tried: those of this shard.
fn planned(args: &RunArgs, resolved: &ResolvedRun) -> Vec<String> {
    let schedule = schedule(args, resolved);
    let own = resolved.plan.faults.iter().enumerate();
    own.filter(|(index, _)| schedule.plans(*index))
        .map(|(_, chosen)| chosen.name.clone())
        .collect()
}

/// What the report of a shard has besides, for `plugpull merge`.
fn shard(args: &RunArgs, resolved: &ResolvedRun) -> Option<Shard> {
    let shard = args.shard?;
    let mut options = options_again(args);
    for fault in &args.faults {
        options.push_str(&format!(" --fault '{fault}'"));
    }
    for fault in &args.skip {
        options.push_str(&format!(" --skip {fault}"));
    }
    if let Some(rounds) = args.rounds {
        options.push_str(&format!(" --rounds {rounds}"));
    }
    let faults = resolved.plan.faults.iter();
    Some(Shard {
        number: shard.number,
        of: shard.of,
        options,
        faults: faults.map(|chosen| chosen.name.clone()).collect(),
        ..Shard::default()
    })
}

fn check(args: &RunArgs) -> anyhow::Result<ResolvedRun> {
    let tested = ResolvedTarget::new(&args.target)?;
    let model = persist::model(&args.model).ok_or_else(|| {
        let known: Vec<&str> = persist::MODELS.iter().map(|model| model.name()).collect();
        wrong(format!(
            "--model {} is not known; known are {}",
            args.model,
            known.join(", ")
        ))
    })?;
    let workload = tested.fit(workload(args));
    workload.validate().map_err(wrong)?;
    note_former_names(&args.faults);
    note_former_names(&args.skip);
    let faults = chosen_faults(&args.faults, &*tested.target)?;
    let faults = without_skipped(faults, &args.skip, &*tested.target)?;
    if args.trial_seed.is_some() && args.faults.len() != 1 {
        return Err(wrong(
            "--trial-seed repeats one trial, so it wants exactly one --fault",
        ));
    }
    let keep = outputs::check(&args.outputs)?;
    let baseline = Baseline::named(&args.outputs, &tested.info)?;
    let host = open_host(&*tested.target)?;
    let own_mounts = host.sandbox.isolation() == Isolation::Full;
    let machinery = Machinery {
        fuse: !args.no_fuse && own_mounts && mounts_fuse(&host.sandbox),
        without_fuse: args.no_fuse,
        own_mounts,
        memory_limit: host.cgroup,
    };
    let by_name = !args.faults.is_empty();
    let target = (tested.info.name.as_str(), &*tested.target);
    let Selected {
        tried,
        not_measured,
        not_applicable,
    } = selected(faults, target, machinery, by_name);
    let rules = StorageRules {
        model,
        device: args.device.device(),
        fuse: machinery.fuse,
    };
    let of_target = tested.target.clone();
    Ok(ResolvedRun {
        plan: FaultPlan {
            setup: tested.setup(Arc::new(host), workload, rules),
            faults: tried,
            seed: args.seed.unwrap_or_else(seed::fresh),
            trial_seed: args.trial_seed,
            keep,
            again: options_again(args),
            new_host: Arc::new(move || open_host(&*of_target)),
            artifacts: None,
            info: tested.info.clone(),
        },
        info: tested.info,
        unavailable: not_measured,
        not_applicable,
        baseline,
    })
}

/// A sandbox for this target, with a memory limit where there can be one.
fn open_host(target: &dyn Target) -> anyhow::Result<SandboxHost> {
    let sandbox = sandbox_for(target)?;
    let cgroup = sandbox.memory().is_ok();
    Ok(SandboxHost::new(sandbox, pin::choose(), cgroup))
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

/// Says which of these faults are named by a former name.
fn note_former_names(given: &[String]) {
    for text in given {
        let name = text.split('@').next().unwrap_or_default();
        if let Some(current) = current_name(name) {
            eprintln!("plugpull: note: the fault '{name}' is called '{current}' now");
        }
    }
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
