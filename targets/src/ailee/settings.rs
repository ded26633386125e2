//! The target's settings.

use std::collections::BTreeMap;

use super::reference::Planted;
use crate::settings::Given;
use crate::stand_in::{self, DEFECT_SETTING, REFERENCE_SETTING};
use crate::{Setting, UsageError};

/// The settings of the `ailee` target.
pub const SETTINGS: &[Setting] = &[REFERENCE_SETTING, DEFECT_SETTING];

/// The settings, checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
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
            stand_in::asked_for(super::NAME, &given, values, Planted::NAMED, &[])?;
        Ok(Self { reference, defect })
    }
}
