//! The sandbox that a command works in.

use anyhow::Context;
use plugpull_driver::Target;
use plugpull_sandbox::{Isolation, IsolationPolicy, Sandbox, SandboxOptions};

/// What to say where no sandbox can be had.
pub(super) const NO_SANDBOX: &str =
    "the sandbox could not be made; `plugpull doctor` says what is missing";

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

/// True when FUSE can be mounted in it.
pub(super) fn mounts_fuse(sandbox: &Sandbox) -> bool {
    let mounted = sandbox.mount_fuse().is_ok();
    mounted && sandbox.unmount(true).is_ok()
}
