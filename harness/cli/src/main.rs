//! plugpull: pulls the plug on a storage program and says whether it kept its promises.

/// Writes a line to standard output. Where nobody reads it (`plugpull targets | head`) there is nothing
/// left to do: the exit code says the rest.
macro_rules! println {
    ($($line:tt)*) => {{
        use std::io::Write;
        if writeln!(std::io::stdout(), $($line)*).is_err() {}
    }};
}

/// The same for standard error: a run whose terminal has gone comes to its end and writes its report.
macro_rules! eprintln {
    ($($line:tt)*) => {{
        use std::io::Write;
        if writeln!(std::io::stderr(), $($line)*).is_err() {}
    }};
}

mod cli;
mod command;
mod config;
mod definition;
mod options;
mod terminal;

use std::process::ExitCode;

use clap::FromArgMatches;
use plugpull_engine::trial;
use plugpull_sandbox::page_memory::PageMemory;

use cli::{Cli, Command};

/// Everything kept.
pub(crate) const KEPT: u8 = 0;
/// A promise was broken.
pub(crate) const BROKEN: u8 = 1;
/// The user asked for something that cannot be: nothing was started.
pub(crate) const WRONG_USE: u8 = 2;
/// plugpull itself failed.
pub(crate) const FAILED: u8 = 3;

/// Pages of simulated disks come quickly.
#[global_allocator]
static MEMORY: PageMemory = PageMemory::new();

fn main() -> ExitCode {
    if let Some(code) = hidden() {
        return ExitCode::from(code);
    }
    let given = match config::read(definition::definition(), std::env::args_os().collect()) {
        Ok(given) => given,
        Err(error) => {
            eprintln!("plugpull: {}", shown(&error));
            return ExitCode::from(WRONG_USE);
        }
    };
    let parsed = definition::definition().try_get_matches_from(&given.arguments);
    let mut cli = match parsed.and_then(|matches| Cli::from_arg_matches(&matches)) {
        Ok(cli) => cli,
        Err(error) => {
            let code = if error.use_stderr() { WRONG_USE } else { KEPT };
            match cli::one_line(&error) {
                Some(line) => {
                    let place = cli::about(&error).and_then(|about| given.place(&about));
                    let place = place.map(|place| format!(" ({place})"));
                    eprintln!("plugpull: {line}{}", place.unwrap_or_default());
                }
                None => {
                    #[expect(
                        clippy::let_underscore_must_use,
                        reason = "it is help: where nobody is listening there is nothing else to say"
                    )]
                    let _ = error.print();
                }
            }
            return ExitCode::from(code);
        }
    };
    if let Some(path) = &given.found {
        eprintln!("plugpull: with options of {}", path.display());
    }
    cli.note_arguments(&given.arguments);
    let result = match cli.command {
        Command::Run(args) => command::run::run(&args, None),
        Command::Explore(args) => command::explore::run(&args, None),
        Command::Syncs(args) => command::explore::run(&args.into_explored(), None),
        Command::Growth(args) => command::growth::run(&args, None),
        Command::Replay(args) => command::replay::run(&args),
        Command::Verify(args) => command::verify::run(&args),
        Command::Confirm(args) => command::confirm::run(&args),
        Command::Compare(args) => command::reports::run_compare(&args),
        Command::Merge(args) => command::reports::run_merge(&args),
        Command::Report(args) => command::reports::run_report(&args),
        Command::Resume(args) => command::resume::run(&args),
        Command::Doctor => command::doctor::run(),
        Command::Attach(args) => command::attach::run(&args),
        Command::Targets(args) => command::targets::run(&args),
        Command::Faults => command::doctor::list(),
        Command::Inspect(args) => command::inspect::run(&args),
        Command::DriverCheck(args) => command::driver_check::run(&args),
        Command::Exec(args) => command::exec::run(&args),
        Command::Completions(args) => definition::completions(&args),
        Command::Man(args) => definition::man(&args),
    };
    match result {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            let usage = error.downcast_ref::<command::WrongUse>().is_some();
            eprintln!("plugpull: {}", shown(&error));
            ExitCode::from(if usage { WRONG_USE } else { FAILED })
        }
    }
}

/// An error for a terminal: what it quotes of a file is no command to that.
fn shown(error: &anyhow::Error) -> String {
    let text = format!("{error:#}");
    let control = |c: char| c.is_control() && c != '\n';
    text.replace(control, "\u{FFFD}")
}

/// What plugpull does when it starts itself again: the sandbox's janitor, the machine with a real
/// filesystem, an embedded target, a fake, a shell's way to its terminal, the ballast of a full disk, damage to a plain directory. None
/// of them takes options, and none may start
/// a thread before it is known.
fn hidden() -> Option<u8> {
    let mut args = std::env::args();
    let name = args.nth(1)?;
    let rest = || args.collect::<Vec<String>>();
    let code = match name.as_str() {
        plugpull_sandbox::SANDBOX_ARG => plugpull_sandbox::sandbox_main(&rest()),
        plugpull_filesystems::MACHINE_ARG => plugpull_filesystems::machine_main(),
        terminal::ARG => terminal::main(&rest()),
        trial::ballast::FILL => trial::ballast::main(&rest()),
        trial::flip::FLIP => trial::flip::main(&rest()),
        trial::input::READS => trial::input::main(&rest()),
        _ => return None,
    };
    Some(u8::try_from(code).unwrap_or(FAILED))
}
