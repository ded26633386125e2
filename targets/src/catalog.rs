//! All targets, by name.

use std::collections::BTreeMap;

use crate::settings::closest;
use crate::{
    Defect, Setting, Target, UsageError, ailee, command, driver, interstice, reference, sqlite,
    statehouse, vfab,
};

/// Makes a target from settings, each of which is checked. Starts nothing and touches nothing.
pub type Open = fn(&BTreeMap<String, String>) -> Result<Box<dyn Target>, UsageError>;

/// A target as it is listed and opened.
#[derive(Clone, Copy, Debug)]
pub struct Catalogued {
    /// Its name on the command line.
    pub name: &'static str,
    /// What it is, in one line.
    pub about: &'static str,
    /// Its settings.
    pub settings: &'static [Setting],
    /// The defects planted in it, if it is a reference.
    pub defects: &'static [Defect],
    /// Makes it from settings.
    pub open: Open,
}

/// Every target, the default one first.
pub fn all() -> Vec<Catalogued> {
    vec![
        Catalogued {
            name: sqlite::NAME,
            about: sqlite::ABOUT,
            settings: sqlite::SETTINGS,
            defects: &[],
            open: |settings| Ok(Box::new(sqlite::Sqlite::new(settings)?)),
        },
        Catalogued {
            name: reference::NAME,
            about: reference::ABOUT,
            settings: reference::SETTINGS,
            defects: reference::DEFECTS,
            open: |settings| Ok(Box::new(reference::Reference::new(settings)?)),
        },
        Catalogued {
            name: statehouse::NAME,
            about: statehouse::ABOUT,
            settings: statehouse::SETTINGS,
            defects: statehouse::DEFECTS,
            open: |settings| Ok(Box::new(statehouse::Statehouse::new(settings)?)),
        },
        Catalogued {
            name: interstice::NAME,
            about: interstice::ABOUT,
            settings: interstice::SETTINGS,
            defects: interstice::DEFECTS,
            open: |settings| Ok(Box::new(interstice::Interstice::new(settings)?)),
        },
        Catalogued {
            name: vfab::NAME,
            about: vfab::ABOUT,
            settings: vfab::SETTINGS,
            defects: vfab::DEFECTS,
            open: |settings| Ok(Box::new(vfab::Vfab::new(settings)?)),
        },
        Catalogued {
            name: ailee::NAME,
            about: ailee::ABOUT,
            settings: ailee::SETTINGS,
            defects: ailee::DEFECTS,
            open: |settings| Ok(Box::new(ailee::Ailee::new(settings)?)),
        },
        Catalogued {
            name: driver::NAME,
            about: driver::ABOUT,
            settings: driver::SETTINGS,
            defects: &[],
            open: |settings| Ok(Box::new(driver::Driver::new(settings)?)),
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
