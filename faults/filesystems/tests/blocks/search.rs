//! The search for a finding: what a real filesystem can leave is reached and seen, and what it cannot is
//! neither, whatever the target shows.

use std::time::{Duration, Instant};

use plugpull_crashsim::fs::{Record, Tree};
use plugpull_filesystems::{Filesystem, Search, Tally, this_program, tree_of};
use plugpull_testing::test;

use crate::testing::{Call, Call::*, Run};

/// A file that is written and never synced, and beside it one that is.
const CALLS: [Call; 5] = [
    File("f"),
    Append("f", 5000),
    File("s"),
    Append("s", 10),
    Fsync("s"),
];

/// Looks on ext4 for a crash that left what these calls leave, where the target is always (or never) broken.
fn looked_for(crashed: &[Call], broken: bool) -> Tally {
    looked_for_by(2, crashed, broken)
}

fn looked_for_by(workers: usize, crashed: &[Call], broken: bool) -> Tally {
    let records: Vec<Record> = Run::new(&CALLS).records();
    let crashed: Tree = tree_of(&Run::new(crashed).records());
    let program = this_program();
    let search = Search {
        program: &program,
        filesystem: Filesystem::named("ext4").unwrap(),
        records: &records,
        before: 0,
        crashed: &crashed,
        seed: 1,
        states: 36,
        workers,
        until: Instant::now() + Duration::from_secs(3600),
    };
    let tally = search.run(&mut |_| Ok(broken)).unwrap();
    assert_eq!(tally.unreadable, 0, "{}", tally.unreadable_why);
    tally
}

/// The file is there, and empty: its name was committed, its data was not written.
const EMPTY: [Call; 6] = [
    File("f"),
    // Each write has a byte of its own: the second one is that of the other file again.
    Append("f", 5000),
    Truncate("f", 0),
    File("s"),
    Append("s", 10),
    Fsync("s"),
];

#[test(needs = "root loop mkfs.ext4")]
fn what_ext4_leaves_is_reached_and_seen() {
    let tally = looked_for(&EMPTY, true);
    assert!(tally.reached > 0 && tally.seen == tally.reached);
    assert!(tally.same_disk > 0, "exactly this is left too");
    assert!(tally.evidence.is_some());
}

#[test(needs = "root loop mkfs.ext4")]
fn what_the_target_survives_is_reached_and_not_seen() {
    let tally = looked_for(&EMPTY, false);
    assert!(tally.reached > 0);
    assert_eq!(tally.seen, 0);
    assert!(tally.evidence.is_none());
}

/// A synced file is gone. A count of what is broken, wherever it is, would say that this was seen.
#[test(needs = "root loop mkfs.ext4")]
fn what_is_not_reached_is_not_seen_however_broken_the_target_is() {
    let lost = [File("f"), Append("f", 5000)];
    let tally = looked_for(&lost, true);
    assert_eq!((tally.tried, tally.reached, tally.seen), (36, 0, 0));
    assert!(tally.evidence.is_none());
}

/// The first sector of a file is gone, and the rest of its block is there: no block of 4096 bytes tears so. Where
/// the file is empty, or not there, all that is lost is lost, and more.
const TORN: [Call; 6] = [
    File("f"),
    Append("f", 5000),
    File("s"),
    Append("s", 10),
    Fsync("s"),
    Write("f", 0, 512),
];

#[test(needs = "root loop mkfs.ext4")]
fn what_lost_more_is_counted_apart() {
    for broken in [true, false] {
        let tally = looked_for(&TORN, broken);
        assert_eq!((tally.reached, tally.seen), (0, 0));
        assert!(tally.lost_more > 0);
        assert_eq!(tally.seen_lost_more > 0, broken);
        assert_eq!(tally.evidence.is_some(), broken);
    }
}

#[test(needs = "root loop mkfs.ext4")]
fn one_worker_and_three_reach_it() {
    for workers in [1, 3] {
        let tally = looked_for_by(workers, &EMPTY, false);
        assert_eq!(tally.tried, 36);
        assert!(tally.reached > 0);
    }
}
