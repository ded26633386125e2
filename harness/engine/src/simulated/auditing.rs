//! The sync audit: syncs that the sound store needs are found to be needed, of a redundant pair one may go and
//! not both, and a check that notices nothing is said to be blind.

use std::sync::atomic::AtomicBool;

use plugpull_crashsim::fs::{NewSync, Op, SyncEdits};
use plugpull_crashsim::persist::Device;
use plugpull_reports::{AuditedSite, SyncAudit};
use plugpull_workloads::Promise;

use super::pool::SimulatedWorkers;
use super::store::Mutant;
use super::{Plan, explore_within, promises, recording};
use crate::explore::{CrashModel, EditedRun, Limits, Oracle, Trace};
use crate::trial::Acked;

fn plan(seed: u64) -> Plan {
    Plan {
        depth: 0,
        kill_chance: 0.0,
        commits: 6,
        states: Some(60),
        ..Plan::whole(None, seed)
    }
}

/// The audit of a trace.
fn audit(plan: &Plan, trace: &Trace, promises: &[Promise], workers: usize) -> SyncAudit {
    let device = Device::default();
    let indexes = CrashModel::indexes(&plan.models, &trace.log, device);
    let models = (&*plan.models, &*indexes);
    let oracle = Oracle::new(trace, models, device, promises, None, Acked::default());
    let workers = SimulatedWorkers::new(plan.mutants(), workers, plan.seed);
    let stop = AtomicBool::new(false);
    let limits = Limits {
        audit: true,
        ..Limits::none(0, &stop)
    };
    let explored = explore_within(plan, &oracle, &workers, None, limits);
    explored.report.sync_audit.expect("an audit")
}

fn site<'a>(audit: &'a SyncAudit, call: &str, path: &str) -> Vec<&'a AuditedSite> {
    let is_it = |site: &&AuditedSite| site.call == call && site.path == path;
    audit.sites.iter().filter(is_it).collect()
}

/// Each sync that the documentation of the store names is needed, and what can go together is sound without:
/// none of those that are needed is among it.
#[test]
fn the_syncs_of_the_sound_store_are_needed() {
    for seed in 1..=3 {
        let plan = plan(seed);
        let audit = audit(&plan, &recording::record(&plan), &promises(), 1);
        assert!(!audit.is_blind());
        for (call, path) in [("fsync", "log-#"), ("fsync", "CURRENT.tmp")] {
            let sites = site(&audit, call, path);
            let needed = sites.iter().any(|site| site.needed.is_some());
            assert!(needed, "seed {seed}: {call} of {path}: {:?}", audit.sites);
        }
        // Where the store appends and acknowledges each one of them counts.
        let after_write = |site: &&&AuditedSite| site.after == "write log-#";
        let of_commits = site(&audit, "fsync", "log-#");
        let of_commits = of_commits.iter().find(after_write).expect("commits");
        let need = of_commits.needed.as_ref().expect("needed");
        assert!(need.alone > 0 && need.alone <= need.tried_alone, "{need:?}");
        for nth in audit.together.iter().flat_map(|together| &together.sites) {
            let site = &audit.sites[*nth as usize];
            assert!(site.needed.is_none() && site.why.is_empty(), "{site:?}");
        }
    }
}

/// The run with an fdatasync behind each fsync of a file.
fn synced_twice(trace: &Trace) -> Trace {
    let mut edits = SyncEdits::default();
    for (index, record) in trace.log.records().iter().enumerate() {
        let Op::Sync {
            ino, dir: false, ..
        } = record.op
        else {
            continue;
        };
        let sync = NewSync {
            ino,
            dir: false,
            data_only: true,
            path: record.path.clone(),
        };
        edits.add_behind(index, sync);
    }
    EditedRun::of(trace, &edits).into_trace()
}

/// A bug that has nothing to do with a sync does not make it needed: the run with the sync has it too. Here a text
/// log that nobody reads is synced, and the log of the store is not: whatever is lost of the text log, what is lost
/// of the other one beside it breaks the promise.
#[test]
fn a_bug_of_another_kind_makes_no_sync_needed() {
    for seed in 1..=3 {
        let plan = Plan {
            mutant: Some(Mutant::NoLogSync),
            lines: 3,
            clients: 1,
            ..plan(seed)
        };
        let trace = recording::record(&plan);
        let mut edits = SyncEdits::default();
        for (index, record) in trace.log.records().iter().enumerate() {
            if let Op::Write { ino, .. } = record.op
                && &*record.path == "debug.txt"
            {
                let sync = NewSync {
                    ino,
                    dir: false,
                    data_only: false,
                    path: record.path.clone(),
                };
                edits.add_behind(index, sync);
            }
        }
        assert_eq!(edits.added_count(), 3);
        let synced = EditedRun::of(&trace, &edits).into_trace();
        let audit = audit(&plan, &synced, &promises(), 1);
        let spare = site(&audit, "fsync", "debug.txt");
        assert!(!spare.is_empty(), "{:?}", audit.sites);
        for site in spare {
            assert_eq!(site.needed, None, "seed {seed}");
            assert!(site.states > 0, "seed {seed}: {site:?}");
        }
    }
}

/// The log is synced twice after each write, by fsync and by fdatasync: neither is shown to be needed, and
/// the two are never offered together.
#[test]
fn a_redundant_pair_is_not_offered_whole() {
    for seed in 1..=3 {
        let plan = plan(seed);
        let trace = recording::record(&plan);
        let twice = synced_twice(&trace);
        let audit = audit(&plan, &twice, &promises(), 2);
        let of = |call| -> Vec<usize> {
            let all = audit.sites.iter().enumerate();
            let all = all.filter(|(_, site)| {
                site.call == call && site.path == "log-#" && site.after == "write log-#"
            });
            all.map(|(nth, _)| nth).collect()
        };
        let (first, second) = (of("fsync"), of("fdatasync"));
        assert_eq!((first.len(), second.len()), (1, 1), "{:?}", audit.sites);
        let pair = [first[0], second[0]];
        for nth in pair {
            assert_eq!(audit.sites[nth].needed, None, "seed {seed}");
        }
        let together = audit.together.as_ref().expect("some can go");
        let both = pair
            .iter()
            .all(|nth| together.sites.contains(&(*nth as u64)));
        let one = pair
            .iter()
            .any(|nth| together.sites.contains(&(*nth as u64)));
        assert!(
            one && !both,
            "seed {seed}: {together:?} of {:?}",
            audit.sites
        );
        assert!(together.states > 0 && together.points > 0);
    }
}

/// Where nothing is promised no sync is noticed, and nothing is offered for removal.
#[test]
fn an_audit_that_notices_nothing_says_so() {
    let plan = plan(1);
    let trace = recording::record(&plan);
    let blind = audit(&plan, &trace, &[], 1);
    assert!(blind.is_blind());
    assert_eq!(blind.together, None);
    assert!(!audit(&plan, &trace, &promises(), 1).is_blind());
}

#[test]
fn any_number_of_workers_gives_the_same_audit() {
    let plan = plan(2);
    let trace = recording::record(&plan);
    let one = audit(&plan, &trace, &promises(), 1);
    for workers in [2, 5] {
        assert_eq!(one, audit(&plan, &trace, &promises(), workers));
    }
}
