//! What a file may hold, asked of the command line's definition.

use std::any::TypeId;
use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Arg, ArgAction, Command};

use super::file::{Entry, File, PAIRS, Value};
use super::resolved;
use crate::definition::is_switch;

/// An option that a file may set.
pub(super) struct Accepted<'a> {
    /// What it is called there: its long name, or for a single argument what usage calls it.
    pub(super) key: String,
    arg: &'a Arg,
}

/// All of a command. Options that hold for every command are about the file itself.
pub(super) fn accepted(command: &Command) -> Vec<Accepted<'_>> {
    let own = |arg: &&Arg| {
        !arg.is_global_set() && matches!(arg.get_action(), ArgAction::Set | ArgAction::Append)
    };
    let args = command.get_arguments().filter(own);
    args.filter_map(|arg| {
        let key = match arg.get_long() {
            Some(long) => long.to_owned(),
            // What must be given, or as often as one likes, is typed.
            None if arg.is_required_set() || matches!(arg.get_action(), ArgAction::Append) => {
                return None;
            }
            None => arg.get_value_names()?.first()?.to_lowercase(),
        };
        Some(Accepted { key, arg })
    })
    .collect()
}

impl Accepted<'_> {
    pub(super) fn id(&self) -> &str {
        self.arg.get_id().as_str()
    }

    /// True when it takes names and values.
    #[cfg(test)]
    pub(super) fn arg_takes_pairs(&self) -> bool {
        let names = self.arg.get_value_names().unwrap_or_default();
        names.iter().any(|name| name.as_str() == "KEY=VALUE")
    }

    /// How errors of the command line call it.
    pub(super) fn shown(&self) -> String {
        match self.arg.get_long() {
            Some(long) => format!("--{long}"),
            None => format!("[{}]", self.key.to_uppercase()),
        }
    }

    /// True when the two cannot be given together.
    pub(super) fn conflicts(&self, command: &Command, other: &Self) -> bool {
        let against = |one: &Arg, other: &Arg| {
            let all = command.get_arg_conflicts_with(one);
            all.iter().any(|arg| arg.get_id() == other.get_id())
        };
        against(self.arg, other.arg) || against(other.arg, self.arg)
    }

    /// An entry as it would be typed; what is wrong where it cannot be.
    pub(super) fn values(&self, entry: &Entry, file: &File) -> Result<Vec<OsString>, String> {
        let another_value = |what: &str| {
            let said = format!("'{}' wants {what}", self.key);
            file.objection(entry.at, &said, None)
        };
        let many = matches!(self.arg.get_action(), ArgAction::Append);
        if is_switch(self.arg) {
            return match entry.value {
                Value::Switch(true) => Ok(vec![format!("--{}", self.key).into()]),
                Value::Switch(false) => Ok(Vec::new()),
                _ => Err(another_value("true or false")),
            };
        }
        let words: Vec<String> = match &entry.value {
            Value::One(word) => vec![word.clone()],
            Value::Many(words) if many => words.clone(),
            Value::Pairs(pairs) if self.key == PAIRS => {
                let typed = pairs.iter().map(|(name, word)| format!("{name}={word}"));
                typed.collect()
            }
            _ if self.key == PAIRS => {
                return Err(another_value("a table, or a list of \"KEY=VALUE\""));
            }
            _ if many => return Err(another_value("a word or a number, or a list of them")),
            _ => return Err(another_value("a word or a number")),
        };
        let is_path = self.arg.get_value_parser().type_id() == TypeId::of::<PathBuf>();
        let words = words.into_iter().map(|word| match is_path {
            true => resolved(&file.directory, &word).into_os_string(),
            false => word.into(),
        });
        Ok(words.map(|word| self.typed(word)).collect())
    }

    /// One value as it is typed.
    fn typed(&self, value: OsString) -> OsString {
        let Some(long) = self.arg.get_long() else {
            return value;
        };
        let mut typed = OsString::from(format!("--{long}="));
        typed.push(value);
        typed
    }
}
