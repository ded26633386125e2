//! Targets that must be asked what they promise: each is started once, in a sandbox of its own,
//! before anything is claimed about it.

use std::time::{Duration, Instant};

use anyhow::Context;
use plugpull_driver::{StartError, Target};
use plugpull_sandbox::Sandbox;
use plugpull_sandbox::pin;

use super::place::{NO_SANDBOX, options_for};
use super::wrong;
use plugpull_engine::trial::SandboxHost;
use plugpull_engine::trial::storage::Storage;

/// The data folder of a target that is only asked.
const BYTES: u64 = 256 << 20;

/// Asks the target, if it is one that must be asked. It must answer within `limit`.
pub(super) fn introduce(target: &dyn Target, limit: Duration) -> anyhow::Result<()> {
    if !target.must_be_asked() {
        return Ok(());
    }
    let sandbox = Sandbox::open(&options_for(target)).context(NO_SANDBOX)?;
    let mut storage = Storage::tmpfs(&sandbox, BYTES)?;
    let host = SandboxHost::new(sandbox, pin::choose(), false);
    let asked = target.introduce(&host, Instant::now() + limit);
    host.sandbox.kill_all()?;
    storage.unmount(&host.sandbox)?;
    asked.map_err(|error| cannot_start(target.name(), &error))
}

/// Wrong use, with all that the target said in one line.
pub(super) fn cannot_start(name: &str, error: &StartError) -> anyhow::Error {
    let text = error.to_string();
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let lines: Vec<&str> = lines.collect();
    wrong(format!(
        "the target '{name}' cannot be started: {}",
        lines.join("; ")
    ))
}
