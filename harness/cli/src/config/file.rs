//! Finding and reading the file.

use std::ops::Range;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use nix::unistd::geteuid;
use plugpull_workloads::read_text;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// What it is called.
const NAME: &str = "plugpull.toml";
/// The longest that is read, in bytes.
const LONGEST: u64 = 1 << 20;

/// A file that was read.
#[derive(Debug)]
pub(super) struct File {
    path: PathBuf,
    /// What relative paths in it are relative to; empty for the working directory.
    pub(super) directory: PathBuf,
    text: String,
    /// Its tables that are named as a command could be.
    pub(super) sections: Vec<Section>,
    /// The names of its profiles.
    pub(super) profiles: Vec<String>,
    /// Everything in it, in no particular order.
    pub(super) entries: Vec<Entry>,
}

/// The name of a command.
#[derive(Debug)]
pub(super) struct Section {
    pub(super) name: String,
    pub(super) at: usize,
}

/// The table whose tables are profiles.
const PROFILE: &str = "profile";

/// One option.
#[derive(Debug)]
pub(super) struct Entry {
    /// The profile that it belongs to; none where it holds without one.
    pub(super) profile: Option<String>,
    /// The command that it is for; all when there is none.
    pub(super) section: Option<String>,
    pub(super) key: String,
    pub(super) value: Value,
    /// Where it stands, in bytes from the beginning.
    pub(super) at: usize,
}

/// What an option is set to.
#[derive(Debug)]
pub(super) enum Value {
    Switch(bool),
    One(String),
    Many(Vec<String>),
    /// Names and values.
    Pairs(Vec<(String, String)>),
}

/// The nearest file in the working directory and those above it.
///
/// # Errors
/// When it belongs to somebody who has no say here: it could name commands to run.
pub(super) fn find() -> Result<Option<PathBuf>, String> {
    let Ok(here) = std::env::current_dir() else {
        return Ok(None);
    };
    let found = here.ancestors().map(|directory| directory.join(NAME));
    let Some(path) = found.into_iter().find(|path| path.is_file()) else {
        return Ok(None);
    };
    let owner = |path: &Path| path.metadata().map(|about| about.uid()).ok();
    let theirs = owner(&path);
    let trusted = [Some(geteuid().as_raw()), Some(0), owner(&here)];
    if !trusted.contains(&theirs) {
        return Err(format!(
            "{} belongs to somebody else; --config {} uses it all the same, --no-config leaves it out",
            path.display(),
            path.display()
        ));
    }
    Ok(Some(path))
}

impl File {
    /// Reads it; what it holds is not looked at yet.
    pub(super) fn read(path: &Path) -> Result<Self, String> {
        let text = read_text(path, LONGEST)
            .map_err(|error| format!("{} cannot be read: {error}", path.display()))?;
        let directory = path.parent().unwrap_or(Path::new("")).to_path_buf();
        let here = std::env::current_dir().is_ok_and(|here| here == directory);
        let mut file = Self {
            path: path.to_path_buf(),
            directory: if here { PathBuf::new() } else { directory },
            text: text.clone(),
            sections: Vec::new(),
            profiles: Vec::new(),
            entries: Vec::new(),
        };
        let table = DeTable::parse(&text).map_err(|error| {
            let at = error.span().map_or(0, |span| span.start);
            file.objection(at, error.message(), None)
        })?;
        for (key, value) in table.get_ref() {
            match value.get_ref() {
                DeValue::Table(profiles) if key.get_ref() == PROFILE => {
                    for (name, value) in profiles {
                        let DeValue::Table(options) = value.get_ref() else {
                            let said = "a profile is a table: [profile.NAME]";
                            return Err(file.objection(name.span().start, said, None));
                        };
                        file.options(Some(name.get_ref()), options)?;
                        file.profiles.push(name.get_ref().to_string());
                    }
                }
                _ => {}
            }
        }
        file.options(None, table.get_ref())?;
        Ok(file)
    }

    /// Takes the options and sections of the whole file, or of a profile of it.
    fn options(&mut self, profile: Option<&str>, table: &DeTable<'_>) -> Result<(), String> {
        for (key, value) in table {
            // A table is a command's section; one that is empty, or whose keys are no options,
            // shows when they are looked at.
            match value.get_ref() {
                DeValue::Table(_) if profile.is_none() && key.get_ref() == PROFILE => {}
                DeValue::Table(section) if !pairs_option(key.get_ref()) => {
                    self.sections.push(Section {
                        name: key.get_ref().to_string(),
                        at: key.span().start,
                    });
                    for (inner, value) in section {
                        let entry = self.entry((profile, Some(key.get_ref())), inner, value)?;
                        self.entries.push(entry);
                    }
                }
                _ => {
                    let entry = self.entry((profile, None), key, value)?;
                    self.entries.push(entry);
                }
            }
        }
        Ok(())
    }

    fn entry(
        &self,
        (profile, section): (Option<&str>, Option<&str>),
        key: &Spanned<std::borrow::Cow<'_, str>>,
        value: &Spanned<DeValue<'_>>,
    ) -> Result<Entry, String> {
        let span: Range<usize> = key.span();
        let odd = |what: &str| {
            let said = format!("'{}' cannot be {what}", key.get_ref());
            self.objection(span.start, &said, None)
        };
        let value = match value.get_ref() {
            DeValue::Boolean(on) => Value::Switch(*on),
            DeValue::Array(all) => {
                let words = all.iter().map(|one| {
                    let word = scalar(one.get_ref());
                    word.ok_or_else(|| odd("a list of anything but words and numbers"))
                });
                Value::Many(words.collect::<Result<_, _>>()?)
            }
            DeValue::Table(all) => {
                let pairs = all.iter().map(|(name, one)| {
                    let word = match one.get_ref() {
                        DeValue::Boolean(on) => Some(on.to_string()),
                        other => scalar(other),
                    };
                    let word =
                        word.ok_or_else(|| odd("a table of anything but words and numbers"))?;
                    Ok((name.get_ref().to_string(), word))
                });
                Value::Pairs(pairs.collect::<Result<_, String>>()?)
            }
            other => Value::One(scalar(other).ok_or_else(|| odd("a date"))?),
        };
        Ok(Entry {
            profile: profile.map(str::to_owned),
            section: section.map(str::to_owned),
            key: key.get_ref().to_string(),
            value,
            at: span.start,
        })
    }

    /// File and line of a position.
    pub(super) fn place(&self, at: usize) -> String {
        let before = self.text.get(..at).unwrap_or(&self.text);
        let line = before.matches('\n').count() + 1;
        format!("{}:{line}", self.path.display())
    }

    /// What is wrong at a position, in one line.
    pub(super) fn objection(&self, at: usize, why: &str, hint: Option<String>) -> String {
        let why = why.lines().collect::<Vec<_>>().join("; ");
        let hint = hint.map(|hint| format!("; {hint}")).unwrap_or_default();
        format!("{}: {why}{hint}", self.place(at))
    }
}

/// The option that takes names and values, and so a table.
pub(super) const PAIRS: &str = "set";

/// True for a key whose table is not a section but what the option is set to.
fn pairs_option(key: &str) -> bool {
    key == PAIRS
}

/// A word or a number as it is typed.
fn scalar(value: &DeValue<'_>) -> Option<String> {
    match value {
        DeValue::String(text) => Some(text.to_string()),
        DeValue::Integer(number) => {
            let value = i128::from_str_radix(number.as_str(), number.radix()).ok()?;
            Some(value.to_string())
        }
        DeValue::Float(number) => Some(number.as_str().to_string()),
        _ => None,
    }
}
