//! The sandbox against the real kernel.
//!
//! The program is its own janitor, its own targets and its own supervisor to be killed; the
//! first argument decides. A test that this machine cannot run is shown as ignored, with the
//! reason on standard error; it never counts as passed.

mod bare;
mod doctor;
mod full;
mod fuse;
mod killed;
mod memory;
mod prepared;
mod support;
mod target;
mod unprivileged;

use std::process::ExitCode;

use libtest_mimic::{Arguments, Trial};
use plugpull_sandbox::{Isolation, SANDBOX_ARG, SandboxError, sandbox_main};

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.first().map(String::as_str) {
        Some(SANDBOX_ARG) => return ExitCode::from(sandbox_main(&args[1..]) as u8),
        Some(target::ARG) => return target::main(&args[1..]),
        Some(killed::ARG) => return killed::main(&args[1..]),
        _ => {}
    }
    let full = missing("namespaces", support::open(Isolation::Full).map(drop));
    let fuse = missing(
        "FUSE",
        support::open(Isolation::Full).and_then(|sandbox| sandbox.mount_fuse().map(drop)),
    );
    let memory = missing(
        "memory cgroups",
        support::open(Isolation::Bare).and_then(|sandbox| sandbox.memory().map(drop)),
    );
    let mut trials: Vec<Trial> = Vec::new();
    let mut add = |ignored: bool, tests: Vec<(&str, support::Test)>| {
        trials.extend(
            tests
                .into_iter()
                .map(|(name, test)| Trial::test(name, test).with_ignored_flag(ignored)),
        );
    };
    add(full, full::tests());
    add(full, prepared::tests());
    add(fuse, prepared::fuse_tests());
    add(fuse, fuse::tests());
    add(full || memory, memory::tests());
    add(false, bare::tests());
    add(full, killed::full_tests());
    add(false, killed::bare_tests());
    add(false, doctor::tests());
    add(full, unprivileged::tests());
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

/// Says on standard error what the machine has not got.
fn missing(what: &str, probe: Result<(), SandboxError>) -> bool {
    if let Err(error) = &probe {
        eprintln!("no {what} here, their tests are ignored: {error}");
    }
    probe.is_err()
}
