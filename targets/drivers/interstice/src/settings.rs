//! The target's settings.

use std::collections::BTreeMap;

use super::mutant::Mutant;
use plugpull_driver::Given;
use plugpull_driver::fake::{self, DEFECT_SETTING, REFERENCE_SETTING};
use plugpull_driver::{Setting, UsageError};

/// The settings of the `interstice` target.
pub const SETTINGS: &[Setting] = &[
    Setting {
        name: "bin",
        values: "a path, or a name that is found on PATH",
        default: "interstice",
        about: "the published node's command line",
    },
    Setting {
        name: "module",
        values: "a path",
        default: "module.wasm",
        about: "the node's: plugpull's test module, compiled (docs/examples/interstice/module.c)",
    },
    Setting {
        name: "port",
        values: "1024 to 65535",
        default: "8080",
        about: "the node's: the port it listens on, in the sandbox",
    },
    Setting {
        name: "clients",
        values: "known, new",
        default: "known",
        about: "the node's: whether it has met the clients before, or writes each of them down when it \
                connects",
    },
    REFERENCE_SETTING,
    Setting {
        name: "rotate_bytes",
        values: "bytes, at least 256",
        default: "65536",
        about: "of the fake: length of the log from which on it is rotated",
    },
    Setting {
        name: "rotated_logs",
        values: "1 to 10000",
        default: "1000",
        about: "of the fake: how many rotated logs there may be; then the log grows on",
    },
    DEFECT_SETTING,
];

/// Settings that only the published node has.
const OF_THE_NODE: &[&str] = &["bin", "module", "port", "clients"];
/// Settings that only the fake has.
const OF_THE_FAKE: &[&str] = &["rotate_bytes", "rotated_logs"];

/// The settings of the fake, and whether it is tested, checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The fake is tested.
    pub reference: bool,
    /// In bytes: the log is rotated from this length on.
    pub rotate_bytes: u64,
    /// No more than so many rotated logs.
    pub rotated_logs: u64,
    /// The fake's mutant.
    pub mutant: Option<Mutant>,
}

impl Settings {
    /// Reads and checks the values given by `--set`.
    pub fn parse(values: &BTreeMap<String, String>) -> Result<Self, UsageError> {
        let given = Given::new(super::NAME, SETTINGS, values)?;
        let (reference, mutant) =
            fake::resolve(super::NAME, &given, values, Mutant::NAMED, OF_THE_NODE)?;
        // What is the default anyway changes nothing.
        let misplaced = SETTINGS
            .iter()
            .map(|setting| (setting.name, setting.default))
            .find(|(name, default)| OF_THE_FAKE.contains(name) && given.text(name) != *default);
        if let (false, Some((name, _))) = (reference, misplaced) {
            return Err(UsageError::Conflict {
                target: super::NAME.into(),
                why: format!("{name} is about the fake: add --reference, or leave it out"),
            });
        }
        Ok(Self {
            reference,
            mutant,
            rotate_bytes: given.number("rotate_bytes", 256..=1 << 40)?,
            rotated_logs: given.number("rotated_logs", 1..=10_000)?,
        })
    }

    /// Whether this mutant is tested.
    pub fn has(&self, mutant: Mutant) -> bool {
        self.mutant == Some(mutant)
    }
}

/// The settings of the published node, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeSettings {
    /// Its command line, as given.
    pub bin: String,
    /// The test module, as given.
    pub module: String,
    /// Its port in the sandbox.
    pub port: u16,
    /// It has met the clients before.
    pub known: bool,
}

impl NodeSettings {
    /// Reads and checks the values given by `--set`.
    pub fn parse(values: &BTreeMap<String, String>) -> Result<Self, UsageError> {
        let given = Given::new(super::NAME, SETTINGS, values)?;
        Ok(Self {
            bin: given.text("bin").to_owned(),
            module: given.text("module").to_owned(),
            port: given.number("port", 1024..=u16::MAX)?,
            known: given.one_of("clients", &[("known", true), ("new", false)])?,
        })
    }
}
