//! The target's settings.

use std::collections::BTreeMap;

use super::mutant::Mutant;
use plugpull_driver::Given;
use plugpull_driver::fake::{self, DEFECT_SETTING, REFERENCE_SETTING};
use plugpull_driver::{Setting, UsageError};

/// The settings of the `vfab` target.
pub const SETTINGS: &[Setting] = &[
    Setting {
        name: "venv",
        values: "a directory, or empty for PATH",
        default: "",
        about: "the virtual environment that vfab is installed in",
    },
    Setting {
        name: "states",
        values: "queued, completed",
        default: "queued",
        about: "how far a job is taken before it is answered: by vfab's commands to QUEUED, or on by \
                its Python API to COMPLETED, with a simulated plotter",
    },
    Setting {
        name: "export",
        values: "yes, no",
        default: "no",
        about: "check after each restart that `system export` and `import` bring everything back",
    },
    REFERENCE_SETTING,
    DEFECT_SETTING,
];

/// How far a job is taken before it is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Until {
    /// By `vfab add` alone.
    Queued,
    /// By vfab's Python API, to the end.
    Completed,
}

impl Until {
    const NAMED: &[(&str, Self)] = &[("queued", Self::Queued), ("completed", Self::Completed)];
}

/// The settings, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The virtual environment; empty for PATH.
    pub venv: String,
    /// How far jobs are taken; of the real one.
    pub until: Until,
    /// Export and import are checked; of the real one.
    pub export: bool,
    /// The fake is tested.
    pub reference: bool,
    /// The fake's mutant.
    pub mutant: Option<Mutant>,
}

impl Settings {
    /// Reads and checks the values given by `--set`.
    pub fn parse(values: &BTreeMap<String, String>) -> Result<Self, UsageError> {
        let given = Given::new(super::NAME, SETTINGS, values)?;
        let real = ["venv", "states", "export"];
        let (reference, mutant) = fake::resolve(super::NAME, &given, values, Mutant::NAMED, &real)?;
        Ok(Self {
            venv: given.text("venv").to_owned(),
            until: given.one_of("states", Until::NAMED)?,
            export: given.one_of("export", &[("yes", true), ("no", false)])?,
            reference,
            mutant,
        })
    }
}
