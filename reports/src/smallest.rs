//! The smallest workload whose recording showed a finding again.

use serde::{Deserialize, Serialize};

use crate::labels::count;

/// A smaller workload than the one that was explored, recorded in the same run of plugpull, and a crash of it
/// that shows the finding.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct SmallestWorkload {
    /// How many clients wrote.
    pub clients: u32,
    /// How many transactions were acknowledged in the recording.
    pub transactions: u64,
    /// The largest payload of a value, in bytes; of a target with a workload of its own it means nothing.
    pub value_size: u32,
    /// How many operations changed the disk before the crash; syncs are none.
    pub changes: u64,
    /// True for a power loss, false for a kill.
    pub power: bool,
    /// True when it was recorded once more, and that showed the finding too.
    pub again: bool,
    /// What is lost there, and what that breaks, in a sentence.
    pub sentence: String,
    /// The file that `plugpull replay` takes; left out where nothing is kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact: Option<String>,
    /// The command that records and explores it.
    pub explore: String,
}

impl SmallestWorkload {
    /// "3 transactions of 1 client (7 disk changes), then a power loss; a second recording of it shows
    /// it too".
    pub fn describe(&self) -> String {
        let crash = match self.power {
            true => "a power loss",
            false => "a kill",
        };
        let again = match self.again {
            true => "a second recording of it shows it too",
            false => "a second recording of it did not show it: it depends on timing",
        };
        format!(
            "{} of {} ({}), then {crash}; {again}",
            count(self.transactions, "transaction"),
            count(u64::from(self.clients), "client"),
            count(self.changes, "disk change"),
        )
    }

    /// The command that shows it.
    pub fn command(&self) -> String {
        match &self.artifact {
            Some(artifact) => format!("plugpull replay {artifact}"),
            None => self.explore.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_smaller_workload_is_said_in_one_sentence() {
        let mut smallest = SmallestWorkload {
            clients: 1,
            transactions: 3,
            value_size: 8,
            changes: 7,
            power: true,
            again: true,
            sentence: "t3 is gone".into(),
            artifact: None,
            explore: "plugpull explore sqlite --txns 3".into(),
        };
        assert_eq!(
            smallest.describe(),
            "3 transactions of 1 client (7 disk changes), then a power loss; a second recording of it \
             shows it too"
        );
        assert_eq!(smallest.command(), "plugpull explore sqlite --txns 3");
        smallest.artifact = Some("k/lost-ack-1-smallest.json".into());
        smallest.power = false;
        smallest.changes = 1;
        smallest.again = false;
        assert_eq!(
            smallest.command(),
            "plugpull replay k/lost-ack-1-smallest.json"
        );
        assert_eq!(
            smallest.describe(),
            "3 transactions of 1 client (1 disk change), then a kill; a second recording of it did not \
             show it: it depends on timing"
        );
    }
}
