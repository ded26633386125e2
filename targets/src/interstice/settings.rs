//! The target's settings.

use std::collections::BTreeMap;

use super::reference::Planted;
use crate::settings::Given;
use crate::stand_in::{self, DEFECT_SETTING, REFERENCE_SETTING};
use crate::{Setting, UsageError};

/// The settings of the `interstice` target.
pub const SETTINGS: &[Setting] = &[
    REFERENCE_SETTING,
    Setting {
        name: "rotate_bytes",
        values: "bytes, at least 256",
        default: "65536",
        about: "length of the log from which on it is rotated",
    },
    Setting {
        name: "rotated_logs",
        values: "1 to 10000",
        default: "1000",
        about: "how many rotated logs there may be; then the log grows on",
    },
    DEFECT_SETTING,
];

/// The settings, checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The stand-in is tested.
    pub reference: bool,
    /// In bytes: the log is rotated from this length on.
    pub rotate_bytes: u64,
    /// No more than so many rotated logs.
    pub rotated_logs: u64,
    /// The stand-in's defect.
    pub defect: Option<Planted>,
}

impl Settings {
    /// Reads and checks the values given by `--set`.
    pub fn parse(values: &BTreeMap<String, String>) -> Result<Self, UsageError> {
        let given = Given::new(super::NAME, SETTINGS, values)?;
        let (reference, defect) =
            stand_in::asked_for(super::NAME, &given, values, Planted::NAMED, &[])?;
        Ok(Self {
            reference,
            defect,
            rotate_bytes: given.number("rotate_bytes", 256..=1 << 40)?,
            rotated_logs: given.number("rotated_logs", 1..=10_000)?,
        })
    }

    /// Whether this defect is planted.
    pub(super) fn has(&self, defect: Planted) -> bool {
        self.defect == Some(defect)
    }
}
