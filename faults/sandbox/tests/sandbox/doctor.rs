//! The doctor, against the machine that the tests run on.

use std::fs;

use libtest_mimic::Failed;
use plugpull_sandbox::Isolation;
use plugpull_sandbox::capability::{self, Capability};

use crate::support::{Test, ensure};

pub(crate) fn tests() -> Vec<(&'static str, Test)> {
    vec![
        ("the_doctor_agrees_with_the_sandbox", agrees),
        ("the_doctor_leaves_no_mount", leaves_nothing),
    ]
}

fn find<'a>(found: &'a [Capability], name: &str) -> Result<&'a Capability, Failed> {
    let capability = found.iter().find(|one| one.name == name);
    capability.ok_or_else(|| format!("nothing about {name}").into())
}

/// A fault for each of two capabilities.
fn enabled_by(capability: &str) -> Vec<&'static str> {
    match capability {
        "fuse" => vec!["power-loss"],
        "mount-namespace" => vec!["disk-full"],
        _ => Vec::new(),
    }
}

fn agrees() -> Result<(), Failed> {
    let found = capability::probe(enabled_by);
    for name in [
        "root",
        "user-namespaces",
        "mount-namespace",
        "fuse",
        "cgroup-memory",
        "loop",
        "overlay",
        "sync-calls",
        "stacks",
        "pinning",
    ] {
        let one = find(&found, name)?;
        ensure(!one.detail.is_empty(), format!("{one:?}"))?;
        ensure(
            !one.available || one.fix.is_none(),
            format!("nothing to mend: {one:?}"),
        )?;
        ensure(
            one.available || one.enables.is_empty() || one.fix.is_some(),
            format!("how to get it? {one:?}"),
        )?;
    }
    let full = crate::support::open(Isolation::Full);
    let fuse = full.as_ref().is_ok_and(|full| full.mount_fuse().is_ok());
    ensure(
        find(&found, "mount-namespace")?.available == full.is_ok(),
        "namespaces",
    )?;
    ensure(find(&found, "fuse")?.available == fuse, "FUSE")?;
    let memory = crate::support::open(Isolation::Bare)?.memory().is_ok();
    ensure(
        find(&found, "cgroup-memory")?.available == memory,
        "memory cgroups",
    )?;
    ensure(
        find(&found, "fuse")?.enables.contains(&"power-loss"),
        "power loss needs the crash filesystem",
    )
}

fn leaves_nothing() -> Result<(), Failed> {
    let mounts = fs::read_to_string("/proc/mounts")?;
    capability::probe(enabled_by);
    ensure(
        fs::read_to_string("/proc/mounts")? == mounts,
        "the mounts have changed",
    )
}
