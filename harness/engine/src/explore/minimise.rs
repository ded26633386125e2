//! Minimising a failing crash: the weakest model, the fewest missing updates and the earliest point
//! that still break the same promise in the same way.

use std::collections::HashSet;
use std::sync::Arc;

use plugpull_crashsim::persist::{LossSet, record_of};
use plugpull_workloads::FindingKind;

use super::crash::{Crash, CrashModel, RecoveryTrace};
use super::enumerator::{Enumerated, StateEnumerator, StateSpace};
use super::retry::{Minimised, Retry, Symptom};

/// How many states of a recovery are tried that went another way than the one before.
const OTHER_WAY: usize = 8;
/// Up to so many missing updates, every part of them is tried.
const EVERY_PART: usize = 5;
/// Where more updates than this are missing, some of them are tried alone first.
const MANY: usize = 64;
/// And so many of them at most.
const SINGLES: usize = 24;

/// A way to minimise failing crashes.
pub(super) trait Minimise: Send {
    /// The smallest crash found that shows what is wanted; none when the crash itself does
    /// not show it again.
    fn minimise(
        &self,
        crash: &Crash,
        symptom: &Symptom,
        retry: &mut Retry<'_, '_>,
    ) -> Option<Minimised>;
}

/// Looks first whether a weaker model shows the finding, with nothing missing or with what is missing
/// made legal there. Then puts missing updates back in halves, quarters and so on, and looks for the
/// earliest point (Zeller and Hildebrandt, "Simplifying and Isolating Failure-Inducing Input", 2002).
/// Where recoveries were crashed in turn there are several crashes, named by their level: 0 is that
/// of the recorded run.
pub(super) struct DeltaDebugging;

impl Minimise for DeltaDebugging {
    fn minimise(
        &self,
        crash: &Crash,
        symptom: &Symptom,
        retry: &mut Retry<'_, '_>,
    ) -> Option<Minimised> {
        let loss = crash.loss.clone();
        let crash = retry.legalized(crash, crash.point, &loss);
        let best = retry.shows(crash, symptom)?;
        let first_ack = retry.oracle.first_ack();
        let mut search = Search {
            late: !best.crash.lost.is_empty() && best.crash.first().point >= first_ack,
            first_ack,
            retry,
            symptom,
            best,
        };
        search.weaker_model();
        // The last crash first: it costs one attempt a state, those before it one more each. A smaller
        // one before it has another recovery, in which the last crash may get smaller in turn.
        loop {
            let before = search.measures();
            for level in (0..search.best.crash.sequence().len()).rev() {
                search.smaller(level);
            }
            if before.len() == 1 || before == search.measures() {
                break;
            }
        }
        let (model, level) = (search.best.crash.model, search.best.crash.depth() as usize);
        search.weaker_model();
        if search.best.crash.model != model {
            search.smaller(level);
        }
        search.best.whole = search.retry.goes_on();
        Some(search.best)
    }
}

/// One minimisation under way.
struct Search<'s, 'r, 'a> {
    retry: &'s mut Retry<'r, 'a>,
    symptom: &'s Symptom,
    first_ack: u64,
    /// True when something is missing and it began behind the first ack: then it stays there.
    late: bool,
    /// The smallest crash so far.
    best: Minimised,
}

/// One thing that is not there, or not whole.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Gone {
    Lost(usize),
    Torn(usize),
    Spoiled(usize),
}

/// The things that are missing in a loss set, in the order of the log.
fn parts_of(loss: &LossSet) -> Vec<Gone> {
    let mut all: Vec<(usize, Gone)> = Vec::with_capacity(loss.len());
    all.extend(loss.lost.iter().map(|id| (*id, Gone::Lost(*id))));
    all.extend(loss.torn.keys().map(|id| (*id, Gone::Torn(*id))));
    all.extend(loss.spoiled.iter().map(|id| (*id, Gone::Spoiled(*id))));
    all.sort_by_key(|(id, _)| *id);
    all.into_iter().map(|(_, gone)| gone).collect()
}

/// All updates that a loss set is about.
fn updates_of(loss: &LossSet) -> impl Iterator<Item = usize> {
    let torn = loss.torn.keys().copied();
    let lost = loss.lost.iter().copied();
    lost.chain(torn).chain(loss.spoiled.iter().copied())
}

/// The number of the operation that made an update: a log of an exploration counts from 0.
fn seq_of(id: usize) -> u64 {
    record_of(id) as u64
}

/// A loss set of these of its things.
fn of_parts<'p>(loss: &LossSet, parts: impl IntoIterator<Item = &'p Gone>) -> LossSet {
    let mut less = LossSet::default();
    for part in parts {
        match part {
            Gone::Lost(id) => drop(less.lost.insert(*id)),
            Gone::Torn(id) => {
                let kept = loss.torn.get(id).cloned().unwrap_or_default();
                less.torn.insert(*id, kept);
            }
            Gone::Spoiled(id) => drop(less.spoiled.insert(*id)),
        }
    }
    less
}

impl Search<'_, '_, '_> {
    /// The least of what is missing at a level from which the rest follows.
    fn roots(&self, level: usize) -> LossSet {
        let crash = self.at(level);
        let window = self.retry.oracle.window(crash, crash.model);
        window.roots(&crash.loss)
    }

    /// The crash at a level of the smallest one.
    fn at(&self, level: usize) -> &Crash {
        self.best.crash.sequence()[level]
    }

    /// Of each crash how much is missing, and its point.
    fn measures(&self) -> Vec<(usize, u64)> {
        let sequence = self.best.crash.sequence();
        let measure = |crash: &&Crash| (crash.loss.len(), crash.point);
        sequence.iter().map(measure).collect()
    }

    /// Takes the weakest model under which the last crash shows the finding, with nothing missing for
    /// one that kills, or else with what is missing made legal. Only for a crash of the recorded run:
    /// those of a recovery go by the model of the crash before it.
    fn weaker_model(&mut self) {
        if self.best.crash.within.is_some() {
            return;
        }
        let models = self.retry.oracle.models;
        let own = models[self.best.crash.model].strength();
        let mut weaker: Vec<usize> = (0..models.len())
            .filter(|model| models[*model].strength() < own)
            .collect();
        weaker.sort_by_key(|model| models[*model].strength());
        for model in weaker {
            if !self.retry.goes_on() {
                return;
            }
            let mut crash = self.best.crash.clone();
            if !models[model].power {
                crash.loss = LossSet::default();
            }
            let crash = self.retry.under(&crash, model);
            if let Some(shown) = self.retry.shows(crash, self.symptom) {
                self.best = shown;
                return;
            }
        }
    }

    /// Makes the crash at a level smaller, and earlier: by what the rest follows from first, of which there may be
    /// little where all is lost.
    fn smaller(&mut self, level: usize) {
        let whole = |search: &Self, level: usize| search.at(level).loss.clone();
        self.single(level);
        self.fewer(level, Self::roots);
        self.earlier(level);
        loop {
            let before = self.measures();
            self.fewer(level, whole);
            if before == self.measures() {
                break;
            }
            self.earlier(level);
        }
    }

    /// Puts back what need not be missing: nothing missing, a part alone, all but a part; by halves
    /// first, then quarters, down to single updates.
    /// `of` are the updates that are looked at.
    fn fewer(&mut self, level: usize, of: impl Fn(&Self, usize) -> LossSet) {
        if self.at(level).loss.is_empty() || self.take(level, &LossSet::default()) {
            return;
        }
        let mut parts = 2;
        loop {
            let all = parts_of(&of(self, level));
            if all.len() < 2 || !self.retry.goes_on() {
                break;
            }
            parts = parts.min(all.len());
            if self.only_one(level, &all, parts) {
                parts = 2;
            } else if parts > 2 && self.all_but_one(level, &all, parts) {
                parts = (parts - 1).max(2);
            } else if parts >= all.len() {
                break;
            } else {
                parts *= 2;
            }
        }
        self.every_part(level, &of(self, level));
    }

    /// Where much is missing, some updates of each role alone: names first where the target does not start, of
    /// which the earliest hide the most.
    fn single(&mut self, level: usize) {
        let crash = self.at(level);
        if crash.loss.len() <= MANY {
            return;
        }
        let window = self.retry.oracle.window(crash, crash.model);
        let mut singles = window.some_of_each_role(&crash.loss);
        if self.symptom.kind == FindingKind::WillNotStart {
            singles.reverse();
        }
        for id in singles.into_iter().take(SINGLES) {
            let alone = LossSet {
                lost: [id].into(),
                ..LossSet::default()
            };
            if self.take(level, &alone) {
                return;
            }
        }
    }

    /// Takes the first of so many parts that shows the finding alone, the latest first: what was
    /// pending longest mostly does no harm.
    fn only_one(&mut self, level: usize, all: &[Gone], parts: usize) -> bool {
        let loss = self.at(level).loss.clone();
        let chunks = all.chunks(all.len().div_ceil(parts));
        for part in chunks.rev() {
            if !self.retry.goes_on() {
                return false;
            }
            if self.take(level, &of_parts(&loss, part)) {
                return true;
            }
        }
        false
    }

    /// Takes all but the first of so many parts that need not be missing.
    fn all_but_one(&mut self, level: usize, all: &[Gone], parts: usize) -> bool {
        let loss = self.at(level).loss.clone();
        let size = all.len().div_ceil(parts);
        for from in (0..all.len()).step_by(size) {
            if !self.retry.goes_on() {
                return false;
            }
            let rest = all[..from].iter().chain(all.iter().skip(from + size));
            if self.take(level, &of_parts(&loss, rest)) {
                return true;
            }
        }
        false
    }

    /// Where few updates are missing, every part of them: what shows the finding need not do so with
    /// one less.
    fn every_part(&mut self, level: usize, loss: &LossSet) {
        let all = parts_of(loss);
        if all.len() > EVERY_PART {
            return;
        }
        let mut masks: Vec<u32> = (1..(1_u32 << all.len()).saturating_sub(1)).collect();
        masks.sort_by_key(|mask| (mask.count_ones(), *mask));
        for mask in masks {
            if !self.retry.goes_on() {
                return;
            }
            let chosen = (0..all.len()).filter(|bit| mask >> bit & 1 == 1);
            let chosen: Vec<Gone> = chosen.map(|bit| all[bit]).collect();
            if self.take(level, &of_parts(loss, &chosen)) {
                return;
            }
        }
    }

    /// Takes a smaller loss set, if that shows the finding too; true when it did.
    fn take(&mut self, level: usize, less: &LossSet) -> bool {
        if !self.retry.goes_on() {
            return false;
        }
        let crash = self.at(level).clone();
        let smaller = self.retry.legalized(&crash, crash.point, less);
        if smaller.loss.len() < crash.loss.len()
            && let Some(smaller) = self.instead(level, smaller)
            && smaller.crash.size() < self.best.crash.size()
        {
            self.best = smaller;
            return true;
        }
        false
    }

    /// The earliest point that still fails: before the last of the missing updates, which is then not there
    /// to be missing, or before the first one where the target says the same there; right behind the ack
    /// that was lost; or behind the last missing update. Where none of them fails, as far back as it goes without a state that does not.
    fn earlier(&mut self, level: usize) {
        let ack = match (level, self.best.finding.ack) {
            (0, Some(ack)) => ack.seq,
            _ => 0,
        };
        let behind_loss = loop {
            // What follows from a loss is there to be missing at any later point.
            let roots: Vec<u64> = updates_of(&self.roots(level)).map(seq_of).collect();
            let (first, last) = (roots.iter().min().copied(), roots.iter().max().copied());
            let behind_loss = last.map_or(0, |last| last + 1);
            let mut points = vec![ack, behind_loss, behind_loss.max(ack)];
            points.extend(last);
            // What was acknowledged is not lost to a kill before it was written.
            let in_flight = |first: &u64| !self.retry.oracle.is_acked_since(self.at(level), *first);
            points.extend(first.filter(|first| self.symptom.said.is_some() && in_flight(first)));
            points.sort_unstable();
            points.dedup();
            let moved = points.into_iter().find(|point| self.move_to(level, *point));
            if moved.is_none_or(|point| point >= behind_loss) {
                break behind_loss;
            }
        };
        // In longer strides as long as it still fails, and in shorter ones where it does not.
        let mut stride = 1;
        while stride > 0 && self.retry.goes_on() {
            let point = self.at(level).point.checked_sub(stride);
            let moved = match point.filter(|point| *point >= behind_loss.max(ack)) {
                Some(point) => self.move_to(level, point),
                None => false,
            };
            stride = if moved { stride * 2 } else { stride / 2 };
        }
    }

    /// Takes the crash at an earlier point, if that fails too; true when it did.
    fn move_to(&mut self, level: usize, point: u64) -> bool {
        let crash = self.at(level).clone();
        let too_early = level == 0 && self.late && point < self.first_ack;
        if point >= crash.point || too_early || !self.retry.goes_on() {
            return false;
        }
        let sooner = self.retry.legalized(&crash, point, &crash.loss);
        // Where nothing is missing, what is gone tells one bug from another.
        let killed = crash.lost.is_empty();
        let gone = |one: &Minimised| one.finding.ack.map(|ack| ack.seq);
        match self.instead(level, sooner) {
            Some(sooner) if killed && gone(&sooner) != gone(&self.best) => false,
            Some(sooner) if sooner.crash.size() <= self.best.crash.size() => {
                self.best = sooner;
                true
            }
            _ => false,
        }
    }

    /// What is left of a finding when the crash at this level is another one. The recovery from it
    /// is recorded again, and what interrupted the old one interrupts it at the same place.
    fn instead(&mut self, level: usize, crash: Crash) -> Option<Minimised> {
        let sequence = self.best.crash.sequence();
        let later: Vec<Crash> = sequence[level + 1..].iter().copied().cloned().collect();
        self.followed_by(crash, &later)
    }

    fn followed_by(&mut self, crash: Crash, later: &[Crash]) -> Option<Minimised> {
        let Some((next, later)) = later.split_first() else {
            return self.retry.shows(crash, self.symptom);
        };
        let recovery = self.retry.recovery(crash)?;
        let alike = (next.within.as_ref()).is_some_and(|old| recovery.begins_as(old, next.point));
        if alike {
            let next = Crash {
                within: Some(recovery),
                ..next.clone()
            };
            let oracle = self.retry.oracle;
            let loss = oracle.window(&next, next.model).fit(&next.loss);
            let next = self.retry.legalized(&next, next.point, &loss);
            self.followed_by(next, later)
        } else if later.is_empty() {
            self.first_of(&recovery)
        } else {
            None
        }
    }

    /// The first state of a recovery that shows the finding.
    fn first_of(&mut self, recovery: &Arc<RecoveryTrace>) -> Option<Minimised> {
        let oracle = self.retry.oracle;
        let indexes = CrashModel::indexes(oracle.models, &recovery.log, oracle.device);
        let space = StateSpace {
            indexes: &indexes,
            ..oracle.space()
        };
        let mut states = StateEnumerator::of_recovery(recovery, space, recovery.after.point);
        let mut seen = HashSet::new();
        for _ in 0..OTHER_WAY {
            let Enumerated {
                candidate, tree, ..
            } = states.next(&mut seen)?;
            if tree.is_none() || !self.retry.goes_on() {
                continue;
            }
            // What a state lacks besides what was chosen counts as well.
            let crash = candidate.crash;
            let crash = self.retry.legalized(&crash, crash.point, &crash.loss);
            if let Some(shown) = self.retry.shows(crash, self.symptom) {
                return Some(shown);
            }
        }
        None
    }
}
