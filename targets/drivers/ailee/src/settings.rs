//! The target's settings.

use std::collections::BTreeMap;

use super::mutant::Mutant;
use plugpull_driver::Given;
use plugpull_driver::fake::{self, DEFECT_SETTING, REFERENCE_SETTING};
use plugpull_driver::{Setting, UsageError};

/// The settings of the `ailee` target.
pub const SETTINGS: &[Setting] = &[
    Setting {
        name: "bin",
        values: "a path, or a name that is found on PATH",
        default: "ailee_node",
        about: "the real node's program",
    },
    Setting {
        name: "port",
        values: "1024 to 65535",
        default: "8080",
        about: "the port that the real node serves on, in a network of its own",
    },
    Setting {
        name: "anchored",
        values: "yes, no",
        default: "yes",
        about: "wait for the real node's first anchor, some 100 s, before a fault may come; nothing \
                that it accepted is promised before",
    },
    REFERENCE_SETTING,
    DEFECT_SETTING,
];

/// The settings, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The real node: a path, or a name on PATH.
    pub bin: String,
    /// Its port.
    pub port: u16,
    /// No fault comes before its first anchor.
    pub anchored: bool,
    /// The fake is tested.
    pub reference: bool,
    /// The fake's mutant.
    pub mutant: Option<Mutant>,
}

impl Settings {
    /// Reads and checks the values given by `--set`.
    pub fn parse(values: &BTreeMap<String, String>) -> Result<Self, UsageError> {
        let given = Given::new(super::NAME, SETTINGS, values)?;
        let the_real = ["bin", "port", "anchored"];
        let (reference, mutant) =
            fake::resolve(super::NAME, &given, values, Mutant::NAMED, &the_real)?;
        if given.text("bin").is_empty() {
            return Err(given.bad("bin", "a path, or a name that is found on PATH", None));
        }
        Ok(Self {
            bin: given.text("bin").to_owned(),
            port: given.number("port", 1024..=u16::MAX)?,
            anchored: given.one_of("anchored", &[("yes", true), ("no", false)])?,
            reference,
            mutant,
        })
    }
}
