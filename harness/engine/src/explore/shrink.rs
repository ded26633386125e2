//! Making a failing state small: the fewest missing changes and the earliest point that still
//! break the same promise in the same way.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use plugpull_crashsim::fs::{Log, Tree};
use plugpull_crashsim::persist::{Device, Index, LossSet, Window};
use plugpull_workloads::{
    Finding, FindingKind, History, Judgement, Promise, Verdict, judge, recent, settles,
};

use super::cases::Case;
use super::extent::left;
use super::pace::Pace;
use super::scene::Crash;
use super::station::{Answers, Station, Tried, twice};
use super::{Rules, Trace};
use crate::trial::Acked;

/// How many states one minimisation may try.
const TRIES: usize = 128;

/// How many calls of each client are looked at in a history that is cut down to its end.
const RECENT: usize = 32;

/// What was known at a point.
struct Known {
    /// Every call.
    whole: History,
    /// The last ones, if that is fewer.
    recent: Option<History>,
    /// How many transactions were acknowledged.
    acked: usize,
}

/// What is judged, and by what.
pub struct Court<'a> {
    /// The recorded run.
    pub trace: &'a Trace,
    /// The models that are explored.
    pub rules: &'a [Rules],
    /// What the target promises, and what was demanded.
    pub promises: &'a [Promise],
    /// One for each of the rules.
    pub indexes: &'a [Index<'a>],
    /// What the device does with a write when power is lost.
    pub device: Device,
    /// The bound on recovery that the user named.
    pub recovery_bound: Option<Duration>,
    /// What a workload of the target's own was told.
    pub acked: Acked,
    last: RefCell<Option<(u64, Rc<Known>)>>,
}

impl<'a> Court<'a> {
    /// A court over a recorded run.
    pub fn new(
        trace: &'a Trace,
        rules: &'a [Rules],
        indexes: &'a [Index<'a>],
        device: Device,
        promises: &'a [Promise],
        recovery_bound: Option<Duration>,
        acked: Acked,
    ) -> Self {
        Self {
            trace,
            rules,
            promises,
            indexes,
            device,
            recovery_bound,
            acked,
            last: RefCell::default(),
        }
    }
}

impl Court<'_> {
    /// Judges what the target made of what a crash left.
    pub fn judge(&self, crash: &Crash, tried: &Tried) -> Judgement {
        // Nothing is acknowledged during a recovery: what is owed is what the first crash owed.
        let point = crash.first().point;
        let class = self.rules[crash.rules].class();
        let known = self.known_at(point);
        let by = |history: &History| {
            judge(
                history,
                &tried.observed,
                self.promises,
                class,
                Some(self.trace.stamp(point)),
                self.recovery_bound,
            )
        };
        if settles(self.promises, class)
            && let Some(recent) = &known.recent
        {
            let short = by(recent);
            if short.verdict == Verdict::Pass && short.why.is_empty() {
                return short;
            }
        }
        by(&known.whole)
    }

    /// How many transactions were acknowledged at a point.
    pub fn acked_at(&self, point: u64) -> usize {
        self.known_at(point).acked
    }

    /// What was known at a point. The same point is asked for many times in a row.
    fn known_at(&self, point: u64) -> Rc<Known> {
        let mut last = self.last.borrow_mut();
        match &*last {
            Some((at, known)) if *at == point => known.clone(),
            _ => {
                let whole = self.trace.history_at(point);
                let known = Rc::new(Known {
                    recent: recent(&whole, RECENT),
                    acked: whole.acked(),
                    whole,
                });
                *last = Some((point, known.clone()));
                known
            }
        }
    }

    /// The log that a crash struck.
    pub(super) fn log<'s>(&'s self, crash: &'s Crash) -> &'s Log {
        match &crash.within {
            Some(scene) => &scene.log,
            None => &self.trace.log,
        }
    }

    pub(super) fn window<'s>(&'s self, crash: &'s Crash, rules: usize) -> Window<'s> {
        let point = crash.point as usize;
        match &crash.within {
            Some(scene) => Window::new(&scene.log, point, self.rules[rules].model, self.device),
            None => self.indexes[rules].window(point),
        }
    }

    /// The names of the models under which a crash can leave the content with this digest.
    pub fn models_of(&self, crash: &Crash, digest: u128) -> Vec<&'static str> {
        (0..self.rules.len())
            .filter(|rules| self.allows(*rules, crash, digest))
            .map(|rules| self.rules[rules].name)
            .collect()
    }

    fn allows(&self, rules: usize, crash: &Crash, digest: u128) -> bool {
        let here = if self.rules[rules].power {
            self.window(crash, rules).shows(&crash.choice, digest)
        } else {
            crash.choice == LossSet::default()
        };
        let before = crash.within.as_ref();
        here && before.is_none_or(|scene| self.allows(rules, &scene.after, scene.digest))
    }
}

/// A failing state that could not be made smaller.
#[derive(Clone)]
pub struct Small {
    pub crash: Crash,
    pub finding: Finding,
    pub tree: Tree,
    pub output: String,
}

impl Small {
    /// How much there is to understand: missing changes, then the place of the crash.
    pub fn measure(&self) -> (u64, u64) {
        (self.crash.size() as u64, self.crash.point)
    }
}

/// Makes a failing case small. Where recoveries were crashed in turn there are several crashes, named
/// by their level: 0 is that of the recorded run.
pub(super) struct Shrink<'a> {
    pub court: &'a Court<'a>,
    pub station: &'a Station,
    pub answers: &'a mut Answers,
    pub tries: usize,
    /// When it stops with what it has.
    pub until: Option<Instant>,
    /// How long a try takes.
    pub pace: &'a Pace,
}

impl Shrink<'_> {
    /// True while it may try one more state.
    pub(super) fn goes_on(&self) -> bool {
        self.tries > 0 && self.pace.fits_alone(left(self.until))
    }

    /// The smallest state found that shows a finding of this kind; none when the case itself does
    /// not show it again.
    pub(super) fn case(&mut self, case: &Case, kind: FindingKind) -> anyhow::Result<Option<Small>> {
        let crash = self.settled(&case.crash, case.crash.point, &case.crash.choice);
        let Some(mut best) = self.fails(crash, kind)? else {
            return Ok(None);
        };
        // The last crash first: it costs one trial a state, those before it one more each.
        for level in (0..best.crash.chain().len()).rev() {
            self.fewer(&mut best, level, kind)?;
            self.earlier(&mut best, level, kind)?;
            self.fewer(&mut best, level, kind)?;
        }
        Ok(Some(best))
    }

    /// The same crash at another point or with another choice, which is made legal there.
    pub(super) fn settled(&self, crash: &Crash, point: u64, choice: &LossSet) -> Crash {
        let mut other = Crash {
            point,
            ..crash.clone()
        };
        other.choice = self.court.window(&other, other.rules).legalize(choice);
        other
    }

    /// Puts back what need not be missing: halves first, then quarters, down to single changes
    /// (Zeller and Hildebrandt, "Simplifying and Isolating Failure-Inducing Input", 2002).
    fn fewer(&mut self, best: &mut Small, level: usize, kind: FindingKind) -> anyhow::Result<()> {
        let choice = |best: &Small| best.crash.chain()[level].choice.clone();
        let mut size = choice(best).lost.len().div_ceil(2);
        while size > 0 {
            let all: Vec<usize> = choice(best).lost.into_iter().collect();
            for part in all.chunks(size) {
                let mut less = choice(best);
                less.lost.retain(|step| !part.contains(step));
                self.take(best, level, less, kind)?;
            }
            size = if size == 1 { 0 } else { size.div_ceil(2) };
        }
        let now = choice(best);
        for step in now.torn.keys().chain(&now.spoiled) {
            let mut less = choice(best);
            less.torn.remove(step);
            less.spoiled.remove(step);
            self.take(best, level, less, kind)?;
        }
        Ok(())
    }

    fn take(
        &mut self,
        best: &mut Small,
        level: usize,
        less: LossSet,
        kind: FindingKind,
    ) -> anyhow::Result<()> {
        let chain = best.crash.chain();
        let smaller = self.settled(chain[level], chain[level].point, &less);
        if self.goes_on()
            && smaller.choice.len() < chain[level].choice.len()
            && let Some(smaller) = self.instead(best, level, smaller, kind)?
            && smaller.crash.size() < best.crash.size()
        {
            *best = smaller;
        }
        Ok(())
    }

    /// The earliest point that still fails: right behind the ack that was betrayed, or behind the
    /// last missing change; what happened later is then not there to be missing. Where neither
    /// fails, as far back as it goes without a state that does not.
    fn earlier(&mut self, best: &mut Small, level: usize, kind: FindingKind) -> anyhow::Result<()> {
        let missing = best.crash.chain()[level].lost.iter();
        let behind_loss = missing.map(|lost| lost.seq + 1).max().unwrap_or(0);
        let ack = match (level, best.finding.ack) {
            (0, Some(ack)) => ack.seq,
            _ => 0,
        };
        let mut candidates = vec![ack, behind_loss, behind_loss.max(ack)];
        candidates.sort_unstable();
        candidates.dedup();
        for point in candidates {
            if self.move_to(best, level, point, kind)? {
                return Ok(());
            }
        }
        // In longer steps as long as it still fails, and in shorter ones where it does not.
        let mut step = 1;
        while step > 0 && self.goes_on() {
            let point = best.crash.chain()[level].point.checked_sub(step);
            let moved = match point.filter(|point| *point >= behind_loss.max(ack)) {
                Some(point) => self.move_to(best, level, point, kind)?,
                None => false,
            };
            step = if moved { step * 2 } else { step / 2 };
        }
        Ok(())
    }

    /// Takes the crash at an earlier point, if that fails too; true when it did.
    fn move_to(
        &mut self,
        best: &mut Small,
        level: usize,
        point: u64,
        kind: FindingKind,
    ) -> anyhow::Result<bool> {
        let crash = best.crash.chain()[level];
        if point >= crash.point || !self.goes_on() {
            return Ok(false);
        }
        let sooner = self.settled(crash, point, &crash.choice);
        match self.instead(best, level, sooner, kind)? {
            Some(sooner) if sooner.crash.size() <= best.crash.size() => {
                *best = sooner;
                Ok(true)
            }
            _ => Ok(false),
        }
    }

    pub(super) fn fails(
        &mut self,
        mut crash: Crash,
        kind: FindingKind,
    ) -> anyhow::Result<Option<Small>> {
        let state = self.court.window(&crash, crash.rules).state(&crash.choice);
        let acked = self.court.acked.at(crash.first().point);
        let key = acked.key(state.tree.digest());
        // Known answers count too: which are known depends on how fast the stations are.
        self.tries = self.tries.saturating_sub(1);
        let tried = match self.answers.get_any(key) {
            Some(tried) => tried,
            None => {
                let (tried, _) = self.station.observe(&state.tree, twice(key), &acked)?;
                self.answers.note_beside(key, tried)
            }
        };
        crash.lost = state.lost;
        let mut findings = self.court.judge(&crash, &tried).findings.into_iter();
        let finding = findings.find(|finding| finding.kind == kind);
        Ok(finding.map(|finding| Small {
            crash,
            finding,
            tree: state.tree,
            output: tried.output.clone(),
        }))
    }
}

/// How many states a minimisation may try.
pub(super) const fn tries() -> usize {
    TRIES
}
