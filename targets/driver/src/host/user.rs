//! The target `driver`: any program of the user's that speaks the protocol.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use super::{CommandLine, Commands, DriverTarget};
use crate::{Given, Setting, UsageError};

/// Its name on the command line.
pub const NAME: &str = "driver";
/// What it is, in one line.
pub const ABOUT: &str = "any program that speaks the driver protocol (docs/driver-protocol.md)";

/// The settings of the `driver` target.
pub const SETTINGS: &[Setting] = &[
    Setting {
        name: "cmd",
        values: "a command, split as a shell does",
        default: "",
        about: "the driver; words that name a file here are made absolute paths. Needed",
    },
    Setting {
        name: "daemon",
        values: "a command, split as a shell does",
        default: "",
        about: "the program under test, where the driver is not: started before the driver",
    },
];

impl DriverTarget {
    /// The user's driver with these settings, each of which is checked: the programs must be
    /// there. Starts nothing.
    ///
    /// # Errors
    /// An unknown setting, or a command that cannot be started.
    pub fn user(values: &BTreeMap<String, String>) -> Result<Self, UsageError> {
        let given = Given::new(NAME, SETTINGS, values)?;
        let parse = |name: &str| {
            CommandLine::parse(given.text(name)).map_err(|why| UsageError::Conflict {
                target: NAME.to_owned(),
                why: format!("{name}: {why}"),
            })
        };
        let daemon = match given.text("daemon") {
            "" => None,
            _ => Some(parse("daemon")?),
        };
        Ok(Self {
            name: NAME.to_owned(),
            commands: Commands {
                driver: parse("cmd")?,
                daemon,
            },
            description: OnceLock::new(),
            promises: None,
            driven_by: format!("driven by `{}`", given.text("cmd")),
            opaque: OnceLock::new(),
        })
    }
}
