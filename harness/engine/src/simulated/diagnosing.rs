//! Causes and fixes: of each mutant that lacks a sync, the missing property and the sync that makes its
//! findings go; of those that no sync helps, that it is said.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use plugpull_reports::{Diagnosis, Evidence, Fate, Property};

use super::findings::NoParts;
use super::pool::SimulatedWorkers;
use super::store::Mutant;
use super::{Explored, Plan, explore_by, explore_within, with_oracle};
use crate::explore::{ByMissingUpdates, Grouping, Limits, Oracle};

/// A run of a mutant under several models.
fn plan(mutant: Mutant, seed: u64) -> Plan {
    Plan {
        depth: 0,
        kill_chance: 0.0,
        commits: 6,
        states: Some(400),
        ..Plan::whole(Some(mutant), seed)
    }
}

fn explored(plan: &Plan, oracle: &Oracle<'_>, workers: &SimulatedWorkers) -> Explored {
    let stop = AtomicBool::new(false);
    let limits = Limits {
        diagnose: true,
        ..Limits::none(plan.depth, &stop)
    };
    explore_within(plan, oracle, workers, None, limits)
}

/// What is said of the findings of a mutant that come from unsynced data.
fn diagnosed(mutant: Mutant, seed: u64) -> Vec<Diagnosis> {
    of_plan(&plan(mutant, seed))
}

fn of_plan(plan: &Plan) -> Vec<Diagnosis> {
    let all = evidence_of(plan).into_iter();
    all.filter_map(|evidence| evidence.diagnosis).collect()
}

fn evidence_of(plan: &Plan) -> Vec<Evidence> {
    with_oracle(plan, |oracle| {
        let workers = SimulatedWorkers::new(plan.mutants(), 1, plan.seed);
        let findings = explored(plan, oracle, &workers).report.findings.into_iter();
        findings
            .filter_map(|one| one.evidence)
            .map(|one| *one)
            .collect()
    })
}

/// The property and the fix of each finding of a mutant.
fn of(mutant: Mutant, seed: u64) -> Vec<(Property, Option<String>)> {
    let all = diagnosed(mutant, seed).into_iter();
    all.map(|one| (one.property, one.fix.map(|fix| fix.change)))
        .collect()
}

/// Each mutant that lacks a sync: every finding of it has this property, and is gone with a sync of this
/// file, where it is added.
#[test]
fn the_sync_that_a_mutant_lacks_is_named() {
    for (mutant, property, change) in [
        (Mutant::NoLogSync, Property::Durability, "fsync of log-"),
        (
            Mutant::WrongFileSynced,
            Property::Durability,
            "fsync of log-",
        ),
        (
            Mutant::EverySecondSync,
            Property::Durability,
            "fsync of log-",
        ),
        (
            Mutant::AckBeforeSync,
            Property::Durability,
            "the ack behind the fsync of log-",
        ),
        (
            Mutant::NoDirectorySync,
            Property::Durability,
            "fsync of the data directory after rename CURRENT.tmp -> CURRENT",
        ),
        (
            Mutant::RenameWithoutSync,
            Property::Ordering,
            "fsync of CURRENT.tmp after write CURRENT.tmp",
        ),
        (
            Mutant::CurrentBeforeSnapshot,
            Property::Ordering,
            "fsync of snap-",
        ),
    ] {
        for seed in 1..=3 {
            let found = of(mutant, seed);
            assert!(
                !found.is_empty(),
                "{mutant:?}, seed {seed}: nothing was diagnosed"
            );
            for (of, fix) in found {
                let fix = fix.unwrap_or_default();
                assert_eq!(of, property, "{mutant:?}, seed {seed}: {fix}");
                assert!(fix.starts_with(change), "{mutant:?}, seed {seed}: {fix:?}");
            }
        }
    }
}

/// Where a sync comes too late it is the ack that is moved behind it: the price is nothing.
#[test]
fn an_ack_before_its_sync_is_moved_behind_it() {
    for seed in 1..=3 {
        for one in diagnosed(Mutant::AckBeforeSync, seed) {
            let fix = one.fix.expect("a fix");
            assert_eq!(fix.price(), "no sync more", "{}", fix.describe());
            assert!(fix.change.contains("which comes anyway"), "{}", fix.change);
            assert_eq!(fix.missing, []);
        }
    }
}

/// Where a plain kill takes what was acknowledged before it was written, that is the cause, and no operations
/// that must reach the disk together.
#[test]
fn an_ack_before_its_write_is_said_to_be_that() {
    for seed in 1..=3 {
        let all = diagnosed(Mutant::AckBeforeWrite, seed);
        assert!(!all.is_empty());
        for one in all {
            assert_eq!(one.property, Property::Durability, "{}", one.cause);
            let cause = "it is acknowledged before the write of log-";
            assert!(one.cause.starts_with(cause), "{}", one.cause);
            assert_eq!(one.fix, None);
            let instead = "nothing was lost; the ack must wait for the write of log-";
            assert!(one.no_fix.contains(instead), "{}", one.no_fix);
        }
    }
}

/// What a fix of an ordering must come before is what it says, and not the ack.
#[test]
fn the_fix_of_an_ordering_says_what_comes_behind_it() {
    for (mutant, before) in [
        (
            Mutant::RenameWithoutSync,
            "and before the rename of CURRENT.tmp",
        ),
        (Mutant::CurrentBeforeSnapshot, "and before the "),
    ] {
        for (of, fix) in (1..=3).flat_map(|seed| self::of(mutant, seed)) {
            let fix = fix.unwrap_or_default();
            assert_eq!(of, Property::Ordering, "{fix}");
            assert!(!fix.contains("the ack"), "{fix}");
            let once = !fix.contains(" and before ") || fix.contains(before);
            assert!(once, "{mutant:?}: {fix}");
        }
    }
}

/// Of a store that lacks two syncs each finding has the one that it needs: what shows behind it is another
/// finding, with a sync of its own.
#[test]
fn two_missing_syncs_are_two_fixes() {
    let log = (Mutant::NoLogSync, "fsync of log-");
    let rename = (Mutant::RenameWithoutSync, "fsync of CURRENT.tmp");
    let directory = (Mutant::NoDirectorySync, "fsync of the data directory");
    let mut behind = 0;
    for [one, other] in [[rename, log], [directory, log], [directory, rename]] {
        for seed in 1..=3 {
            let plan = Plan {
                other: Some(other.0),
                ..plan(one.0, seed)
            };
            let mut open = BTreeSet::from([one.1, other.1]);
            for found in of_plan(&plan) {
                let fix = found.fix.expect("a fix");
                behind += usize::from(!fix.behind.is_empty());
                let change = &fix.change;
                assert!(!change.contains("; and "), "seed {seed}: {change}");
                open.retain(|sync| !change.starts_with(sync));
            }
            assert!(open.is_empty(), "{one:?}, {other:?}, seed {seed}: {open:?}");
        }
    }
    assert!(behind > 0, "one hides the other somewhere");
}

/// A state that needs what a finding lost and other losses with it shows that finding still: what a torn log has
/// the store read is not synced either, so a sync of the log alone is no fix.
#[test]
fn a_sync_that_leaves_the_finding_to_more_losses_is_no_fix() {
    let mut both = 0;
    for seed in 1..=5 {
        let plan = Plan {
            other: Some(Mutant::TornTailFromCopy),
            ..plan(Mutant::NoLogSync, seed)
        };
        for found in of_plan(&plan) {
            let Some(fix) = found.fix else { continue };
            let change = &fix.change;
            if change.starts_with("fsync of log-") {
                assert!(
                    change.contains("; and fsync of copy-"),
                    "seed {seed}: {change}"
                );
                both += 1;
            }
        }
    }
    assert!(both > 0, "the log is a cause somewhere");
}

/// A crash of a recovery is diagnosed as one of the run is: the sync that recovery lacks makes it go, and is
/// drawn in the time line behind recovery's own write.
#[test]
fn the_sync_that_a_recovery_lacks_is_named() {
    for seed in 1..=5 {
        let plan = Plan {
            depth: 1,
            ..plan(Mutant::RecoverySavesUnsynced, seed)
        };
        let found = evidence_of(&plan);
        assert!(!found.is_empty(), "seed {seed}");
        for evidence in found {
            let diagnosis = evidence.diagnosis.expect("a diagnosis");
            assert_eq!(diagnosis.property, Property::Ordering);
            let cause = &diagnosis.cause;
            assert!(cause.contains("(recovery's operation "), "{cause}");
            let fix = diagnosis.fix.expect("a fix");
            let change = &fix.change;
            assert!(change.starts_with("fsync of snap-"), "{change}");
            assert!(change.contains("(recovery's operation "), "{change}");
            assert!(fix.of_recovery && fix.behind.is_empty());
            let steps = &evidence.timeline;
            let missing = steps.iter().position(|step| step.fate == Fate::Missing);
            let before = &steps[missing.expect("it is drawn") - 1].what;
            assert!(before.starts_with("recovery: write"), "{before}");
        }
    }
}

/// A recovery that writes over what it has just read is not offered a sync: a kill is enough.
#[test]
fn a_recovery_that_no_sync_helps_is_offered_none() {
    for seed in 1..=5 {
        let plan = Plan {
            depth: 1,
            ..plan(Mutant::RecoveryInPlace, seed)
        };
        let found = of_plan(&plan);
        assert!(!found.is_empty(), "seed {seed}");
        for Diagnosis {
            cause, fix, no_fix, ..
        } in found
        {
            assert_eq!(fix, None, "seed {seed}: {cause}");
            assert!(
                no_fix.starts_with("no sync helps: nothing was lost"),
                "{no_fix}"
            );
            assert!(cause.contains("(recovery's operation "), "{cause}");
        }
    }
}

/// Where no sync helps that is said: each of these believes what a crash leaves of a write, or removes too
/// early.
#[test]
fn where_no_sync_helps_none_is_offered() {
    let mut seen = 0;
    for mutant in [
        Mutant::NoChecksum,
        Mutant::TornRecordBelieved,
        Mutant::TruncateBeforeWrite,
        Mutant::UnlinkBeforeSwitch,
        Mutant::OldestBelieved,
        Mutant::RecoveryDeletes,
        Mutant::RefusesTornTail,
    ] {
        for seed in 1..=3 {
            for one in diagnosed(mutant, seed) {
                let fix = one.fix.map(|fix| fix.describe());
                // A removal that is durable at once leaves nothing old to believe.
                if mutant == Mutant::OldestBelieved
                    && let Some(fix) = &fix
                {
                    let removal = "fsync of the data directory after unlink snap-";
                    assert!(fix.starts_with(removal), "seed {seed}: {fix}");
                    continue;
                }
                assert_eq!(fix, None, "{mutant:?}, seed {seed}: {}", one.cause);
                // Or as many changes were tried as may be.
                assert!(
                    !one.no_fix.is_empty(),
                    "{mutant:?}, seed {seed}: {}",
                    one.cause
                );
                let proven = one
                    .no_fix
                    .contains("synced behind each operation it still shows");
                seen += usize::from(proven);
                // One look is enough, and no change is tried one by one.
                assert!(!proven || one.refuted.is_empty(), "{:?}", one.refuted);
            }
        }
    }
    assert!(seen > 5, "{seen}");
}

/// That no sync helps takes few states: those of one look.
#[test]
fn that_no_sync_helps_is_known_soon() {
    const FEW: u64 = 300;
    for mutant in [Mutant::NoChecksum, Mutant::TornRecordBelieved] {
        let plan = plan(mutant, 1);
        let tried = |diagnose| {
            with_oracle(&plan, |oracle| {
                let workers = SimulatedWorkers::new(plan.mutants(), 1, 1);
                let stop = AtomicBool::new(false);
                let limits = Limits {
                    diagnose,
                    ..Limits::none(0, &stop)
                };
                let findings = explore_within(&plan, oracle, &workers, None, limits)
                    .report
                    .findings;
                (workers.tried(), findings.len() as u64)
            })
        };
        let (with, findings) = tried(true);
        let (without, _) = tried(false);
        // Minimising finds some answers known or not, by how fast the workers are.
        let more = with.saturating_sub(without);
        assert!(more <= FEW * findings, "{mutant:?}: {more} states more");
    }
}

/// Two and three syncs that only together make a finding go are found together, and none of them is one that
/// is not needed.
#[test]
fn several_syncs_that_one_finding_needs_are_found_together() {
    for (mutants, needed) in [
        (
            [Mutant::RenameWithoutSync, Mutant::NoDirectorySync],
            ["CURRENT.tmp after", "the data directory after"],
        ),
        (
            [Mutant::NoLogSync, Mutant::NoDirectorySync],
            ["log-", "the data directory after"],
        ),
    ] {
        for seed in 1..=3 {
            let plan = Plan {
                other: Some(mutants[1]),
                ..plan(mutants[0], seed)
            };
            let findings = with_oracle(&plan, |oracle| {
                let workers = SimulatedWorkers::new(plan.mutants(), 1, seed);
                explored(&plan, oracle, &workers).report.findings
            });
            let all = findings.iter();
            let all = all.filter_map(|one| one.evidence.as_ref()?.diagnosis.as_ref());
            let mut named = BTreeSet::new();
            for one in all {
                let fix = one.fix.as_ref();
                let fix = fix.unwrap_or_else(|| panic!("{mutants:?}, {seed}: {}", one.no_fix));
                assert!(fix.not_enough_under.is_empty(), "{}", fix.describe());
                for part in fix.change.split("; and ") {
                    let of = needed.iter().position(|needed| part.contains(needed));
                    assert!(of.is_some(), "{mutants:?}, {seed}: {part} is not needed");
                    named.extend(of);
                }
            }
            assert!(!named.is_empty(), "{mutants:?}, {seed}");
        }
    }
}

/// Findings that one fix makes go are one, which counts the trials of all; of two missing syncs each has a
/// finding of its own.
#[test]
fn findings_of_one_fix_are_one_and_of_two_are_two() {
    let explored = |plan: &Plan, apart: bool| {
        with_oracle(plan, |oracle| {
            let workers = SimulatedWorkers::new(plan.mutants(), 1, 1);
            let stop = AtomicBool::new(false);
            let limits = Limits {
                diagnose: true,
                ..Limits::none(0, &stop)
            };
            let each_apart =
                || -> Arc<dyn Grouping> { Arc::new(NoParts(ByMissingUpdates::of(oracle))) };
            let grouping = apart.then(each_apart);
            explore_by(plan, oracle, &workers, (None, limits), grouping)
        })
    };
    let merged = (1..=6).any(|seed| {
        let plan = plan(Mutant::NoDirectorySync, seed);
        let apart = explored(&plan, true);
        let same = apart
            .groups
            .all()
            .iter()
            .filter(|one| one.same_as.is_some());
        let same = same.count();
        let findings = &apart.report.findings;
        assert_eq!(findings.len() + same, apart.groups.all().len());
        let shown = findings
            .iter()
            .filter_map(|one| one.evidence.as_ref()?.diagnosis.as_ref());
        assert_eq!(shown.map(|one| one.same_fix.len()).sum::<usize>(), same);
        // No trial is lost, and none counts twice.
        let most = apart.counts.len() as u64;
        assert!(findings.iter().all(|one| one.count <= most));
        same > 0
    });
    assert!(merged, "no two findings had one fix");
    let plan = Plan {
        other: Some(Mutant::NoDirectorySync),
        ..plan(Mutant::NoLogSync, 1)
    };
    let two = explored(&plan, false).report.findings;
    let fixes: BTreeSet<bool> = (two.iter())
        .filter_map(|one| one.evidence.as_ref()?.diagnosis.as_ref()?.fix.as_ref())
        .map(|fix| fix.change.contains("data directory"))
        .collect();
    assert_eq!(fixes.len(), 2, "{two:?}");
}

/// The number of workers changes nothing.
#[test]
fn any_number_of_workers_gives_the_same_diagnoses() {
    for mutant in [
        Mutant::NoLogSync,
        Mutant::NoDirectorySync,
        Mutant::NoChecksum,
    ] {
        let plan = plan(mutant, 2);
        let with = |count, order| {
            with_oracle(&plan, |oracle| {
                let workers = SimulatedWorkers::new(plan.mutants(), count, order);
                explored(&plan, oracle, &workers)
            })
        };
        let one = with(1, 0);
        for (count, order) in [(2, 1), (4, 7)] {
            let other = with(count, order);
            assert_eq!(one.report.findings, other.report.findings, "{mutant:?}");
        }
    }
}
