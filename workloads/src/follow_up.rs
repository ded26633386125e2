//! What is done with a target after its first recovery was read back.
// tidy: small because drivers of trials, findings and reports share these names.

use serde::{Deserialize, Serialize};

/// What follows on a recovery. A bug that the first read-back does not show may need one of them: an index
/// that is written at a close alone, a log that recovery removes too early, what is appended behind a torn
/// tail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum FollowUp {
    /// It is stopped in order, started again and read again.
    CleanStop,
    /// It is killed, started again and read again.
    SecondRestart,
    /// It is written to, killed, started again and read again.
    SecondLife,
}

impl FollowUp {
    /// All of them, in the order in which they take turns.
    pub const ALL: [Self; 3] = [Self::CleanStop, Self::SecondRestart, Self::SecondLife];

    /// Its name.
    pub fn label(self) -> &'static str {
        match self {
            Self::CleanStop => "clean stop",
            Self::SecondRestart => "second restart",
            Self::SecondLife => "second life",
        }
    }

    /// What was done, as the beginning of a sentence.
    pub fn describe(self) -> &'static str {
        match self {
            Self::CleanStop => "after recovery it was stopped in order and started again",
            Self::SecondRestart => "after recovery it was killed and started again",
            Self::SecondLife => "after recovery it was written to, killed and started again",
        }
    }
}
