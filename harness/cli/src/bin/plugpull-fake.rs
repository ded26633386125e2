//! `plugpull-fake SYSTEM [NAME=VALUE]...`: plugpull's imitations of systems that others wrote.

use std::process::ExitCode;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    plugpull_fakes::main(&args)
}
