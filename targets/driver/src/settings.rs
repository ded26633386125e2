//! Settings, as a driver declares them, and reading `--set name=value`: each is checked before
//! anything is started.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::ops::RangeInclusive;
use std::str::FromStr;

use thiserror::Error;

/// A setting of a target, changed by `--set name=value`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// Its name.
    pub name: &'static str,
    /// The values it takes, or a word for their form.
    pub values: &'static str,
    /// Its value when not set.
    pub default: &'static str,
    /// What it does, in one line.
    pub about: &'static str,
}

/// A seeded wrong behaviour of a store that is made for tests, switched on by `--set
/// defect=NAME`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mutant {
    /// Its name.
    pub name: &'static str,
    /// What is wrong, in one line.
    pub about: &'static str,
}

/// What the user asked for does not exist or does not fit: wrong use, exit code 2.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum UsageError {
    /// No target has this name.
    #[error("there is no target {name:?}{}; known targets: {}", hint(.suggestion), .known.join(", "))]
    UnknownTarget {
        /// The name that was given.
        name: String,
        /// The closest known name, if one is close.
        suggestion: Option<String>,
        /// Every known name.
        known: Vec<String>,
    },
    /// The target has no such setting.
    #[error("{target} has no setting {name:?}{}; its settings: {}", hint(.suggestion), .known.join(", "))]
    UnknownSetting {
        /// The target.
        target: String,
        /// The name that was given.
        name: String,
        /// The closest known name, if one is close.
        suggestion: Option<String>,
        /// Every setting of the target.
        known: Vec<String>,
    },
    /// The setting does not take this value.
    #[error("{target}: {name} cannot be {value:?}{}; it takes {allowed}", hint(.suggestion))]
    BadValue {
        /// The target.
        target: String,
        /// The setting.
        name: String,
        /// The value that was given.
        value: String,
        /// The closest allowed value, if one is close.
        suggestion: Option<String>,
        /// What is allowed.
        allowed: String,
    },
    /// The file that describes a target is not as it should be.
    #[error("{path}: {why}")]
    File {
        /// The file, as it was named.
        path: String,
        /// What is wrong with it, with the key.
        why: String,
    },
    /// What a driver refuses, in its own words.
    #[error("{0}")]
    Driver(String),
    /// Two settings that exclude each other.
    #[error("{target}: {why}")]
    Conflict {
        /// The target.
        target: String,
        /// Which settings, and why not.
        why: String,
    },
}

fn hint(suggestion: &Option<String>) -> String {
    suggestion
        .as_ref()
        .map(|s| format!(" (did you mean {s:?}?)"))
        .unwrap_or_default()
}

/// The known word that `given` was most likely meant to be, if any is near enough to say so.
pub fn closest<'a>(given: &str, known: impl Iterator<Item = &'a str>) -> Option<String> {
    known
        .map(|k| (strsim::jaro_winkler(&given.to_lowercase(), k), k))
        .filter(|(score, _)| *score >= 0.8)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, k)| k.to_owned())
}

/// Every setting with its value: as given, or by default.
pub fn resolved(
    declared: &[Setting],
    given: &BTreeMap<String, String>,
) -> BTreeMap<String, String> {
    let values = declared.iter().map(|setting| {
        let value = given
            .get(setting.name)
            .map_or(setting.default, |v| v.as_str());
        (setting.name.to_owned(), value.to_owned())
    });
    values.collect()
}

/// The values given for one target, read against the settings it declares.
pub struct Given<'a> {
    target: &'a str,
    declared: &'a [Setting],
    values: &'a BTreeMap<String, String>,
}

impl<'a> Given<'a> {
    /// Fails on any name that is not declared.
    pub fn new(
        target: &'a str,
        declared: &'a [Setting],
        values: &'a BTreeMap<String, String>,
    ) -> Result<Self, UsageError> {
        for name in values.keys() {
            if !declared.iter().any(|s| s.name == name) {
                return Err(UsageError::UnknownSetting {
                    target: target.to_owned(),
                    name: name.clone(),
                    suggestion: closest(name, declared.iter().map(|s| s.name)),
                    known: declared.iter().map(|s| s.name.to_owned()).collect(),
                });
            }
        }
        Ok(Self {
            target,
            declared,
            values,
        })
    }

    /// The value of a declared setting, as given or by default.
    pub fn text(&self, name: &str) -> &str {
        match self.values.get(name) {
            Some(value) => value,
            None => self
                .declared
                .iter()
                .find(|s| s.name == name)
                .map_or("", |s| s.default),
        }
    }

    /// The value as one of `choices`, each with its word.
    pub fn one_of<T: Copy>(&self, name: &str, choices: &[(&str, T)]) -> Result<T, UsageError> {
        let value = self.text(name);
        choices
            .iter()
            .find(|(word, _)| *word == value)
            .map(|(_, t)| *t)
            .ok_or_else(|| {
                let words: Vec<&str> = choices.iter().map(|(word, _)| *word).collect();
                self.bad(
                    name,
                    &words.join(", "),
                    closest(value, words.iter().copied()),
                )
            })
    }

    /// The value as a number within `range`.
    pub fn number<T>(&self, name: &str, range: RangeInclusive<T>) -> Result<T, UsageError>
    where
        T: FromStr + PartialOrd + Display,
    {
        match self.text(name).parse::<T>() {
            Ok(n) if range.contains(&n) => Ok(n),
            _ => {
                let allowed = format!("a whole number from {} to {}", range.start(), range.end());
                Err(self.bad(name, &allowed, None))
            }
        }
    }

    /// The error for a value that is not allowed.
    pub fn bad(&self, name: &str, allowed: &str, suggestion: Option<String>) -> UsageError {
        UsageError::BadValue {
            target: self.target.to_owned(),
            name: name.to_owned(),
            value: self.text(name).to_owned(),
            suggestion,
            allowed: allowed.to_owned(),
        }
    }
}
