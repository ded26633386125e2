//! What an experiment stands on: a sandbox for its target, the handshake with the target, how long a
//! start may take, and the workload as the target can serve it.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use plugpull_driver::{StartError, Target};
use plugpull_sandbox::{Isolation, IsolationPolicy, Sandbox, SandboxOptions, pin};
use plugpull_workloads::{Durability, Guarantee, Promise, WorkloadConfig};

use crate::trial::SandboxHost;
use crate::trial::storage::Storage;
use crate::wrong;

/// The error where no sandbox can be made.
pub const NO_SANDBOX: &str =
    "the sandbox could not be made; `plugpull doctor` says what is missing";
/// The data directory of a target that is started for its handshake alone, in bytes.
const HANDSHAKE_BYTES: u64 = 256 << 20;
/// How long a start may take before it counts as hung, when the user names no bound.
const START_LIMIT: Duration = Duration::from_secs(20);
/// The least that it may be, when the user does: a start takes its time on a busy machine.
const LEAST_START_LIMIT: Duration = Duration::from_secs(2);
/// How often a call is a barrier, where there are any.
const BARRIER_CHANCE: f64 = 0.03;

/// What the sandbox of a target must be: what the target is made of stays visible.
fn options_for(target: &dyn Target) -> SandboxOptions {
    SandboxOptions {
        visible: target.visible(),
        ..SandboxOptions::default()
    }
}

/// A sandbox for this target, as good as this machine gives.
pub fn sandbox_for(target: &dyn Target) -> anyhow::Result<Sandbox> {
    Sandbox::open(&options_for(target)).context(NO_SANDBOX)
}

/// A sandbox for this target with namespaces of its own, in which the crash filesystem can be
/// mounted. `what` needs it, in a sentence.
pub fn with_crash_filesystem(what: &str, target: &dyn Target) -> anyhow::Result<Sandbox> {
    let options = SandboxOptions {
        isolation: IsolationPolicy::Only(Isolation::Full),
        ..options_for(target)
    };
    let sandbox = Sandbox::open(&options).context(NO_SANDBOX)?;
    anyhow::ensure!(
        mounts_fuse(&sandbox),
        "{what} needs the crash filesystem, and so FUSE; `plugpull doctor` says what is missing"
    );
    Ok(sandbox)
}

/// True when FUSE can be mounted in it.
pub fn mounts_fuse(sandbox: &Sandbox) -> bool {
    let mounted = sandbox.mount_fuse().is_ok();
    mounted && sandbox.unmount(true).is_ok()
}

/// The handshake with a target that says only itself what it promises: it is started once, in a
/// sandbox of its own, before anything is claimed about it. It must answer within `limit`.
pub fn handshake(target: &dyn Target, limit: Duration) -> anyhow::Result<()> {
    if !target.must_be_asked() {
        return Ok(());
    }
    let sandbox = sandbox_for(target)?;
    let mut storage = Storage::tmpfs(&sandbox, HANDSHAKE_BYTES)?;
    let host = SandboxHost::new(sandbox, pin::choose(), false);
    let answer = target.introduce(&host, Instant::now() + limit);
    host.sandbox.kill_all()?;
    storage.unmount(&host.sandbox)?;
    answer.map_err(|error| cannot_start(target.name(), &error))
}

/// Wrong use, with all that the target said in one line.
pub fn cannot_start(name: &str, error: &StartError) -> anyhow::Error {
    let text = error.to_string();
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let lines: Vec<&str> = lines.collect();
    wrong(format!(
        "the target '{name}' cannot be started: {}",
        lines.join("; ")
    ))
}

/// How long a start may take before it counts as hung: four times the bound on recovery. One that
/// the user names also shortens it; one that is only promised does not.
pub fn start_limit(named: Option<Duration>, promises: &[Promise]) -> Duration {
    match (named, promised_bound(promises)) {
        (Some(bound), _) => bound.saturating_mul(4).max(LEAST_START_LIMIT),
        (None, Some(bound)) => bound.saturating_mul(4).max(START_LIMIT),
        (None, None) => START_LIMIT,
    }
}

/// The bound on recovery that the target itself promises.
fn promised_bound(promises: &[Promise]) -> Option<Duration> {
    let bounds = promises
        .iter()
        .filter_map(|promise| match promise.guarantee {
            Guarantee::RecoversWithinMs(ms) => Some(Duration::from_millis(ms)),
            _ => None,
        });
    bounds.max()
}

/// The workload without what the target cannot do; with barriers where something is promised for them.
pub fn fitted(config: WorkloadConfig, target: &dyn Target, promises: &[Promise]) -> WorkloadConfig {
    let able = target.abilities();
    let at_barrier =
        |promise: &Promise| promise.guarantee == Guarantee::Durable(Durability::AtBarrier);
    let barriers = able.barrier && promises.iter().any(at_barrier);
    WorkloadConfig {
        abort_chance: if able.abort { config.abort_chance } else { 0.0 },
        delete_chance: if able.delete {
            config.delete_chance
        } else {
            0.0
        },
        barrier_chance: if barriers { BARRIER_CHANCE } else { 0.0 },
        ops_per_txn: target.ops_per_txn(),
        ..config
    }
}
