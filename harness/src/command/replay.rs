//! `plugpull replay`: the crash of an artifact again, here.

use std::sync::Arc;

use anyhow::Context;
use plugpull_faults::sandbox::{Isolation, Sandbox, SandboxOptions, Wanted};
use plugpull_targets::catalog;
use plugpull_workloads::judge;

use super::run::{mounts_fuse, promised_bound, start_limit};
use super::wrong;
use crate::cli::ReplayArgs;
use crate::explore::{Artifact, Station};
use crate::keep::Keep;
use crate::pin;
use crate::trial::SandboxHost;

/// Puts the artifact's bytes on a disk, starts the target and says whether the finding stands.
pub(crate) fn run(args: &ReplayArgs) -> anyhow::Result<u8> {
    let artifact = Artifact::read(&args.artifact).map_err(|error| wrong(format!("{error:#}")))?;
    let tree = artifact
        .tree()
        .map_err(|error| wrong(format!("{error:#}")))?;
    if args.timeline {
        for entry in &artifact.timeline {
            println!(
                "{:>8} {:>10} us  {:<8}  {:<28} {}",
                entry.seq, entry.micros, entry.fate, entry.what, entry.path
            );
        }
        println!("         -- crash under '{}' --", artifact.model);
    }
    if let Some(dir) = &args.export {
        let keep = Keep::open(dir)?;
        keep.claim()?;
        let at = keep.disk("data", &tree)?;
        println!("The crashed data folder is in {}.", at.display());
    }
    if args.timeline || args.export.is_some() {
        return Ok(crate::KEPT);
    }
    let target = catalog::open(&artifact.target, &artifact.settings).map_err(wrong)?;
    let options = SandboxOptions {
        isolation: Wanted::Only(Isolation::Full),
        ..SandboxOptions::default()
    };
    let sandbox = Sandbox::open(&options)
        .context("the sandbox could not be made; `plugpull doctor` says what is missing")?;
    anyhow::ensure!(
        mounts_fuse(&sandbox),
        "replaying needs the crash filesystem, and so FUSE; `plugpull doctor` says what is missing"
    );
    if target.version() != artifact.version {
        println!(
            "Recorded with {}; here it is {}.",
            artifact.version,
            target.version()
        );
    }
    let station = Station {
        host: Arc::new(SandboxHost::new(sandbox, pin::choose(), false)),
        target: Arc::from(target),
        start_limit: start_limit(None, promised_bound(&artifact.promises)),
    };
    let tried = station.observe(&tree, true)?;
    let judgement = judge(
        &artifact.history,
        &tried.observed,
        &artifact.promises,
        artifact.class,
        Some(artifact.crash),
        None,
    );
    println!("Recorded: {}", artifact.finding.sentence);
    let same = judgement
        .findings
        .iter()
        .find(|found| found.kind == artifact.finding.kind);
    match (same, judgement.findings.first()) {
        (Some(found), _) => println!("It still stands: {}", found.sentence),
        (None, Some(other)) => println!("It shows otherwise now: {}", other.sentence),
        (None, None) => println!("It no longer stands: every promise was kept here."),
    }
    Ok(if judgement.findings.is_empty() {
        crate::KEPT
    } else {
        1
    })
}
