//! The history: every call a client made, and what came back, on the clock of the trace.

use std::sync::Arc;

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use crate::{Txn, TxnId};

/// A moment: a position in the trace, and the time since the trial began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Stamp {
    /// Sequence number on the trace's clock: every storage operation with a smaller number
    /// was complete at this moment.
    pub seq: u64,
    /// Nanoseconds since the trial began.
    pub nanos: u64,
}

/// Tells the moment. The crash filesystem's log is one; tests bring their own.
pub trait Clock: Send + Sync {
    /// The moment now. Never goes back.
    fn now(&self) -> Stamp;

    /// The moment now, at which this transaction's ack has been received. A clock that belongs
    /// to a trace marks it there.
    fn acked(&self, _txn: TxnId) -> Stamp {
        self.now()
    }
}

/// What came back from a call, in Jepsen's words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// It happened.
    Ok,
    /// It certainly did not happen; with what the target said.
    Fail(String),
    /// Nobody knows whether it happened; with why.
    Info(String),
}

/// What a client asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Call {
    /// A transaction.
    Txn(Arc<Txn>),
    /// "Make durable all that was acknowledged before": an anchor, a flush, a checkpoint.
    Barrier,
}

/// One call and its outcome.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Who called.
    pub client: u32,
    /// What was asked.
    pub call: Call,
    /// When the call was made.
    pub invoked: Stamp,
    /// When its outcome was known, and the outcome; none while it is under way.
    pub done: Option<(Stamp, Outcome)>,
}

/// Every call of a trial, in the order of invocation. A client has one call under way at most,
/// so the entries of one client are in its program order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct History {
    /// The calls.
    pub entries: Vec<Entry>,
}

impl History {
    /// How many transactions were acknowledged.
    pub fn acked(&self) -> usize {
        self.entries
            .iter()
            .filter(|e| matches!(e.call, Call::Txn(_)) && matches!(e.done, Some((_, Outcome::Ok))))
            .count()
    }
}

/// Writes the history down while clients run, from any thread.
pub struct Recorder {
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
}

struct State {
    history: History,
    crashed: bool,
}

impl Recorder {
    /// An empty history on this clock.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            clock,
            state: Mutex::new(State {
                history: History::default(),
                crashed: false,
            }),
        }
    }

    /// Notes that a call is made now, and returns its index.
    pub fn invoke(&self, client: u32, call: Call) -> usize {
        let mut state = self.state.lock();
        let invoked = self.clock.now();
        state.history.entries.push(Entry {
            client,
            call,
            invoked,
            done: None,
        });
        state.history.entries.len() - 1
    }

    /// Notes what came back from the call at `index`, now, and returns what was noted. After
    /// [`Recorder::crash`] every answer is kept as `Info`: it may have been sent when the machine
    /// had died already, and may be about a disk that was no more.
    pub fn complete(&self, index: usize, outcome: Outcome) -> Outcome {
        let mut state = self.state.lock();
        let outcome = match outcome {
            Outcome::Ok if state.crashed => Outcome::Info("answered after the crash".into()),
            Outcome::Fail(text) if state.crashed => Outcome::Info(text),
            other => other,
        };
        let now = match (&outcome, &state.history.entries[index].call) {
            (Outcome::Ok, Call::Txn(txn)) => self.clock.acked(txn.id),
            _ => self.clock.now(),
        };
        state.history.entries[index].done = Some((now, outcome.clone()));
        outcome
    }

    /// From here on no ack counts, until [`Recorder::restarted`].
    pub fn crash(&self) {
        self.state.lock().crashed = true;
    }

    /// The target runs again: acks count again.
    pub fn restarted(&self) {
        self.state.lock().crashed = false;
    }

    /// How many transactions were acknowledged so far.
    pub fn acked(&self) -> usize {
        self.state.lock().history.acked()
    }

    /// A copy of the history as it is now.
    pub fn history(&self) -> History {
        self.state.lock().history.clone()
    }
}
