//! Recoveries that wait to be crashed in turn.

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::sync::Arc;

use plugpull_crashsim::fs::{Log, Tree};
use plugpull_reports::LeftOut;

use super::crash::{Crash, CrashModel, RecoveryTrace};
use super::enumerator::{Candidate, Enumerated, StateEnumerator, StateSpace};
use super::oracle::Oracle;
use super::tally::RecoveryTally;

/// What a started target's recovery does after a crash; none where that is not known.
pub(super) type StartedRecovery<'r> = &'r dyn Fn(&Crash) -> Option<Log>;

/// Recoveries of one kind that are crashed.
const SAME_KIND: u32 = 2;
/// Different states that one recovery gives at most.
const OF_ONE_RECOVERY: usize = 16;

/// The recoveries of an exploration, in the order in which they were judged.
pub(super) struct Recoveries {
    /// How deep crashes go: 0 for the recorded run alone.
    depth: u32,
    /// How many of each kind were crashed.
    kinds: HashMap<BTreeSet<(&'static str, String)>, u32>,
    waiting: VecDeque<Arc<RecoveryTrace>>,
    /// States of recoveries that are not among those of the recorded run.
    seen: HashSet<u128>,
    tally: RecoveryTally,
    left_out: LeftOut,
}

impl Recoveries {
    /// None yet; crashes go so many recoveries deep.
    pub(super) fn new(depth: u32) -> Self {
        Self {
            depth,
            kinds: HashMap::new(),
            waiting: VecDeque::new(),
            seen: HashSet::new(),
            tally: RecoveryTally::default(),
            left_out: LeftOut::default(),
        }
    }

    /// Counts a recovery that an earlier part of this run did not keep: because it `failed` by itself,
    /// or was as deep as crashes go, or else because enough of its kind were kept.
    pub(super) fn pass(&mut self, failed: bool, depth: u32) {
        self.tally.seen += 1;
        self.left_out.recoveries += u64::from(!failed && depth < self.depth);
    }

    /// What limits have cut off so far.
    pub(super) fn left_out(&self) -> LeftOut {
        self.left_out
    }

    /// Keeps what a recovery did, to be crashed, unless it `failed` by itself or enough of its kind
    /// were. Returns whether it was kept. What a forked target did is not crashed: `started` says what a
    /// started one does, or (none) that this is one.
    pub(super) fn consider(
        &mut self,
        after: Candidate,
        log: Log,
        failed: bool,
        started: Option<StartedRecovery<'_>>,
    ) -> bool {
        self.tally.seen += 1;
        if failed || after.crash.depth() >= self.depth {
            return false;
        }
        let mut recovery = RecoveryTrace {
            after: after.crash,
            position: after.position,
            digest: after.digest,
            log,
        };
        let count = self.kinds.entry(recovery.kind()).or_default();
        let mut kept = *count < SAME_KIND;
        if kept && let Some(started) = started {
            match started(&recovery.after) {
                Some(log) => recovery.log = log,
                None => kept = false,
            }
        }
        if kept {
            *count += 1;
            self.waiting.push_back(Arc::new(recovery));
        } else {
            self.left_out.recoveries += 1;
        }
        kept
    }

    /// True when none waits.
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// True when a state was made of a recovery.
    pub(super) fn has_seen(&self, key: u128) -> bool {
        self.seen.contains(&key)
    }

    /// New states of recoveries that wait, about so many; `recorded` are the states of the recorded
    /// run.
    pub(super) fn states(
        &mut self,
        about: u64,
        recorded: &HashSet<u128>,
        oracle: &Oracle<'_>,
    ) -> Vec<(Candidate, Tree)> {
        let mut all = Vec::new();
        while (all.len() as u64) < about
            && let Some(recovery) = self.waiting.pop_front()
        {
            let before = all.len();
            let indexes = CrashModel::indexes(oracle.models, &recovery.log, oracle.device);
            let space = StateSpace {
                indexes: &indexes,
                ..oracle.space()
            };
            let mut states = StateEnumerator::of_recovery(&recovery, space, recovery.after.point);
            while all.len() < before + OF_ONE_RECOVERY
                && let Some(Enumerated {
                    candidate, tree, ..
                }) = states.next(&mut self.seen)
            {
                let tree = tree.filter(|_| !recorded.contains(&candidate.key));
                all.extend(tree.map(|tree| (candidate, tree)));
            }
            let cut = all.len() - before >= OF_ONE_RECOVERY && !states.is_over();
            self.left_out.cut_recoveries += u64::from(cut);
            self.left_out.add(&states.left_out());
            self.tally.crashed += 1;
            self.tally.distinct += (all.len() - before) as u64;
        }
        all
    }

    /// What was covered of them.
    pub(super) fn tally(&self) -> RecoveryTally {
        self.tally
    }
}
