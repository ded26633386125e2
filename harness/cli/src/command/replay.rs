//! `plugpull replay`: the crash of an artifact again, here.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use plugpull_crashsim::fs::Tree;
use plugpull_faults::control::Injector;
use plugpull_reports::StepKind;
use plugpull_sandbox::pin;
use plugpull_sandbox::{Program, SpawnRequest};
use plugpull_targets::{Target, catalog};
use plugpull_workloads::{Damage, judge};

use super::asked::start_limit;
use super::introduce::introduce;
use super::place::with_crash_filesystem;
use super::{open_target, wrong};
use crate::cli::ReplayArgs;
use crate::terminal;
use plugpull_engine::explore::{
    Artifact, CpuLease, CrashDisk, NewSandbox, SandboxWorker, StartLimits,
};
use plugpull_engine::keep::Keep;
use plugpull_engine::trial::storage::Storage;
use plugpull_engine::trial::{Acked, SandboxHost};

/// Puts the artifact's bytes on a disk, starts the target and says whether the finding stands.
pub(crate) fn run(args: &ReplayArgs) -> anyhow::Result<u8> {
    let artifact = Artifact::read(&args.artifact).map_err(|error| wrong(format!("{error:#}")))?;
    let tree = artifact
        .tree()
        .map_err(|error| wrong(format!("{error:#}")))?;
    if args.timeline {
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
                step.fate.words(),
                step.what,
                step.path
            );
        }
        println!("         -- crash under '{}' --", artifact.about.model);
    }
    if let Some(dir) = &args.export {
        let keep = Keep::open(dir)?;
        keep.claim()?;
        let at = keep.disk("data", &tree)?;
        println!("The crashed data folder is in {}.", at.display());
    }
    if args.shell {
        return shell(&artifact, &tree);
    }
    if args.timeline || args.export.is_some() {
        return Ok(crate::KEPT);
    }
    let target = open_target(&artifact.about.target, &artifact.about.settings)?;
    let target: Arc<dyn Target> = Arc::from(target);
    let bound = artifact.about.recovery_bound_us.map(Duration::from_micros);
    let limit =
        start_limit(bound, &artifact.about.promises).max(target.start_limit().unwrap_or_default());
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
    introduce(&*target, limit)?;
    if target.version() != artifact.about.version {
        println!(
            "Recorded with {}; here it is {}.",
            artifact.about.version,
            target.version()
        );
    }
    let acked = Acked::of(&artifact.about.history, &*target);
    let disk = CrashDisk {
        key: acked.key(tree.digest()),
        tree,
        acked,
    };
    let attempt = worker.attempt(&disk, true)?;
    let mut observed = attempt.observed;
    if !artifact.about.damaged.is_empty() {
        observed.damage = Damage::SingleCopy {
            description: artifact.about.damaged.clone(),
        };
    }
    let judgement = judge(
        &artifact.about.history,
        &observed,
        &artifact.about.promises,
        artifact.about.class,
        Some(artifact.about.crash),
        bound,
    );
    if !artifact.about.injected.is_empty() {
        println!(
            "Injected: {}.",
            artifact.about.injected.trim_end_matches('.')
        );
    }
    println!("Recorded: {}", artifact.about.finding.sentence);
    let same = judgement
        .findings
        .iter()
        .find(|found| found.kind == artifact.about.finding.kind);
    match (same, judgement.findings.first()) {
        (Some(found), _) => println!("It still stands: {}", found.sentence),
        (None, Some(other)) => println!("It shows otherwise now: {}", other.sentence),
        (None, None) if artifact.about.not_on_disk => println!(
            "The disk alone does not show it: it is about what the target met while it lived. The \
             report of the run names the command that makes the trial again."
        ),
        (None, None) => println!("It no longer stands: every promise was kept here."),
    }
    Ok(if judgement.findings.is_empty() {
        crate::KEPT
    } else {
        1
    })
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
