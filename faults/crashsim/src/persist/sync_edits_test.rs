//! What becomes of crash states when a program syncs more, or less.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::testing_test::{Call, Run, calls, visible};
use super::*;
use crate::fs::{Log, NewSync, Op, ROOT, SyncEdits};

/// Up to so many states all of them are looked at.
const FEW: u128 = 512;

/// Every legal state at a point; none where too many are pending.
fn states(
    log: &Log,
    point: usize,
    model: &dyn Model,
    device: Device,
) -> Option<BTreeMap<u128, String>> {
    let window = Index::new(log, model, device).window(point);
    let possible = window.possible();
    if !possible.exact || possible.states > FEW {
        return None;
    }
    let states = window.every_state();
    let states = states.map(|state| (state.tree.digest(), format!("{:?}", visible(&state.tree))));
    Some(states.collect())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 80, ..ProptestConfig::default() })]

    /// A sync makes nothing possible that was not, at any crash point: what may be lost without it is more.
    /// Not so on the filesystems: a sync that writes a log of its own brings to the disk what came later than what
    /// is lost, and one that commits a journal brings lengths before the bytes. Nor with fdatasync, which commits
    /// metadata where an earlier sync has not, or where another sync follows: one that had nothing left to commit
    /// then commits all that is pending.
    #[test]
    fn a_program_that_syncs_less_may_leave_all_that_it_left_before(calls in calls()) {
        let whole = |call| match call {
            Call::Fdatasync(path) => Call::Fsync(path),
            call => call,
        };
        let run = Run::new(&calls.into_iter().map(whole).collect::<Vec<_>>());
        let log = &run.disk.log;
        let syncs: Vec<usize> = (0..log.records().len())
            .filter(|index| matches!(log.records()[*index].op, Op::Sync { .. }))
            .collect();
        let last = syncs.last().copied();
        prop_assume!(last.is_some());
        let mut edits = SyncEdits::default();
        edits.remove(last.expect("a sync"));
        let edited = edits.apply(log);
        let is_plain = |model: &&dyn Model| ["strict", "journaled"].contains(&model.name());
        for model in MODELS.into_iter().filter(is_plain) {
            for point in (0..=log.records().len()).rev().take(8) {
                let there = edited.point(point as u64) as usize;
                let device = Device::default();
                let (Some(with), Some(without)) = (
                    states(log, point, model, device),
                    states(&edited.log, there, model, device),
                ) else {
                    continue;
                };
                let gone = with.keys().find(|digest| !without.contains_key(*digest));
                assert!(gone.is_none(), "{} at {point}: {:?}", model.name(), with[gone.expect("a state")]);
            }
        }
    }

    /// What is read on from the log before the change is the same as what is read from the beginning, also behind
    /// the last point that was wanted.
    #[test]
    fn a_changed_log_that_is_read_on_is_the_same(calls in calls(), pick: prop::sample::Index, last: prop::sample::Index) {
        let run = Run::new(&calls);
        let log = &run.disk.log;
        prop_assume!(!log.records().is_empty());
        let mut edits = SyncEdits::default();
        let behind = pick.index(log.records().len());
        edits.add_behind(behind, NewSync { ino: ROOT, dir: true, data_only: false, path: "".into() });
        let edited = edits.apply(log);
        let same = edits.first().expect("a change");
        let end = edited.log.records().len();
        let lost = |window: &Window<'_>| {
            let lost = LossSet { lost: window.pending().into_iter().collect(), ..LossSet::default() };
            (window.pending(), window.state(&lost).tree.digest(), window.state(&LossSet::default()).tree.digest())
        };
        for model in MODELS {
            let device = Device::default();
            let whole = Index::new(&edited.log, model, device);
            let changed = Index::new(log, model, device).changed(&edited.log, same, last.index(end + 1));
            for point in 0..=end {
                assert_eq!(lost(&whole.window(point)), lost(&changed.window(point)), "{} at {point}", model.name());
            }
        }
    }

    /// A sync of every file and directory that is added at the end leaves nothing pending there, and nothing
    /// that was not possible before.
    #[test]
    fn syncs_that_are_added_make_durable_what_they_name(calls in calls()) {
        let run = Run::new(&calls);
        let log = &run.disk.log;
        let end = log.records().len();
        let abandons = log.records().iter().any(|one| matches!(one.op, Op::SyncFailed { .. }));
        prop_assume!(end > 0 && !abandons);
        let mut edits = SyncEdits::default();
        let tree = run.live();
        let seen = visible(tree);
        let files = seen.values().map(|seen| seen.ino).chain([ROOT]);
        for ino in files.clone().chain(files) {
            let dir = tree.dir(ino).is_ok();
            if dir || tree.content(ino).is_ok() {
                let sync = NewSync { ino, dir, data_only: false, path: "".into() };
                edits.add_behind(end - 1, sync);
            }
        }
        let edited = edits.apply(log);
        for model in MODELS {
            let window = Window::new(&edited.log, edited.log.records().len(), model, Device::default());
            let lost = window.state(&LossSet { lost: window.pending().into_iter().collect(), ..LossSet::default() });
            let live = visible(tree);
            let names: Vec<&String> = live.keys().collect();
            let kept = visible(&lost.tree);
            assert_eq!(names, kept.keys().collect::<Vec<_>>(), "{}", model.name());
            for (path, seen) in &live {
                assert_eq!(kept[path].bytes, seen.bytes, "{}: {path}", model.name());
            }
        }
    }
}
