//! What an exploration covered, counted as it goes, and how it ended.

use std::collections::{BTreeMap, BTreeSet};

use plugpull_reports::{Decided, FollowUpCoverage, LeftOut, PointCoverage};
use plugpull_workloads::Verdict;

use super::crash::Crash;
use super::enumerator::ModelTally;

/// How many states of the recorded run came out how, under one model.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Judged {
    /// States that were judged.
    pub judged: u64,
    /// States among them that broke a promise.
    pub failed: u64,
    /// States before the first ack: nothing was promised yet.
    pub before_first_ack: u64,
    /// States that plugpull could not measure: it failed, or could not tell what it saw.
    pub could_not_measure: u64,
}

impl Judged {
    /// States of which nothing is known, whatever the reason.
    pub fn not_measured(&self) -> u64 {
        self.before_first_ack + self.could_not_measure
    }
}

/// What was covered of recoveries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RecoveryTally {
    /// Recoveries that changed the disk, among the states tried.
    pub seen: u64,
    /// Those that were crashed in turn.
    pub crashed: u64,
    /// The different states that this gave.
    pub distinct: u64,
}

/// Counts what became of the states of the recorded run.
pub(super) struct Tally {
    models: Vec<Judged>,
    at: BTreeMap<u64, PointCoverage>,
    /// Points that were seen to fail with nothing lost, since they were last taken.
    failing: BTreeSet<usize>,
    /// States that forked targets were judged in, by model and point.
    forked: BTreeMap<(usize, u64), u64>,
}

impl Tally {
    /// Nothing yet, for so many models.
    pub(super) fn new(models: usize) -> Self {
        Self {
            models: vec![Judged::default(); models],
            at: BTreeMap::new(),
            failing: BTreeSet::new(),
            forked: BTreeMap::new(),
        }
    }

    /// Counts a state, if it is one of the recorded run. `at_stake` when something had been
    /// acknowledged before the crash that can be lost.
    pub(super) fn count(&mut self, crash: &Crash, verdict: Verdict, at_stake: bool) {
        if crash.depth() > 0 {
            return;
        }
        let failed = verdict == Verdict::Broken;
        let measured = !matches!(verdict, Verdict::NotMeasured | Verdict::HarnessError);
        let model = &mut self.models[crash.model];
        model.judged += u64::from(measured);
        model.failed += u64::from(failed);
        // What plugpull fails in it has not measured, wherever that is.
        let nothing_promised = verdict == Verdict::NotMeasured && !at_stake;
        model.before_first_ack += u64::from(nothing_promised);
        model.could_not_measure += u64::from(!measured && !nothing_promised);
        let at = self.at.entry(crash.point).or_insert(PointCoverage {
            point: crash.point,
            tried: 0,
            failed: 0,
        });
        at.tried += u64::from(measured);
        at.failed += u64::from(failed);
        if failed && crash.lost.is_empty() {
            self.failing.insert(crash.point as usize);
        }
    }

    /// Notes that a state which was counted and broke no promise was judged in a forked target.
    pub(super) fn note_forked(&mut self, crash: &Crash, verdict: Verdict) {
        if crash.depth() == 0 && !matches!(verdict, Verdict::NotMeasured | Verdict::HarnessError) {
            *self.forked.entry((crash.model, crash.point)).or_default() += 1;
        }
    }

    /// Takes back all that was judged in forked targets: they are not what a started one is. How many
    /// states that were.
    pub(super) fn forked_not_known(&mut self) -> u64 {
        let forked = std::mem::take(&mut self.forked);
        for ((model, point), states) in &forked {
            let model = &mut self.models[*model];
            model.judged -= states;
            model.could_not_measure += states;
            if let Some(at) = self.at.get_mut(point) {
                at.tried -= states;
            }
        }
        forked.values().sum()
    }

    /// Takes back that a state failed: its check cannot be relied on, so nothing is known of it.
    pub(super) fn not_known(&mut self, crash: &Crash) {
        if crash.depth() > 0 {
            return;
        }
        let model = &mut self.models[crash.model];
        model.judged -= 1;
        model.failed -= 1;
        model.could_not_measure += 1;
        if let Some(at) = self.at.get_mut(&crash.point) {
            at.tried -= 1;
            at.failed -= 1;
        }
    }

    /// Points that were seen to fail with nothing lost, since this was last asked for.
    pub(super) fn take_failing(&mut self) -> BTreeSet<usize> {
        std::mem::take(&mut self.failing)
    }

    /// What came of the states, per model.
    pub(super) fn judged(&self) -> Vec<Judged> {
        self.models.clone()
    }

    /// The same per crash point, in order.
    pub(super) fn at(&self) -> Vec<PointCoverage> {
        self.at.values().copied().collect()
    }
}

/// What an exploration covered so far, and at its end how it ended.
pub struct Summary {
    /// Different states tried.
    pub tried: u64,
    /// How many crash points the recorded run has.
    pub points: usize,
    /// States of the recorded run, per model.
    pub models: Vec<ModelTally>,
    /// What came of them, per model.
    pub judged: Vec<Judged>,
    /// The same per crash point, in order.
    pub at: Vec<PointCoverage>,
    /// Recoveries, over all models.
    pub recoveries: RecoveryTally,
    /// True when every state was tried that the limits of the enumeration let through.
    pub complete: bool,
    /// What these limits cut off, at the places that were done with.
    pub left_out: LeftOut,
    /// What was decided by reads, where that was asked for.
    pub decided: Option<Decided>,
    /// What was done after first recoveries.
    pub follow_ups: Vec<FollowUpCoverage>,
    /// The first crash point at which something had been acknowledged that can be lost; the number of
    /// points where there is none.
    pub first_ack: u64,
    /// True when as many states were tried as were asked for.
    pub enough: bool,
    /// True when the user ended it.
    pub interrupted: bool,
    /// Why it was given up, where plugpull failed too often to go on.
    pub gave_up: Option<String>,
    /// True when the limit of memory ended it.
    pub out_of_memory: bool,
}
