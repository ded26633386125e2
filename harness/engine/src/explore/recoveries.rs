//! Recoveries that wait to be crashed in turn.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;

use plugpull_crashsim::fs::{Log, Record, Tree};
use plugpull_reports::LeftOut;
use plugpull_workloads::ReadBack;

use super::crash::{Crash, CrashModel, RecoveryTrace};
use super::enumerator::{Candidate, Enumerated, StateEnumerator, StateSpace};
use super::grouping::change;
use super::names::pattern;
use super::oracle::Oracle;
use super::tally::RecoveryTally;

/// What a started target's recovery does after a crash; none where that is not known.
pub(super) type StartedRecovery<'r> = &'r dyn Fn(&Crash) -> Option<EndedRecovery>;

/// What a recovery did, and what was read back behind it.
pub(super) struct EndedRecovery {
    pub(super) log: Log,
    pub(super) state: Option<ReadBack>,
}

/// Recoveries that do the same and are crashed, whatever came before them.
const SAME_KIND: u32 = 2;
/// Different states that one recovery gives at most.
const OF_ONE_RECOVERY: usize = 16;

/// Changes of files, without numbers, counts and order.
type Changes = BTreeSet<(String, String)>;

/// Recoveries that do the same: the same operations on the same files.
#[derive(Default)]
struct RecoveryKind {
    kept: u32,
    crashed: u32,
    /// What the crash before one of them lost, and behind which operation it was: a recovery that does the
    /// same may do it to something else.
    after: HashSet<Changes>,
}

/// The recoveries of an exploration. Of those that wait one of a kind that was crashed least is next, and of
/// these the one that was judged first; those of the time before the first ack come last.
pub(super) struct Recoveries {
    /// How deep crashes go: 0 for the recorded run alone.
    depth: u32,
    kinds: BTreeMap<Changes, RecoveryKind>,
    waiting: Vec<(Changes, Arc<RecoveryTrace>)>,
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
            kinds: BTreeMap::new(),
            waiting: Vec::new(),
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

    /// Keeps what a recovery did and what was read back behind it, to be crashed, unless it `failed` by itself or enough of its kind were. The
    /// crash before it came behind the operation `behind`. Returns whether it was kept. What a forked target
    /// did is not crashed: `started` says what a started one does, or (none) that this is one.
    pub(super) fn consider(
        &mut self,
        after: Candidate,
        (log, state): (Log, impl FnOnce() -> Option<ReadBack>),
        failed: bool,
        behind: Option<(&str, &str)>,
        started: Option<StartedRecovery<'_>>,
    ) -> bool {
        self.tally.seen += 1;
        if failed || after.crash.depth() >= self.depth {
            return false;
        }
        let does = changes(log.records().iter().map(done));
        let lost = after.crash.lost.iter();
        let lost = lost.map(|lost| (change(&lost.what), &*lost.path));
        let before = changes(lost.chain(behind));
        let kind = self.kinds.entry(does.clone()).or_default();
        let wanted = !kind.after.contains(&before) || kind.kept < SAME_KIND;
        // What a started target does instead of a forked one.
        let ended = match started {
            Some(started) if wanted => started(&after.crash),
            _ => wanted.then(|| EndedRecovery {
                log,
                state: state(),
            }),
        };
        let kept = ended.is_some();
        if let Some(EndedRecovery { log, state }) = ended {
            kind.after.insert(before);
            kind.kept += 1;
            let recovery = RecoveryTrace {
                after: after.crash,
                position: after.position,
                digest: after.digest,
                log,
                served: state.and_then(Result::ok).map(Arc::new),
            };
            self.waiting.push((does, Arc::new(recovery)));
        } else {
            self.left_out.recoveries += 1;
        }
        kept
    }

    /// The recovery that is crashed next: where something is `at_stake`, of a kind that was crashed least.
    fn take_next(&mut self, at_stake: impl Fn(&Crash) -> bool) -> Option<Arc<RecoveryTrace>> {
        let crashed = |does: &Changes| self.kinds.get(does).map_or(0, |kind| kind.crashed);
        let waiting = self.waiting.iter().enumerate();
        let (next, _) = waiting
            .min_by_key(|(_, (does, recovery))| (!at_stake(&recovery.after), crashed(does)))?;
        let (does, recovery) = self.waiting.remove(next);
        self.kinds.entry(does).or_default().crashed += 1;
        Some(recovery)
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
            && let Some(recovery) = self.take_next(|after| oracle.at_stake(after.first().point))
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

fn done(record: &Record) -> (&str, &str) {
    (record.op.name(), &record.path)
}

/// Each change once: thousands of them are of the same few files.
fn changes<'c>(all: impl Iterator<Item = (&'c str, &'c str)>) -> Changes {
    let different: HashSet<(&str, &str)> = all.collect();
    let different = different.into_iter();
    different
        .map(|(change, path)| (change.to_owned(), pattern(path)))
        .collect()
}

#[cfg(test)]
mod tests {
    use plugpull_crashsim::file::{File as _, SimDisk, Storage as _};
    use plugpull_crashsim::persist::{LossSet, LostUpdate};

    use super::super::crash::Crash;
    use super::*;

    /// A recovery that wrote to this file, after a crash that lost something of that one.
    fn recovery(wrote: &str, lost: &str) -> (Candidate, Log) {
        let disk = SimDisk::new();
        let file = disk.create(wrote).expect("a file");
        file.write_at(0, b"again").expect("a write");
        let lost = LostUpdate {
            seq: 0,
            path: lost.into(),
            what: "write of 512 bytes at 0".into(),
            torn: false,
        };
        let crash = Crash {
            model: 0,
            point: 1,
            loss: LossSet::default(),
            lost: vec![lost],
            within: None,
        };
        let candidate = Candidate {
            crash,
            digest: 0,
            key: 0,
            position: 0,
            again: false,
        };
        (candidate, disk.take_log())
    }

    #[test]
    fn what_was_lost_before_a_recovery_makes_it_one_of_its_own() {
        let mut recoveries = Recoveries::new(1);
        let mut kept = |wrote, lost| {
            let (after, log) = recovery(wrote, lost);
            recoveries.consider(after, (log, || None), false, None, None)
        };
        // Two that do the same are kept, whatever was lost, and then those before which something else was.
        let first = [("db", "db"), ("db", "db"), ("db", "db"), ("db", "db-7")];
        assert_eq!(
            first.map(|(wrote, lost)| kept(wrote, lost)),
            [true, true, false, true]
        );
        let next = [("db", "db-8"), ("log", "db"), ("db", "log")];
        assert_eq!(
            next.map(|(wrote, lost)| kept(wrote, lost)),
            [false, true, true]
        );
        // The other kind had no turn yet when the first had one.
        let order: Vec<String> = std::iter::from_fn(|| recoveries.take_next(|_| true))
            .map(|one| one.log.records()[0].path.to_string())
            .collect();
        assert_eq!(order, ["db", "log", "db", "db", "db"]);
    }
}
