//! `plugpull growth`: how recovery time grows with what was written before the crash.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use plugpull_crashsim::persist::{self, Device};
use plugpull_engine::experiment::conduct;
use plugpull_engine::growth::{CrashKind, GrowthRun, GrowthSpec, chosen, fitting, pilot, unit};
use plugpull_engine::keep::Keep;
use plugpull_engine::prepare::{mounts_fuse, sandbox_for};
use plugpull_engine::seed;
use plugpull_engine::trial::{SandboxHost, Setup, StorageRules, micros};
use plugpull_reports::{Emit as _, EndReason, GrowthPlan, Header, Record, RunCommand};
use plugpull_sandbox::{Isolation, pin};
use plugpull_workloads::{Guarantee, Promise, WorkloadConfig};

use super::baseline::Baseline;
use super::controls::{Controlled, controlled, machine_notes, machine_warnings, nothing_measured};
use super::interrupt::stop_on_signal;
use super::live_run::{LiveRun, Resumed};
use super::resolved_target::{ResolvedTarget, again};
use super::{outputs, wrong};
use crate::cli::{CrashArg, GrowthArgs};

/// What the command line resolved to, and the sizes that are measured.
struct ResolvedGrowth {
    tested: ResolvedTarget,
    setup: Setup,
    crash: CrashKind,
    sizes: Vec<u64>,
    /// What was seen before the first measurement.
    controlled: Controlled,
    seed: u64,
    keep: Option<Keep>,
    baseline: Option<Baseline>,
    /// The command that measures the same again.
    again: String,
}

/// Measures and reports. What was measured before an interruption is kept.
pub(crate) fn run(args: &GrowthArgs, resumed: Option<Resumed>) -> anyhow::Result<u8> {
    let stop = stop_on_signal();
    let resolved = check(args)?;
    if let Some(keep) = &resolved.keep {
        keep.claim()?;
    }
    let machine = match resolved.crash {
        // Only the disk that loses power asks what is durable.
        CrashKind::Kill => BTreeMap::new(),
        CrashKind::PowerLoss => machine_notes(&resolved.setup.host.sandbox),
    };
    let mut header = Header {
        target: resolved.tested.info.clone(),
        seed: resolved.seed,
        budget_us: Some(micros(args.budget)),
        faults: vec![resolved.crash.name().to_string()],
        recovery_bound_us: resolved.setup.recovery_bound.map(micros),
        growth: Some(GrowthPlan {
            unit: unit(&resolved.setup),
            bound_us: bound(&resolved).map(micros),
            sizes: resolved.sizes.clone(),
        }),
        warnings: machine_warnings(&machine),
        machine,
        ..Header::default()
    };
    let done = match &resumed {
        Some(resumed) => {
            resumed.same_work(&header)?;
            resumed.run.fold.trials()
        }
        None => 0,
    };
    let began = Instant::now();
    let baseline = resolved.baseline;
    let mut live =
        LiveRun::new(RunCommand::Growth, &args.outputs, baseline, &stop, began).resume(resumed);
    match resolved.controlled {
        Controlled::Ready(warnings) => header.warnings.extend(warnings),
        Controlled::NotMeasured(why) => return nothing_measured(live, header, &why),
    }
    live.emit(Record::Header(Box::new(header)));
    let mut measurements = GrowthRun::new(
        GrowthSpec {
            setup: resolved.setup,
            crash: resolved.crash,
            sizes: resolved.sizes,
            seed: resolved.seed,
            repeats: args.repeats,
            budget: args.budget,
            keep: resolved.keep,
            again: resolved.again,
            stop: stop.flag(),
        },
        done,
    );
    let interrupted = conduct(&mut measurements, stop.flag(), &mut live);
    let reason = match interrupted {
        true => EndReason::Interrupted,
        false => EndReason::Complete,
    };
    let took = live.elapsed();
    live.finish(reason, "", took)
}

fn check(args: &GrowthArgs) -> anyhow::Result<ResolvedGrowth> {
    let sizes = (!args.sizes.is_empty()).then(|| chosen(&args.sizes).map_err(wrong));
    let sizes = sizes.transpose()?;
    let tested = ResolvedTarget::new(&args.target)?;
    let recovers = tested
        .target
        .scripted()
        .is_none_or(|script| script.recovers());
    if !recovers {
        return Err(wrong(format!(
            "starting {} runs nothing, so there is no recovery to time",
            tested.info.name
        )));
    }
    let workload = tested.fit(WorkloadConfig {
        clients: args.clients,
        value_len: 1..=args.value_size,
        ..WorkloadConfig::default()
    });
    workload.validate().map_err(wrong)?;
    let keep = outputs::check(&args.outputs)?;
    let baseline = Baseline::named(&args.outputs, &tested.info)?;
    let crash = match args.crash {
        CrashArg::Kill => CrashKind::Kill,
        CrashArg::PowerLoss => CrashKind::PowerLoss,
    };
    let model = persist::model("journaled").context("the usual persistence model is missing")?;
    let sandbox = sandbox_for(&*tested.target)?;
    let fuse = sandbox.isolation() == Isolation::Full && mounts_fuse(&sandbox);
    anyhow::ensure!(
        fuse || crash == CrashKind::Kill,
        "--crash power-loss needs the crash filesystem, and so FUSE; `plugpull doctor` says what is \
         missing"
    );
    let rules = StorageRules {
        model,
        device: Device::default(),
        fuse,
    };
    let host = SandboxHost::new(sandbox, pin::choose(), false);
    let setup = tested.setup(Arc::new(host), workload, rules);
    let controlled = controlled(&tested.info.name, &setup)?;
    let sizes = match &controlled {
        Controlled::NotMeasured(_) => sizes.unwrap_or_default(),
        Controlled::Ready(_) => {
            // Also where the sizes are known: what cannot be started is wrong use.
            let fast = pilot(&setup, args.budget).map_err(|why| {
                wrong(format!(
                    "the growth of '{}' cannot be measured: {why:#}",
                    tested.info.name
                ))
            })?;
            sizes.unwrap_or_else(|| fitting(fast))
        }
    };
    let seed = args.seed.unwrap_or_else(seed::fresh);
    Ok(ResolvedGrowth {
        again: repeat(args, &sizes, seed),
        tested,
        setup,
        crash,
        sizes,
        controlled,
        seed,
        keep,
        baseline,
    })
}

/// The bound that recovery is judged against: the closest of those that are promised and the one
/// that the user named.
fn bound(resolved: &ResolvedGrowth) -> Option<Duration> {
    let class = resolved.crash.class();
    let promised = |promise: &Promise| match promise.guarantee {
        Guarantee::RecoversWithinMs(ms) if promise.classes.contains(&class) => {
            Some(Duration::from_millis(ms))
        }
        _ => None,
    };
    let promised = resolved.setup.promises.iter().filter_map(promised);
    promised.chain(resolved.setup.recovery_bound).min()
}

/// The command that measures the same again.
fn repeat(args: &GrowthArgs, sizes: &[u64], seed: u64) -> String {
    let mut text = format!("plugpull growth {}", again(&args.target));
    let sizes: Vec<String> = sizes.iter().map(u64::to_string).collect();
    text.push_str(&format!(" --sizes {}", sizes.join(",")));
    let usual = [
        (args.clients != 4, format!(" --clients {}", args.clients)),
        (
            args.value_size != 4096,
            format!(" --value-size {}", args.value_size),
        ),
        (
            args.crash == CrashArg::PowerLoss,
            " --crash power-loss".into(),
        ),
    ];
    text.extend(usual.into_iter().filter(|one| one.0).map(|one| one.1));
    text.push_str(&format!(" --repeats {} --seed {seed}", args.repeats));
    text
}
