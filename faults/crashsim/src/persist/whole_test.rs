//! The implications held to every loss set, tried one by one.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::apply::Keep;
use super::testing_test::{Call, Run, calls};
use super::*;
use crate::fs::Log;

/// So many pending updates are tried in every combination.
const TRIED: usize = 10;

/// Every legal loss set of whole updates, by trying all: a set is legal where making it legal changes
/// nothing, and leaves no write in part.
fn by_force(window: &Window<'_>) -> BTreeSet<BTreeSet<usize>> {
    let pending = window.pending();
    let choose = |bits: u64| -> BTreeSet<usize> {
        let chosen = pending.iter().enumerate();
        let chosen = chosen.filter(|(n, _)| bits >> n & 1 == 1);
        chosen.map(|(_, id)| *id).collect()
    };
    let whole = |lost: &BTreeSet<usize>| {
        let keeps = window.keeps(&LossSet {
            lost: lost.clone(),
            ..LossSet::default()
        });
        let mut all = window.open.iter().zip(&keeps);
        all.all(|(update, keep)| match lost.contains(&update.id) {
            true => *keep == Keep::None,
            false => *keep == Keep::All,
        })
    };
    (0..1_u64 << pending.len())
        .map(choose)
        .filter(whole)
        .collect()
}

/// Windows of a run whose updates can be tried in every combination.
fn each_window(run: &Run, mut look: impl FnMut(&Window<'_>)) {
    let log: &Log = &run.disk.log;
    for model in MODELS {
        for sequential in [false, true] {
            for sector in [512, 4096] {
                let device = Device {
                    sequential,
                    ..Device::with_sector(sector).unwrap()
                };
                let index = Index::new(log, model, device);
                for point in (0..=log.records().len()).rev().take(12) {
                    let window = index.window(point);
                    if window.pending().len() <= TRIED {
                        look(&window);
                    }
                }
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    #[test]
    fn whole_losses_are_those_of_brute_force(calls in calls(), picks: [u64; 4]) {
        let run = Run::new(&calls);
        each_window(&run, |window| {
            let whole = window.whole_losses();
            let legal = by_force(window);
            let name = window.model.name();
            let pending = window.pending();
            for bits in 0..1_u64 << pending.len() {
                let lost = choose(&pending, bits);
                assert_eq!(whole.is_legal(&lost), legal.contains(&lost), "{name}: {lost:?}");
            }
            let counted = whole.count(None, u128::MAX);
            assert_eq!((counted.states, counted.exact), (legal.len() as u128, true), "{name}");
            for pick in picks {
                let (lost, kept) = (choose(&pending, pick), choose(&pending, (pick >> 32) & !pick));
                let fits = |set: &&BTreeSet<usize>| lost.is_subset(set) && kept.is_disjoint(set);
                let class = LossClass { lost: lost.clone(), kept: kept.clone() };
                let counted = whole.count(Some(&class), u128::MAX).states;
                assert_eq!(counted, legal.iter().filter(fits).count() as u128, "{name}");
                let wanted = legal.iter().filter(fits).min_by_key(|set| set.len());
                let found = whole.with(&lost, &kept).map(|losses| losses.lost);
                assert_eq!(found.as_ref(), wanted, "{name}: {lost:?} without {kept:?}");
            }
        });
    }

    /// Classes that are asked for one after the other meet each legal loss set, and nothing else.
    #[test]
    fn classes_are_asked_for_until_nothing_is_outside(calls in calls(), read: u64) {
        let run = Run::new(&calls);
        each_window(&run, |window| {
            let whole = window.whole_losses();
            let legal = by_force(window);
            let read = choose(&window.pending(), read);
            let (mut classes, mut search): (Vec<LossClass>, _) = (Vec::new(), whole.classes());
            let within = |classes: &[LossClass], set: &BTreeSet<usize>| {
                classes.iter().any(|class| class.lost.is_subset(set) && class.kept.is_disjoint(set))
            };
            loop {
                match whole.outside(&mut search) {
                    Outside::Lies(losses) => {
                        assert!(legal.contains(&losses.lost));
                        assert!(!within(&classes, &losses.lost));
                        // What is read may depend on what is lost.
                        let more = losses.lost.iter().copied().take(1);
                        let read: BTreeSet<usize> = read.iter().copied().chain(more).collect();
                        let class = LossClass {
                            kept: read.difference(&losses.lost).copied().collect(),
                            lost: read.intersection(&losses.lost).copied().collect(),
                        };
                        search.push(&whole, &class);
                        classes.push(class);
                    }
                    Outside::Nothing => break,
                    Outside::Unknown => panic!("given up with {} updates", window.pending().len()),
                }
            }
            assert!(legal.iter().all(|set| within(&classes, set)));
        });
    }
}

fn choose(pending: &[usize], bits: u64) -> BTreeSet<usize> {
    let chosen = pending.iter().enumerate();
    let chosen = chosen.filter(|(n, _)| bits >> (n % 32) & 1 == 1);
    chosen.map(|(_, id)| *id).collect()
}

/// A search that would go on for ever says so.
#[test]
fn a_search_that_is_too_long_is_given_up() {
    let names = ["a", "b", "log", "e"];
    let mut calls = Vec::new();
    for name in names {
        calls.extend([
            Call::File(name),
            Call::Write(name, 0, 40_960),
            Call::Fsync(name),
        ]);
    }
    calls.push(Call::FsyncDir(""));
    for name in names {
        calls.extend((0..10).map(|page| Call::Write(name, page * 4096, 4096)));
    }
    let run = Run::new(&calls);
    let log = &run.disk.log;
    let window = Window::new(log, log.records().len(), &STRICT, Device::default());
    let whole = window.whole_losses();
    let counted = whole.count(None, 1 << 12);
    // Each by itself.
    assert_eq!((counted.states, counted.exact), (1 << 40, true));
    // Each class leaves out one of forty independent updates that all others have in another way.
    let pending = window.pending();
    let ring = (0..pending.len())
        .flat_map(|n| {
            let other = (n + 1) % pending.len();
            let class = |lost: &[usize], kept: &[usize]| LossClass {
                lost: lost.iter().map(|at| pending[*at]).collect(),
                kept: kept.iter().map(|at| pending[*at]).collect(),
            };
            [class(&[n], &[other]), class(&[other], &[n])]
        })
        .chain([
            LossClass {
                lost: BTreeSet::new(),
                kept: pending.iter().copied().collect(),
            },
            LossClass {
                lost: pending.iter().copied().collect(),
                kept: BTreeSet::new(),
            },
        ]);
    let mut classes = whole.classes();
    ring.for_each(|class| classes.push(&whole, &class));
    // All the same or two that differ: nothing is outside.
    assert_eq!(whole.outside(&mut classes), Outside::Nothing);
    // Each by itself, of so many.
    let mut classes = whole.classes();
    while let Outside::Lies(losses) = whole.outside(&mut classes) {
        let pending = pending.iter().copied();
        let (lost, kept) = pending.partition(|id| losses.lost.contains(id));
        classes.push(&whole, &LossClass { lost, kept });
    }
    assert!(classes.count() > 1000);
    assert_eq!(whole.outside(&mut classes), Outside::Unknown);
}
