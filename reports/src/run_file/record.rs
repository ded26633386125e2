//! The records of a run file, one JSON line each.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::coverage::Coverage;
use crate::growth::{GrowthSample, SizeUnit};
use crate::shard::Shard;
use crate::sync_audit::SyncAudit;
use crate::trial::{ReportedFinding, TargetInfo, Trial};

/// The version of the format. Within it kinds of records and fields may be added; none changes its
/// meaning.
pub const RUN_SCHEMA: &str = "plugpull.run/1";

/// A line of a run file: what happened, and when.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Line {
    /// Microseconds since the run began, without the time between an interruption and its resume.
    #[serde(default)]
    pub at_us: u64,
    /// What happened.
    #[serde(flatten)]
    pub record: Record,
}

/// Something that happened in a run. The field `record` of a line names its kind; a reader skips
/// kinds that it does not know.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(tag = "record", rename_all = "kebab-case")]
pub enum Record {
    /// The first line: what is run.
    Header(Box<Header>),
    /// A trace was recorded, which the exploration is about.
    Recording(Recording),
    /// A trial begins.
    TrialStarted(TrialStarted),
    /// A trial has ended.
    Trial(Box<TrialRecord>),
    /// A finding of an exploration was minimised. A later record with the same id replaces it: a
    /// smaller state was found.
    Finding(Box<FindingRecord>),
    /// How much was covered up to here; the last record counts.
    Coverage(Box<Coverage>),
    /// The syncs of the recorded run were audited.
    SyncAudit(Box<SyncAudit>),
    /// Recovery was timed at one size.
    GrowthSample(GrowthSample),
    /// Something that was planned could not be measured.
    NotMeasured(NotMeasured),
    /// What the command needs to go on from here. Its form belongs to the build that wrote it.
    Progress(ProgressMark),
    /// The run was resumed after an interruption.
    Resumed,
    /// The last line of a run that came to an end.
    End(End),
}

/// What a run is about: its first record.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Header {
    /// [`RUN_SCHEMA`].
    pub schema: String,
    /// plugpull's version.
    pub plugpull: String,
    /// Names the build of plugpull: only the same build resumes the run.
    #[serde(default)]
    pub build: String,
    /// The command.
    pub command: RunCommand,
    /// The command line without the program's name, as it was resolved with `plugpull.toml`.
    #[serde(default)]
    pub arguments: Vec<String>,
    /// The working directory: relative paths on the command line start there.
    #[serde(default)]
    pub directory: String,
    /// When the run began, in seconds since 1970.
    #[serde(default)]
    pub began_unix: u64,
    /// What is tested, with what it promises.
    pub target: TargetInfo,
    /// The seed of everything that plugpull decides.
    pub seed: u64,
    /// How long the run may take, in microseconds; left out where no budget ends it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub budget_us: Option<u64>,
    /// The names of the faults that will be tried, in order.
    #[serde(default)]
    pub faults: Vec<String>,
    /// Faults that will not be tried.
    #[serde(default)]
    pub unavailable: Vec<NotMeasured>,
    /// Faults that cannot happen to this target, or not on this machine.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub not_applicable: Vec<NotMeasured>,
    /// True when a fault that is not measured is allowed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub allow_not_measured: bool,
    /// What was noticed of the target, or of the user's check of it, before the first trial, a sentence
    /// each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// What the run supposes that no machine is known to do, a sentence each; left out where nothing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub assumed: Vec<String>,
    /// The bound that recovery is judged against, in microseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recovery_bound_us: Option<u64>,
    /// Of an exploration: the percentage of the crash points that it has to judge to be a pass; left
    /// out where none was demanded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_coverage: Option<f64>,
    /// Of a measurement of growth: what it measures.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub growth: Option<GrowthPlan>,
    /// Which part of the work this is, where it was split by `--shard`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shard: Option<Box<Shard>>,
    /// What this machine can do, by name: `fuse`, `cgroup`, ...
    #[serde(default)]
    pub machine: BTreeMap<String, String>,
}

/// The command that wrote a run file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum RunCommand {
    /// `plugpull run`.
    #[default]
    Run,
    /// `plugpull explore`.
    Explore,
    /// `plugpull growth`.
    Growth,
    /// `plugpull attach`.
    Attach,
}

impl RunCommand {
    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            RunCommand::Run => "run",
            RunCommand::Explore => "explore",
            RunCommand::Growth => "growth",
            RunCommand::Attach => "attach",
        }
    }
}

/// What a measurement of growth measures.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct GrowthPlan {
    /// What sizes count.
    pub unit: SizeUnit,
    /// The closest bound on recovery, promised or given, in microseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bound_us: Option<u64>,
    /// How many transactions are acknowledged before each crash.
    #[serde(default)]
    pub sizes: Vec<u64>,
}

/// The trace of an exploration.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Recording {
    /// Storage operations in it.
    pub operations: u64,
    /// Transactions that were acknowledged in it.
    pub acked: u64,
    /// The file that holds it; left out when it was kept in memory only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace: Option<String>,
    /// That file's digest, in hexadecimal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// What was noticed while it was recorded, a sentence each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

/// A trial that begins.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct TrialStarted {
    /// Its number, from 1.
    pub number: u64,
    /// The fault, with its trigger where that is known.
    pub fault: String,
    /// The place of the fault among those of the header; left out where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slot: Option<u64>,
}

/// A trial that has ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct TrialRecord {
    /// The trial, as a report's `trial_log` has it.
    pub trial: Trial,
    /// The place of its fault among those of the header, where one fault may stand there twice.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slot: Option<u64>,
    /// Of an exploration: where the trial belongs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub explored: Option<ExploredTrial>,
}

impl TrialRecord {
    /// A trial of anything but an exploration.
    pub fn live(trial: Trial) -> Self {
        Self {
            trial,
            slot: None,
            explored: None,
        }
    }
}

/// Where a trial of an exploration belongs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ExploredTrial {
    /// The place of its state in the order of the whole exploration; for a crash during recovery,
    /// that of the state which was recovered from.
    pub position: u64,
    /// How many recoveries deep it is: 0 in the recorded run.
    pub depth: u32,
    /// Of a trial with findings: what was missing, without numbers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub signs: Vec<String>,
    /// The ids of the findings to which the trial counts, one for each time.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub counts: Vec<u64>,
    /// Of a shard: for each of the trial's findings what it was minimised to, as an index of the
    /// minimised findings of this file; null where it was not.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub minimised: Vec<Option<u64>>,
}

/// A finding of an exploration, minimised.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct FindingRecord {
    /// Names the finding in this file. Left out for one that is of use to other shards only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<u64>,
    /// Of a shard: the place of this one among its minimised findings.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub minimised: Option<u64>,
    /// How much the state lacks: missing updates, then the place of the crash.
    #[serde(default)]
    pub size: (u64, u64),
    /// The id of the finding that this one counts to, because one fix makes both go; left out where it stands
    /// alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub same_as: Option<u64>,
    /// How many trials showed it or one that counts to it; left out where none does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub together: Option<u64>,
    /// The finding. Its `count` is worked out from the trials that count to it.
    pub finding: ReportedFinding,
}

/// Something that could not be measured.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct NotMeasured {
    /// What: a fault, for example.
    pub what: String,
    /// Why not.
    pub why: String,
}

/// What a command needs to go on from here.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ProgressMark {
    /// In the form of the build that wrote it.
    pub state: Value,
}

/// How a run ended.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct End {
    /// How long the run took, in microseconds.
    pub took_us: u64,
    /// Why it ended.
    pub reason: EndReason,
    /// The signal that ended it, or why plugpull failed.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub why: String,
}

/// Why a run ended, the more thorough first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum EndReason {
    /// Everything that was planned was done.
    #[default]
    Complete,
    /// Its budget was over before everything that was planned was done.
    Budget,
    /// A signal ended it.
    Interrupted,
    /// plugpull failed.
    Failed,
}

/// Takes the records of a run as they happen.
pub trait Emit {
    /// Takes the next record.
    fn emit(&mut self, record: Record);
}

impl Emit for Vec<Record> {
    fn emit(&mut self, record: Record) {
        self.push(record);
    }
}
