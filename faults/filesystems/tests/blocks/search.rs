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
        states: 12,
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
    assert_eq!((tally.tried, tally.reached, tally.seen), (12, 0, 0));
    assert!(tally.evidence.is_none());
}
