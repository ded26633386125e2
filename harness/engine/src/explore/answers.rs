//! What is known of the states that were tried. Of each there is kept what later points need, and
//! equal read-backs are kept once: thousands of states hold the same few.

use std::collections::{HashMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use plugpull_crashsim::fs::Log;
use plugpull_workloads::{Finding, FollowUp, Observed, ReadBack, Start, Text};

use super::attempt::Attempt;
use super::follow_up::FollowedUp;
use crate::outcome::HarnessFailed;

/// How much of what a target printed is kept of a state that broke no promise: its end, in bytes.
const OUTPUT_KEPT: usize = 4096;

/// A key and its value, a long one as what makes it.
type Pair = (String, Text);
/// Some pairs of a read-back, in the order of their keys.
type ReadPart = Arc<[Arc<Pair>]>;
/// A read-back in parts.
type PackedRead = Result<Vec<ReadPart>, String>;

/// How long a part becomes on average, and at most.
const PART: u64 = 16;
const LONGEST_PART: usize = 64;

/// Parts of read-backs. Two states of a run differ in a few keys, so most of what one holds is what
/// the other holds: each pair, and each part, is kept once.
#[derive(Default)]
struct Parts {
    pairs: HashSet<Arc<Pair>>,
    parts: HashSet<ReadPart>,
}

impl Parts {
    fn pack(&mut self, read: ReadBack) -> PackedRead {
        let mut packed = Vec::new();
        let mut part = Vec::new();
        for (key, value) in read? {
            // Where a part ends depends on the key that ends it, so a key that is added or removed
            // changes one part and moves none.
            let mut hasher = DefaultHasher::new();
            key.hash(&mut hasher);
            let ends = hasher.finish().is_multiple_of(PART) || part.len() + 1 == LONGEST_PART;
            part.push(kept_once(
                &mut self.pairs,
                Arc::new((key, Text::from(value))),
            ));
            if ends {
                packed.push(kept_once(&mut self.parts, std::mem::take(&mut part).into()));
            }
        }
        if !part.is_empty() {
            packed.push(kept_once(&mut self.parts, part.into()));
        }
        packed.shrink_to_fit();
        Ok(packed)
    }
}

/// The one copy of what is kept.
fn kept_once<T: ?Sized + Hash + Eq>(known: &mut HashSet<Arc<T>>, one: Arc<T>) -> Arc<T> {
    if let Some(known) = known.get(&one) {
        return known.clone();
    }
    known.insert(one.clone());
    one
}

/// All that was observed of a state but for times.
#[derive(PartialEq)]
struct Packed {
    state: Option<PackedRead>,
    second: Option<PackedRead>,
    /// Without the two, and without times.
    rest: Observed,
}

impl Packed {
    fn hash(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.state.hash(&mut hasher);
        self.second.hash(&mut hasher);
        match &self.rest.start {
            Start::Started => {}
            Start::Refused { message } => message.hash(&mut hasher),
            Start::Hung { .. } => "hung".hash(&mut hasher),
        }
        hasher.finish()
    }
}

fn unpack(read: Option<&PackedRead>) -> Option<ReadBack> {
    let made = |pair: &Arc<Pair>| (pair.0.clone(), pair.1.text().into_owned());
    read.map(|read| match read {
        Ok(parts) => Ok(parts
            .iter()
            .flat_map(|part| part.iter())
            .map(made)
            .collect()),
        Err(why) => Err(why.clone()),
    })
}

/// What is kept of an attempt.
#[derive(Clone)]
pub(super) struct Kept {
    observed: Arc<Packed>,
    /// From the start to the first correct answer.
    pub recovery: Option<Duration>,
    /// What the target printed.
    pub output: Arc<str>,
    /// How long the attempt took.
    pub took: Duration,
    /// The target was forked, and not started.
    pub forked: bool,
    /// How a forked target differed from this.
    pub differs: Option<Arc<str>>,
    /// What it showed when it was followed up.
    pub follow_up: Option<Arc<FollowedUp>>,
}

impl Kept {
    /// What was observed, as it was.
    pub(super) fn observed(&self) -> Observed {
        Observed {
            state: unpack(self.observed.state.as_ref()),
            second: unpack(self.observed.second.as_ref()),
            recovery: self.recovery,
            ..self.observed.rest.clone()
        }
    }

    /// What a finding is about that was judged of it.
    pub(super) fn seen(&self, finding: &Finding) -> Observed {
        let first = self.observed();
        let follow_up = finding.follow_up.and(self.follow_up.as_deref());
        follow_up.and_then(|one| one.seen(&first)).unwrap_or(first)
    }

    /// True where what its first start did is known only up to where it was followed up.
    pub(super) fn goes_on_after_recovery(&self) -> bool {
        let killed = [None, Some(FollowUp::SecondRestart)];
        !killed.contains(&self.followed_by())
    }

    /// Which follow-up it had.
    pub(super) fn followed_by(&self) -> Option<FollowUp> {
        self.follow_up.as_ref().map(|one| one.follow_up)
    }

    /// The same number for all of which the same was observed, but for times.
    pub(super) fn observed_id(&self) -> usize {
        Arc::as_ptr(&self.observed) as usize
    }
}

/// What is known of attempts, by [`CrashDisk::key`](super::attempt::CrashDisk::key).
#[derive(Default)]
pub(super) struct Answers {
    known: HashMap<u128, Result<Kept, HarnessFailed>>,
    /// Those that minimising made for itself. They are kept apart: which of them a worker answers
    /// too, and when, depends on how fast it is, and only a worker says what recovery did.
    beside: HashMap<(u128, Option<FollowUp>), Kept>,
    /// What recovery did to those of them that were not judged yet.
    recoveries: HashMap<u128, Log>,
    /// Equal ones are kept once.
    observed: HashMap<u64, Vec<Arc<Packed>>>,
    parts: Parts,
    outputs: HashSet<Arc<str>>,
}

impl Answers {
    /// Keeps what a worker answered.
    pub(super) fn note(&mut self, key: u128, result: Result<Attempt, HarnessFailed>) {
        let result = result.map(|mut attempt| {
            if let Some(log) = attempt.recovery.take() {
                self.recoveries.insert(key, log);
            }
            self.keep(attempt)
        });
        self.known.insert(key, result);
    }

    /// Keeps what minimising tried for itself.
    pub(super) fn note_beside(
        &mut self,
        key: u128,
        follow_up: Option<FollowUp>,
        attempt: Attempt,
    ) -> Kept {
        let kept = self.keep(attempt);
        self.beside.insert((key, follow_up), kept.clone());
        kept
    }

    /// A worker's answer of an attempt, if it was made.
    pub(super) fn get(&self, key: u128) -> Option<Result<Kept, HarnessFailed>> {
        self.known.get(&key).cloned()
    }

    /// What a started target showed in an attempt, whoever made it; none where plugpull failed. With this
    /// follow-up, where one is wanted.
    pub(super) fn get_any(&self, key: u128, follow_up: Option<FollowUp>) -> Option<Kept> {
        let answered = self.known.get(&key).and_then(|result| result.as_ref().ok());
        let answered = answered.filter(|kept| !kept.forked);
        let answered =
            answered.filter(|kept| follow_up.is_none() || kept.followed_by() == follow_up);
        let beside = || self.beside.get(&(key, follow_up));
        answered.or_else(beside).cloned()
    }

    /// Keeps no more of a follow-up that broke no promise than that.
    pub(super) fn settle_follow_up(&mut self, key: u128) {
        if let Some(Ok(kept)) = self.known.get_mut(&key)
            && let Some(follow_up) = &mut kept.follow_up
        {
            Arc::make_mut(follow_up).settle();
        }
    }

    /// What recovery did in an attempt; once.
    pub(super) fn take_recovery(&mut self, key: u128) -> Option<Log> {
        self.recoveries.remove(&key)
    }

    /// Keeps the end alone of what was printed in an attempt that broke no promise.
    pub(super) fn shorten_output(&mut self, key: u128) {
        let Some(Ok(kept)) = self.known.get_mut(&key) else {
            return;
        };
        let Some(from) = kept.output.len().checked_sub(OUTPUT_KEPT) else {
            return;
        };
        let from = (from..).find(|at| kept.output.is_char_boundary(*at));
        kept.output = intern(&mut self.outputs, &kept.output[from.unwrap_or(0)..]);
    }

    fn keep(&mut self, attempt: Attempt) -> Kept {
        let Attempt {
            mut observed,
            output,
            took,
            forked,
            differs,
            follow_up,
            ..
        } = attempt;
        let recovery = observed.recovery.take();
        let packed = Packed {
            state: observed.state.take().map(|read| self.parts.pack(read)),
            second: observed.second.take().map(|read| self.parts.pack(read)),
            rest: observed,
        };
        let alike = self.observed.entry(packed.hash()).or_default();
        let observed = match alike.iter().find(|one| ***one == packed) {
            Some(known) => known.clone(),
            None => {
                let new = Arc::new(packed);
                alike.push(new.clone());
                new
            }
        };
        Kept {
            observed,
            recovery,
            output: match output.len() {
                ..=OUTPUT_KEPT => intern(&mut self.outputs, &output),
                _ => output.into(),
            },
            took,
            forked,
            differs: differs.map(Into::into),
            follow_up: follow_up.map(Arc::new),
        }
    }
}

/// The one copy of a text that is kept.
fn intern(known: &mut HashSet<Arc<str>>, text: &str) -> Arc<str> {
    if let Some(text) = known.get(text) {
        return text.clone();
    }
    let text: Arc<str> = text.into();
    known.insert(text.clone());
    text
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn attempt(value: &str, output: &str) -> Attempt {
        let state = [("c0.k1".to_owned(), value.to_owned())];
        let mut observed = Observed::holding(state.into());
        observed.second = Some(Ok([("c0.k1".to_owned(), value.to_owned())].into()));
        observed.recovery = Some(Duration::from_millis(output.len() as u64));
        Attempt {
            observed,
            output: output.into(),
            took: Duration::ZERO,
            recovery: None,
            forked: false,
            differs: None,
            reads: None,
            follow_up: None,
        }
    }

    #[test]
    fn what_was_observed_comes_back_as_it_was_and_equal_ones_are_kept_once() {
        let mut answers = Answers::default();
        for (key, value, output) in [(1, "a", "x"), (2, "a", "xy"), (3, "b", "x")] {
            answers.note(key, Ok(attempt(value, output)));
        }
        let kept = |key| answers.get(key).expect("noted").expect("an answer");
        assert_eq!(kept(2).observed(), attempt("a", "xy").observed);
        assert_eq!(kept(1).observed_id(), kept(2).observed_id());
        assert_ne!(kept(1).observed_id(), kept(3).observed_id());
        assert!(Arc::ptr_eq(&kept(1).output, &kept(3).output));
        assert!(answers.get(4).is_none());
    }

    /// States of one run, each with a write more: what all of them hold together is little more than
    /// what the last one holds.
    #[test]
    fn what_states_have_in_common_is_kept_once() {
        const KEYS: u128 = 400;
        let mut answers = Answers::default();
        let mut state = BTreeMap::new();
        for key in 0..KEYS {
            state.insert(format!("c{}.k{key}", key % 4), "first".to_owned());
            let mut attempt = attempt("", "");
            attempt.observed = Observed::holding(state.clone());
            answers.note(key, Ok(attempt));
            let kept = answers.get_any(key, None).expect("noted").observed();
            assert_eq!(kept.state, Some(Ok(state.clone())));
        }
        assert_eq!(answers.parts.pairs.len() as u128, KEYS);
        // Kept whole, they would be half of KEYS * KEYS pairs.
        let in_parts: usize = answers.parts.parts.iter().map(|part| part.len()).sum();
        let pairs = u128::try_from(in_parts).expect("a number");
        assert!(pairs < KEYS * 2 * u128::from(PART), "{pairs}");
    }

    #[test]
    fn of_what_was_printed_the_end_is_kept_where_nothing_broke() {
        let mut answers = Answers::default();
        let long = format!("{}the end", "ä".repeat(OUTPUT_KEPT));
        answers.note(1, Ok(attempt("a", &long)));
        answers.shorten_output(1);
        let kept = answers.get_any(1, None).expect("noted").output;
        assert!(kept.ends_with("the end") && kept.len() <= OUTPUT_KEPT);
    }

    #[test]
    fn a_failure_of_plugpull_is_no_answer() {
        let mut answers = Answers::default();
        answers.note(1, Err(HarnessFailed::new("no memory")));
        assert!(answers.get_any(1, None).is_none());
        assert!(answers.get(1).is_some_and(|result| result.is_err()));
    }
}
