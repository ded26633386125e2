//! `plugpull-reference SYSTEM`: plugpull's stand-ins for daemons that others wrote.

use std::process::ExitCode;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let code = plugpull_targets::reference_daemon::run(&args);
    ExitCode::from(u8::try_from(code).unwrap_or(1))
}
