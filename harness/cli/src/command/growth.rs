//! `plugpull growth`: how recovery time grows with what was written before the crash.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use plugpull_crashsim::persist::{self, Device};
use plugpull_engine::experiment::conduct;
use plugpull_engine::growth::{CrashKind, GrowthRun, GrowthSpec, chosen, fitting, pilot, unit};
use plugpull_engine::keep::Keep;
use plugpull_engine::seed;
use plugpull_engine::trial::{SandboxHost, Setup, StorageRules, micros};
use plugpull_reports::{Emit as _, EndReason, GrowthPlan, Header, Record, RunCommand};
use plugpull_sandbox::pin;
use plugpull_sandbox::{Isolation, Sandbox};
use plugpull_workloads::{Guarantee, Promise, WorkloadConfig};

use super::asked::{Asked, again, baseline, outputs};
use super::controls::{Controlled, controlled, nothing_measured};
use super::interrupt::stop_on_signal;
use super::live_run::{LiveRun, Resumed};
use super::place::{NO_SANDBOX, machine_notes, machine_warnings, mounts_fuse, options_for};
use super::reports::Baseline;
use super::wrong;
use crate::cli::{CrashArg, GrowthArgs};

/// What the user asked for, checked, and the sizes that it comes to.
struct Asking {
    asked: Asked,
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
    let asking = check(args)?;
    if let Some(keep) = &asking.keep {
        keep.claim()?;
    }
    let machine = match asking.crash {
        // Only the disk that loses power asks what is durable.
        CrashKind::Kill => BTreeMap::new(),
        CrashKind::PowerLoss => machine_notes(&asking.setup.host.sandbox),
    };
    let mut header = Header {
        target: asking.asked.info.clone(),
        seed: asking.seed,
        budget_us: Some(micros(args.budget)),
        faults: vec![asking.crash.name().to_string()],
        recovery_bound_us: asking.setup.recovery_bound.map(micros),
        growth: Some(GrowthPlan {
            unit: unit(&asking.setup),
            bound_us: bound(&asking).map(micros),
            sizes: asking.sizes.clone(),
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
    let baseline = asking.baseline;
    let mut live =
        LiveRun::new(RunCommand::Growth, &args.outputs, baseline, &stop, began).resume(resumed);
    match asking.controlled {
        Controlled::Ready(warnings) => header.warnings.extend(warnings),
        Controlled::NotMeasured(why) => return nothing_measured(live, header, &why),
    }
    live.emit(Record::Header(Box::new(header)));
    let mut measurements = GrowthRun::new(
        GrowthSpec {
            setup: asking.setup,
            crash: asking.crash,
            sizes: asking.sizes,
            seed: asking.seed,
            repeats: args.repeats,
            budget: args.budget,
            keep: asking.keep,
            again: asking.again,
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

fn check(args: &GrowthArgs) -> anyhow::Result<Asking> {
    let sizes = (!args.sizes.is_empty()).then(|| chosen(&args.sizes).map_err(wrong));
    let sizes = sizes.transpose()?;
    let asked = Asked::new(&args.target)?;
    let recovers = asked
        .target
        .scripted()
        .is_none_or(|script| script.recovers());
    if !recovers {
        return Err(wrong(format!(
            "starting {} runs nothing, so there is no recovery to time",
            asked.info.name
        )));
    }
    let workload = asked.fit(WorkloadConfig {
        clients: args.clients,
        value_len: 1..=args.value_size,
        ..WorkloadConfig::default()
    });
    workload.validate().map_err(wrong)?;
    let keep = outputs(&args.outputs)?;
    let baseline = baseline(&args.outputs, &asked.info)?;
    let crash = match args.crash {
        CrashArg::Kill => CrashKind::Kill,
        CrashArg::PowerLoss => CrashKind::PowerLoss,
    };
    let model = persist::model("journaled").context("the usual persistence model is missing")?;
    let sandbox = Sandbox::open(&options_for(&*asked.target)).context(NO_SANDBOX)?;
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
    let setup = asked.setup(Arc::new(host), workload, rules);
    let controlled = controlled(&asked.info.name, &setup)?;
    let sizes = match &controlled {
        Controlled::NotMeasured(_) => sizes.unwrap_or_default(),
        Controlled::Ready(_) => {
            // Also where the sizes are known: what cannot be started is wrong use.
            let fast = pilot(&setup, args.budget).map_err(|why| {
                wrong(format!(
                    "the growth of '{}' cannot be measured: {why:#}",
                    asked.info.name
                ))
            })?;
            sizes.unwrap_or_else(|| fitting(fast))
        }
    };
    let seed = args.seed.unwrap_or_else(seed::fresh);
    Ok(Asking {
        again: repeat(args, &sizes, seed),
        asked,
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
fn bound(asking: &Asking) -> Option<Duration> {
    let class = asking.crash.class();
    let promised = |promise: &Promise| match promise.guarantee {
        Guarantee::RecoversWithinMs(ms) if promise.classes.contains(&class) => {
            Some(Duration::from_millis(ms))
        }
        _ => None,
    };
    let promised = asking.setup.promises.iter().filter_map(promised);
    promised.chain(asking.setup.recovery_bound).min()
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
