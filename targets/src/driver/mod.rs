//! A driver: any program, in any language, that speaks for a target over its standard input and
//! standard output. The protocol is specified in `docs/driver-protocol.md`.
//!
//! Either the driver *is* the target, a host program with the library under test in it, or it
//! speaks with a daemon that was started before it in the same sandbox.

mod client;
mod command;
pub mod conformance;
mod hello;
mod launch;
mod link;
mod protocol;

use std::collections::BTreeMap;
use std::sync::OnceLock;
use std::time::Instant;

use plugpull_workloads::Promise;

use crate::settings::Given;
use crate::{Abilities, Host, Reorgs, Running, Setting, StartError, Target, UsageError};

pub use command::{CommandLine, Commands};
pub use hello::Introduction;
pub use protocol::{Call, PROTOCOL, Request, Write};

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

/// A driver with its settings.
pub struct Driver {
    commands: Commands,
    given: String,
    introduction: OnceLock<Introduction>,
}

impl Driver {
    /// The driver with these settings, each of which is checked: the programs must be there.
    pub fn new(values: &BTreeMap<String, String>) -> Result<Self, UsageError> {
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
            commands: Commands {
                driver: parse("cmd")?,
                daemon,
            },
            given: given.text("cmd").to_owned(),
            introduction: OnceLock::new(),
        })
    }
}

impl Target for Driver {
    fn name(&self) -> &str {
        NAME
    }

    fn must_be_asked(&self) -> bool {
        self.introduction.get().is_none()
    }

    fn introduce(&self, host: &dyn Host, deadline: Instant) -> Result<(), StartError> {
        if self.introduction.get().is_none() {
            let running = launch::start(&self.commands, host, deadline)?;
            // Somebody else may have been faster, with the same words.
            let _ = self.introduction.set(running.introduction().clone());
        }
        Ok(())
    }

    fn version(&self) -> String {
        match self.introduction.get() {
            Some(known) => format!(
                "{} {}, driven by `{}`",
                known.name, known.version, self.given
            ),
            None => format!("driven by `{}`", self.given),
        }
    }

    fn promises(&self) -> Vec<Promise> {
        self.introduction
            .get()
            .map(|known| known.promises.clone())
            .unwrap_or_default()
    }

    fn abilities(&self) -> Abilities {
        self.introduction
            .get()
            .map(|known| known.abilities)
            .unwrap_or_default()
    }

    fn reorgs(&self) -> Reorgs {
        match self.introduction.get() {
            Some(known) if known.reorg => Reorgs::WhenUp,
            _ => Reorgs::Never,
        }
    }

    fn start<'host>(
        &self,
        host: &'host dyn Host,
        deadline: Instant,
    ) -> Result<Box<dyn Running + 'host>, StartError> {
        let running = launch::start(&self.commands, host, deadline)?;
        let _ = self.introduction.set(running.introduction().clone());
        Ok(Box::new(running))
    }
}
