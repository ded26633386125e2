//! Trying crashes other than the recorded run's, to see whether they show the same finding: what
//! minimising works with.

use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use plugpull_crashsim::fs::Tree;
use plugpull_crashsim::persist::LossSet;
use plugpull_workloads::{Finding, FindingKind};

use super::answers::Answers;
use super::attempt::{CrashDisk, Workers};
use super::crash::{Crash, RecoveryTrace};
use super::limits::{Pace, left};
use super::oracle::Oracle;

/// How many states one minimisation may try.
pub(super) const TRIES: usize = 128;

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
}

impl Minimised {
    /// How much there is to understand: missing updates, then the place of the crash.
    pub fn measure(&self) -> (u64, u64) {
        (self.crash.size() as u64, self.crash.point)
    }
}

/// Tries crashes one by one, within a number of tries and a time.
pub(super) struct Retry<'a> {
    /// Judges what comes of them.
    pub oracle: &'a Oracle<'a>,
    /// Who tries them.
    pub workers: &'a dyn Workers,
    /// What is known already.
    pub answers: &'a mut Answers,
    /// How many more may be tried.
    pub tries: usize,
    /// When it ends with what there is.
    pub until: Option<Instant>,
    /// True when the user wants it to end.
    pub stop: &'a AtomicBool,
    /// How long a try takes.
    pub pace: &'a Pace,
}

impl Retry<'_> {
    /// True while one more state may be tried.
    pub(super) fn goes_on(&self) -> bool {
        let stopped = self.stop.load(Ordering::Relaxed);
        self.tries > 0 && !stopped && self.pace.fits_alone(left(self.until))
    }

    /// The same crash at another point or with another loss set, which is made legal there.
    pub(super) fn legalized(&self, crash: &Crash, point: u64, loss: &LossSet) -> Crash {
        let mut other = Crash {
            point,
            ..crash.clone()
        };
        other.loss = self.oracle.window(&other, other.model).legalize(loss);
        other
    }

    /// The crash with its finding of this kind; none when it does not show one, or when plugpull
    /// failed in it.
    pub(super) fn shows(&mut self, mut crash: Crash, kind: FindingKind) -> Option<Minimised> {
        let killed = !self.oracle.models[crash.model].power && crash.loss.is_empty();
        if killed && !self.oracle.kills_at(&crash) {
            return None;
        }
        let state = self.oracle.window(&crash, crash.model).state(&crash.loss);
        let acked = self.oracle.acked.at(crash.first().point);
        // Known answers count too: which are known depends on how fast the workers are.
        self.tries = self.tries.saturating_sub(1);
        let disk = CrashDisk {
            key: acked.key(state.tree.digest()),
            tree: state.tree,
            acked,
        };
        let kept = match self.answers.get_any(disk.key) {
            Some(kept) => kept,
            None => {
                let attempt = self.workers.try_now(&disk, disk.read_twice()).ok()?;
                self.answers.note_beside(disk.key, attempt)
            }
        };
        crash.lost = state.lost;
        let judgement = self.oracle.judge(&crash, &kept.observed());
        let mut findings = judgement.findings.into_iter();
        let finding = findings.find(|finding| finding.kind == kind)?;
        Some(Minimised {
            crash,
            finding,
            tree: disk.tree,
            output: kept.output.to_string(),
        })
    }

    /// The recovery from a crash; none when it changes nothing, when it breaks a promise by itself
    /// (then it is not crashed in turn), or when plugpull failed in it.
    pub(super) fn recovery(&mut self, mut crash: Crash) -> Option<Rc<RecoveryTrace>> {
        let state = self.oracle.window(&crash, crash.model).state(&crash.loss);
        let acked = self.oracle.acked.at(crash.first().point);
        self.tries = self.tries.saturating_sub(1);
        let digest = state.tree.digest();
        let disk = CrashDisk {
            key: acked.key(digest),
            tree: state.tree,
            acked,
        };
        let attempt = self.workers.try_now(&disk, false).ok()?;
        crash.lost = state.lost;
        let sound = self.oracle.judge(&crash, &attempt.observed);
        let log = attempt.recovery.filter(|_| sound.findings.is_empty())?;
        Some(Rc::new(RecoveryTrace {
            digest,
            // Of no candidate: it counts for nothing.
            position: 0,
            after: crash,
            log,
        }))
    }
}
