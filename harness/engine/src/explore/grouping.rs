//! Grouping failing states by what causes them: a bug is one finding with a count.

use std::collections::{BTreeSet, HashSet};

use plugpull_crashsim::persist::LostUpdate;
use plugpull_reports::{counts_to, said_sign, shows_as};
use plugpull_workloads::{FindingKind, Observed, ReadBack, Start};

use super::crash::Crash;
use super::names::{Names, pattern};
use super::oracle::Oracle;
use super::retry::Minimised;

/// What failing states of one cause have in common: "write log-#".
pub(super) type Cause = BTreeSet<String>;

/// A way to know whether two failing states show the same bug.
pub(super) trait Grouping: Send {
    /// What of a failing state may be its cause.
    fn signs(&self, crash: &Crash, oracle: &Oracle<'_>) -> Cause;

    /// True when a state with these signs is one more of a bug whose minimised state has this cause.
    fn explains(&self, cause: &Cause, signs: &Cause) -> bool;

    /// What the target said when it showed a finding of this kind, as a sign: without what differs
    /// from state to state. None where it said nothing of its own.
    fn output_sign(&self, kind: FindingKind, observed: &Observed) -> Option<String>;
}

/// Groups by what is missing, without generated names; where nothing is missing, by the operation
/// after which the process died: the one before it was harmless. A state that lacks all of a cause
/// is one more of it.
#[derive(Clone)]
pub(super) struct ByMissingUpdates {
    names: Names,
}

impl ByMissingUpdates {
    /// Knows the names of the recorded run.
    pub(super) fn of(oracle: &Oracle<'_>) -> Self {
        Self {
            names: Names::of(&oracle.trace.log),
        }
    }

    /// The updates that are missing: which change of which file. How much of it, and where, differs from
    /// state to state; a length comes with the write that brings it. Thousands of them are of the same
    /// few files.
    fn missing<'l>(&self, lost: impl Iterator<Item = &'l LostUpdate>) -> Cause {
        let changes: HashSet<(&str, &str)> =
            lost.map(|one| (change(&one.what), &*one.path)).collect();
        let sign = |(what, path)| format!("{what} {}", self.names.pattern(path));
        changes.into_iter().map(sign).collect()
    }
}

/// Which change it is that is missing.
fn change(what: &str) -> &str {
    if what.starts_with("removal") {
        return "removal of";
    }
    if what.starts_with("the name") {
        return "name";
    }
    let inside = what
        .split_once('(')
        .and_then(|(_, rest)| rest.split_once(')'));
    match inside {
        Some((by, _)) => by,
        None => what.split(' ').next().unwrap_or_default(),
    }
}

impl Grouping for ByMissingUpdates {
    fn signs(&self, crash: &Crash, oracle: &Oracle<'_>) -> Cause {
        if !crash.lost.is_empty() {
            let mut cause = self.missing(crash.lost.iter());
            cause.extend(early(crash, oracle));
            return cause;
        }
        let records = oracle.log(crash).records();
        let before = (crash.point as usize).checked_sub(1);
        let before = before.and_then(|before| records.get(before));
        let sign = before.map_or("at the start".to_owned(), |record| {
            let path = self.names.pattern(&record.path);
            format!("after {} {path}", record.op.name())
        });
        [sign].into()
    }

    fn explains(&self, cause: &Cause, signs: &Cause) -> bool {
        counts_to(signs, cause)
    }

    fn output_sign(&self, kind: FindingKind, observed: &Observed) -> Option<String> {
        let read = |read: &Option<ReadBack>| read.as_ref().and_then(|read| read.clone().err());
        let integrity = || observed.integrity.clone().and_then(Result::err);
        let text = match (kind, &observed.start) {
            (FindingKind::WillNotStart, Start::Refused { message }) => Some(message.clone()),
            (FindingKind::Unreadable, _) => read(&observed.state).or_else(integrity),
            (FindingKind::NotRepeatable, _) => read(&observed.second),
            _ => None,
        };
        text.map(|text| said_sign(kind, &wording(&text)))
    }
}

/// What a crash before the first ack has in common with no other: what is being made has not been
/// used yet.
fn early(crash: &Crash, oracle: &Oracle<'_>) -> Option<String> {
    let first = oracle.first_ack();
    let early = crash.first().point < first;
    early.then(|| "before the first ack".to_owned())
}

/// How much of what a target said counts, in characters.
const WORDING: usize = 80;

/// The words of a message, without numbers, generated names and what is quoted.
fn wording(text: &str) -> String {
    let text = match text.split_once("exit code ") {
        Some((_, rest)) => rest.split_once(": ").map_or("", |(_, rest)| rest),
        None => text,
    };
    let mut plain = String::new();
    let mut quoted = None;
    for c in text.chars() {
        match (quoted, c) {
            (Some(mark), c) if c == mark => {
                quoted = None;
                plain.push('#');
            }
            (Some(_), _) => {}
            // In the middle of a word it is an apostrophe.
            (None, '"' | '\'' | '`') if !plain.ends_with(char::is_alphanumeric) => quoted = Some(c),
            (None, c) => plain.push(c),
        }
    }
    let words: Vec<&str> = plain.split_whitespace().collect();
    pattern(&words.join(" ")).chars().take(WORDING).collect()
}

/// All failing states of one cause.
#[derive(Clone)]
pub struct Group {
    kind: FindingKind,
    /// What is missing, or where the process died, without numbers.
    pub cause: Cause,
    /// What the target said in these states.
    said: BTreeSet<String>,
    /// The smallest state that shows it.
    pub minimised: Minimised,
    /// How many states showed it.
    pub count: u64,
    /// The trial that showed it first.
    pub trial: u64,
}

impl Group {
    /// A group of one trial, minimised.
    pub(super) fn new(
        minimised: Minimised,
        cause: Cause,
        said: Option<String>,
        trial: u64,
    ) -> Self {
        Self {
            kind: minimised.finding.kind,
            cause,
            said: said.into_iter().collect(),
            minimised,
            count: 0,
            trial,
        }
    }

    fn is_about(&self, kind: FindingKind, depth: u32) -> bool {
        shows_as(&self.cause, self.kind, kind) && self.minimised.crash.depth() == depth
    }

    /// True where the target said this before, or says nothing.
    fn knows(&self, said: Option<&String>) -> bool {
        said.is_none_or(|said| self.said.contains(said))
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

    /// One of them.
    pub(super) fn get_mut(&mut self, index: usize) -> Option<&mut Group> {
        self.all.get_mut(index)
    }

    /// The first group whose cause explains a failing state. None when there is none: it is new, to be
    /// minimised and added.
    pub(super) fn find(
        &self,
        grouping: &dyn Grouping,
        signs: &Cause,
        said: Option<&String>,
        (kind, depth): (FindingKind, u32),
    ) -> Option<usize> {
        self.all.iter().position(|group| {
            group.is_about(kind, depth)
                && group.knows(said)
                && grouping.explains(&group.cause, signs)
        })
    }

    /// A group that was not made as small as it gets and has something in common with a failing state:
    /// something that is missing in both, or that nothing is in either. Tries of what hangs cost so much
    /// that there is seldom time to tell one hang from another: they are one.
    pub(super) fn find_rough(
        &self,
        crash: &Crash,
        signs: &Cause,
        kind: FindingKind,
    ) -> Option<usize> {
        let whole = |crash: &Crash| crash.lost.is_empty();
        self.all.iter().position(|group| {
            let hangs = kind == FindingKind::Hung && group.kind == kind;
            let about = group.is_about(kind, crash.depth());
            about && hangs
                || about
                    && !group.minimised.whole
                    && (!group.cause.is_disjoint(signs)
                        || whole(crash) && whole(&group.minimised.crash))
        })
    }

    /// Adds what a trial was minimised to: a group of its own, or one of the same cause, which the
    /// trial is then one more of. Its index, and whether it shows something new.
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
        group.said.extend(new.said);
        let smaller = new.minimised.measure() < group.minimised.measure();
        if smaller {
            group.minimised = new.minimised;
        }
        (known, smaller)
    }
}

#[cfg(test)]
mod tests {
    use super::wording;

    #[test]
    fn what_differs_from_state_to_state_is_no_wording() {
        for (one, other) in [
            (
                "the check ended with exit code 2: persy 1.5.1: record of index is not there",
                "the check ended with exit code 2: persy 1.5.2: record of index is not there",
            ),
            (
                "key 'a b' is not there at 17",
                "key 'c' is not there at 4096",
            ),
            (
                "page 00ffab12 of .tmpX1y2Z3 is torn",
                "page deadbeef of .tmpQ9r8s7 is torn",
            ),
        ] {
            assert_eq!(wording(one), wording(other));
        }
        assert_ne!(wording("it can't open"), wording("it can't read"));
    }
}
