//! `plugpull exec`: any command in the sandbox, on a crash filesystem.
//!
//! The command sees the machine read-only, a private /tmp and network, and works in an empty
//! directory that only exists while it runs. The suites that filesystems are tested with run so.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Context;
use nix::unistd::{getegid, geteuid};
use plugpull_crashsim::fs::{Log, LogLimit};
use plugpull_faults::control::Injector;
use plugpull_sandbox::{
    Isolation, IsolationPolicy, Program, Sandbox, SandboxOptions, SpawnRequest,
};

use super::wrong;
use crate::cli::ExecArgs;
use plugpull_engine::trial::storage::Storage;
use plugpull_sandbox::pin;

/// The tmpfs of `--storage tmpfs`.
const TMPFS_BYTES: u64 = 16 << 30;

/// Runs the command; its exit code is the exit code.
pub(crate) fn run(args: &ExecArgs) -> anyhow::Result<u8> {
    let program = find(&args.command[0])?;
    let sandbox = Sandbox::open(&SandboxOptions {
        isolation: IsolationPolicy::Only(Isolation::Full),
        visible: vec![program.clone()],
        ..SandboxOptions::default()
    })
    .context("the sandbox could not be made; `plugpull doctor` says what is missing")?;
    let cpu = pin::choose();
    let mut storage = match args.storage.as_str() {
        "crashfs" => {
            let fs = Injector::empty((geteuid().as_raw(), getegid().as_raw()), 0);
            fs.limit_log(LogLimit::Fold(args.log_limit << 20));
            Storage::crash(&sandbox, fs, cpu)?
        }
        "tmpfs" => Storage::tmpfs(&sandbox, TMPFS_BYTES)?,
        other => return Err(wrong(format!("--storage {other} must be crashfs or tmpfs"))),
    };
    let request = SpawnRequest {
        cpu,
        ..SpawnRequest::new(Program::Path(program), args.command[1..].iter().cloned())
    };
    let child = sandbox.spawn(&request).context("starting the command")?;
    let code = loop {
        if let Some(code) = child.wait(Instant::now() + Duration::from_secs(3600))? {
            break code;
        }
    };
    let printed = print(&child.stdout(), &mut io::stdout())
        .and_then(|()| print(&child.stderr(), &mut io::stderr()));
    sandbox.kill_all()?;
    storage.unmount(&sandbox)?;
    printed.context("what the command printed could not be passed on")?;
    if args.log
        && let Some(fs) = storage.fs()
    {
        fs.inspect(|_, log| print_log(log));
    }
    Ok(u8::try_from(code).unwrap_or(u8::MAX))
}

/// One line an operation: number, time, name, file.
fn print_log(log: &Log) {
    for record in log.records() {
        let (micros, name) = (record.nanos / 1000, record.op.name());
        println!(
            "{:>8} {micros:>10} us  {name:<16} {}",
            record.seq, record.path
        );
    }
}

/// A reader that has seen enough is no failure.
fn print(text: &str, to: &mut dyn Write) -> io::Result<()> {
    match to.write_all(text.as_bytes()).and_then(|()| to.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        printed => printed,
    }
}

fn find(name: &str) -> anyhow::Result<PathBuf> {
    let candidates: Vec<PathBuf> = if name.contains('/') {
        vec![PathBuf::from(name)]
    } else {
        let path = std::env::var_os("PATH").unwrap_or_default();
        std::env::split_paths(&path)
            .map(|directory| directory.join(name))
            .collect()
    };
    candidates
        .into_iter()
        .find(|path| path.is_file())
        .and_then(|path| Path::canonicalize(&path).ok())
        .ok_or_else(|| wrong(format!("there is no program '{name}'")))
}
