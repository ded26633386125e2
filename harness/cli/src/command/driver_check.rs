//! `plugpull driver-check`: what a driver gets wrong of the driver protocol.

use std::io;
use std::time::Duration;

use anyhow::Context;
use plugpull_driver::Host;
use plugpull_driver::conformance::{Judged, Outcome, Stand, judge};
use plugpull_driver::host::{CommandLine, Commands};
use plugpull_sandbox::pin;
use plugpull_sandbox::{Sandbox, SandboxOptions};

use super::wrong;
use crate::cli::DriverCheckArgs;
use plugpull_engine::prepare::{NO_SANDBOX, cannot_start};
use plugpull_engine::trial::SandboxHost;
use plugpull_engine::trial::storage::Storage;

/// A rule was broken.
const BROKEN: u8 = 1;
/// The data directory that the driver works in.
const BYTES: u64 = 256 << 20;

/// The sandbox, as a place to judge a driver in.
struct SandboxStand(SandboxHost);

impl Stand for SandboxStand {
    fn host(&self) -> &dyn Host {
        &self.0
    }

    fn kill(&self) -> io::Result<()> {
        Ok(self.0.sandbox.kill_all()?)
    }
}

/// Judges every rule and prints a line for each. Exit codes: 0 all kept, 1 one broken, 2 wrong
/// use.
pub(crate) fn run(args: &DriverCheckArgs) -> anyhow::Result<u8> {
    let driver = CommandLine::of(&args.command).map_err(wrong)?;
    let daemon = args.daemon.as_deref().map(CommandLine::parse);
    let commands = Commands {
        driver,
        daemon: daemon.transpose().map_err(wrong)?,
    };
    let sandbox = Sandbox::open(&SandboxOptions::default()).context(NO_SANDBOX)?;
    let mut storage = Storage::tmpfs(&sandbox, BYTES)?;
    let stand = SandboxStand(SandboxHost::new(sandbox, pin::choose(), false));
    let patience = Duration::from_secs(args.timeout);
    let judged = judge(&commands, &stand, patience);
    stand.kill()?;
    storage.unmount(&stand.0.sandbox)?;
    let judged = judged.map_err(|error| cannot_start("driver", &error))?;
    let broken = judged.iter().filter(|one| print(one)).count();
    println!(
        "\n{}",
        match broken {
            0 => "Every rule that could be judged is kept.".to_owned(),
            1 => "1 rule is broken.".to_owned(),
            several => format!("{several} rules are broken."),
        }
    );
    Ok(if broken == 0 { crate::KEPT } else { BROKEN })
}

/// Prints a rule, and returns whether it is broken.
fn print(judged: &Judged) -> bool {
    let Judged {
        rule,
        about,
        outcome,
    } = judged;
    match outcome {
        Outcome::Ok => println!("ok       {rule:<14} {about}"),
        Outcome::Skipped(why) => println!("skipped  {rule:<14} {about}: {why}"),
        Outcome::Wrong { sent, came, why } => {
            println!("wrong    {rule:<14} {about}: {why}");
            println!("           sent  {sent}");
            println!("           came  {}", came.as_deref().unwrap_or("nothing"));
        }
    }
    matches!(outcome, Outcome::Wrong { .. })
}
