//! The commands, one a file.

mod asked;
pub(crate) mod attach;
mod baseline;
pub(crate) mod compare;
mod coverage;
pub(crate) mod doctor;
pub(crate) mod driver_check;
pub(crate) mod exec;
pub(crate) mod explore;
pub(crate) mod faults;
pub(crate) mod growth;
pub(crate) mod inspect;
mod interrupt;
mod introduce;
pub(crate) mod manual;
pub(crate) mod merge;
mod place;
pub(crate) mod replay;
mod reporters;
pub(crate) mod run;
pub(crate) mod targets;

use std::collections::BTreeMap;
use std::fmt;

use plugpull_targets::{Target, catalog};

/// Something the user asked for that cannot be: exit code 2, and nothing was started.
#[derive(Debug)]
pub(crate) struct WrongUse(pub(crate) String);

impl fmt::Display for WrongUse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for WrongUse {}

/// Wrong use, in these words.
pub(crate) fn wrong(why: impl fmt::Display) -> anyhow::Error {
    anyhow::Error::new(WrongUse(why.to_string()))
}

/// The target of this name with its settings, where it can be run here. Where it cannot, the error
/// says how to change that; it is no wrong use.
pub(crate) fn open_target(
    name: &str,
    settings: &BTreeMap<String, String>,
) -> anyhow::Result<Box<dyn Target>> {
    let target = catalog::open(name, settings).map_err(wrong)?;
    match target.absent() {
        None => Ok(target),
        Some(why) => anyhow::bail!("{name} cannot be tested here: {why}"),
    }
}

/// The `--set` options as a map. Setting one twice is wrong.
pub(crate) fn settings(given: &[(String, String)]) -> anyhow::Result<BTreeMap<String, String>> {
    let mut settings = BTreeMap::new();
    for (key, value) in given {
        if settings.insert(key.clone(), value.clone()).is_some() {
            return Err(wrong(format!("--set {key}=... is given twice")));
        }
    }
    Ok(settings)
}
