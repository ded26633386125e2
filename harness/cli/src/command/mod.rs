//! The commands, one a file.

pub(crate) mod attach;
mod baseline;
mod chosen_faults;
pub(crate) mod confirm;
mod controls;
pub(crate) mod doctor;
pub(crate) mod driver_check;
pub(crate) mod exec;
pub(crate) mod explore;
pub(crate) mod growth;
pub(crate) mod inspect;
mod interrupt;
mod live_run;
mod outputs;
pub(crate) mod replay;
pub(crate) mod reporters;
pub(crate) mod reports;
mod resolved_target;
pub(crate) mod resume;
pub(crate) mod run;
mod run_files;
mod run_sink;
mod smaller;
pub(crate) mod targets;
pub(crate) mod verify;
mod worker_source;

use std::collections::BTreeMap;

pub(crate) use plugpull_engine::{WrongUse, wrong};
use plugpull_targets::{Target, catalog};

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
