//! All targets, by name.

use std::collections::BTreeMap;

use plugpull_driver::host::{self, DriverTarget, describe_bundled};
use plugpull_driver::{MutantDescription, SettingDescription, closest};

use crate::{Setting, Target, UsageError, command};

/// Makes a target from settings, each of which is checked. Touches no data.
pub type Open = fn(&BTreeMap<String, String>) -> Result<Box<dyn Target>, UsageError>;

/// A target as it is opened.
#[derive(Clone, Copy, Debug)]
pub struct Catalogued {
    /// Its name on the command line.
    pub name: &'static str,
    /// Makes it from settings.
    pub open: Open,
    list: fn() -> Result<Listed, UsageError>,
}

/// A target as it is listed.
#[derive(Clone, Debug)]
pub struct Listed {
    /// What it is, in one line.
    pub about: String,
    /// Its settings.
    pub settings: Vec<SettingDescription>,
    /// The mutants of a store that is made for tests.
    pub mutants: Vec<MutantDescription>,
}

impl Catalogued {
    /// How it is listed. The driver of a bundled system is started for that.
    ///
    /// # Errors
    /// The driver is missing or of another build.
    pub fn listed(&self) -> Result<Listed, UsageError> {
        (self.list)()
    }

    /// Whether it has a setting of this name.
    ///
    /// # Errors
    /// As [`Catalogued::listed`].
    pub fn has_setting(&self, name: &str) -> Result<bool, UsageError> {
        let listed = self.listed()?;
        Ok(listed.settings.iter().any(|setting| setting.name == name))
    }
}

/// How a target is listed that has settings of plugpull's own.
fn listed(about: &str, settings: &[Setting]) -> Result<Listed, UsageError> {
    let settings = settings.iter().map(|setting| SettingDescription {
        name: setting.name.into(),
        values: setting.values.into(),
        default: setting.default.into(),
        about: setting.about.into(),
    });
    Ok(Listed {
        about: about.into(),
        settings: settings.collect(),
        mutants: Vec::new(),
    })
}

fn bundled(name: &str) -> Result<Listed, UsageError> {
    let described = describe_bundled(name)?;
    Ok(Listed {
        about: described.about,
        settings: described.settings,
        mutants: described.mutants,
    })
}

/// The entry of a system whose driver comes with plugpull.
macro_rules! bundled {
    ($name:literal) => {
        Catalogued {
            name: $name,
            list: || bundled($name),
            open: |settings| Ok(Box::new(DriverTarget::bundled($name, settings, None)?)),
        }
    };
}

/// Every target, the default one first.
pub fn all() -> Vec<Catalogued> {
    vec![
        bundled!("sqlite"),
        bundled!("reference"),
        bundled!("statehouse"),
        bundled!("interstice"),
        bundled!("vfab"),
        bundled!("ailee"),
        Catalogued {
            name: host::NAME,
            list: || listed(host::ABOUT, host::SETTINGS),
            open: |settings| Ok(Box::new(DriverTarget::user(settings)?)),
        },
    ]
}

/// The target called `name`, with `settings` applied and checked. A name with a slash or with
/// `.toml` at its end is the file of a command target, whose version command is run; nothing else
/// is started.
pub fn open(
    name: &str,
    settings: &BTreeMap<String, String>,
) -> Result<Box<dyn Target>, UsageError> {
    if command::is_file_name(name) {
        return Ok(Box::new(command::CommandTarget::open(name, settings)?));
    }
    let all = all();
    match all.iter().find(|t| t.name == name) {
        Some(target) => (target.open)(settings),
        None => Err(UsageError::UnknownTarget {
            name: name.to_owned(),
            suggestion: closest(name, all.iter().map(|t| t.name)),
            known: all.iter().map(|t| t.name.to_owned()).collect(),
        }),
    }
}
