//! How much of what could have happened an exploration tried.

use plugpull_workloads::FollowUp;
use serde::{Deserialize, Serialize};

/// What an exploration covered of its trace.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Coverage {
    /// Storage operations in the trace.
    pub operations: u64,
    /// Those of them after the last ack of a workload that came to its own end; left out where it was
    /// ended at an ack.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after_last_ack: Option<u64>,
    /// Crash states that were judged behind that ack, of those that the models count; left out where
    /// `after_last_ack` is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub judged_after_last_ack: Option<u64>,
    /// Transactions that were acknowledged in it.
    pub acked: u64,
    /// Crash points: one before each operation, and one behind the last.
    pub points: u64,
    /// Contents of the disk that were tried. Equal contents are tried once, whatever point and
    /// model they belong to.
    pub tried: u64,
    /// True when every state was tried: at every point, and none was left out.
    #[serde(default)]
    pub complete: bool,
    /// The first crash point at which something had been acknowledged that can be lost, or the number
    /// of points where there is none; left out by older versions. Points before it have nothing to
    /// lose, and do not count as covered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_ack: Option<u64>,
    /// What limits cut off at the points that were done with; left out where nothing was.
    #[serde(default, skip_serializing_if = "LeftOut::is_empty")]
    pub left_out: LeftOut,
    /// What was decided by reads (`--decide`); left out where that was not asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decided: Option<Decided>,
    /// What was done after the first recovery, beside start and check (`--follow-up`); left out where nothing
    /// was to be.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub follow_ups: Vec<FollowUpCoverage>,
    /// The percentage of the crash points that was demanded (`--min-coverage`); left out where none
    /// was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub demanded: Option<f64>,
    /// What was covered of recoveries that were crashed in turn; left out where none was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recoveries: Option<RecoveryCoverage>,
    /// For each persistence model.
    #[serde(default)]
    pub models: Vec<ModelCoverage>,
    /// The crash points that were looked at, in order of the trace.
    #[serde(default)]
    pub at: Vec<PointCoverage>,
}

/// What was decided by reads. A state is decided when it agrees, byte for byte, with one that was tried on
/// all that was read in that trial, which then is a possible run of this state too: of the start and the check,
/// and of a loss of whole updates. A place is a crash point under a model.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Decided {
    /// Places where something can be lost that was acknowledged.
    pub places: u64,
    /// Those at which every legal loss of whole updates is decided.
    pub decided: u64,
    /// Legal losses of whole updates at these.
    pub states: u64,
    /// True when there may be more.
    pub at_least: bool,
    /// Trials whose reads were noted for it.
    pub trials: u64,
    /// Decided states that were tried all the same, and showed what they were said to show.
    pub checked: u64,
    /// Places that were given up: their states differ in too much of what is read.
    pub given_up: u64,
    /// Places of which a state could not be tried.
    pub not_tried: u64,
    /// Places for which there was no time.
    pub not_reached: u64,
    /// Why nothing counts as decided, where a decided state showed something else than what it was said to
    /// show.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub taken_back: Option<String>,
}

impl Decided {
    /// Nothing of it counts, for this reason.
    #[must_use]
    pub fn taken_back(self, why: String) -> Self {
        Self {
            places: self.places,
            trials: self.trials,
            checked: self.checked,
            taken_back: Some(why),
            ..Self::default()
        }
    }
}

/// One kind of follow-up of an exploration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct FollowUpCoverage {
    /// What was done.
    pub follow_up: FollowUp,
    /// States in which it was.
    pub states: u64,
    /// Those of them in which it alone showed a broken promise.
    #[serde(default)]
    pub failed: u64,
    /// States in which it was begun and could not be done, or after which nothing is known.
    #[serde(default)]
    pub not_done: u64,
    /// States that would have had it, and were started and checked alone because the time was short.
    #[serde(default)]
    pub no_time: u64,
    /// Why this target cannot have it, or why it could not be done in some state; left out where neither is so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why_not: Option<String>,
}

impl FollowUpCoverage {
    /// Adds what another shard did.
    pub(crate) fn add(&mut self, more: &Self) {
        self.states += more.states;
        self.failed += more.failed;
        self.not_done += more.not_done;
        self.no_time += more.no_time;
        self.why_not = self.why_not.take().or_else(|| more.why_not.clone());
    }

    /// True where this target cannot have it.
    pub(crate) fn is_not_applicable(&self) -> bool {
        (self.states, self.not_done, self.no_time) == (0, 0, 0) && self.why_not.is_some()
    }
}

/// What limits of the enumeration cut off. Each is counted where the limit applied.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct LeftOut {
    /// Unsynced updates that were not lost one by one, nor all from there on, because more are unsynced
    /// at their point than are tried: the last 48 are.
    #[serde(default)]
    pub singles: u64,
    /// Pairs of unsynced updates that were not lost together: the last 64 of a point are.
    #[serde(default)]
    pub pairs: u64,
    /// Places (a crash point under a model) at which more combinations are possible than were tried.
    #[serde(default)]
    pub places: u64,
    /// Recoveries that were not crashed because two of their kind were.
    #[serde(default)]
    pub recoveries: u64,
    /// Recoveries that were crashed and of which more states are possible than the 16 that were tried.
    #[serde(default)]
    pub cut_recoveries: u64,
    /// Crash points, also those of recoveries, at which `kill` was not tried: files were mapped, and what
    /// the page cache held of them is not known.
    #[serde(default)]
    pub kill_points: u64,
}

impl LeftOut {
    /// True when nothing was.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Adds what was left out elsewhere.
    pub fn add(&mut self, more: &Self) {
        self.singles += more.singles;
        self.pairs += more.pairs;
        self.places += more.places;
        self.recoveries += more.recoveries;
        self.cut_recoveries += more.cut_recoveries;
        self.kill_points += more.kill_points;
    }
}

/// What was covered under one persistence model.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ModelCoverage {
    /// The model's name.
    pub model: String,
    /// Crash points that were looked at.
    pub points: u64,
    /// States that the model allows at the points that were looked at; left out when they were
    /// not counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub possible: Option<u64>,
    /// True when there are at least so many, and nobody counted how many more.
    #[serde(default)]
    pub at_least: bool,
    /// States that were made.
    pub made: u64,
    /// States among them whose content was new.
    pub distinct: u64,
    /// States that were judged: their content was tried.
    pub judged: u64,
    /// States that broke a promise.
    pub failed: u64,
    /// States that were tried and of which nothing is known, for one of the two reasons below. They
    /// are not among those judged.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub not_measured: u64,
    /// Those of them at points before the first ack: nothing was promised yet.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub before_first_ack: u64,
    /// Those of them that plugpull could not measure, because it failed or could not tell what it
    /// saw. A run that has any of them is no pass.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub could_not_measure: u64,
}

impl Coverage {
    /// How many of the crash points were judged at which something can be lost, and how many of these
    /// there are.
    pub fn judged_points(&self) -> (u64, u64) {
        let from = self.first_ack.unwrap_or(0);
        let judged = |one: &&PointCoverage| one.point >= from && one.tried > 0;
        let judged = self.at.iter().filter(judged).count() as u64;
        (judged, self.points.saturating_sub(from))
    }

    /// True when as many of the crash points were judged as was demanded, or nothing was demanded.
    pub fn meets_demand(&self) -> bool {
        let (judged, of) = self.judged_points();
        let demanded = self.demanded.unwrap_or(0.0);
        judged as f64 * 100.0 >= demanded * of as f64
    }

    /// Loss sets before the first ack, under all models: two of them may give one state.
    pub(crate) fn before_first_ack(&self) -> u64 {
        self.models.iter().map(|one| one.before_first_ack).sum()
    }

    /// Loss sets whose state plugpull could not measure, under all models.
    pub(crate) fn could_not_measure(&self) -> u64 {
        self.models.iter().map(|one| one.could_not_measure).sum()
    }

    /// Loss sets that were not measured and of which an older report does not say why.
    pub(crate) fn unexplained(&self) -> u64 {
        let all: u64 = self.models.iter().map(|one| one.not_measured).sum();
        all.saturating_sub(self.before_first_ack() + self.could_not_measure())
    }
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// What was covered of crashes during recovery.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct RecoveryCoverage {
    /// Recoveries that changed the disk, among the states tried.
    pub seen: u64,
    /// Those that were crashed in turn.
    pub crashed: u64,
    /// New contents of the disk that this gave.
    pub distinct: u64,
}

/// What was tried at one crash point, under all models.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct PointCoverage {
    /// How many operations had happened.
    pub point: u64,
    /// States judged here.
    pub tried: u64,
    /// States here that broke a promise.
    pub failed: u64,
}
