//! `plugpull inspect`: the files that a system left, read by the inspector of its driver.

// tidy: small because a command is a file

use std::process::Command;

use anyhow::Context;
use plugpull_driver::host::{describe_bundled, program_name};
use plugpull_driver::program;

use super::wrong;
use crate::cli::InspectArgs;

/// The systems whose drivers can look at files.
const INSPECTED: [&str; 3] = ["ailee", "interstice", "vfab"];

/// Has the driver look, print what it finds, and write the repaired copy where one is wanted. Exit
/// codes, the driver's: 0 sound, 1 damage found, 2 wrong use.
pub(crate) fn run(args: &InspectArgs) -> anyhow::Result<u8> {
    if !INSPECTED.contains(&args.system.as_str()) {
        return Err(wrong(format!(
            "there is no inspector for '{}'; there are {}",
            args.system,
            INSPECTED.join(", ")
        )));
    }
    // It must be there, and of this build.
    describe_bundled(&args.system).map_err(wrong)?;
    let name = program_name(&args.system);
    let driver = program::sibling(&name).with_context(|| format!("{name} is gone"))?;
    let mut command = Command::new(&driver);
    command.arg("inspect");
    for word in &args.expect {
        command.args(["--expect", word]);
    }
    for (given, option) in [(args.after_crash, "--after-crash"), (args.json, "--json")] {
        if given {
            command.arg(option);
        }
    }
    if let Some(to) = &args.truncate {
        command.arg("--truncate").arg(to);
    }
    let status = command.arg("--").arg(&args.path).status();
    let status = status.with_context(|| format!("{} cannot be run", driver.display()))?;
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    code.with_context(|| format!("{} ended with {status}", driver.display()))
}
