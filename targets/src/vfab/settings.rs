//! The target's settings.

use std::collections::BTreeMap;

use super::reference::Planted;
use crate::settings::Given;
use crate::stand_in::{self, DEFECT_SETTING, REFERENCE_SETTING};
use crate::{Setting, UsageError};

/// The settings of the `vfab` target.
pub const SETTINGS: &[Setting] = &[
    Setting {
        name: "venv",
        values: "a folder, or empty for PATH",
        default: "",
        about: "the virtual environment that vfab is installed in",
    },
    REFERENCE_SETTING,
    DEFECT_SETTING,
];

/// The settings, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The virtual environment; empty for PATH.
    pub venv: String,
    /// The stand-in is tested.
    pub reference: bool,
    /// The stand-in's defect.
    pub defect: Option<Planted>,
}

impl Settings {
    /// Reads and checks the values given by `--set`.
    pub fn parse(values: &BTreeMap<String, String>) -> Result<Self, UsageError> {
        let given = Given::new(super::NAME, SETTINGS, values)?;
        let (reference, defect) =
            stand_in::asked_for(super::NAME, &given, values, Planted::NAMED, &["venv"])?;
        Ok(Self {
            venv: given.text("venv").to_owned(),
            reference,
            defect,
        })
    }
}
