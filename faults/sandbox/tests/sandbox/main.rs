//! The sandbox against the real kernel.
//!
//! The program is its own janitor, its own targets and its own supervisor to be killed; the
//! first argument decides. A test that this machine cannot run is shown as ignored, with the
//! reason on standard error; it never counts as passed.

mod bare;
mod calls;
mod doctor;
mod forked;
mod full;
mod fuse;
mod go_frames;
mod killed;
mod memory;
mod prepared;
mod python_frames;
mod reads;
mod stacks;
mod support;
mod target;
mod unprivileged;

use std::process::ExitCode;

use plugpull_sandbox::{Isolation, SANDBOX_ARG, SandboxError, sandbox_main};
use plugpull_testing::MadeTest;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.first().map(String::as_str) {
        Some(SANDBOX_ARG) => return ExitCode::from(sandbox_main(&args[1..]) as u8),
        Some(target::ARG) => return target::main(&args[1..]),
        Some(killed::ARG) => return killed::main(&args[1..]),
        _ => {}
    }
    let tests = [
        ("namespaces", full::tests()),
        ("namespaces ipcs ipcmk", full::ipc_tests()),
        ("namespaces", prepared::tests()),
        ("namespaces python3", forked::tests()),
        ("fuse", prepared::fuse_tests()),
        ("fuse", fuse::tests()),
        ("fuse", reads::tests()),
        ("fuse python3", reads::python_tests()),
        ("fuse", calls::tests()),
        ("fuse python3", calls::python_tests()),
        ("fuse stacks", stacks::tests()),
        ("fuse stacks python3", stacks::python_tests()),
        ("fuse stacks python3", python_frames::tests()),
        ("fuse stacks go", go_frames::tests()),
        ("namespaces cgroup-memory", memory::tests()),
        ("", bare::tests()),
        ("namespaces", killed::full_tests()),
        ("", killed::bare_tests()),
        ("", doctor::tests()),
        ("namespaces", unprivileged::tests()),
    ];
    let tests = tests.into_iter().flat_map(|(needs, tests)| {
        tests
            .into_iter()
            .map(move |(name, test)| MadeTest::of(name, needs, test))
    });
    plugpull_testing::main_with(capability, tests)
}

/// Whether the sandbox can be opened, with what it is named for.
fn capability(name: &str) -> Result<(), String> {
    let opened: Result<(), SandboxError> = match name {
        "namespaces" => support::open(Isolation::Full).map(drop),
        "fuse" => support::open(Isolation::Full).and_then(|sandbox| sandbox.mount_fuse().map(drop)),
        "stacks" => support::open(Isolation::Full).and_then(|sandbox| sandbox.try_stacks()),
        "cgroup-memory" => {
            support::open(Isolation::Bare).and_then(|sandbox| sandbox.memory().map(drop))
        }
        program => return plugpull_testing::program(program),
    };
    opened.map_err(|error| error.to_string())
}
