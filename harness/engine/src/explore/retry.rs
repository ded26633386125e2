//! Trying crashes other than the recorded run's, to see whether they show the same finding: what
//! minimising works with.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use plugpull_crashsim::fs::Tree;
use plugpull_crashsim::persist::{CrashState, LossSet, Window};
use plugpull_workloads::{Finding, FindingKind, FollowUp, Observed};

use super::answers::{Answers, Kept};
use super::attempt::{CrashDisk, Workers};
use super::crash::{Crash, CrashModel, RecoveryTrace};
use super::follow_up::{FollowUpPlan, FollowedUp};
use super::limits::{Pace, left};
use super::oracle::Oracle;

/// How many states one minimisation may try: enough for one update of a million, and for a few of
/// hundreds.
pub(super) const TRIES: usize = 1024;
/// How many loss sets are made legal for one that is tried.
const LOOKS: usize = 4;

/// How often a state showed a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// In so many tries.
    pub shown: u32,
    /// Of so many.
    pub tried: u32,
}

/// A crash that shows a finding.
#[derive(Clone)]
pub struct Minimised {
    /// The crash.
    pub crash: Crash,
    /// The finding.
    pub finding: Finding,
    /// The disk that it left.
    pub tree: Tree,
    /// What the target printed on it.
    pub output: String,
    /// How often it showed the finding, where it was tried again.
    pub rate: Option<Rate>,
    /// False when it may not be the smallest: time or tries were over before, or the state does not
    /// show the finding each time.
    pub whole: bool,
    /// The names of the models, whether they are explored or not, under which a crash can leave this
    /// disk.
    pub models: Vec<&'static str>,
    /// True when there was no time to look at all of them.
    pub other_models: bool,
}

impl Minimised {
    /// True where it was tried again and did not show the finding each time.
    pub fn varies(&self) -> bool {
        self.rate.is_some_and(|rate| rate.shown < rate.tried)
    }

    /// How much there is to understand: missing updates, then the place of the crash.
    pub fn measure(&self) -> (u64, u64) {
        (self.crash.size() as u64, self.crash.point)
    }
}

/// What a crash must show.
#[derive(Clone)]
pub(super) struct Symptom {
    /// A finding of this kind.
    pub kind: FindingKind,
    /// With these words of the target.
    pub said: Option<String>,
    /// Once it was followed up so.
    pub follow_up: Option<FollowUp>,
}

/// Says what the target said, as a sign: see [`Grouping::output_sign`](super::grouping::Grouping::said).
pub(super) type OutputSign<'r> = &'r (dyn Fn(FindingKind, &Observed) -> Option<String> + Sync);

/// A window of the recorded run that is used many times in a row.
struct Cached<'a> {
    at: (usize, u64),
    window: Window<'a>,
}

/// Tries crashes one by one, within a number of tries and a time.
pub(super) struct Retry<'r, 'a> {
    /// Judges what comes of them.
    pub oracle: &'r Oracle<'a>,
    /// Who tries them.
    workers: &'r dyn Workers,
    /// What is known already.
    answers: &'r Mutex<Answers>,
    /// Says what the target said.
    said: OutputSign<'r>,
    /// True when nothing more is to be tried.
    over: &'r AtomicBool,
    /// How many more may be tried.
    tries: usize,
    /// How many more loss sets may be made legal.
    looks: usize,
    /// When it ends with what there is.
    pub until: Option<Instant>,
    /// How long a try takes.
    pace: Pace,
    window: Option<Cached<'a>>,
}

impl<'r, 'a> Retry<'r, 'a> {
    /// Nothing was tried yet.
    pub(super) fn new(
        oracle: &'r Oracle<'a>,
        workers: &'r dyn Workers,
        answers: &'r Mutex<Answers>,
        said: OutputSign<'r>,
        over: &'r AtomicBool,
    ) -> Self {
        Self {
            oracle,
            workers,
            answers,
            said,
            over,
            tries: 0,
            looks: 0,
            until: None,
            pace: Pace::new(1),
            window: None,
        }
    }

    /// Begins with another finding, which is given so many tries and so much time.
    pub(super) fn begin(&mut self, tries: usize, until: Option<Instant>) {
        self.tries = tries;
        self.looks = tries * LOOKS;
        self.until = until;
    }

    /// True while one more state may be tried.
    pub(super) fn goes_on(&self) -> bool {
        self.tries > 0
            && self.looks > 0
            && !self.over.load(Ordering::Relaxed)
            && self.pace.fits_alone(left(self.until))
    }

    /// Does something with the log up to a crash.
    fn with_window<T>(&mut self, crash: &Crash, run: impl FnOnce(&Window<'_>) -> T) -> T {
        if crash.within.is_some() {
            return run(&self.oracle.window(crash, crash.model));
        }
        let at = (crash.model, crash.point);
        if self.window.as_ref().is_none_or(|cached| cached.at != at) {
            let window = self.oracle.recorded_window(crash.model, crash.point);
            self.window = Some(Cached { at, window });
        }
        match &self.window {
            Some(cached) => run(&cached.window),
            None => run(&self.oracle.window(crash, crash.model)),
        }
    }

    /// What a crash left on the disk.
    pub(super) fn state(&mut self, crash: &Crash) -> CrashState {
        self.with_window(crash, |window| window.state(&crash.loss))
    }

    /// The same crash at another point or with another loss set, which is made legal there.
    pub(super) fn legalized(&mut self, crash: &Crash, point: u64, loss: &LossSet) -> Crash {
        self.looks = self.looks.saturating_sub(1);
        let mut other = Crash {
            point,
            loss: LossSet::default(),
            ..crash.clone()
        };
        other.loss = self.with_window(&other, |window| window.legalize(loss));
        other
    }

    /// The same crash under another model, with what is missing made legal there.
    pub(super) fn under(&mut self, crash: &Crash, model: usize) -> Crash {
        let loss = crash.loss.clone();
        let other = Crash {
            model,
            ..crash.clone()
        };
        self.legalized(&other, crash.point, &loss)
    }

    /// The disk that a crash left, with what is asked of the target there.
    fn disk(&mut self, crash: &mut Crash, follow_up: Option<FollowUp>) -> CrashDisk {
        let state = self.state(crash);
        crash.lost = state.lost;
        let acked = self.oracle.acked.at(crash.first().point);
        CrashDisk {
            key: acked.key(state.tree.digest()),
            tree: state.tree,
            acked,
            then: follow_up.map(|follow_up| FollowUpPlan {
                follow_up,
                life: self.oracle.life.clone(),
            }),
        }
    }

    /// What the target makes of a disk; none when plugpull failed.
    fn attempt(&mut self, disk: &CrashDisk) -> Option<Kept> {
        let began = Instant::now();
        let attempt = self.workers.try_now(disk).ok()?;
        self.pace.given();
        self.pace.answered(began.elapsed());
        let follow_up = disk.then.as_ref().map(|then| then.follow_up);
        let mut answers = self.answers.lock();
        Some(answers.note_beside(disk.key, follow_up, attempt))
    }

    /// The crash with its finding of this kind; none when it does not show one, or when plugpull
    /// failed in it.
    pub(super) fn shows(&mut self, mut crash: Crash, symptom: &Symptom) -> Option<Minimised> {
        let killed = !self.oracle.models[crash.model].power && crash.loss.is_empty();
        if killed && !self.oracle.kills_at(&crash) {
            return None;
        }
        let disk = self.disk(&mut crash, symptom.follow_up);
        // Known answers count too: which are known depends on how fast the workers are.
        self.tries = self.tries.saturating_sub(1);
        let known = self.answers.lock().get_any(disk.key, symptom.follow_up);
        let kept = match known {
            Some(kept) => kept,
            None => self.attempt(&disk)?,
        };
        let follow_up = kept.follow_up.as_deref();
        let finding = self.finding(&crash, &kept.observed(), follow_up, symptom)?;
        Some(Minimised {
            crash,
            finding,
            tree: disk.tree,
            output: kept.output.to_string(),
            rate: None,
            whole: false,
            models: Vec::new(),
            other_models: false,
        })
    }

    /// The finding of this kind that was observed after a crash.
    fn finding(
        &self,
        crash: &Crash,
        observed: &Observed,
        follow_up: Option<&FollowedUp>,
        symptom: &Symptom,
    ) -> Option<Finding> {
        let follow_up = follow_up.filter(|_| symptom.follow_up.is_some());
        let judgement = self.oracle.judge_all(crash, observed, follow_up);
        let mut findings = judgement.findings.into_iter();
        let seen = || follow_up.and_then(|one| one.seen(observed));
        let said = || (self.said)(symptom.kind, seen().as_ref().unwrap_or(observed));
        let name = (symptom.kind, symptom.follow_up);
        findings
            .find(|finding| (finding.kind, finding.follow_up) == name)
            .filter(|_| symptom.said.is_none() || symptom.said == said())
    }

    /// What the target said in a state that it was tried in.
    pub(super) fn output_sign(&self, kind: FindingKind, observed: &Observed) -> Option<String> {
        (self.said)(kind, observed)
    }

    /// Tries a state that showed a finding again, until it was tried `times`. None when plugpull
    /// failed in it, or there is no time.
    pub(super) fn rate(&mut self, shown: &Minimised, times: u32) -> Option<Rate> {
        let disk = self.disk(&mut shown.crash.clone(), shown.finding.follow_up);
        let mut rate = Rate { shown: 1, tried: 1 };
        while rate.tried < times {
            if !self.goes_on() {
                return None;
            }
            let attempt = self.workers.try_now(&disk).ok()?;
            let (observed, follow_up) = (&attempt.observed, attempt.follow_up.as_ref());
            let again = self.finding(&shown.crash, observed, follow_up, &any(&shown.finding));
            rate.tried += 1;
            rate.shown += u32::from(again.is_some());
        }
        Some(rate)
    }

    /// True where a state in which the target hung comes up, or is refused, when it is given all the time
    /// that it may ever take: then it does not hang.
    pub(super) fn comes_up(&mut self, shown: &Minimised) -> bool {
        let disk = self.disk(&mut shown.crash.clone(), None);
        let attempt = self.workers.try_patiently(&disk).ok().flatten();
        let found =
            |observed: &Observed| self.finding(&shown.crash, observed, None, &any(&shown.finding));
        attempt.is_some_and(|attempt| found(&attempt.observed).is_none())
    }

    /// What the target's own check says of copies of one recovered directory, so many times: the kinds
    /// of findings, each time. None where it has no check, or nothing is known.
    pub(super) fn checked_again(
        &mut self,
        crash: &Crash,
        times: usize,
    ) -> Option<Vec<Vec<FindingKind>>> {
        let disk = self.disk(&mut crash.clone(), None);
        let attempt = self.workers.try_now(&disk).ok()?;
        let tree = match &attempt.recovery {
            Some(log) => self.oracle.replayed(log),
            None => disk.tree,
        };
        let disk = CrashDisk { tree, ..disk };
        let mut said = Vec::new();
        for _ in 0..times {
            if !self.goes_on() {
                return None;
            }
            let observed = self.workers.check_now(&disk).ok()??;
            let findings = self.oracle.judge(crash, &observed).findings;
            said.push(findings.iter().map(|finding| finding.kind).collect());
        }
        Some(said)
    }

    /// A crash that was judged already, with this finding, as it is.
    pub(super) fn as_it_is(&mut self, crash: &Crash, finding: &Finding, output: &str) -> Minimised {
        let state = self.state(crash);
        // What is missing because something else is was not chosen.
        let crash = Crash {
            loss: self.with_window(crash, |window| window.legalize(&crash.loss)),
            ..crash.clone()
        };
        Minimised {
            crash,
            finding: finding.clone(),
            tree: state.tree,
            output: output.to_owned(),
            rate: None,
            whole: false,
            models: Vec::new(),
            other_models: false,
        }
    }

    /// Says which models allow a state: all of them, as far as there is time to look.
    pub(super) fn name_models(&self, minimised: &mut Minimised) {
        let digest = minimised.tree.digest();
        let own = self.oracle.models[minimised.crash.model];
        let until = self.until;
        let looks = || !self.over.load(Ordering::Relaxed) && !left(until).is_zero();
        let allows = |model| self.oracle.allows(model, &minimised.crash, digest);
        (minimised.models, minimised.other_models) = models_of(own.name, looks, allows);
    }

    /// The recovery from a crash; none when it changes nothing, when it breaks a promise by itself
    /// (then it is not crashed in turn), or when plugpull failed in it.
    pub(super) fn recovery(&mut self, mut crash: Crash) -> Option<Arc<RecoveryTrace>> {
        let disk = self.disk(&mut crash, None);
        self.tries = self.tries.saturating_sub(1);
        let attempt = self.workers.try_now(&disk).ok()?;
        let sound = self.oracle.judge(&crash, &attempt.observed);
        let log = attempt.recovery.filter(|_| sound.findings.is_empty())?;
        Some(Arc::new(RecoveryTrace {
            digest: disk.tree.digest(),
            // Of no candidate: it counts for nothing.
            position: 0,
            after: crash,
            log,
            served: attempt.observed.state.and_then(Result::ok).map(Arc::new),
        }))
    }
}

/// The models that allow a state of the model `own`, and whether any of the others was not looked at.
fn models_of(
    own: &str,
    looks: impl Fn() -> bool,
    allows: impl Fn(CrashModel) -> bool,
) -> (Vec<&'static str>, bool) {
    let mut unseen = false;
    let all = CrashModel::all().into_iter().filter(|model| {
        if model.name == own {
            return true;
        }
        let looks = looks();
        unseen |= !looks;
        looks && allows(*model)
    });
    (all.map(|model| model.name).collect(), unseen)
}

/// A finding of this kind, whatever the target says.
fn any(finding: &Finding) -> Symptom {
    Symptom {
        kind: finding.kind,
        said: None,
        follow_up: finding.follow_up,
    }
}

/// So long from now.
pub(super) fn from_now(time: Option<Duration>) -> Option<Instant> {
    time.and_then(|time| Instant::now().checked_add(time))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn models_without_time_to_look_are_not_denied() {
        let strict = |model: CrashModel| model.name == "strict";
        assert_eq!(models_of("ext4", || false, |_| true), (vec!["ext4"], true));
        let seen = models_of("ext4", || true, strict);
        assert_eq!(seen, (vec!["strict", "ext4"], false));
    }
}
