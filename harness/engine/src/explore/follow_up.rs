//! What follows on the first recovery of a crash state, and how what that shows is judged.
//!
//! It is judged only where the first read-back kept every promise, so what it finds is a bug that the first
//! read-back does not show.

use std::collections::BTreeMap;
use std::sync::Arc;

use plugpull_workloads::{
    Call, Entry, FailureClass, Finding, FindingPart, FollowUp, History, Observed, Op, Outcome,
    PartKind, Promise, ReadBack, Stamp, Start, Txn, Value, Write, beginning, judge,
};
use serde::{Deserialize, Serialize};

/// How many transactions a second life writes.
const TRANSACTIONS: usize = 4;

/// One call of a second life.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LifeCall {
    /// Who makes it.
    pub client: u32,
    /// What is asked.
    pub call: Call,
}

/// What is done with a state once its first recovery was read back.
#[derive(Clone, Debug)]
pub struct FollowUpPlan {
    /// What.
    pub follow_up: FollowUp,
    /// The calls of a second life, which each state gets alike.
    pub life: Arc<[LifeCall]>,
}

impl FollowUpPlan {
    /// It is killed and started again.
    pub fn second_restart() -> Self {
        Self {
            follow_up: FollowUp::SecondRestart,
            life: Arc::new([]),
        }
    }
}

/// What the clients of a second life write: the last transactions of the recorded run that were
/// acknowledged, with values of their own, so that keys, sizes and deletes are those that the target knows;
/// and a barrier where that run had any.
pub(super) fn second_life(recorded: &History) -> Arc<[LifeCall]> {
    let acked = |entry: &Entry| matches!(entry.done, Some((_, Outcome::Ok)));
    let txn = |entry: &Entry| match &entry.call {
        Call::Txn(txn) => Some(txn.clone()),
        Call::Barrier => None,
    };
    let all = recorded.entries.iter();
    let last = all.clone().filter_map(txn).map(|txn| txn.id).max();
    let wanted = all.clone().rev().filter(|entry| acked(entry));
    let wanted = wanted.filter_map(txn).filter(|txn| !txn.abort);
    let mut wanted: Vec<Arc<Txn>> = wanted.take(TRANSACTIONS).collect();
    wanted.reverse();
    let mut calls: Vec<LifeCall> = (last.unwrap_or_default() + 1..)
        .zip(wanted)
        .map(|(id, txn)| LifeCall {
            client: txn.client,
            call: Call::Txn(Arc::new(renamed(&txn, id))),
        })
        .collect();
    let barrier = all.clone().any(|entry| entry.call == Call::Barrier);
    let client = calls.last().filter(|_| barrier).map(|last| last.client);
    calls.extend(client.map(|client| LifeCall {
        client,
        call: Call::Barrier,
    }));
    calls.into()
}

/// The same transaction with another name, and so with other values.
fn renamed(txn: &Txn, id: u64) -> Txn {
    let renamed = |(index, op): (usize, &Op)| Op {
        key: op.key.clone(),
        write: match &op.write {
            Write::Delete => Write::Delete,
            Write::Put(text) => {
                let known = Value::of(&text.text());
                let payload = known.map_or(text.size(), |known| known.payload);
                Write::Put(
                    Value {
                        txn: id,
                        op: index,
                        payload,
                    }
                    .into(),
                )
            }
        },
    };
    Txn {
        id,
        ops: txn.ops.iter().enumerate().map(renamed).collect(),
        ..txn.clone()
    }
}

/// What a follow-up showed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FollowedUp {
    /// What was done.
    pub follow_up: FollowUp,
    /// What that showed.
    pub shown: Shown,
}

/// What a target showed when it was followed up.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Shown {
    /// It could not be done, for this reason. Nothing is known.
    NotDone(String),
    /// The same as after the first recovery.
    AsBefore,
    /// Something else than after the first recovery, though nothing was written.
    Other(Box<Observed>),
    /// What it showed in the end, of which these are the calls in between.
    Life {
        /// The calls, on a clock that begins with them.
        calls: History,
        /// What it then showed.
        observed: Box<Observed>,
    },
    /// What was promised. No more is kept of it.
    Kept,
}

/// What findings are judged by: the promises, the class of the crash, what was called before it, and when
/// it was.
#[derive(Clone, Copy)]
pub struct Basis<'a> {
    /// What the target is held to.
    pub promises: &'a [Promise],
    /// What the machine suffered.
    pub class: FailureClass,
    /// Every call before the crash.
    pub history: &'a History,
    /// The moment of the crash.
    pub crash: Stamp,
}

impl FollowedUp {
    /// That a start with no writes in between showed this; `first` is what the first recovery did.
    pub fn again(follow_up: FollowUp, first: &Observed, then: Observed) -> Self {
        let comparable = |observed: &Observed| Observed {
            recovery: None,
            second: None,
            ..observed.clone()
        };
        let shown = match comparable(first) == comparable(&then) {
            true => Shown::AsBefore,
            false => Shown::Other(Box::new(then)),
        };
        Self { follow_up, shown }
    }

    /// That it could not be done.
    pub fn not_done(follow_up: FollowUp, why: impl Into<String>) -> Self {
        let shown = Shown::NotDone(why.into());
        Self { follow_up, shown }
    }

    /// All that its findings are about; none where there can be none.
    pub fn seen(&self, first: &Observed) -> Option<Observed> {
        match &self.shown {
            Shown::NotDone(_) | Shown::AsBefore | Shown::Kept => None,
            Shown::Other(then) => Some(Observed {
                second: Some(second(then)),
                recovery: None,
                ..first.clone()
            }),
            Shown::Life { observed, .. } => Some(Observed {
                recovery: None,
                // Events of the first life are none of the calls that this is held to.
                log: observed.log.clone().filter(Result::is_err),
                ..Observed::clone(observed)
            }),
        }
    }

    /// The promises that it shows to be broken, where what the target showed at `first` breaks none.
    pub fn judge(&self, first: &Observed, by: Basis<'_>) -> Vec<Finding> {
        let Some(seen) = self.seen(first) else {
            return Vec::new();
        };
        let again = |observed: &Observed| {
            let (crash, class) = (Some(by.crash), by.class);
            judge(by.history, observed, by.promises, class, crash, None).findings
        };
        let mut findings = match &self.shown {
            Shown::Life { calls, .. } => lived(calls, first, &seen, by.promises),
            _ => again(&seen),
        };
        if let Shown::Other(then) = &self.shown
            && findings.is_empty()
        {
            // The same data, and what else is wrong.
            findings = again(&Observed {
                recovery: None,
                ..Observed::clone(then)
            });
        }
        for finding in &mut findings {
            finding.follow_up = Some(self.follow_up);
            let before = self.follow_up.describe();
            finding.sentence = format!("{before}: {}", finding.sentence);
            finding
                .parts
                .push(FindingPart::new(PartKind::Before, before));
        }
        findings
    }

    /// What a second start showed that nothing was written before; none where there was no such start.
    pub fn second(&self, first: &Observed) -> Option<ReadBack> {
        match &self.shown {
            Shown::AsBefore => first.state.clone(),
            Shown::Other(then) => Some(second(then)),
            _ => None,
        }
    }

    /// Forgets what it showed, once that broke no promise.
    pub fn settle(&mut self) {
        if matches!(self.shown, Shown::Life { .. }) {
            self.shown = Shown::Kept;
        }
    }
}

/// What a second start showed, as a read-back.
fn second(then: &Observed) -> ReadBack {
    match (&then.start, &then.state) {
        (Start::Started, Some(state)) => state.clone(),
        (Start::Refused { message }, _) => Err(message.clone()),
        (start, _) => Err(format!("{start:?}")),
    }
}

/// Holds what a second life left to what it began with and what was acknowledged in it: its end was a kill,
/// whatever came before.
fn lived(calls: &History, first: &Observed, seen: &Observed, promises: &[Promise]) -> Vec<Finding> {
    let Some(Ok(state)) = &first.state else {
        return Vec::new();
    };
    let mut history = calls.clone();
    let began: BTreeMap<String, String> = state.clone();
    history
        .entries
        .insert(0, beginning(began, Stamp::default()));
    let end = calls.entries.iter();
    let end = end.filter_map(|entry| entry.done.as_ref().map(|(at, _)| *at));
    let end = end.max();
    judge(
        &history,
        seen,
        promises,
        FailureClass::ProcessCrash,
        end,
        None,
    )
    .findings
}
