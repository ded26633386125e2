//! Findings of an exploration, grouped by cause: a bug is one finding with a count.

use std::collections::BTreeSet;

use plugpull_reports::counts_to;
use plugpull_workloads::FindingKind;

use super::scene::{Crash, pattern};
use super::shrink::{Court, Small};

/// All failing states of one cause.
#[derive(Clone)]
pub struct Group {
    kind: FindingKind,
    cause: BTreeSet<String>,
    /// The smallest state that shows it.
    pub small: Small,
    /// How many states showed it.
    pub count: u64,
    /// The trial that showed it first.
    pub trial: u64,
}

impl Group {
    /// What is missing, or where the process died, without numbers.
    pub fn cause(&self) -> impl Iterator<Item = &str> {
        self.cause.iter().map(String::as_str)
    }

    /// A group of one trial, made small.
    pub(super) fn of(small: Small, trial: u64, court: &Court<'_>) -> Self {
        Self {
            kind: small.finding.kind,
            cause: signs(&small.crash, court),
            small,
            count: 1,
            trial,
        }
    }

    /// True when a state that lacks this is one more of this group.
    pub(super) fn explains(&self, signs: &BTreeSet<String>) -> bool {
        counts_to(signs, &self.cause)
    }
}

/// The groups, in the order in which they were found.
#[derive(Default)]
pub struct Groups {
    /// One for each cause.
    pub all: Vec<Group>,
}

impl Groups {
    /// Counts a failing state to the first group whose cause it contains, and returns its index.
    /// None when there is none: it is new, to be minimised and added.
    pub fn count(
        &mut self,
        signs: &BTreeSet<String>,
        kind: FindingKind,
        depth: u32,
    ) -> Option<usize> {
        let known = self.all.iter().position(|group| {
            group.kind == kind && group.small.crash.depth() == depth && group.explains(signs)
        })?;
        self.all[known].count += 1;
        Some(known)
    }

    /// Adds what a trial was minimised to: a group of its own, or one more of a group of the same
    /// cause. Its index, and whether it shows something new.
    pub fn add(&mut self, new: Group) -> (usize, bool) {
        let known = self.all.iter().position(|group| {
            group.kind == new.kind
                && group.cause == new.cause
                && group.small.crash.depth() == new.small.crash.depth()
        });
        let Some(known) = known else {
            self.all.push(new);
            return (self.all.len() - 1, true);
        };
        let group = &mut self.all[known];
        group.count += 1;
        let smaller = new.small.measure() < group.small.measure();
        if smaller {
            group.small = new.small;
        }
        (known, smaller)
    }
}

/// What is missing, without numbers: "write log-#". Where nothing is missing, the operation before
/// which the process died.
pub(super) fn signs(crash: &Crash, court: &Court<'_>) -> BTreeSet<String> {
    if crash.lost.is_empty() {
        let records = court.log(crash).records();
        let at = records.get(crash.point as usize).or_else(|| records.last());
        return at
            .map(|record| format!("at {} {}", record.op.name(), pattern(&record.path)))
            .into_iter()
            .collect();
    }
    crash
        .lost
        .iter()
        .map(|one| {
            let what: String = one
                .what
                .chars()
                .take_while(|c| !c.is_ascii_digit() && *c != '(')
                .collect();
            format!("{} {}", pattern(what.trim_end()), pattern(&one.path))
        })
        .collect()
}

/// The finding's sentence, and why the state is legal.
pub fn sentence(small: &Small, court: &Court<'_>) -> String {
    let said = small.finding.sentence.trim_end_matches('.');
    let crash = &small.crash;
    let mut text = format!("{said}; {}", place(crash, court));
    if crash.size() > 0 {
        let models = court.models_of(crash, small.tree.digest());
        text.push_str(&format!("; models that allow it: {}", models.join(", ")));
    }
    text
}

/// Where a crash struck and what it left out, in words.
fn place(crash: &Crash, court: &Court<'_>) -> String {
    let records = court.log(crash).records();
    let (before, whose) = match &crash.within {
        Some(scene) => (
            format!("{}; then ", place(&scene.after, court)),
            "recovery's ",
        ),
        None => (String::new(), ""),
    };
    let at = match records.get(crash.point as usize) {
        Some(next) => format!(
            "before {whose}operation {} ({} {})",
            next.seq,
            next.op.name(),
            next.path
        ),
        None => format!("after {whose}last operation").replace("after last", "after the last"),
    };
    if crash.lost.is_empty() {
        return match crash.within {
            Some(_) => format!("{before}recovery itself was cut short {at}"),
            None => format!("nothing was lost: the process merely died {at}"),
        };
    }
    let mut words: Vec<String> = crash
        .lost
        .iter()
        .take(3)
        .map(|lost| {
            let torn = if lost.torn { "part of the " } else { "the " };
            let what = lost.what.strip_prefix("the ").unwrap_or(&lost.what);
            format!("{torn}{what} of {} (operation {})", lost.path, lost.seq)
        })
        .collect();
    if crash.lost.len() > 3 {
        words.push(format!("{} more", crash.lost.len() - 3));
    }
    format!(
        "{before}at the crash {at} the disk was missing {}, which no completed sync covered",
        words.join(", ")
    )
}
