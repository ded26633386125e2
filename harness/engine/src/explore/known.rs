//! What an exploration learned of states before it was interrupted. The explorer notes each answer
//! in the run file; when the run is resumed, the answers are given to it as the workers would. The
//! order of states depends on the trace alone, so it comes to where it stopped, and goes on.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use plugpull_reports::{ProgressMark, Record};
use plugpull_workloads::Observed;
use serde::{Deserialize, Serialize};

use super::answers::Kept;
use super::attempt::{Answer, Attempt, CrashDisk, RecoveryNote, Reply, Workers};
use super::follow_up::FollowedUp;
use crate::outcome::HarnessFailed;

/// A note in the run file.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Note {
    /// What was observed of one state or more: equal ones are written once.
    Observed {
        number: u64,
        observed: Box<Observed>,
    },
    /// What came of a state.
    State(StateNote),
    /// A forked target showed something else than a started one: what forked ones showed up to here is
    /// not known.
    ForkDiffers { fork_differs: String },
}

/// What came of a state.
#[derive(Clone, Serialize, Deserialize)]
struct StateNote {
    /// The name of the attempt, in hexadecimal.
    key: String,
    /// What was observed: the number of an earlier note.
    observation: u64,
    /// From the start to the first correct answer.
    recovered_in: Option<Duration>,
    took: Duration,
    /// What the target printed, where the state broke a promise.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    output: String,
    recovery: RecoveryNote,
    /// The target was forked, and not started.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    forked: bool,
    /// What it showed when it was followed up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    follow_up: Option<FollowedUp>,
}

/// Writes the notes of an exploration.
#[derive(Default)]
pub(super) struct Notes {
    /// The numbers of what was observed, by [`Kept::observed_id`].
    numbers: HashMap<usize, u64>,
}

impl Notes {
    /// The records of an answer: what was observed where that is new, and what came of the state.
    pub(super) fn of(
        &mut self,
        key: u128,
        kept: &Kept,
        failed: bool,
        recovery: RecoveryNote,
    ) -> Vec<Record> {
        let mut notes = Vec::new();
        let next = self.numbers.len() as u64;
        let number = *self.numbers.entry(kept.observed_id()).or_insert(next);
        if number == next {
            let mut observed = Box::new(kept.observed());
            observed.recovery = None;
            notes.push(Note::Observed { number, observed });
        }
        notes.push(Note::State(StateNote {
            key: format!("{key:032x}"),
            observation: number,
            recovered_in: kept.recovery,
            took: kept.took,
            output: match failed {
                true => kept.output.to_string(),
                false => String::new(),
            },
            recovery,
            forked: kept.forked,
            follow_up: kept.follow_up.as_deref().cloned(),
        }));
        notes.iter().filter_map(Note::record).collect()
    }

    /// The record that forked targets show something else.
    pub(super) fn fork_differs(why: &str) -> Option<Record> {
        let fork_differs = why.to_owned();
        Note::ForkDiffers { fork_differs }.record()
    }
}

impl Note {
    /// None for what cannot be written: it is not known when the run is resumed, and is tried again.
    fn record(&self) -> Option<Record> {
        let state = serde_json::to_value(self).ok()?;
        Some(Record::Progress(ProgressMark { state }))
    }
}

/// What is known of a state.
struct KnownState {
    observed: Arc<Observed>,
    note: StateNote,
}

impl KnownState {
    /// What the worker answered.
    fn attempt(&self) -> Attempt {
        let mut observed = Observed::clone(&self.observed);
        observed.recovery = self.note.recovered_in;
        Attempt {
            observed,
            output: self.note.output.clone(),
            took: self.note.took,
            recovery: None,
            forked: self.note.forked,
            differs: None,
            reads: None,
            follow_up: self.note.follow_up.clone(),
        }
    }
}

/// What is known of states from the notes in a run file.
#[derive(Default)]
pub struct KnownStates {
    /// By number. A resumed run counts from 0 again, so the last one of a number counts for the
    /// states behind it.
    observed: HashMap<u64, Arc<Observed>>,
    states: HashMap<u128, KnownState>,
}

impl KnownStates {
    /// Takes the next note. A state whose note cannot be read is tried again.
    pub fn note(&mut self, mark: ProgressMark) {
        match serde_json::from_value::<Note>(mark.state) {
            Ok(Note::Observed { number, observed }) => {
                self.observed.insert(number, Arc::new(*observed));
            }
            Ok(Note::State(note)) => {
                let key = u128::from_str_radix(&note.key, 16).ok();
                let observed = self.observed.get(&note.observation).cloned();
                if let (Some(key), Some(observed)) = (key, observed) {
                    self.states.insert(key, KnownState { observed, note });
                }
            }
            Ok(Note::ForkDiffers { .. }) => self.forget_forked(),
            Err(_) => {}
        }
    }

    /// Knows no longer what forked targets showed.
    pub fn forget_forked(&mut self) {
        self.states.retain(|_, state| !state.note.forked);
    }

    /// How many states are known.
    pub fn len(&self) -> usize {
        self.states.len()
    }

    /// True when none is.
    pub fn is_empty(&self) -> bool {
        self.states.is_empty()
    }
}

/// Workers that answer what is known at once, and have the rest tried by others.
pub struct KnownWorkers<'a> {
    inner: &'a dyn Workers,
    known: KnownStates,
    ready: Mutex<VecDeque<Answer>>,
}

impl<'a> KnownWorkers<'a> {
    /// Over workers that try what is not known.
    pub fn new(inner: &'a dyn Workers, known: KnownStates) -> Self {
        Self {
            inner,
            known,
            ready: Mutex::default(),
        }
    }

    /// A recovery that was kept to be crashed is recorded again; all else is as it was.
    fn with_what_is_known(&self, mut answer: Answer) -> Answer {
        if let (Some(known), Ok(attempt)) = (self.known.states.get(&answer.key), &mut answer.result)
        {
            *attempt = Attempt {
                recovery: attempt.recovery.take(),
                differs: attempt.differs.take(),
                ..known.attempt()
            };
        }
        answer
    }
}

impl Workers for KnownWorkers<'_> {
    fn count(&self) -> usize {
        self.inner.count()
    }

    fn submit(&self, disk: CrashDisk) {
        match self.known.states.get(&disk.key) {
            Some(known) if known.note.recovery != RecoveryNote::Kept => {
                self.ready.lock().push_back(Answer {
                    key: disk.key,
                    result: Ok(known.attempt()),
                });
            }
            _ => self.inner.submit(disk),
        }
    }

    fn submit_noting(&self, disk: CrashDisk) {
        // What was read is not kept in a run file.
        self.inner.submit_noting(disk);
    }

    fn reply(&self, wait: Duration) -> Reply {
        if let Some(answer) = self.ready.lock().pop_front() {
            return Reply::Answer(Box::new(answer));
        }
        match self.inner.reply(wait) {
            Reply::Answer(answer) => Reply::Answer(Box::new(self.with_what_is_known(*answer))),
            other => other,
        }
    }

    fn try_now(&self, disk: &CrashDisk) -> Result<Attempt, HarnessFailed> {
        self.inner.try_now(disk)
    }

    fn check_now(&self, disk: &CrashDisk) -> Result<Option<Observed>, HarnessFailed> {
        self.inner.check_now(disk)
    }

    fn try_patiently(&self, disk: &CrashDisk) -> Result<Option<Attempt>, HarnessFailed> {
        self.inner.try_patiently(disk)
    }

    fn stop_forking(&self, why: Option<&str>) {
        self.inner.stop_forking(why);
    }

    fn abandon(&self) {
        self.inner.abandon();
    }

    fn knows(&self, key: u128) -> Option<RecoveryNote> {
        let known = self.known.states.get(&key);
        known.map(|known| known.note.recovery)
    }
}
