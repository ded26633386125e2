//! The reference store's settings.

use std::collections::BTreeMap;
use std::time::Duration;

use super::mutant::{Mutation, NAMED};
use plugpull_driver::{Given, Setting, UsageError};

/// The settings of the `reference` target.
pub const SETTINGS: &[Setting] = &[
    Setting {
        name: "snapshot_every",
        values: "records, at least 1",
        default: "64",
        about: "length of the log that starts a new snapshot",
    },
    Setting {
        name: "defect",
        values: "none, or a name from the list of mutants",
        default: "none",
        about: "the mutant that is switched on",
    },
    Setting {
        name: "slow_replay_ms",
        values: "milliseconds",
        default: "3000",
        about: "how long a replay takes at least with defect=slow-replay",
    },
    Setting {
        name: "slow_replay_each_us",
        values: "microseconds",
        default: "100",
        about: "how much longer for each transaction since the beginning",
    },
];

/// The reference store's settings, checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Length of the log, in records, that starts a new snapshot.
    pub snapshot_every: u64,
    /// The defect that is switched on.
    pub mutation: Option<Mutation>,
    /// How long a replay takes at least with [`Mutation::SlowReplay`].
    pub slow_replay: Duration,
    /// How much longer it takes then for each transaction since the beginning.
    pub slow_replay_each: Duration,
}

impl Settings {
    /// Reads and checks the values given by `--set`.
    pub fn parse(values: &BTreeMap<String, String>) -> Result<Self, UsageError> {
        let given = Given::new(super::NAME, SETTINGS, values)?;
        let mut defects = vec![("none", None)];
        defects.extend(
            NAMED
                .iter()
                .map(|(name, mutation)| (*name, Some(*mutation))),
        );
        Ok(Self {
            snapshot_every: given.number("snapshot_every", 1..=1_000_000)?,
            mutation: given.one_of("defect", &defects)?,
            slow_replay: Duration::from_millis(given.number("slow_replay_ms", 0..=600_000)?),
            slow_replay_each: Duration::from_micros(
                given.number("slow_replay_each_us", 0..=1_000_000)?,
            ),
        })
    }

    /// Whether this defect is switched on.
    pub(crate) fn has(&self, mutation: Mutation) -> bool {
        self.mutation == Some(mutation)
    }
}
