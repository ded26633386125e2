//! Minimising a failing crash: the fewest missing updates and the earliest point that still break
//! the same promise in the same way.

use std::collections::HashSet;
use std::rc::Rc;

use plugpull_crashsim::persist::LossSet;
use plugpull_workloads::FindingKind;

use super::crash::{Crash, CrashModel, RecoveryTrace};
use super::enumerator::{Enumerated, StateEnumerator, StateSpace};
use super::retry::{Minimised, Retry};

/// How many states of a recovery are tried that went another way than the one before.
const OTHER_WAY: usize = 8;

/// A way to minimise failing crashes.
pub(super) trait Minimise {
    /// The smallest crash found that shows a finding of this kind; none when the crash itself does
    /// not show it again.
    fn minimise(
        &self,
        crash: &Crash,
        kind: FindingKind,
        retry: &mut Retry<'_>,
    ) -> Option<Minimised>;
}

/// Puts missing updates back in halves, quarters and so on, and then looks for the earliest point
/// (Zeller and Hildebrandt, "Simplifying and Isolating Failure-Inducing Input", 2002). Where
/// recoveries were crashed in turn there are several crashes, named by their level: 0 is that of the
/// recorded run.
pub(super) struct DeltaDebugging;

impl Minimise for DeltaDebugging {
    fn minimise(
        &self,
        crash: &Crash,
        kind: FindingKind,
        retry: &mut Retry<'_>,
    ) -> Option<Minimised> {
        let crash = retry.legalized(crash, crash.point, &crash.loss);
        let best = retry.shows(crash, kind)?;
        let mut search = Search { retry, kind, best };
        // The last crash first: it costs one attempt a state, those before it one more each.
        for level in (0..search.best.crash.sequence().len()).rev() {
            search.fewer(level);
            search.earlier(level);
            search.fewer(level);
        }
        Some(search.best)
    }
}

/// One minimisation under way.
struct Search<'r, 'a> {
    retry: &'r mut Retry<'a>,
    kind: FindingKind,
    /// The smallest crash so far.
    best: Minimised,
}

impl Search<'_, '_> {
    /// The crash at a level of the smallest one.
    fn at(&self, level: usize) -> &Crash {
        self.best.crash.sequence()[level]
    }

    /// Puts back what need not be missing: halves first, then quarters, down to single updates.
    fn fewer(&mut self, level: usize) {
        let mut size = self.at(level).loss.lost.len().div_ceil(2);
        while size > 0 {
            let all: Vec<usize> = self.at(level).loss.lost.iter().copied().collect();
            for part in all.chunks(size) {
                let mut less = self.at(level).loss.clone();
                less.lost.retain(|update| !part.contains(update));
                self.take(level, &less);
            }
            size = if size == 1 { 0 } else { size.div_ceil(2) };
        }
        let now = self.at(level).loss.clone();
        for update in now.torn.keys().chain(&now.spoiled) {
            let mut less = self.at(level).loss.clone();
            less.torn.remove(update);
            less.spoiled.remove(update);
            self.take(level, &less);
        }
    }

    /// Takes a smaller loss set, if that shows the finding too.
    fn take(&mut self, level: usize, less: &LossSet) {
        let crash = self.at(level);
        let missing = crash.loss.len();
        let smaller = self.retry.legalized(crash, crash.point, less);
        if self.retry.goes_on()
            && smaller.loss.len() < missing
            && let Some(smaller) = self.instead(level, smaller)
            && smaller.crash.size() < self.best.crash.size()
        {
            self.best = smaller;
        }
    }

    /// The earliest point that still fails: right behind the ack that was lost, or behind the last
    /// missing update; what happened later is then not there to be missing. Where neither fails, as
    /// far back as it goes without a state that does not.
    fn earlier(&mut self, level: usize) {
        let missing = self.at(level).lost.iter();
        let behind_loss = missing.map(|lost| lost.seq + 1).max().unwrap_or(0);
        let ack = match (level, self.best.finding.ack) {
            (0, Some(ack)) => ack.seq,
            _ => 0,
        };
        let mut points = vec![ack, behind_loss, behind_loss.max(ack)];
        points.sort_unstable();
        points.dedup();
        for point in points {
            if self.move_to(level, point) {
                return;
            }
        }
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
        let crash = self.at(level);
        if point >= crash.point || !self.retry.goes_on() {
            return false;
        }
        let sooner = self.retry.legalized(crash, point, &crash.loss);
        match self.instead(level, sooner) {
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
            return self.retry.shows(crash, self.kind);
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
    fn first_of(&mut self, recovery: &Rc<RecoveryTrace>) -> Option<Minimised> {
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
            if tree.is_some()
                && self.retry.goes_on()
                && let Some(shown) = self.retry.shows(candidate.crash, self.kind)
            {
                return Some(shown);
            }
        }
        None
    }
}
