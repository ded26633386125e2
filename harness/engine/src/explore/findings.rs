//! The findings of an exploration: each failing trial is counted to a cause, and minimised where
//! its cause is new.

use std::collections::HashSet;
use std::time::Instant;

use plugpull_workloads::FindingKind;

use super::crash::Crash;
use super::grouping::{Cause, Group, Grouping, Groups};
use super::minimise::Minimise;
use super::retry::Retry;
use super::trial_log::{FoundGroup, Sink};

/// Counts findings to causes.
pub(super) struct Findings {
    grouping: Box<dyn Grouping>,
    minimise: Box<dyn Minimise>,
    groups: Groups,
    /// True when there are other shards.
    shares: bool,
    /// How many states were minimised for the shards to be merged.
    minimised: u64,
    /// What failing states lacked of which one was minimised and explains the others.
    explained: HashSet<(FindingKind, u32, Cause)>,
}

impl Findings {
    /// None yet. `shares` when there are other shards.
    pub(super) fn new(
        grouping: Box<dyn Grouping>,
        minimise: Box<dyn Minimise>,
        shares: bool,
    ) -> Self {
        Self {
            grouping,
            minimise,
            groups: Groups::default(),
            shares,
            minimised: 0,
            explained: HashSet::new(),
        }
    }

    /// What of a failing state may be its cause.
    pub(super) fn signs(&self, crash: &Crash, retry: &Retry<'_>) -> Cause {
        self.grouping.signs(crash, retry.oracle)
    }

    /// Counts a finding to its cause, and minimises it where that is new: the number of the finding
    /// that it counts to. Of a shard also where no trial that lacks the same was minimised, for to the
    /// other shards it may be new; then also the place of what it was minimised to. `tried_until` is
    /// when no more states are tried: a shard then leaves what is new to others alone.
    pub(super) fn count(
        &mut self,
        (trial, crash): (u64, &Crash),
        (kind, signs): (FindingKind, &Cause),
        tried_until: Option<Instant>,
        retry: &mut Retry<'_>,
        sink: &mut dyn Sink,
    ) -> (Option<u64>, Option<u64>) {
        let depth = crash.depth();
        let known = self.groups.count(&*self.grouping, signs, kind, depth);
        let known_id = known.map(|known| known as u64);
        let alike = (kind, depth, signs.clone());
        let for_others = self.shares && !self.explained.contains(&alike);
        let late = tried_until.is_some_and(|until| Instant::now() >= until);
        if known.is_some() && (!for_others || late) {
            return (known_id, None);
        }
        let Some(minimised) = self.minimise.minimise(crash, kind, retry) else {
            return (known_id, None);
        };
        let cause = self.grouping.signs(&minimised.crash, retry.oracle);
        let group = Group::new(minimised, cause, trial);
        let mut index = None;
        if self.shares {
            if self.grouping.explains(&group.cause, signs) {
                self.explained.insert(alike);
            }
            index = Some(self.minimised);
            self.minimised += 1;
            sink.minimised(&FoundGroup {
                id: None,
                index,
                group: &group,
            });
        }
        if known.is_some() {
            return (known_id, index);
        }
        let (id, new) = self.groups.add(group);
        if new {
            sink.minimised(&FoundGroup {
                id: Some(id as u64),
                index: None,
                group: &self.groups.all()[id],
            });
        }
        (Some(id as u64), index)
    }

    /// The groups.
    pub(super) fn into_groups(self) -> Groups {
        self.groups
    }
}
