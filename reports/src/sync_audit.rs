//! What the syncs of a recorded run are worth: which are needed, and which were not shown to be.

use plugpull_workloads::FindingKind;
use serde::{Deserialize, Serialize};

use crate::labels::{clean, count, kind_words, list};
use crate::made_by::MadeBy;

/// What holds for every removed sync, and is said with each audit.
const LIMITS: &str = "A sync that is left out is the deleted call: the program goes on as after success, what \
                      it did because of the result stays in the recording, the timing of other threads is not \
                      covered, and what the sync itself had the kernel write back stays pending.";

/// The audit of a recorded run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct SyncAudit {
    /// How many acks the recording has.
    pub acked: u64,
    /// The persistence models that states were made under.
    pub models: Vec<String>,
    /// Where the target syncs, the site with the most syncs first.
    #[serde(default)]
    pub sites: Vec<AuditedSite>,
    /// The largest set of sites found that can go together; left out where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub together: Option<TogetherRemovable>,
    /// What the syncs cost on a real directory; left out where nobody asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost: Option<SyncCost>,
}

/// Where a target syncs: one kind of file, after one kind of operation, from one place where that is known.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct AuditedSite {
    /// The call: fsync, fdatasync, fsync(dir), sync, syncfs. An O_SYNC or O_DSYNC write is a write with its
    /// sync behind it, and msync the fsync that the kernel makes of it.
    pub call: String,
    /// The file or directory, generated names as `#`.
    pub path: String,
    /// The operation before it.
    pub after: String,
    /// How often.
    pub count: u64,
    /// The numbers of the syncs in the trace.
    pub places: Vec<u64>,
    /// The finding that appears without them; left out where none does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub needed: Option<SyncNeed>,
    /// Where none was found: how many states were judged that only the run without these syncs can leave.
    #[serde(default)]
    pub states: u64,
    /// At so many crash points.
    #[serde(default)]
    pub points: u64,
    /// Of so many at which it may matter.
    #[serde(default)]
    pub of_points: u64,
    /// Why it could not be looked at to its end.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub why: String,
    /// Who calls it, where stacks were recorded (`--stacks`): other callers are sites of their own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub made_by: Option<Box<MadeBy>>,
}

/// What breaks without a sync.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct SyncNeed {
    /// The finding.
    pub kind: FindingKind,
    /// In a sentence.
    pub sentence: String,
    /// The persistence model.
    pub model: String,
    /// How many operations of the recorded run had happened at the crash.
    pub point: u64,
    /// What was missing, the first few.
    #[serde(default)]
    pub missing: Vec<String>,
    /// So many of the syncs were left out one by one.
    #[serde(default)]
    pub tried_alone: u64,
    /// And so many of these are needed alone.
    #[serde(default)]
    pub alone: u64,
}

/// Sites that can go together.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct TogetherRemovable {
    /// Their places in the list of sites, from 0.
    pub sites: Vec<u64>,
    /// How many syncs that is.
    pub syncs: u64,
    /// States that were judged without all of them, at `points` of `of_points` crash points.
    pub states: u64,
    /// Crash points looked at.
    pub points: u64,
    /// Crash points at which it may matter.
    pub of_points: u64,
}

/// What syncs cost where the recorded operations were done again.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct SyncCost {
    /// The directory.
    pub directory: String,
    /// Microseconds that all operations took.
    pub took_us: u64,
    /// Microseconds in the syncs of each site, in the order of the sites.
    pub sites_us: Vec<u64>,
}

impl SyncAudit {
    /// True where something was left out and nothing that was is noticed.
    pub fn is_blind(&self) -> bool {
        let looked = |site: &AuditedSite| site.needed.is_some() || site.states > 0;
        let needed = |site: &AuditedSite| site.needed.is_some();
        self.sites.iter().any(looked) && !self.sites.iter().any(needed)
    }

    /// What people read above the table.
    pub(crate) fn headline(&self) -> String {
        let syncs: u64 = self.sites.iter().map(|site| site.count).sum();
        let each = match self.acked {
            0 => String::new(),
            acked => format!(", {:.1} an ack", syncs as f64 / acked as f64),
        };
        format!(
            "Syncs: {} at {}{each}",
            count(syncs, "sync"),
            count(self.sites.len() as u64, "site")
        )
    }

    /// What people read below it, a sentence each.
    pub(crate) fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        if self.is_blind() {
            notes.push(
                "No sync that was left out is noticed: the check or the workload is too weak to say \
                 anything of syncs, or nothing is promised of what they cover."
                    .to_owned(),
            );
        } else if let Some(together) = &self.together {
            let sites: Vec<String> = together
                .sites
                .iter()
                .map(|nth| (nth + 1).to_string())
                .collect();
            let sites: Vec<&str> = sites.iter().map(String::as_str).collect();
            let others = |(nth, site): (usize, &AuditedSite)| {
                site.needed.is_none() && !together.sites.contains(&(nth as u64))
            };
            let rest = match self.sites.iter().enumerate().any(others) {
                true => " Others that are not shown to be needed are not offered for removal.",
                false => "",
            };
            notes.push(format!(
                "Together, {} of {} {} were left out without a finding: {} states at {} of {} crash points \
                 under {}.{rest}",
                count(together.syncs, "sync"),
                if sites.len() == 1 { "site" } else { "sites" },
                list(&sites),
                together.states,
                together.points,
                together.of_points,
                self.models.join(", ")
            ));
        }
        if !self.sites.is_empty() {
            notes.push(LIMITS.to_owned());
        }
        notes
    }
}

impl AuditedSite {
    /// "fsync of log-#, after write log-#, by Log::sync log.rs:108".
    pub(crate) fn place(&self) -> String {
        let path = match self.path.as_str() {
            "" => "the data directory",
            path => path,
        };
        let by = match &self.made_by {
            Some(by) => format!(", by {}", by.describe()),
            None => String::new(),
        };
        clean(&format!(
            "{} of {path}, after {}{by}",
            self.call, self.after
        ))
    }

    /// Whether it is needed, in words.
    pub(crate) fn verdict(&self) -> String {
        match &self.needed {
            Some(need) => {
                let alone = match need.tried_alone {
                    0 => String::new(),
                    tried => format!("; {} of {tried} needed alone", need.alone),
                };
                clean(&format!(
                    "needed: {} under {} at point {}, without {}{alone}",
                    kind_words(need.kind),
                    need.model,
                    need.point,
                    need.missing.join(", ")
                ))
            }
            None if !self.why.is_empty() => format!(
                "not known: {} ({} states at {} of {} crash points)",
                self.why, self.states, self.points, self.of_points
            ),
            None if self.states == 0 => {
                "not shown to be needed: nothing more can be lost without it".to_owned()
            }
            None => format!(
                "not shown to be needed: {} states at {} of {} crash points",
                self.states, self.points, self.of_points
            ),
        }
    }
}
