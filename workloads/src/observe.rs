//! What was seen of a target after the trouble: how it started again, and what it read back.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::EventLog;

/// All that a target holds, or why it could not be read.
pub type ReadBack = Result<BTreeMap<String, String>, String>;

/// An ID of a target's own workload that is written whole is two keys: itself, and itself with this. A torn
/// one lacks the second.
pub const ID_REST: &str = "#rest";

/// What was seen of a target after a failure and the restarts that followed it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Observed {
    /// How the first restart ended (or, where nothing had to be restarted, how the target stood).
    pub start: Start,
    /// From spawning it to its first correct answer; none where it gave none or was not timed.
    pub recovery: Option<Duration>,
    /// What it held after the first restart; none when it was not asked.
    pub state: Option<ReadBack>,
    /// What the integrity check said (`Err`: its words); none when it was not asked.
    pub integrity: Option<Result<(), String>>,
    /// Whose check that was.
    pub checker: Checker,
    /// What it tells of its own past (`Err`: why that cannot be read); none when it keeps no log
    /// of events, or was not asked.
    pub log: Option<Result<EventLog, String>>,
    /// What it held after a second restart with no writes in between (`Err`: it refused, with its
    /// words); none when there was no second restart.
    pub second: Option<ReadBack>,
    /// Its words when it still refused to work after the trouble was over (space freed, device
    /// healthy); none when it worked or was not asked.
    pub stays_down: Option<String>,
    /// True when it goes on answering as if nothing were wrong although [`start`](Self::start) is
    /// refused by what it printed: then it has refused nothing.
    pub went_on: bool,
    /// What the failure did to data at rest.
    pub damage: Damage,
    /// True where the keys are IDs that the target's own workload wrote and its own check was asked for:
    /// then nobody wrote the values of the history, and nothing is said of them.
    pub ids: bool,
    /// What the target's own check said of keys that it misses, by key.
    pub said: BTreeMap<String, String>,
}

impl Observed {
    /// A target that started again and held this.
    pub fn holding(state: BTreeMap<String, String>) -> Self {
        Self {
            state: Some(Ok(state)),
            ..Self::default()
        }
    }
}

/// Who checks the integrity of a target's data. Only what the target itself says is a detection by it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Checker {
    /// The target itself.
    #[default]
    Target,
    /// Its driver, which reads the files by its own parser, or compares its answers.
    Driver,
    /// A check that the user brought.
    User,
}

/// How a start ended.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Start {
    /// It takes calls.
    #[default]
    Started,
    /// It ended before it took calls.
    Refused {
        /// Its words, or its exit code.
        message: String,
    },
    /// It neither took calls nor ended.
    Hung {
        /// How long it was waited for.
        waited: Duration,
    },
}

/// What a failure did to data at rest, which no target can undo where it holds one copy.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Damage {
    /// Nothing: all that was made durable is still on the device and can be read.
    #[default]
    None,
    /// The only copy of something durable was changed or cannot be read.
    SingleCopy {
        /// What was done to what, in words.
        description: String,
    },
}
