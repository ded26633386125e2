//! `plugpull.toml`: options in a file, as if they had been typed.
//!
//! What a file may hold is asked of the command line's own definition, and what it holds is put
//! before what the user typed, so a new option needs nothing here. Who typed an option, or one that
//! cannot go together with it, is not given the file's. The format is in docs/configuration.md.

mod file;
mod options;

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::parser::ValueSource;
use clap::{ArgMatches, Command};

use crate::command::wrong;
use file::File;
use options::{Accepted, accepted};

/// The command line with what a file adds to it.
#[derive(Debug)]
pub(crate) struct Given {
    /// All arguments, the program's name first.
    pub(crate) arguments: Vec<OsString>,
    /// The file, when it added something and nobody named it.
    pub(crate) found: Option<PathBuf>,
    /// What it added: the option, and where it stands.
    added: Vec<(String, String)>,
}

impl Given {
    /// Where in the file something stands that `text`, an argument as an error of the command line
    /// has it, is about.
    pub(crate) fn place(&self, text: &str) -> Option<&str> {
        let option = text.split([' ', '=']).next().unwrap_or_default();
        let mut added = self.added.iter();
        added
            .find(|(name, _)| name == option)
            .map(|(_, place)| place.as_str())
    }
}

/// Adds what a file holds for the command that was typed. `cli` defines the command line.
///
/// # Errors
/// Wrong use where the file cannot be read, or holds something that is no option.
pub(crate) fn read(cli: Command, typed: Vec<OsString>) -> anyhow::Result<Given> {
    let mut given = Given {
        arguments: typed,
        found: None,
        added: Vec::new(),
    };
    let mut cli = cli;
    cli.build();
    // What is wrong with it is said when everything is there.
    let lenient = cli.clone().ignore_errors(true);
    let Ok(matches) = lenient.try_get_matches_from(&given.arguments) else {
        return Ok(given);
    };
    let Some((name, typed)) = matches.subcommand() else {
        return Ok(given);
    };
    let Some(command) = cli.find_subcommand(name) else {
        return Ok(given);
    };
    let named = matches.get_one::<PathBuf>("config");
    let path = match named {
        Some(path) => Some(path.clone()),
        None if matches.get_flag("no_config") => None,
        None => file::find().map_err(wrong)?,
    };
    let profile = matches.get_one::<String>("profile");
    let Some(path) = path else {
        return match profile {
            None => Ok(given),
            Some(profile) => Err(wrong(format!(
                "--profile {profile}: there is no plugpull.toml here or above that could have it"
            ))),
        };
    };
    let file = File::read(&path).map_err(wrong)?;
    check(&cli, &file).map_err(wrong)?;
    if let Some(profile) = profile.filter(|name| !file.profiles.contains(name)) {
        let known = match file.profiles.join(", ") {
            none if none.is_empty() => "it has none".to_owned(),
            known => format!("it has {known}"),
        };
        let path = path.display();
        return Err(wrong(format!(
            "--profile {profile}: {path} has no [profile.{profile}]; {known}"
        )));
    }
    let profile = profile.map(String::as_str);
    let (arguments, added) = arguments(command, typed, &file, profile).map_err(wrong)?;
    if !added.is_empty() && named.is_none() {
        given.found = Some(path);
    }
    given.added = added;
    let at = behind(&given.arguments, name);
    given.arguments.splice(at..at, arguments);
    Ok(given)
}

/// Every entry must be an option of its command; one for all commands, of some command.
fn check(cli: &Command, file: &File) -> Result<(), String> {
    let names: Vec<&str> = cli.get_subcommands().map(Command::get_name).collect();
    for section in &file.sections {
        if !names.contains(&section.name.as_str()) {
            let said = format!("there is no command '{}'", section.name);
            return Err(file.objection(section.at, &said, hint(&section.name, &names)));
        }
    }
    for entry in &file.entries {
        let commands: Vec<&Command> = match &entry.section {
            Some(name) => cli.find_subcommand(name).into_iter().collect(),
            None => cli.get_subcommands().collect(),
        };
        let all: Vec<Accepted<'_>> = commands.iter().flat_map(|one| accepted(one)).collect();
        let own: Vec<&Accepted<'_>> = all.iter().filter(|one| one.key == entry.key).collect();
        if own.is_empty() {
            let said = match &entry.section {
                Some(command) => format!("{command} has no option '{}'", entry.key),
                None => format!("there is no option '{}'", entry.key),
            };
            let mut keys: Vec<&str> = all.iter().map(|one| one.key.as_str()).collect();
            if entry.section.is_none() {
                keys.extend(&names);
            }
            return Err(file.objection(entry.at, &said, hint(&entry.key, &keys)));
        }
        let fitting = own.iter().map(|one| one.values(entry, file));
        if let Some(Err(why)) = fitting.reduce(|one, other| one.or(other)) {
            return Err(why);
        }
    }
    Ok(())
}

/// The known word that is most like one, where one is: a letter in three may be wrong.
fn hint(word: &str, known: &[&str]) -> Option<String> {
    let distance = |known: &&str| strsim::damerau_levenshtein(word, known);
    let best = known.iter().copied().min_by_key(distance)?;
    let alike = distance(&best) <= (word.chars().count() / 3).max(1);
    alike.then(|| format!("did you mean '{best}'?"))
}

type Added = (Vec<OsString>, Vec<(String, String)>);

/// What the file adds to a command, and where each of it stands.
fn arguments(
    command: &Command,
    typed: &ArgMatches,
    file: &File,
    profile: Option<&str>,
) -> Result<Added, String> {
    let mut options = Vec::new();
    let mut places = Vec::new();
    let all = accepted(command);
    let by_user = |id: &str| typed.value_source(id) == Some(ValueSource::CommandLine);
    for one in &all {
        // What the profile says before what holds without one; in each the section of the command
        // before what holds for all, where that fits.
        let found = |of: Option<&str>, section: Option<&str>| {
            file.entries.iter().find(|entry| {
                entry.key == one.key
                    && entry.profile.as_deref() == of
                    && entry.section.as_deref() == section
            })
        };
        let in_one = |of: Option<&str>| {
            let shared = || found(of, None).filter(|entry| one.values(entry, file).is_ok());
            found(of, Some(command.get_name())).or_else(shared)
        };
        let of_profile = profile.and_then(|name| in_one(Some(name)));
        let Some(entry) = of_profile.or_else(|| in_one(None)) else {
            continue;
        };
        let against = all.iter().filter(|other| other.conflicts(command, one));
        if by_user(one.id()) || against.map(|other| other.id()).any(by_user) {
            continue;
        }
        let values = one.values(entry, file)?;
        if !values.is_empty() {
            places.push((one.shown(), file.place(entry.at)));
        }
        options.extend(values);
    }
    Ok((options, places))
}

/// The position behind the command's name.
fn behind(arguments: &[OsString], name: &str) -> usize {
    let mut at = 1;
    while let Some(argument) = arguments.get(at) {
        if argument == name {
            return at + 1;
        }
        // The options before it that take a value.
        let two = argument == "--config" || argument == "--profile";
        at += if two { 2 } else { 1 };
    }
    arguments.len()
}

/// A path of the file: relative ones are relative to its directory.
fn resolved(directory: &Path, path: &str) -> PathBuf {
    directory.join(path)
}

#[cfg(test)]
mod tests;
