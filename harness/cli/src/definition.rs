//! The command line as it is parsed, and as help, manual pages and completions show it.
//!
//! Switches can be typed off: `--quiet` is `--quiet=true`, and `--quiet=false` undoes what a file
//! turned on. Every switch of the command line is made one here, so a new one needs nothing.

use std::any::TypeId;
use std::io::Write as _;

use anyhow::Context;
use clap::{Arg, ArgAction, Command, CommandFactory, value_parser};

use crate::cli::{Cli, CompletionsArgs, ManArgs};
use crate::command::reporters::unless_unread;
use crate::command::wrong;

/// The name of the program, and of its pages.
const NAME: &str = "plugpull";

/// The command line as it is parsed, and as help, manual pages and completions show it.
pub(crate) fn definition() -> Command {
    with_switches(Cli::command())
}

/// True for an option that is on or off.
pub(crate) fn is_switch(arg: &Arg) -> bool {
    arg.get_value_parser().type_id() == TypeId::of::<bool>()
}

fn with_switches(command: Command) -> Command {
    let names: Vec<String> = command
        .get_subcommands()
        .map(|below| below.get_name().to_owned())
        .collect();
    let own = command.mut_args(|arg| match arg.get_action() {
        ArgAction::SetTrue => switch(arg),
        _ => arg,
    });
    names
        .iter()
        .fold(own, |all, name| all.mut_subcommand(name, with_switches))
}

fn switch(arg: Arg) -> Arg {
    arg.action(ArgAction::Set)
        .value_parser(value_parser!(bool))
        // With a space between, `run --quiet sqlite` would not name a target.
        .num_args(0..=1)
        .require_equals(true)
        .default_value("false")
        .default_missing_value("true")
        .value_name("BOOL")
        .hide_default_value(true)
        .hide_possible_values(true)
}

/// Prints a shell's completions.
pub(crate) fn completions(args: &CompletionsArgs) -> anyhow::Result<u8> {
    let mut text = Vec::new();
    clap_complete::generate(args.shell, &mut definition(), NAME, &mut text);
    unless_unread(std::io::stdout().write_all(&text))?;
    Ok(crate::KEPT)
}

/// Prints the manual page, or writes those of all commands into a directory.
pub(crate) fn man(args: &ManArgs) -> anyhow::Result<u8> {
    let Some(directory) = &args.dir else {
        let mut text = Vec::new();
        clap_mangen::Man::new(definition()).render(&mut text)?;
        unless_unread(std::io::stdout().write_all(&text))?;
        return Ok(crate::KEPT);
    };
    if !directory.is_dir() {
        return Err(wrong(format!(
            "the manual pages cannot be written to {}: there is no such directory",
            directory.display()
        )));
    }
    clap_mangen::generate_to(definition(), directory)
        .with_context(|| format!("writing the manual pages to {}", directory.display()))?;
    Ok(crate::KEPT)
}
