//! `plugpull replay`: the crash of an artifact again, here.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use plugpull_crashsim::fs::Tree;
use plugpull_faults::control::Injector;
use plugpull_reports::StepKind;
use plugpull_sandbox::pin;
use plugpull_sandbox::{Program, SpawnRequest};
use plugpull_targets::{Target, catalog};
use plugpull_workloads::{Damage, Finding, FollowUp, Judgement, Verdict, judge};

use super::{open_target, wrong};
use crate::cli::ReplayArgs;
use crate::terminal;
use plugpull_engine::explore::{
    Artifact, Attempt, Basis, CpuLease, CrashDisk, FollowUpPlan, NewSandbox, SandboxWorker, Shown,
    StartLimits, end_state,
};
use plugpull_engine::keep::Keep;
use plugpull_engine::prepare::{handshake, start_limit, with_crash_filesystem};
use plugpull_engine::trial::storage::Storage;
use plugpull_engine::trial::{Acked, SandboxHost};

/// Puts the artifact's bytes on a disk, starts the target and says whether the finding stands.
pub(crate) fn run(args: &ReplayArgs) -> anyhow::Result<u8> {
    let artifact = Artifact::read(&args.artifact).map_err(|error| wrong(format!("{error:#}")))?;
    let tree = artifact
        .tree()
        .map_err(|error| wrong(format!("{error:#}")))?;
    if args.timeline {
        show_timeline(&artifact);
    }
    if let Some(dir) = &args.export {
        let keep = Keep::open(dir)?;
        keep.claim()?;
        let at = keep.disk("data", &tree)?.warned();
        println!("The crashed data directory is in {}.", at.display());
    }
    if args.shell {
        return shell(&artifact, &tree);
    }
    if args.timeline || args.export.is_some() {
        return Ok(crate::KEPT);
    }
    let judgement = Replay::new(&artifact)?.judge(tree)?;
    compare_with_recorded(&artifact, &judgement);
    Ok(match judgement.findings.is_empty() {
        true => crate::KEPT,
        false => crate::BROKEN,
    })
}

/// Prints the steps before the crash, a line each.
fn show_timeline(artifact: &Artifact) {
    let mut next = None;
    for step in &artifact.about.timeline {
        if next.is_some_and(|next| step.seq > next) {
            println!("     ...");
        }
        let counts = !matches!(step.kind, StepKind::Ack | StepKind::Crash);
        next = Some(step.seq + u64::from(counts));
        println!(
            "{:>8} {:>10} us  {:<8}  {:<28} {}",
            step.seq,
            step.micros,
            step.fate.label(),
            step.what,
            step.path
        );
    }
    println!("         -- crash under '{}' --", artifact.about.model);
}

/// The target of an artifact, which is started on one disk after the other.
pub(super) struct Replay<'a> {
    artifact: &'a Artifact,
    worker: SandboxWorker,
    acked: Acked,
    bound: Option<Duration>,
}

impl<'a> Replay<'a> {
    /// With a sandbox.
    pub(super) fn new(artifact: &'a Artifact) -> anyhow::Result<Self> {
        let about = &artifact.about;
        let target = open_target(&about.target, &about.settings)?;
        let target: Arc<dyn Target> = Arc::from(target);
        let bound = about.recovery_bound_us.map(Duration::from_micros);
        let limit =
            start_limit(bound, &about.promises).max(target.start_limit().unwrap_or_default());
        let own = target.clone();
        let sandbox: NewSandbox = Arc::new(move || {
            let sandbox = with_crash_filesystem("replaying", &*own)?;
            Ok(SandboxHost::new(sandbox, pin::choose(), false))
        });
        let worker = SandboxWorker::new(
            sandbox,
            target.clone(),
            StartLimits::new(limit),
            CpuLease::default(),
        )?;
        handshake(&*target, limit)?;
        if target.version() != about.version {
            println!(
                "Recorded with {}; here it is {}.",
                about.version,
                target.version()
            );
        }
        Ok(Self {
            artifact,
            worker,
            acked: Acked::of(&about.history, &*target),
            bound,
        })
    }

    /// Starts the target on this disk, and holds what it shows to the history.
    pub(super) fn judge(&self, tree: Tree) -> anyhow::Result<Judgement> {
        let about = &self.artifact.about;
        let follow_up = about.finding.follow_up;
        let disk = CrashDisk {
            key: self.acked.key(tree.digest()),
            tree,
            acked: self.acked.clone(),
            then: Some(FollowUpPlan {
                follow_up: follow_up.unwrap_or(FollowUp::SecondRestart),
                life: about.second_life.clone().into(),
            }),
        };
        let attempt = self.worker.attempt(&disk)?;
        if follow_up.is_some() {
            return self.judge_follow_up(&attempt);
        }
        let mut observed = attempt.observed_twice();
        if !about.damaged.is_empty() {
            observed.damage = Damage::SingleCopy {
                description: about.damaged.clone(),
            };
        }
        let judged = judge(
            &about.history,
            &observed,
            &about.promises,
            about.class,
            Some(about.crash),
            self.bound,
        );
        Ok(match &about.served {
            Some(served) if judged.verdict != Verdict::Broken => {
                end_state(served, observed, || true, self.basis(), judged)
            }
            _ => judged,
        })
    }

    fn basis(&self) -> Basis<'_> {
        let about = &self.artifact.about;
        Basis {
            promises: &about.promises,
            class: about.class,
            history: &about.history,
            crash: about.crash,
        }
    }
}

/// What a repaired program cannot bring back.
const LOST_ALREADY: &str = "This disk has lost the data already, so a program that was repaired since may show it \
                            all the same: `plugpull verify` records today's program and says whether it can still \
                            happen.";

impl Replay<'_> {
    /// Holds what the target showed when it was followed up to the history, where its first recovery broke
    /// no promise.
    fn judge_follow_up(&self, attempt: &Attempt) -> anyhow::Result<Judgement> {
        let about = &self.artifact.about;
        let (history, promises, class) = (&about.history, &about.promises, about.class);
        let observed = &attempt.observed;
        let crash = Some(about.crash);
        let mut first = judge(history, observed, promises, class, crash, self.bound);
        if !first.findings.is_empty() {
            return Ok(first);
        }
        let Some(came) = &attempt.follow_up else {
            bail!("it did not show what it holds after the first recovery: nothing followed");
        };
        if let Shown::NotDone(why) = &came.shown {
            let what = came.follow_up.label();
            bail!("the {what} behind recovery could not be done here: {why}");
        }
        first.findings = came.judge(observed, self.basis());
        Ok(first)
    }
}

/// Says whether what was found when the artifact was recorded stands here.
fn compare_with_recorded(artifact: &Artifact, here: &Judgement) {
    let about = &artifact.about;
    if !about.injected.is_empty() {
        println!("Injected: {}.", about.injected.trim_end_matches('.'));
    }
    println!("Recorded: {}", about.finding.sentence);
    let name = |found: &Finding| (found.kind, found.follow_up);
    let same = |found: &&Finding| name(found) == name(&about.finding);
    let same = here.findings.iter().find(same);
    match (same, here.findings.first()) {
        (Some(found), _) => {
            println!("It still stands: {}", found.sentence);
            if about
                .recorded
                .as_ref()
                .is_some_and(|one| !one.cause.lost.is_empty())
            {
                println!("{LOST_ALREADY}");
            }
        }
        (None, Some(other)) => println!("It shows otherwise now: {}", other.sentence),
        (None, None) if about.not_on_disk => println!(
            "The disk alone does not show it: it is about what the target met while it lived. The \
             report of the run names the command that makes the trial again."
        ),
        (None, None) => println!("It no longer stands: every promise was kept here."),
    }
}

/// Opens a shell where the target would find what the crash left.
fn shell(artifact: &Artifact, tree: &Tree) -> anyhow::Result<u8> {
    let target = catalog::open(&artifact.about.target, &artifact.about.settings).map_err(wrong)?;
    let sandbox = with_crash_filesystem("a shell in the crashed state", &*target)?;
    let fs = Injector::new(tree.clone(), Instant::now(), 0, 0);
    let mut storage = Storage::crash(&sandbox, fs.clone(), None)?;
    let shell = std::env::var_os("SHELL").map_or("/bin/sh".into(), PathBuf::from);
    let mut request = SpawnRequest::new(Program::Path(shell), Vec::<String>::new());
    let data = sandbox.data_dir().display().to_string();
    request.env = ["TERM", "COLORTERM", "USER"]
        .into_iter()
        .filter_map(|name| Some((name.to_string(), std::env::var(name).ok()?)))
        .chain([("PLUGPULL_DATA_DIR".to_string(), data.clone())])
        .collect();
    println!(
        "The disk as the crash left it to {}: {data}\nWhat you change here is gone when you leave; \
         `plugpull replay --export DIR` keeps a copy.",
        artifact.about.version
    );
    let code = terminal::run(&sandbox, &request).context("the shell could not be opened")?;
    sandbox.kill_all()?;
    fs.cut();
    storage.unmount(&sandbox)?;
    Ok(u8::try_from(code).unwrap_or(u8::MAX))
}
