//! Grouping failing states by what causes them: a bug is one finding with a count.

use std::collections::BTreeSet;

use plugpull_reports::counts_to;
use plugpull_workloads::FindingKind;

use super::crash::{Crash, pattern};
use super::oracle::Oracle;
use super::retry::Minimised;

/// What failing states of one cause have in common: "write log-#".
pub(super) type Cause = BTreeSet<String>;

/// A way to know whether two failing states show the same bug.
pub trait Grouping {
    /// What of a failing state may be its cause.
    fn signs(&self, crash: &Crash, oracle: &Oracle<'_>) -> Cause;

    /// True when a state with these signs is one more of a bug whose minimised state has this cause.
    fn explains(&self, cause: &Cause, signs: &Cause) -> bool;
}

/// Groups by what is missing, without numbers; where nothing is missing, by the operation before
/// which the process died. A state that lacks all of a cause is one more of it.
pub(super) struct ByMissingUpdates;

impl Grouping for ByMissingUpdates {
    fn signs(&self, crash: &Crash, oracle: &Oracle<'_>) -> Cause {
        if crash.lost.is_empty() {
            let records = oracle.log(crash).records();
            let at = records.get(crash.point as usize).or_else(|| records.last());
            return at
                .map(|record| format!("at {} {}", record.op.name(), pattern(&record.path)))
                .into_iter()
                .collect();
        }
        let sign = |what: &str, path: &str| {
            let what: String = what
                .chars()
                .take_while(|c| !c.is_ascii_digit() && *c != '(')
                .collect();
            format!("{} {}", pattern(what.trim_end()), pattern(path))
        };
        let lost = crash.lost.iter();
        lost.map(|one| sign(&one.what, &one.path)).collect()
    }

    fn explains(&self, cause: &Cause, signs: &Cause) -> bool {
        counts_to(signs, cause)
    }
}

/// All failing states of one cause.
#[derive(Clone)]
pub struct Group {
    kind: FindingKind,
    /// What is missing, or where the process died, without numbers.
    pub cause: Cause,
    /// The smallest state that shows it.
    pub minimised: Minimised,
    /// How many states showed it.
    pub count: u64,
    /// The trial that showed it first.
    pub trial: u64,
}

impl Group {
    /// A group of one trial, minimised.
    pub fn new(minimised: Minimised, cause: Cause, trial: u64) -> Self {
        Self {
            kind: minimised.finding.kind,
            cause,
            minimised,
            count: 1,
            trial,
        }
    }

    fn is_about(&self, kind: FindingKind, depth: u32) -> bool {
        self.kind == kind && self.minimised.crash.depth() == depth
    }
}

/// The groups, in the order in which they were found.
#[derive(Default)]
pub struct Groups {
    all: Vec<Group>,
}

impl Groups {
    /// Every group, in the order in which they were found.
    pub fn all(&self) -> &[Group] {
        &self.all
    }

    /// Counts a failing state to the first group whose cause explains it, and returns its index. None
    /// when there is none: it is new, to be minimised and added.
    pub fn count(
        &mut self,
        grouping: &dyn Grouping,
        signs: &Cause,
        kind: FindingKind,
        depth: u32,
    ) -> Option<usize> {
        let known = self.all.iter().position(|group| {
            group.is_about(kind, depth) && grouping.explains(&group.cause, signs)
        })?;
        self.all[known].count += 1;
        Some(known)
    }

    /// Adds what a trial was minimised to: a group of its own, or one more of a group of the same
    /// cause. Its index, and whether it shows something new.
    pub(super) fn add(&mut self, new: Group) -> (usize, bool) {
        let depth = new.minimised.crash.depth();
        let known = self
            .all
            .iter()
            .position(|group| group.is_about(new.kind, depth) && group.cause == new.cause);
        let Some(known) = known else {
            self.all.push(new);
            return (self.all.len() - 1, true);
        };
        let group = &mut self.all[known];
        group.count += 1;
        let smaller = new.minimised.measure() < group.minimised.measure();
        if smaller {
            group.minimised = new.minimised;
        }
        (known, smaller)
    }
}
