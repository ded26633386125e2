//! Windows from an index are those read from the beginning; how many states there are is counted
//! right; pairs are all there.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::testing_test::{Call, Call::*, Run, calls, visible};
use super::update::Durability;
use super::update::PARTS;
use super::update::write_of;
use super::*;

/// Every legal choice by brute force: each of all choices of sectors, made legal.
fn brute_force(window: &Window<'_>) -> BTreeSet<LossSet> {
    let mut all = vec![LossSet::default()];
    for call in window
        .open
        .iter()
        .filter(|call| call.durability != Durability::Durable)
    {
        let mut more = Vec::new();
        for choice in &all {
            let mut lost = choice.clone();
            lost.lost.insert(call.id);
            more.push(lost);
            let Some((_, data)) = write_of(window.records, call) else {
                continue;
            };
            let sectors = data.end().div_ceil(512) - data.offset() / 512;
            for bits in 1..(1_u32 << sectors) - 1 {
                let mut torn = choice.clone();
                torn.torn
                    .insert(call.id, (0..sectors).map(|n| bits >> n & 1 == 1).collect());
                more.push(torn);
            }
        }
        all.extend(more);
    }
    all.iter().map(|choice| window.legalize(choice)).collect()
}

fn bits(window: &Window<'_>) -> u64 {
    let pending = window
        .open
        .iter()
        .filter(|call| call.durability != Durability::Durable);
    let bits = pending.map(|call| {
        write_of(window.records, call).map_or(1, |(_, data)| {
            data.end().div_ceil(512) - data.offset() / 512
        })
    });
    bits.sum()
}

/// The number of states is that of brute force, or not above it.
fn counted_right(calls: &[Call]) {
    let run = Run::new(calls);
    run.inspect(|_, log| {
        for model in MODELS {
            for point in 0..=log.records().len() {
                let window = Window::new(log, point, model, Device::default());
                if bits(&window) > 9 {
                    continue;
                }
                let all = brute_force(&window).len() as u128;
                let possible = window.possible();
                let right = if possible.exact {
                    possible.states == all
                } else {
                    possible.states <= all
                };
                assert!(right, "{possible:?} for {all}, {} at {point}", model.name());
            }
        }
    });
}

/// A page that is written whole is one, however many writes are pending in it.
#[test]
fn two_writes_to_one_new_page_are_not_independent() {
    counted_right(&[
        Dir("d"),
        File("a"),
        File("d/log"),
        Write("a", 4096, 512),
        Append("a", 1),
        Write("a", 3585, 512),
    ]);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    #[test]
    fn a_window_of_an_index_is_that_of_the_log(calls in calls(), seed: u64, loss in 0..4usize) {
        let run = Run::new(&calls);
        let loss = super::spec_test::LOSSES[loss];
        run.inspect(|_, log| {
            for model in MODELS {
                // Its places are too far apart for so short a log: read it in pieces instead.
                let mut replay =
                    super::replay::Replay::new(log.base(), log.records(), model, Device::default());
                for point in 0..=log.records().len() {
                    replay.advance(point);
                    replay.prune();
                    let pruned = Window::of(replay.clone());
                    let window = Window::new(log, point, model, Device::default());
                    let [one, other] = [pruned, window].map(|window| {
                        let state = window.crash(loss, seed);
                        (visible(&state.tree), state.lost.len(), state.pending)
                    });
                    assert_eq!(one, other, "{} at {point}", model.name());
                }
            }
        });
    }

    #[test]
    fn the_number_of_states_is_that_of_brute_force(calls in calls()) {
        counted_right(&calls);
    }

    /// A state that was made whole where it changed is the one that was made whole everywhere, and
    /// so is its digest.
    #[test]
    fn a_state_costs_what_changed_and_is_whole(calls in calls(), seed: u64) {
        let run = Run::new(&calls);
        run.inspect(|_, log| {
            for model in MODELS {
                let index = Index::new(log, model, Device::default());
                let mut digests = BTreeMap::new();
                for point in 0..=log.records().len() {
                    let window = index.window(point);
                    for losses in window.loss_sets(2, seed, 12) {
                        let tree = window.state(&losses).tree;
                        assert_eq!(tree.flaw(), None, "{} at {point}: {losses:?}", model.name());
                        let mut again = tree.clone();
                        again.track();
                        assert_eq!(again.digest(), tree.digest(), "{}: {losses:?}", model.name());
                        let listing = tree.listing_digest();
                        let known = *digests.entry(tree.digest()).or_insert(listing);
                        assert_eq!(known, listing, "{}: two digests agree on one", model.name());
                    }
                }
                let listings: BTreeSet<u128> = digests.values().copied().collect();
                assert_eq!(listings.len(), digests.len(), "one content, two digests");
            }
        });
    }

    #[test]
    fn what_is_settled_stays(calls in calls(), seed: u64) {
        let run = Run::new(&calls);
        run.inspect(|_, log| {
            for model in MODELS {
                let window = Window::new(log, log.records().len(), model, Device::default());
                for choice in window.loss_sets(4, seed, usize::MAX) {
                    let settled = window.legalize(&choice);
                    assert_eq!(window.legalize(&settled), settled, "{}", model.name());
                    let digest = window.state(&choice).tree.digest();
                    assert!(window.shows(&settled, digest));
                }
            }
        });
    }
}

/// A log of many transactions: a record appended and synced, now and then a file replaced.
fn long(transactions: usize) -> Vec<Call> {
    let mut calls = vec![File("log"), FsyncDir("")];
    for n in 0..transactions {
        calls.extend([Append("log", 100), Fdatasync("log")]);
        if n % 10 == 0 {
            calls.extend([File("b"), Append("b", 9), Fsync("b")]);
            calls.extend([
                Rename("b", "a", crate::fs::RenameMode::Replace),
                FsyncDir(""),
            ]);
        }
    }
    calls
}

#[test]
fn an_index_is_right_far_into_a_log() {
    let run = Run::new(&long(300));
    run.inspect(|_, log| {
        let points = log.records().len();
        assert!(points > 600, "more than a few places are kept");
        for model in MODELS {
            let index = Index::new(log, model, Device::default());
            for point in (0..=points).step_by(37).chain([points]) {
                let windows = [
                    index.window(point),
                    Window::new(log, point, model, Device::default()),
                ];
                let [one, other] = windows.map(|window| {
                    let digests = window.loss_sets(2, 1, usize::MAX).into_iter();
                    let digests: Vec<u128> = digests
                        .map(|choice| window.state(&choice).tree.digest())
                        .collect();
                    (window.pending(), digests, window.possible())
                });
                assert_eq!(one, other, "{} at {point}", model.name());
            }
        }
    });
}

#[test]
fn what_was_removed_does_not_stay_in_the_tree() {
    let mut calls = Vec::new();
    for _ in 0..50 {
        calls.extend([
            File("a"),
            Append("a", 9),
            Fsync("a"),
            Unlink("a"),
            FsyncDir(""),
        ]);
    }
    let run = Run::new(&calls);
    run.inspect(|_, log| {
        for model in MODELS {
            let mut replay =
                super::replay::Replay::new(log.base(), log.records(), model, Device::default());
            replay.advance(log.records().len());
            assert_eq!(replay.durable.inode_count(), 1, "{}", model.name());
            replay.prune();
            assert!(
                replay.lowering.inodes.len() <= 1 && replay.lowering.entries.is_empty(),
                "{}",
                model.name()
            );
        }
    });
}

#[test]
fn at_least_is_a_number_even_for_very_many() {
    let run = Run::new(&[
        File("a"),
        Truncate("a", 4 << 20),
        Fsync("a"),
        Write("a", 0, 4 << 20),
    ]);
    run.inspect(|_, log| {
        let window = Window::new(log, log.records().len(), &STRICT, Device::default());
        let many = Possible {
            states: u128::MAX,
            exact: false,
        };
        assert_eq!(window.possible(), many);
    });
}

#[test]
fn pairs_are_every_two_once_the_latest_first() {
    let run = Run::new(&[File("a"), File("b"), File("c"), File("d")]);
    run.inspect(|_, log| {
        let window = Window::new(log, log.records().len(), &STRICT, Device::default());
        let pending = window.pending();
        let pairs: Vec<Vec<usize>> = window
            .pairs()
            .map(|pair| pair.lost.into_iter().collect())
            .collect();
        let wanted = [[2, 3], [1, 2], [1, 3], [0, 1], [0, 2], [0, 3]];
        assert_eq!(pairs, wanted.map(|pair| pair.map(|n| pending[n]).to_vec()));
    });
}

#[test]
fn choices_begin_with_the_telling_ones() {
    let run = Run::new(&[
        File("a"),
        Fsync("a"),
        FsyncDir(""),
        File("b"),
        Append("a", 5000),
    ]);
    run.inspect(|_, log| {
        let window = Window::new(log, log.records().len(), &STRICT, Device::default());
        let choices = window.loss_sets(0, 0, usize::MAX);
        let shown: Vec<String> = choices
            .iter()
            .map(|choice| {
                let tree = window.state(choice).tree;
                let seen = visible(&tree);
                let bytes = &seen["a"].bytes;
                let data = bytes.iter().filter(|byte| **byte != 0).count();
                let name = if seen.contains_key("b") { "b" } else { "-" };
                format!("{} {data} {name}", bytes.len())
            })
            .collect();
        for (what, state) in [
            ("all persisted", "5000 5000 b"),
            ("nothing persisted", "0 0 -"),
            ("a length without data", "5000 0 b"),
            ("names without content", "0 0 b"),
            ("content without names", "5000 5000 -"),
            ("data without its length", "0 0 b"),
            ("torn after the first page", "5000 4096 b"),
            ("torn before the second page", "5000 904 b"),
            ("torn by a sector", "5000 4608 b"),
        ] {
            assert!(shown.contains(&state.to_string()), "{what}: {shown:?}");
        }
        assert_eq!(shown[..2], ["5000 5000 b", "0 0 -"]);
    });
}

/// A database that was written at once and not synced, behind it a log that is: what etcd lost. The tear of
/// the first is among the first four, though names and lengths are pending and it is not the last write.
#[test]
fn a_write_that_is_not_the_last_is_torn_early_and_what_came_later_is_there() {
    let run = Run::new(&[
        File("db"),
        Write("db", 0, 16_384),
        File("log"),
        Append("log", 100),
    ]);
    run.inspect(|_, log| {
        let window = Window::new(log, log.records().len(), &STRICT, Device::default());
        let first = window.loss_sets(0, 0, 4);
        let torn = first.iter().filter(|losses| !losses.torn.is_empty());
        let seen: Vec<_> = torn
            .map(|losses| visible(&window.state(losses).tree))
            .collect();
        let half = |bytes: &[u8]| bytes.iter().filter(|byte| **byte != 0).count() == 8192;
        assert!(
            seen.iter()
                .any(|seen| half(&seen["db"].bytes) && seen["log"].bytes.len() == 100),
            "{first:?}"
        );
    });
}

/// Which of two large writes of two files is torn first depends on the seed, and both are among the first.
#[test]
fn tears_and_single_updates_take_turns_by_their_role() {
    let appends = vec![Append("a", 2000); 8];
    let calls = [
        File("a"),
        File("b"),
        Fsync("a"),
        FsyncDir(""),
        Write("b", 0, 2000),
    ];
    let run = Run::new(&[&calls[..], &appends].concat());
    run.inspect(|_, log| {
        let window = Window::new(log, log.records().len(), &STRICT, Device::default());
        let rules = window.rules();
        let is_of_b = |id: &usize| &*rules.records[id / PARTS].path == "b";
        let firsts: Vec<bool> = (0..8)
            .map(|seed| {
                let sets = window.loss_sets(0, seed, 4);
                let torn = sets.iter().flat_map(|losses| losses.torn.keys());
                torn.into_iter().any(is_of_b)
            })
            .collect();
        assert!(firsts.contains(&true), "{firsts:?}");
        // Written first, it is the last of all updates; by its role it is among the first singles.
        let sets = window.loss_sets(0, 0, usize::MAX);
        let singles = sets
            .iter()
            .filter(|losses| losses.len() == 1 && losses.torn.is_empty());
        let lost: Vec<usize> = singles
            .flat_map(|losses| losses.lost.iter().copied())
            .collect();
        let place = lost.iter().position(is_of_b).expect("lost alone");
        assert!(place < 8, "{place} of {lost:?}");
    });
}

/// The kernel writes a file's pages back from the first on: small writes in two pages, of which the first
/// page is there and the second not.
#[test]
fn the_page_cache_is_written_back_from_the_first_page_on() {
    let run = Run::new(&[
        File("a"),
        Truncate("a", 12_288),
        Fsync("a"),
        FsyncDir(""),
        Write("a", 8192, 10),
        Write("a", 0, 10),
        Write("a", 4096, 10),
    ]);
    run.inspect(|_, log| {
        let window = Window::new(log, log.records().len(), &STRICT, Device::default());
        let sets = window.loss_sets(0, 0, usize::MAX);
        let there = |losses: &LossSet| {
            let bytes = visible(&window.state(losses).tree)["a"].bytes.clone();
            [0, 4096, 8192].map(|at| bytes[at] != 0)
        };
        let all: Vec<_> = sets.iter().map(there).collect();
        let place = |wanted| all.iter().position(|one| *one == wanted);
        assert!(place([true, false, false]).is_some() && place([true, true, false]).is_some());
    });
}

/// A file with one un-synced write of so many sectors, and the number of that write's call.
fn one_write<T>(sectors: usize, then: impl FnOnce(&Window<'_>, usize) -> T) -> T {
    let run = Run::new(&[
        File("a"),
        Fsync("a"),
        FsyncDir(""),
        Write("a", 0, 512 * sectors),
    ]);
    run.inspect(|_, log| {
        let window = Window::new(log, log.records().len(), MODELS[0], Device::default());
        let rules = window.rules();
        let write = rules
            .pending()
            .find(|call| write_of(window.records, call).is_some());
        let id = write.expect("a pending write").id;
        then(&window, id)
    })
}

#[test]
fn a_write_that_grew_or_shrank_is_torn_at_the_same_share_of_it() {
    let half = |sectors: usize| (0..sectors).map(|n| n < sectors / 2).collect::<Vec<_>>();
    for (there, here) in [(4, 8), (8, 4), (4, 4), (2, 32)] {
        let choice = one_write(there, |window, id| {
            let torn = [(id, half(there))].into();
            let choice = LossSet {
                torn,
                ..LossSet::default()
            };
            assert_eq!(window.fit(&choice), choice, "its own log");
            choice
        });
        one_write(here, |window, id| {
            let fitted = window.fit(&choice);
            assert_eq!(fitted.torn[&id], half(here), "{there} sectors in {here}");
            // What is legal here is still torn, and not lost or there as a whole.
            assert_eq!(window.legalize(&fitted).torn[&id], half(here));
            // Without fitting, another number of sectors would be no tear at all.
            assert_eq!(window.legalize(&choice).torn.is_empty(), there != here);
        });
    }
}
