//! Making a failing state small: the fewest missing changes and the earliest point that still
//! break the same promise in the same way.

use plugpull_faults::crashfs::{Log, Tree};
use plugpull_faults::persist::{Choice, Lost, Window};
use plugpull_workloads::{Finding, FindingKind, Judgement, Promise, judge};

use super::station::{Answers, Station, Tried, twice};
use super::{Case, Rules, Trace};

/// How many states one minimisation may try.
const TRIES: usize = 128;

/// What is judged, and by what.
pub(crate) struct Court<'a> {
    pub(crate) trace: &'a Trace,
    pub(crate) rules: &'a [Rules],
    pub(crate) promises: &'a [Promise],
    pub(crate) sector: u64,
    pub(crate) recovery_bound: Option<std::time::Duration>,
}

impl Court<'_> {
    /// Judges what the target made of a state at a point.
    pub(crate) fn judge(&self, rules: usize, point: u64, tried: &Tried) -> Judgement {
        judge(
            &self.trace.history_at(point),
            &tried.observed,
            self.promises,
            self.rules[rules].class(),
            Some(self.trace.stamp(point)),
            self.recovery_bound,
        )
    }

    fn log(&self) -> &Log {
        &self.trace.log
    }

    fn window(&self, rules: usize, point: u64) -> Window<'_> {
        Window::new(
            self.log(),
            point as usize,
            self.rules[rules].model,
            self.sector,
        )
    }

    /// The names of the models under which this choice is legal at this point.
    pub(crate) fn models_of(&self, point: u64, choice: &Choice) -> Vec<&'static str> {
        self.rules
            .iter()
            .enumerate()
            .filter(|(index, one)| {
                if !one.power {
                    return choice == &Choice::default();
                }
                self.window(*index, point).settled(choice) == *choice
            })
            .map(|(_, one)| one.name)
            .collect()
    }
}

/// A failing state that could not be made smaller.
pub(crate) struct Small {
    pub(crate) rules: usize,
    pub(crate) point: u64,
    pub(crate) choice: Choice,
    pub(crate) lost: Vec<Lost>,
    pub(crate) finding: Finding,
    pub(crate) tree: Tree,
    pub(crate) output: String,
}

/// Makes a failing case small.
pub(crate) struct Shrink<'a> {
    pub(crate) court: &'a Court<'a>,
    pub(crate) station: &'a Station,
    pub(crate) answers: &'a mut Answers,
    pub(crate) tries: usize,
}

impl Shrink<'_> {
    /// The smallest state found that shows a finding of this kind; none when the case itself does
    /// not show it again.
    pub(crate) fn case(&mut self, case: &Case, kind: FindingKind) -> anyhow::Result<Option<Small>> {
        let settled = self
            .court
            .window(case.rules, case.point)
            .settled(&case.choice);
        let Some(mut best) = self.fails(case.rules, case.point, &settled, kind)? else {
            return Ok(None);
        };
        self.fewer(&mut best, kind)?;
        self.earlier(&mut best, kind)?;
        self.fewer(&mut best, kind)?;
        Ok(Some(best))
    }

    /// Puts back what need not be missing: halves first, then quarters, down to single changes
    /// (Zeller and Hildebrandt, "Simplifying and Isolating Failure-Inducing Input", 2002).
    fn fewer(&mut self, best: &mut Small, kind: FindingKind) -> anyhow::Result<()> {
        let mut size = best.choice.lost.len().div_ceil(2);
        while size > 0 {
            let all: Vec<usize> = best.choice.lost.iter().copied().collect();
            for part in all.chunks(size) {
                let mut less = best.choice.clone();
                less.lost.retain(|step| !part.contains(step));
                self.take(best, less, kind)?;
            }
            size = if size == 1 { 0 } else { size.div_ceil(2) };
        }
        for step in best.choice.torn.keys().copied().collect::<Vec<_>>() {
            let mut less = best.choice.clone();
            less.torn.remove(&step);
            self.take(best, less, kind)?;
        }
        Ok(())
    }

    fn take(&mut self, best: &mut Small, less: Choice, kind: FindingKind) -> anyhow::Result<()> {
        let settled = self.court.window(best.rules, best.point).settled(&less);
        let size = |choice: &Choice| choice.lost.len() + choice.torn.len();
        if self.tries > 0
            && size(&settled) < size(&best.choice)
            && let Some(smaller) = self.fails(best.rules, best.point, &settled, kind)?
        {
            *best = smaller;
        }
        Ok(())
    }

    /// The earliest point that still fails: right behind the ack that was betrayed, or behind the
    /// last missing change. What happened later is then not there to be missing.
    fn earlier(&mut self, best: &mut Small, kind: FindingKind) -> anyhow::Result<()> {
        let behind_loss = best.lost.iter().map(|lost| lost.seq + 1).max().unwrap_or(0);
        let ack = best.finding.ack.map_or(0, |ack| ack.seq);
        let mut candidates = vec![ack, behind_loss, behind_loss.max(ack)];
        candidates.sort_unstable();
        candidates.dedup();
        for point in candidates {
            if point >= best.point || self.tries == 0 {
                continue;
            }
            let settled = self.court.window(best.rules, point).settled(&best.choice);
            if let Some(sooner) = self.fails(best.rules, point, &settled, kind)? {
                *best = sooner;
                break;
            }
        }
        Ok(())
    }

    fn fails(
        &mut self,
        rules: usize,
        point: u64,
        choice: &Choice,
        kind: FindingKind,
    ) -> anyhow::Result<Option<Small>> {
        let state = self.court.window(rules, point).state(choice);
        let digest = state.tree.digest();
        // Known answers count too: which are known depends on how fast the stations are.
        self.tries = self.tries.saturating_sub(1);
        let tried = match self.answers.get(digest) {
            Some(tried) => tried,
            None => {
                let tried = self.station.observe(&state.tree, twice(digest))?;
                self.answers.note(digest, tried)
            }
        };
        let judgement = self.court.judge(rules, point, &tried);
        let finding = judgement
            .findings
            .into_iter()
            .find(|finding| finding.kind == kind);
        Ok(finding.map(|finding| Small {
            rules,
            point,
            choice: choice.clone(),
            lost: state.lost,
            finding,
            tree: state.tree,
            output: tried.output.clone(),
        }))
    }
}

/// How many states a minimisation may try.
pub(crate) const fn tries() -> usize {
    TRIES
}
