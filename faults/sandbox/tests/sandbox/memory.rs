//! The memory limit: the kernel itself must do the killing.

use std::time::Instant;

use libtest_mimic::Failed;
use plugpull_sandbox::{Isolation, Sandbox, SandboxError};

use crate::support::{MARK, Test, ensure, expect_line, finish, mark, marked, own, soon};

pub(crate) fn tests() -> Vec<(&'static str, Test)> {
    vec![
        ("oom_kill_kills", kills),
        ("oom_kill_takes_children_too", children),
        ("a_limit_kills_who_exceeds_it", limit),
        ("without_the_cgroup_nothing_is_killed", outside),
        ("the_cgroup_is_removed", removed),
    ]
}

fn open() -> Result<Sandbox, SandboxError> {
    crate::support::open(Isolation::Full)
}

fn kills() -> Result<(), Failed> {
    let sandbox = open()?;
    let memory = sandbox.memory()?;
    // Twice, because the limit must be lifted again.
    for _ in 0..2 {
        let mut request = own(&["hold", "20"]);
        request.cgroup = true;
        let child = sandbox.spawn(&request)?;
        expect_line(&child, "holding")?;
        let evidence = memory.oom_kill(&child, soon())?;
        ensure(
            evidence.kills >= 1 && evidence.usage > 20 << 20 && evidence.limit > evidence.usage,
            format!("{evidence:?}"),
        )?;
        ensure(child.wait(Instant::now())? == Some(137), "it is not dead")?;
    }
    Ok(())
}

fn children() -> Result<(), Failed> {
    let sandbox = open()?;
    let memory = sandbox.memory()?;
    let mark = mark();
    let mut request = crate::support::shell("sleep 1000 & echo up; wait; sleep 1000");
    request.cgroup = true;
    request.env = vec![(MARK.into(), mark.clone())];
    let child = sandbox.spawn(&request)?;
    expect_line(&child, "up")?;
    memory.oom_kill(&child, soon())?;
    sandbox.kill_all()?;
    ensure(marked(&mark) == 0, "somebody survived")
}

fn limit() -> Result<(), Failed> {
    let sandbox = open()?;
    let memory = sandbox.memory()?;
    memory.set(Some(16 << 20))?;
    let mut request = own(&["hold", "64"]);
    request.cgroup = true;
    let (code, _) = finish(&sandbox.spawn(&request)?)?;
    ensure(code == 137, format!("{code} beyond the limit"))?;
    ensure(memory.oom_kills()? == 1, "the kernel has not counted it")?;
    memory.set(None)?;
    let child = sandbox.spawn(&request)?;
    expect_line(&child, "holding")
}

fn outside() -> Result<(), Failed> {
    let sandbox = open()?;
    let memory = sandbox.memory()?;
    // Not in the cgroup: the ballast dies alone, and the target lives.
    let child = sandbox.spawn(&own(&["hold", "1"]))?;
    expect_line(&child, "holding")?;
    let deadline = Instant::now() + std::time::Duration::from_millis(300);
    let result = memory.oom_kill(&child, deadline);
    ensure(
        matches!(result, Err(SandboxError::TimedOut(_))),
        format!("{result:?} for a target that cannot have been killed"),
    )
}

fn removed() -> Result<(), Failed> {
    let sandbox = open()?;
    let dir = sandbox.memory()?.dir().to_path_buf();
    ensure(dir.is_dir(), "it is not there")?;
    let mut request = own(&["hold", "1"]);
    request.cgroup = true;
    expect_line(&sandbox.spawn(&request)?, "holding")?;
    drop(sandbox);
    ensure(!dir.exists(), "it is still there")
}
