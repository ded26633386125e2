//! Grouping failing states by what causes them: a bug is one finding with a count.

use std::collections::{BTreeSet, HashSet};

use plugpull_crashsim::persist::LostUpdate;
use plugpull_reports::{
    Diagnosis, EARLY, FailingState, KnownCause, START, is_of_names, place_sign, said_sign,
};
use plugpull_workloads::{FindingKind, Observed, ReadBack, Start};

use super::crash::Crash;
use super::names::{Names, pattern};
use super::oracle::Oracle;
use super::retry::Minimised;

/// What failing states of one cause have in common: "write log-#".
pub(crate) type Cause = BTreeSet<String>;

/// A way to know whether two failing states show the same bug.
pub(crate) trait Grouping: Send + Sync {
    /// What of a failing state may be its cause.
    fn signs(&self, crash: &Crash, oracle: &Oracle<'_>) -> Cause;

    /// What the target said when it showed a finding of this kind, as a sign: without what differs
    /// from state to state. None where it said nothing of its own.
    fn output_sign(&self, kind: FindingKind, observed: &Observed) -> Option<String>;
}

/// Groups by what is missing, without generated names; where nothing is missing, by the operation
/// after which the process died: the one before it was harmless. A state that lacks all of a cause
/// is one more of it.
pub(crate) struct ByMissingUpdates {
    names: Names,
}

impl ByMissingUpdates {
    /// Knows the names of the recorded run.
    pub(crate) fn of(oracle: &Oracle<'_>) -> Self {
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

/// Where what is missing begins. A name that was never made durable may have been missing long before the
/// content that brings the finding: where content is missing, it is that.
fn begins(lost: &[LostUpdate]) -> Option<u64> {
    let of_name = |one: &&LostUpdate| ["name", "removal of"].contains(&change(&one.what));
    let content = lost.iter().filter(|one| !of_name(one)).map(|one| one.seq);
    content
        .min()
        .or_else(|| lost.iter().map(|one| one.seq).min())
}

/// Which change it is that is missing.
pub(super) fn change(what: &str) -> &str {
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
        let mut signs = self.missing(crash.lost.iter());
        let first = begins(&crash.lost);
        let acked = first.is_some_and(|first| oracle.is_acked_since(crash, first));
        if !is_of_names(&signs) && !acked {
            let at = first.unwrap_or(crash.point) as usize;
            let mut before = oracle.log(crash).records().iter().take(at).rev();
            let call = before.find(|record| !record.op.is_note());
            signs.insert(call.map_or(START.to_owned(), |record| {
                place_sign(record.op.name(), &self.names.pattern(&record.path))
            }));
        }
        // What is being made has not been used yet.
        if crash.first().point < oracle.first_ack() {
            signs.insert(EARLY.to_owned());
        }
        signs
    }

    fn output_sign(&self, kind: FindingKind, observed: &Observed) -> Option<String> {
        let read = |read: &Option<ReadBack>| read.as_ref().and_then(|read| read.clone().err());
        let integrity = || observed.integrity.clone().and_then(Result::err);
        let text = match (kind, &observed.start) {
            (FindingKind::WillNotStart, Start::Refused { message }) => Some(message.clone()),
            (FindingKind::Unreadable, _) => read(&observed.state).or_else(integrity),
            // A second start that shows other data is not one that never comes up.
            (FindingKind::NotRepeatable, _) => {
                read(&observed.second).or_else(|| Some("other data".into()))
            }
            _ => None,
        };
        text.map(|text| said_sign(kind, &wording(&text)))
    }
}

/// How much of what a target said counts, in characters.
const WORDING: usize = 80;

/// What a parser calls its own failures. What it says further depends on where the damage begins.
const PARSERS: [&str; 4] = [
    "DecodeError",
    "ParseError",
    "SyntaxError",
    "UnpicklingError",
];

/// The words of a message, without numbers, generated names and what is quoted.
fn wording(text: &str) -> String {
    let text = match text.split_once("exit code ") {
        Some((_, rest)) => rest.split_once(": ").map_or("", |(_, rest)| rest),
        None => text,
    };
    if let Some(place) = panicked_at(text) {
        return place;
    }
    if let Some((class, _)) = text.split_once(": ")
        && PARSERS.iter().any(|name| class.ends_with(name))
    {
        return class.to_owned();
    }
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

/// Where a Rust program panicked: its file and line, and what it said. The line counts.
fn panicked_at(text: &str) -> Option<String> {
    let (_, rest) = text.split_once("panicked at ")?;
    let (place, said) = rest.split_once(' ').unwrap_or((rest, ""));
    let place = place.rsplit('/').next()?;
    let line = place
        .splitn(3, ':')
        .take(2)
        .collect::<Vec<&str>>()
        .join(":");
    let said: String = pattern(said).chars().take(WORDING).collect();
    Some(format!("{line} {said}"))
}

/// All failing states of one cause.
#[derive(Clone)]
pub struct Group {
    /// The signs of the smallest state: what is missing, or where the process died, without numbers.
    pub cause: Cause,
    /// All that it was minimised to.
    known: KnownCause,
    /// What the target said in the first of these states.
    said: Option<String>,
    /// The smallest state that shows it.
    pub minimised: Minimised,
    /// How many states showed it.
    pub count: u64,
    /// The trial that showed it first.
    pub trial: u64,
    /// Why it is possible and what makes it go, where that was looked for.
    pub diagnosis: Option<Diagnosis>,
    /// The group that it counts to, because one fix makes both go.
    pub same_as: Option<usize>,
}

impl Group {
    /// A group of one trial, minimised.
    pub(crate) fn new(
        minimised: Minimised,
        cause: Cause,
        said: Option<String>,
        trial: u64,
    ) -> Self {
        Self {
            known: KnownCause::new(state(&minimised, &cause), said.clone()),
            cause,
            said,
            minimised,
            count: 0,
            trial,
            diagnosis: None,
            same_as: None,
        }
    }

    /// What the target said in the first of its states.
    #[cfg(test)]
    pub(crate) fn wording(&self) -> Option<&String> {
        self.said.as_ref()
    }

    fn state(&self) -> FailingState {
        state(&self.minimised, &self.cause)
    }

    /// True when a minimised state is the same bug.
    pub(crate) fn is_same(&self, new: &Self) -> bool {
        self.known.is_same(&new.state(), new.said.as_ref())
    }

    /// True when the new one takes this group over: less is missing in it, and it is the same finding
    /// in the same words.
    pub(crate) fn is_wider_than(&self, new: &Self) -> bool {
        self.known.is_wider(&new.state(), new.said.as_ref())
    }

    /// Takes a smaller state of it.
    pub(super) fn shrink(&mut self, minimised: Minimised, cause: Cause) {
        self.minimised = minimised;
        self.cause = cause;
        self.known.learn(self.state(), None);
    }

    /// Keeps of a cause what other states of it lack too.
    pub(super) fn narrow(&mut self, others: &Cause) {
        self.cause.retain(|sign| others.contains(sign));
        self.known.replace(self.state());
    }
}

/// A minimised state as what it is known by.
fn state(minimised: &Minimised, signs: &Cause) -> FailingState {
    FailingState {
        kind: minimised.finding.kind,
        depth: minimised.crash.depth(),
        follow_up: minimised.finding.follow_up,
        signs: signs.clone(),
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
    pub(super) fn find(&self, failing: &FailingState, said: Option<&String>) -> Option<usize> {
        let mut all = self.all.iter();
        all.position(|group| group.known.explains(failing, said))
    }

    /// A group that was not made as small as it gets and has something in common with a failing state:
    /// something that is missing in both, or that nothing is in either. Tries of what hangs cost so much
    /// that there is seldom time to tell one hang from another: they are one.
    pub(super) fn find_rough(&self, crash: &Crash, failing: &FailingState) -> Option<usize> {
        let whole = |crash: &Crash| crash.lost.is_empty();
        self.all.iter().position(|group| {
            let own = group.state();
            let name = |one: &FailingState| (one.kind, one.depth, one.follow_up);
            if name(&own) != name(failing) {
                return false;
            }
            own.kind == FindingKind::Hung
                || !group.minimised.whole
                    && (has_in_common(&own.signs, &failing.signs)
                        || whole(crash) && whole(&group.minimised.crash))
        })
    }

    /// Adds what a trial was minimised to: a group of its own, or one of the same cause, which the
    /// trial is then one more of, or one that it takes over. Its index, and whether it shows something
    /// new.
    pub(crate) fn add(&mut self, new: Group) -> (usize, bool) {
        let same = self.all.iter().position(|group| group.is_same(&new));
        let wider = || self.all.iter().position(|group| group.is_wider_than(&new));
        // A hang that there was no time to make smaller is the one that there was time for later.
        let hang = || {
            let state = new.state();
            let name = |one: &FailingState| (one.kind, one.depth, one.follow_up);
            let is_it =
                |group: &Group| !group.minimised.whole && name(&group.state()) == name(&state);
            let hangs = state.kind == FindingKind::Hung;
            hangs.then(|| self.all.iter().position(is_it)).flatten()
        };
        let Some(known) = same.or_else(wider).or_else(hang) else {
            self.all.push(new);
            return (self.all.len() - 1, true);
        };
        let group = &mut self.all[known];
        group.known.learn(new.state(), new.said.clone());
        let measure = |one: &Group| (one.state().is_unclear(), one.minimised.measure());
        let better = same.is_none() || measure(&new) < measure(group);
        if better {
            group.minimised = new.minimised;
            group.cause = new.cause;
        }
        (known, better)
    }
}

/// True when something is missing in both.
pub(super) fn has_in_common(one: &Cause, other: &Cause) -> bool {
    one.intersection(other).any(|sign| sign != EARLY)
}

#[cfg(test)]
mod tests {
    use super::{LostUpdate, begins, wording};

    #[test]
    fn a_name_that_nobody_needs_does_not_say_where_it_begins() {
        let lost = |seq, what: &str| LostUpdate {
            seq,
            path: "f".into(),
            what: what.into(),
            torn: false,
        };
        let removal = || lost(4, "removal of the name a (rename)");
        assert_eq!(
            begins(&[removal(), lost(83, "the write of 40 bytes at 9")]),
            Some(83)
        );
        assert_eq!(
            begins(&[removal(), lost(9, "the name b (create)")]),
            Some(4)
        );
        assert_eq!(begins(&[lost(7, "the size 8 (write)")]), Some(7));
        assert_eq!(begins(&[]), None);
    }

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
        let panic = |line| format!("thread 'main' (7) panicked at /a/b/device.rs:{line}:37:; no");
        assert_eq!(wording(&panic(145)), "device.rs:145 no");
        assert_ne!(wording(&panic(145)), wording(&panic(267)));
        let parser = |said| format!("exit code 1 and named nothing: json.JSONDecodeError: {said}");
        assert_eq!(
            wording(&parser("Extra data")),
            wording(&parser("Expecting value"))
        );
    }
}
