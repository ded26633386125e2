//! What lies behind a finding that comes from unsynced data: which property the protocol of the target
//! lacks, and the change of its syncs that makes the finding go.

use std::cmp::Ordering;

use serde::{Deserialize, Serialize};

/// What a protocol of writes and syncs must have and lacks, in the terms of ALICE (Pillai et al., "All File
/// Systems Are Not Created Equal", OSDI 2014).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Property {
    /// One update must be on disk before another.
    Ordering,
    /// An update must be on disk whole or not at all, or together with another.
    Atomicity,
    /// An update must be on disk before the ack.
    Durability,
}

impl Property {
    /// As people read it.
    pub fn label(self) -> &'static str {
        match self {
            Property::Ordering => "ordering",
            Property::Atomicity => "atomicity",
            Property::Durability => "durability",
        }
    }
}

/// Why a finding is possible, and what makes it impossible.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Diagnosis {
    /// The property that is missing.
    pub property: Property,
    /// What must hold and does not, in a sentence.
    pub cause: String,
    /// The cheapest change of syncs that was tried and makes the finding go; left out where none does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fix: Option<VerifiedFix>,
    /// Where there is no fix: why.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub no_fix: String,
    /// Changes that were tried and do not make the finding go.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub refuted: Vec<String>,
    /// Other findings that the same fix makes go, a sentence each. They count to this one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub same_fix: Vec<String>,
}

/// A change of the recorded syncs, with which the states around each place of the cause were tried and
/// showed no finding of this cause, and no other one but what is named in `behind`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct VerifiedFix {
    /// The change: "fsync of the directory after rename a -> b (operation 31)".
    pub change: String,
    /// How many syncs the recording has more with it.
    pub added: u64,
    /// How many it has less.
    pub removed: u64,
    /// Where the first of them are added.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub missing: Vec<MissingSync>,
    /// How many acks the recording has.
    pub acked: u64,
    /// Different states that were judged with the change.
    pub states: u64,
    /// Crash points that were looked at.
    pub points: u64,
    /// Crash points at which the cause occurs.
    pub of_points: u64,
    /// The persistence models that it was verified under.
    pub models: Vec<String>,
    /// The models under which the finding still occurs: there the change is not enough. It works because a
    /// journal of the others commits more than was synced.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub not_enough_under: Vec<String>,
    /// A finding that states with the change still show, by losses that this one does not need: it hid
    /// behind this one and has a cause of its own. Left out where none does.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub behind: String,
    /// True where the time was over before losses were tried that the cause is not about.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub cause_only: bool,
    /// True where the change is one of a recovery, and was verified on that one.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub of_recovery: bool,
}

/// A sync that is added by a fix.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct MissingSync {
    /// The number of the operation behind which it is.
    pub after: u64,
    /// What is synced; empty for the data directory itself.
    pub path: String,
    /// True for a directory.
    pub dir: bool,
}

/// So many characters of what shows behind a fix are in its sentence.
const BEHIND: usize = 120;

impl VerifiedFix {
    /// What it costs: "1 sync more an ack".
    pub fn price(&self) -> String {
        let number = |count: u64| match self.acked {
            _ if self.of_recovery => format!("{count} in this recovery"),
            0 => format!("{count} in the recording"),
            acked => {
                let each = format!("{:.2}", count as f64 / acked as f64);
                let each = each.trim_end_matches('0').trim_end_matches('.');
                format!("{each} an ack")
            }
        };
        match self.added.cmp(&self.removed) {
            Ordering::Greater => format!("syncs more: {}", number(self.added - self.removed)),
            Ordering::Equal => "no sync more".to_owned(),
            Ordering::Less => format!("syncs less: {}", number(self.removed - self.added)),
        }
    }

    /// In one sentence, with what was looked at.
    pub fn describe(&self) -> String {
        let Self {
            change,
            states,
            points,
            of_points,
            ..
        } = self;
        let at = match points == of_points {
            true => format!("at all {points} crash points of the cause"),
            false => format!("at {points} of {of_points} crash points of the cause"),
        };
        let weak = match self.not_enough_under.is_empty() {
            true => String::new(),
            false => format!(
                "; it works because a journal commits more than was synced: under {} the finding stays",
                self.not_enough_under.join(", ")
            ),
        };
        let shown = match self.behind.is_empty() {
            true => "no finding",
            false => "this finding in none",
        };
        let on = match self.of_recovery {
            true => "in this recovery",
            false => "on this recording",
        };
        let only = match self.cause_only {
            true => "; there was no time to try what else could be lost there",
            false => "",
        };
        let behind = match &*self.behind {
            "" => String::new(),
            other => format!(
                "; behind it another finding shows, which has a cause of its own: {}",
                shortened(other)
            ),
        };
        format!(
            "{change}: {states} states {at} under {}, {shown}, {on}{only}; {}{weak}{behind}",
            self.models.join(", "),
            self.price()
        )
    }
}

/// The beginning of a long sentence, in whole words: it has a card of its own.
fn shortened(sentence: &str) -> String {
    let Some((end, _)) = sentence.char_indices().nth(BEHIND) else {
        return sentence.to_owned();
    };
    let end = sentence[..end].rfind(' ').unwrap_or(end);
    format!("{} …", &sentence[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fix(added: u64, removed: u64, acked: u64) -> VerifiedFix {
        VerifiedFix {
            change: "fsync of db after write db (operation 3) and before the ack".into(),
            added,
            removed,
            missing: Vec::new(),
            acked,
            states: 96,
            points: 7,
            of_points: 7,
            models: vec!["ext4".into(), "strict".into()],
            not_enough_under: Vec::new(),
            behind: String::new(),
            cause_only: false,
            of_recovery: false,
        }
    }

    #[test]
    fn a_price_is_in_syncs_an_ack() {
        assert_eq!(fix(40, 0, 40).price(), "syncs more: 1 an ack");
        assert_eq!(fix(15, 5, 40).price(), "syncs more: 0.25 an ack");
        assert_eq!(fix(3, 3, 40).price(), "no sync more");
        assert_eq!(fix(1, 3, 0).price(), "syncs less: 2 in the recording");
    }

    #[test]
    fn a_fix_that_is_not_enough_everywhere_says_so() {
        let whole = fix(40, 0, 40);
        assert_eq!(
            whole.describe(),
            "fsync of db after write db (operation 3) and before the ack: 96 states at all 7 crash points of \
             the cause under ext4, strict, no finding, on this recording; syncs more: 1 an ack"
        );
        let weak = VerifiedFix {
            of_points: 9,
            not_enough_under: vec!["strict".into()],
            ..whole.clone()
        };
        let hiding = VerifiedFix {
            behind: "b is not there".into(),
            cause_only: true,
            ..whole.clone()
        };
        let text = hiding.describe();
        assert!(text.ends_with("of its own: b is not there"), "{text}");
        let long = VerifiedFix {
            behind: "word ".repeat(40),
            ..hiding.clone()
        };
        assert!(long.describe().ends_with("word word …"));
        assert!(!text.contains("no finding"), "{text}");
        assert!(text.contains("no time to try what else"), "{text}");
        let recovery = VerifiedFix {
            of_recovery: true,
            ..fix(1, 0, 40)
        };
        let text = recovery.describe();
        assert!(
            text.ends_with("in this recovery; syncs more: 1 in this recovery"),
            "{text}"
        );
        let text = weak.describe();
        assert!(text.contains("at 7 of 9 crash points"), "{text}");
        assert!(text.ends_with("under strict the finding stays"), "{text}");
    }
}
