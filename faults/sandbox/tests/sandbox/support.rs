//! What the tests share.

use std::fs;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use libtest_mimic::Failed;
use plugpull_sandbox::{
    Child, Isolation, IsolationPolicy, Program, Sandbox, SandboxError, SandboxOptions, SpawnRequest,
};

use crate::target;

pub(crate) type Test = fn() -> Result<(), Failed>;

/// The variable by which processes of one test are found on the machine.
pub(crate) const MARK: &str = "PLUGPULL_TEST_MARK";

/// Far beyond what anything here takes.
pub(crate) fn soon() -> Instant {
    Instant::now() + Duration::from_secs(30)
}

pub(crate) fn open(isolation: Isolation) -> Result<Sandbox, SandboxError> {
    Sandbox::open(&SandboxOptions {
        isolation: IsolationPolicy::Only(isolation),
        ..SandboxOptions::default()
    })
}

/// Waits until a condition holds.
pub(crate) fn await_that(what: &str, holds: impl Fn() -> bool) -> Result<(), Failed> {
    let deadline = soon();
    while !holds() {
        if Instant::now() > deadline {
            return Err(format!("never: {what}").into());
        }
        std::thread::sleep(Duration::from_millis(3));
    }
    Ok(())
}

pub(crate) fn ensure(holds: bool, what: impl Into<String>) -> Result<(), Failed> {
    if holds {
        Ok(())
    } else {
        Err(what.into().into())
    }
}

/// A mark that no other process has.
pub(crate) fn mark() -> String {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    format!("mark-{}-{number}-end", std::process::id())
}

/// How many processes of the machine carry a mark in their environment.
pub(crate) fn marked(mark: &str) -> usize {
    let wanted = format!("{MARK}={mark}\0");
    let Ok(entries) = fs::read_dir("/proc") else {
        return usize::MAX;
    };
    entries
        .flatten()
        .filter(|entry| {
            fs::read(entry.path().join("environ")).is_ok_and(|environ| {
                environ
                    .windows(wanted.len())
                    .any(|window| window == wanted.as_bytes())
            })
        })
        .count()
}

pub(crate) fn shell(script: &str) -> SpawnRequest {
    read_by_line(SpawnRequest::new(
        Program::Path("/bin/sh".into()),
        ["-c", script],
    ))
}

/// This program as a target.
pub(crate) fn own(args: &[&str]) -> SpawnRequest {
    let all = [target::ARG].into_iter().chain(args.iter().copied());
    read_by_line(SpawnRequest::new(Program::Myself, all))
}

fn read_by_line(request: SpawnRequest) -> SpawnRequest {
    SpawnRequest {
        reads_lines: true,
        ..request
    }
}

/// Runs a script to its end: its exit code and its output.
pub(crate) fn run(sandbox: &Sandbox, script: &str) -> Result<(i32, String), Failed> {
    finish(&sandbox.spawn(&shell(script))?)
}

pub(crate) fn finish(child: &Child) -> Result<(i32, String), Failed> {
    let code = child.wait(soon())?.ok_or("it does not end")?;
    Ok((code, child.output()))
}

/// The next line of a process, which must be this one.
pub(crate) fn expect_line(child: &Child, line: &str) -> Result<(), Failed> {
    let got = child.stdout_line(soon())?;
    ensure(
        got.as_deref() == Some(line),
        format!("{got:?} instead of {line:?}; it wrote {}", child.output()),
    )
}
