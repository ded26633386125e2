//! The target's settings.

use std::collections::BTreeMap;

use super::mutant::{MUTANTS, Mutant};

use plugpull_driver::{Given, Setting, UsageError};

/// The program's usual name.
const PROGRAM: &str = "statehoused";

/// The settings of the `statehouse` target.
pub const SETTINGS: &[Setting] = &[
    Setting {
        name: "bin",
        values: "a path, or a name that is found on PATH",
        default: PROGRAM,
        about: "the daemon to test",
    },
    Setting {
        name: "reference",
        values: "yes, no",
        default: "no",
        about: "test plugpull's own fake of the daemon, which keeps every promise (the same \
                as --reference)",
    },
    Setting {
        name: "versions",
        values: "on, off",
        default: "off",
        about: "hold it to its version history too: 1, 2, 3, ... for each key, and each to be read \
                again",
    },
    Setting {
        name: "commit_errors",
        values: "unknown, final",
        default: "unknown",
        about: "whether a commit that is answered with an error may have happened all the same",
    },
    Setting {
        name: "port",
        values: "1024 to 65535",
        default: "50051",
        about: "the port it listens on, in the sandbox",
    },
    Setting {
        name: "defect",
        values: "none, or one that is listed below",
        default: "none",
        about: "a mutant of the fake",
    },
];

/// The settings, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The daemon, as given.
    pub bin: String,
    /// The fake takes its place.
    pub reference: bool,
    /// It is held to its version history.
    pub versions: bool,
    /// A commit that is answered with an error certainly did not happen.
    pub commit_errors_final: bool,
    /// Its port.
    pub port: u16,
    /// The fake's mutant.
    pub mutant: Option<Mutant>,
}

impl Settings {
    /// Reads and checks the values given by `--set`.
    pub fn parse(values: &BTreeMap<String, String>) -> Result<Self, UsageError> {
        let given = Given::new(super::NAME, SETTINGS, values)?;
        let reference = given.one_of("reference", &[("yes", true), ("no", false)])?;
        let mut mutants = vec![("none", None)];
        mutants.extend(MUTANTS.iter().map(|d| (d.name, Mutant::named(d.name))));
        let mutant = given.one_of("defect", &mutants)?;
        let conflict = |why: &str| UsageError::Conflict {
            target: super::NAME.to_owned(),
            why: why.to_owned(),
        };
        if mutant.is_some() && !reference {
            return Err(conflict("only the fake has mutants: add --reference"));
        }
        if reference && values.contains_key("bin") {
            return Err(conflict(
                "bin is the real daemon and --reference is the fake: leave one of them out",
            ));
        }
        if given.text("bin").is_empty() {
            return Err(given.bad("bin", "a path, or a name that is found on PATH", None));
        }
        Ok(Self {
            bin: given.text("bin").to_owned(),
            reference,
            versions: given.one_of("versions", &[("on", true), ("off", false)])?,
            commit_errors_final: given
                .one_of("commit_errors", &[("unknown", false), ("final", true)])?,
            port: given.number("port", 1024..=u16::MAX)?,
            mutant,
        })
    }
}
