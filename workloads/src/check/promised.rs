//! What a target promises for one trial: the promises for its class of failure, which of them a
//! kind of finding breaks, and which acknowledged transactions are required.

use std::time::Duration;

use super::facts::Facts;
use crate::{
    Call, Damage, Durability, FailureClass, FindingKind, Guarantee, History, Outcome, Promise,
    Stamp,
};

/// The promises that cover the class of failure of a trial.
pub(super) struct Promised {
    pub(super) class: FailureClass,
    /// The target's own come first, so that a demand is only cited where the target kept its own.
    pub(super) promises: Vec<Promise>,
    /// What survives the process's death, which comes before damage at rest can: nothing is safer
    /// from damage than from that. At the ack, where nothing is promised for it.
    before_damage: Durability,
    /// True for [`Promised::everything`].
    pub(super) is_everything: bool,
}

impl Promised {
    /// The promises that cover `class`, and the bound as one more that the user demands.
    pub(super) fn new(
        promises: &[Promise],
        class: FailureClass,
        recovery_bound: Option<Duration>,
    ) -> Self {
        let mut covering: Vec<Promise> = promises
            .iter()
            .filter(|p| p.classes.contains(&class))
            .cloned()
            .collect();
        if let Some(bound) = recovery_bound {
            let ms = bound.as_nanos().div_ceil(1_000_000);
            covering.push(Promise {
                classes: vec![class],
                guarantee: Guarantee::RecoversWithinMs(u64::try_from(ms).unwrap_or(u64::MAX)),
                words: "demanded on the command line".into(),
                source: "--recovery-bound".into(),
                demanded: true,
            });
        }
        covering.sort_by_key(|p| p.demanded);
        let before_damage = promises
            .iter()
            .filter(|p| !p.demanded && p.classes.contains(&FailureClass::ProcessCrash))
            .find_map(|p| match p.guarantee {
                Guarantee::Durable(durability) => Some(durability),
                _ => None,
            });
        Self {
            class,
            promises: covering,
            before_damage: before_damage.unwrap_or(Durability::AtAck),
            is_everything: false,
        }
    }

    /// All that a perfect store would keep: to tell what was seen where it is not judged.
    pub(super) fn everything(class: FailureClass) -> Self {
        let promises = [
            Guarantee::Durable(Durability::AtAck),
            Guarantee::Atomic,
            Guarantee::Consistent,
        ]
        .map(|guarantee| Promise {
            classes: vec![class],
            guarantee,
            words: String::new(),
            source: String::new(),
            demanded: true,
        });
        Self {
            class,
            promises: promises.into(),
            before_damage: Durability::AtAck,
            is_everything: true,
        }
    }

    /// The first promise of this guarantee.
    pub(super) fn first(&self, wanted: impl Fn(Guarantee) -> bool) -> Option<&Promise> {
        self.promises.iter().find(|p| wanted(p.guarantee))
    }

    /// Whether only data that was written may be served: [`Guarantee::Consistent`], or
    /// [`Guarantee::Detects`], which refuses to serve anything else.
    pub(super) fn serves_only_written(&self) -> bool {
        self.first(|g| matches!(g, Guarantee::Consistent | Guarantee::Detects))
            .is_some()
    }

    /// The promise that a finding of this kind breaks; none where nothing forbids it. Kinds that
    /// depend on a transaction or a time are judged where these are known.
    pub(super) fn broken_by(&self, kind: FindingKind) -> Option<&Promise> {
        let order: &[fn(Guarantee) -> bool] = match kind {
            FindingKind::TornTransaction => &[atomic],
            FindingKind::PrefixHole => &[prefix],
            FindingKind::MissingEvent
            | FindingKind::StrayEvent
            | FindingKind::EventOrder
            | FindingKind::StateNotReplayed => &[event_log],
            FindingKind::VersionGap => &[versions],
            // Damage that is served as data is what `Detects` is about.
            FindingKind::Phantom | FindingKind::WrongValue
                if self.class == FailureClass::Corruption =>
            {
                &[detects, consistent]
            }
            FindingKind::Phantom | FindingKind::WrongValue => &[consistent, detects],
            FindingKind::Unreadable | FindingKind::NotRepeatable | FindingKind::StaysDown => {
                &[consistent]
            }
            // What never comes up keeps neither its data nor its time.
            FindingKind::WillNotStart => &[consistent, durable, recovers],
            FindingKind::Hung => &[recovers, consistent, durable],
            FindingKind::TooSlow => &[recovers],
            FindingKind::LostAck | FindingKind::Resurrected => &[durable, detects],
            // Only the other guarantees together make an order impossible.
            FindingKind::Inconsistent => &[consistent, atomic, durable, prefix, detects],
        };
        order.iter().find_map(|wanted| self.first(wanted))
    }

    /// For each transaction the index in `promises` of the one that requires it; none where it may be gone.
    pub(super) fn required(
        &self,
        facts: &Facts<'_>,
        history: &History,
        crash: Option<Stamp>,
        damage: &Damage,
    ) -> Vec<Option<usize>> {
        let crash = crash.unwrap_or_else(|| last_stamp(history));
        let excused_by_own = self
            .promises
            .iter()
            .any(|p| !p.demanded && durable(p.guarantee));
        let damaged =
            self.class == FailureClass::Corruption || matches!(damage, Damage::SingleCopy { .. });
        let mut required = vec![None; facts.txns.len()];
        for (index, promise) in self.promises.iter().enumerate() {
            let kept = match promise.guarantee {
                Guarantee::Durable(durability) => safe(durability, facts, history, crash),
                // Damaged data that is silently gone was not refused. A promise of durability for
                // the same failure says what may be gone; without one, the one for the death of the
                // process.
                Guarantee::Detects if damaged && !excused_by_own => {
                    safe(self.before_damage, facts, history, crash)
                }
                _ => continue,
            };
            for (slot, kept) in required.iter_mut().zip(kept) {
                if kept && slot.is_none() {
                    *slot = Some(index);
                }
            }
        }
        required
    }
}

fn atomic(g: Guarantee) -> bool {
    g == Guarantee::Atomic
}
fn event_log(g: Guarantee) -> bool {
    g == Guarantee::EventLog
}
fn versions(g: Guarantee) -> bool {
    g == Guarantee::Versions
}
fn prefix(g: Guarantee) -> bool {
    g == Guarantee::Prefix
}
fn consistent(g: Guarantee) -> bool {
    g == Guarantee::Consistent
}
fn detects(g: Guarantee) -> bool {
    g == Guarantee::Detects
}
fn durable(g: Guarantee) -> bool {
    matches!(g, Guarantee::Durable(_))
}
fn recovers(g: Guarantee) -> bool {
    matches!(g, Guarantee::RecoversWithinMs(_))
}

/// For each transaction whether this durability makes it safe from a crash at `crash`.
fn safe(durability: Durability, facts: &Facts<'_>, history: &History, crash: Stamp) -> Vec<bool> {
    let acks = facts.txns.iter().map(|fact| fact.ack);
    match durability {
        Durability::AtAck => acks.map(|ack| ack.is_some()).collect(),
        Durability::AllButLast(n) => {
            // Acks of several clients need not arrive in the order of the commits. What was
            // called for after an ack was certainly committed later.
            let acked = |ack: Option<Stamp>| ack.is_some_and(|ack| ack <= crash);
            let mut calls: Vec<Stamp> = facts
                .txns
                .iter()
                .filter(|fact| acked(fact.ack))
                .map(|fact| fact.invoked)
                .collect();
            calls.sort_unstable();
            let later = |ack: Stamp| calls.len() - calls.partition_point(|call| *call <= ack);
            acks.map(|ack| acked(ack) && ack.is_some_and(|ack| later(ack) >= n as usize))
                .collect()
        }
        Durability::AtBarrier => {
            // Of several barriers the last one to be called covers what the others do.
            let barrier =
                history.entries.iter().enumerate().rev().find(|(_, e)| {
                    e.call == Call::Barrier && matches!(e.done, Some((_, Outcome::Ok)))
                });
            let covered = |fact: &super::facts::Fact<'_>| {
                fact.ack
                    .zip(barrier)
                    .is_some_and(|(ack, (entry, barrier))| {
                        ack < barrier.invoked
                            || (fact.txn.client == barrier.client && fact.entry < entry)
                    })
            };
            facts.txns.iter().map(covered).collect()
        }
        Durability::WithinMs(ms) => {
            let age = ms.saturating_mul(1_000_000);
            let old = |ack: Stamp| ack <= crash && ack.nanos.saturating_add(age) <= crash.nanos;
            acks.map(|ack| ack.is_some_and(old)).collect()
        }
    }
}

/// The last moment that a history knows of.
fn last_stamp(history: &History) -> Stamp {
    let stamps = |e: &crate::Entry| e.done.as_ref().map_or(e.invoked, |(at, _)| *at);
    history.entries.iter().map(stamps).max().unwrap_or_default()
}
