//! `plugpull verify`: whether today's program still has the bug of an artifact.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use plugpull_crashsim::persist::Device;
use plugpull_driver::Target;
use plugpull_engine::explore::{
    Artifact, CpuLease, CrashModel, NewSandbox, Oracle, RecordedWith, RecordingPlan, SandboxWorker,
    StartLimits, Trace, TryState, Verification, WorkerPool, record, verify,
};
use plugpull_engine::prepare::{fitted, handshake, start_limit, with_crash_filesystem};
use plugpull_engine::trial::{Acked, SandboxHost, StorageRules};
use plugpull_reports::TargetInfo;
use plugpull_sandbox::pin;
use plugpull_workloads::WorkloadConfig;

use super::{open_target, settings, wrong};
use crate::cli::VerifyArgs;

/// The part of the budget, as one in so many, that recording may take.
const RECORDING: u32 = 2;

/// What is verified, checked before anything is started.
struct Resolved {
    artifact: Artifact,
    with: RecordedWith,
    device: Device,
    model: CrashModel,
    target: Arc<dyn Target>,
    info: TargetInfo,
    start_limit: Duration,
}

/// Records again, and looks for the cause.
pub(crate) fn run(args: &VerifyArgs) -> anyhow::Result<u8> {
    let began = Instant::now();
    let resolved = resolve(args)?;
    let about = &resolved.artifact.about;
    if resolved.info.version == about.version {
        println!("Recorded with {}, which is what is here.", about.version);
    } else {
        println!(
            "Recorded with {}; here it is {}.",
            about.version, resolved.info.version
        );
    }
    println!("Recorded: {}", about.finding.sentence);
    let worker = resolved.worker()?;
    let trace = resolved.record(&worker, args.budget / RECORDING)?;
    let models = [resolved.model];
    let indexes = CrashModel::indexes(&models, &trace.log, resolved.device);
    let oracle = Oracle::new(
        &trace,
        (&models, &indexes),
        resolved.device,
        &about.promises,
        about.recovery_bound_us.map(Duration::from_micros),
        Acked::of(&trace.about.history, &*resolved.target),
    );
    let workers = WorkerPool::start(
        Box::new(worker),
        vec![Box::new(resolved.worker()?) as Box<dyn TryState>],
    );
    let follow_up = about.finding.follow_up;
    let until = began.checked_add(args.budget);
    let answer = verify(&oracle, &resolved.with.cause, follow_up, &workers, until);
    workers.finish();
    let (sentence, code) = described(&answer);
    println!("{sentence}");
    Ok(code)
}

fn resolve(args: &VerifyArgs) -> anyhow::Result<Resolved> {
    let artifact = Artifact::read(&args.artifact).map_err(|error| wrong(format!("{error:#}")))?;
    let about = &artifact.about;
    let Some(with) = about.recorded.clone() else {
        return Err(wrong(format!(
            "{} cannot be verified: it is not of an exploration, or of the crash of a recovery, or of an older \
             version; `plugpull replay` starts the target on its disk",
            args.artifact.display()
        )));
    };
    let device: Device = with.device.parse().map_err(wrong)?;
    let model = CrashModel::all()
        .into_iter()
        .find(|one| one.name == about.model);
    let model = model.ok_or_else(|| wrong(format!("there is no model {}", about.model)))?;
    let mut set = about.settings.clone();
    set.extend(settings(&args.settings)?);
    let target = open_target(&about.target, &set)?;
    let bound = about.recovery_bound_us.map(Duration::from_micros);
    let limit = start_limit(bound, &about.promises).max(target.start_limit().unwrap_or_default());
    handshake(&*target, limit)?;
    Ok(Resolved {
        info: TargetInfo {
            name: about.target.clone(),
            version: target.version(),
            settings: set,
            promises: about.promises.clone(),
        },
        with,
        device,
        model,
        target: Arc::from(target),
        start_limit: limit,
        artifact,
    })
}

impl Resolved {
    fn worker(&self) -> anyhow::Result<SandboxWorker> {
        let target = self.target.clone();
        let sandbox: NewSandbox = Arc::new(move || {
            let sandbox = with_crash_filesystem("verifying", &*target)?;
            Ok(SandboxHost::new(sandbox, pin::choose(), false))
        });
        let limits = StartLimits::new(self.start_limit);
        SandboxWorker::new(sandbox, self.target.clone(), limits, CpuLease::default())
    }

    /// The run once more, with the seed and the options of the artifact.
    fn record(&self, worker: &SandboxWorker, time: Duration) -> anyhow::Result<Trace> {
        let with = &self.with;
        let config = WorkloadConfig {
            clients: with.clients,
            value_len: 1..=with.value_size,
            ..WorkloadConfig::default()
        };
        let workload = fitted(config, &*self.target, &self.info.promises);
        workload.validate().map_err(wrong)?;
        let plan = RecordingPlan {
            target: &self.target,
            info: &self.info,
            rules: StorageRules {
                model: self.model.model,
                device: self.device,
                fuse: true,
            },
            workload: &workload,
            seed: with.seed,
            acks: with.txns,
            operations: None,
            time,
            stacks: false,
            start_limit: self.start_limit,
        };
        record(worker.host(), &plan, None).context("recording today's program")
    }
}

/// The answer for people, and the exit code.
fn described(answer: &Verification) -> (String, u8) {
    match answer {
        Verification::Fixed {
            places,
            of_places,
            covered,
            by,
            tried,
        } => {
            let s = |count: usize| if count == 1 { "" } else { "s" };
            let mut how = Vec::new();
            if let Some(by) = by {
                how.push(format!(
                    "at {covered} crash point{} a sync covers what was lost (first {by})",
                    s(*covered)
                ));
            }
            if *tried > 0 {
                how.push(format!(
                    "{tried} state{} in which it is lost were tried and keep every promise",
                    s(*tried)
                ));
            }
            let looked = match places == of_places {
                true => format!("at the {places} place{} of the cause", s(*places)),
                false => format!("at {places} of {of_places} places of the cause"),
            };
            let sentence = format!("Fixed: {looked}: {}.", how.join(", and "));
            (sentence, crate::KEPT)
        }
        Verification::StillThere { point, sentence } => (
            format!("Still there, at crash point {point} of the new recording: {sentence}"),
            crate::BROKEN,
        ),
        Verification::NotReached(why) => (format!("Not reached: {why}."), crate::FAILED),
    }
}
