//! The sandbox that a command works in.

use std::collections::BTreeMap;

use anyhow::Context;
use plugpull_driver::Target;
use plugpull_sandbox::{Isolation, IsolationPolicy, Sandbox, SandboxOptions};

/// What to say where no sandbox can be had.
pub(super) const NO_SANDBOX: &str =
    "the sandbox could not be made; `plugpull doctor` says what is missing";

/// The note of the machine that it hears of no call of sync and syncfs.
const SYNC_CALLS: &str = "sync-calls";

/// What the sandbox of a target must be: what the target is made of stays visible.
pub(super) fn options_for(target: &dyn Target) -> SandboxOptions {
    SandboxOptions {
        visible: target.visible(),
        ..SandboxOptions::default()
    }
}

/// A sandbox for this target with namespaces of its own, in which the crash filesystem can be
/// mounted. `what` needs it, in a sentence.
pub(super) fn with_crash_filesystem(what: &str, target: &dyn Target) -> anyhow::Result<Sandbox> {
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

/// Says where the crash filesystem will not hear of all that a target does, and why; also what
/// the run file says of it.
pub(super) fn machine_notes(sandbox: &Sandbox) -> BTreeMap<String, String> {
    let mut notes = BTreeMap::new();
    if let Some(why) = sandbox
        .why_deaf()
        .filter(|_| sandbox.isolation() == Isolation::Full)
    {
        notes.insert(SYNC_CALLS.to_owned(), why.to_string());
    }
    for warning in machine_warnings(&notes) {
        eprintln!("plugpull: note: {warning}");
    }
    notes
}

/// What these notes mean for what a report says, a sentence each.
pub(super) fn machine_warnings(notes: &BTreeMap<String, String>) -> Vec<String> {
    let deaf = notes.get(SYNC_CALLS).map(|why| {
        format!(
            "calls of sync and syncfs are not seen here ({why}): what a target makes durable by them \
             alone counts as not durable"
        )
    });
    deaf.into_iter().collect()
}

/// True when FUSE can be mounted in it.
pub(super) fn mounts_fuse(sandbox: &Sandbox) -> bool {
    let mounted = sandbox.mount_fuse().is_ok();
    mounted && sandbox.unmount(true).is_ok()
}
