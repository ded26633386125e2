//! How far an exploration goes, and how far it came.

use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use plugpull_reports::{PointCoverage, Record};

use super::cases::Coverage;
use super::findings::Group;

/// How far an exploration goes.
pub struct Limits<'a> {
    /// No state is tried that would probably be answered later; none for no end.
    pub until: Option<Instant>,
    /// No finding is made smaller after this.
    pub small_until: Option<Instant>,
    /// Nor after so many different ones; those of other shards count.
    pub states: Option<u64>,
    /// How many recoveries deep crashes go; 0 for the recorded run alone.
    pub depth: u32,
    /// True when the user wants it to end.
    pub stop: &'a AtomicBool,
}

/// The part of a budget, as one in so many, that findings made at its very end may take beyond it to
/// be made small.
const BEYOND: u32 = 20;

impl Limits<'_> {
    /// When a budget ends that began at this time, for trying states and for making findings small.
    pub fn ends(began: Instant, budget: Duration) -> (Option<Instant>, Option<Instant>) {
        let beyond = budget.checked_add(budget / BEYOND);
        (
            began.checked_add(budget),
            beyond.and_then(|beyond| began.checked_add(beyond)),
        )
    }

    /// How much time is left for trying states.
    pub(super) fn left(&self) -> Duration {
        left(self.until)
    }
}

/// How much time is left until then.
pub(super) fn left(until: Option<Instant>) -> Duration {
    until.map_or(Duration::MAX, |until| {
        until.saturating_duration_since(Instant::now())
    })
}

/// How an exploration ended.
pub struct Ended {
    /// Different states tried.
    pub tried: u64,
    /// Crash points of the recorded run.
    pub points: u64,
    /// States of the recorded run, per model.
    pub coverage: Vec<Coverage>,
    /// Those of recoveries, over all models.
    pub recoveries: RecoveryCoverage,
    /// States of the recorded run that were judged and that broke a promise, per model.
    pub judged: Vec<(u64, u64)>,
    /// The same per crash point, in order.
    pub at: Vec<PointCoverage>,
    /// True when every state was tried.
    pub complete: bool,
    /// True when the user ended it.
    pub interrupted: bool,
}

/// What was covered of recoveries.
#[derive(Clone, Copy, Debug, Default)]
pub struct RecoveryCoverage {
    /// Recoveries that changed the disk, among the states tried.
    pub seen: u64,
    /// Those that were crashed in turn.
    pub crashed: u64,
    /// The different states that this gave.
    pub distinct: u64,
}

/// Takes what an exploration does as it happens.
pub trait Sink {
    /// Takes a record.
    fn emit(&mut self, record: Record);

    /// A finding was minimised: a new one, or a known one to a smaller state.
    fn minimised(&mut self, found: &Minimised<'_>);

    /// Takes how far it came.
    fn covered(&mut self, so_far: &Ended);
}

/// A finding that was minimised.
pub struct Minimised<'a> {
    /// Its number in this exploration, from 0; none where it is of use to other shards only.
    pub id: Option<u64>,
    /// Of a shard: its place among all that it minimised.
    pub index: Option<u64>,
    /// The finding.
    pub group: &'a Group,
}
