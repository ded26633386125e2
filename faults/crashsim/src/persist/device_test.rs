//! Each setting of a device: it removes exactly the states that it should.

use std::collections::BTreeSet;

use super::testing_test::{Call, Call::*, possible};
use super::*;

/// The states under the default device, those that this one adds and those that it removes.
#[track_caller]
fn changes(device: &str, calls: &[Call], model: &dyn Model, added: &[&str], removed: &[&str]) {
    let device: Device = device.parse().unwrap();
    let states = |device| possible(calls, model, device, &["a", "b"]);
    let (plain, other) = (states(Device::default()), states(device));
    let set =
        |texts: &[&str]| -> BTreeSet<String> { texts.iter().map(|s| s.to_string()).collect() };
    assert_eq!(&other - &plain, set(added), "added");
    assert_eq!(&plain - &other, set(removed), "removed");
    assert!(!(&other & &plain).is_empty());
}

/// A file of 2048 bytes on disk, and the write of others over them.
const OVERWRITE: [Call; 5] = [
    File("a"),
    Write("a", 0, 2048),
    Fsync("a"),
    FsyncDir(""),
    Write("a", 0, 2048),
];

#[test]
fn a_sector_is_whole() {
    changes(
        "sector=1024",
        &OVERWRITE,
        &STRICT,
        &[],
        &[
            "2*512 1*1536 | -",
            "1*512 2*512 1*1024 | -",
            "1*1024 2*512 1*512 | -",
            "1*1536 2*512 | -",
            "2*512 1*512 2*512 1*512 | -",
            "2*512 1*1024 2*512 | -",
            "1*512 2*1024 1*512 | -",
            "1*512 2*512 1*512 2*512 | -",
            "2*1536 1*512 | -",
            "2*1024 1*512 2*512 | -",
            "2*512 1*512 2*1024 | -",
            "1*512 2*1536 | -",
        ],
    );
}

#[test]
fn an_aligned_block_is_whole() {
    let calls = [
        File("a"),
        Write("a", 0, 2048),
        Fsync("a"),
        FsyncDir(""),
        Write("a", 0, 1536),
    ];
    // The first 1024 bytes are one block; the rest fills only half of the next.
    changes(
        "atomic=1024",
        &calls,
        &STRICT,
        &[],
        &[
            "2*512 1*1536 | -",
            "1*512 2*512 1*1024 | -",
            "2*512 1*512 2*512 1*512 | -",
            "1*512 2*1024 1*512 | -",
        ],
    );
    changes(
        "atomic=any",
        &calls,
        &STRICT,
        &[],
        &[
            "2*512 1*1536 | -",
            "1*512 2*512 1*1024 | -",
            "1*1024 2*512 1*512 | -",
            "2*512 1*512 2*512 1*512 | -",
            "1*512 2*1024 1*512 | -",
            "2*1024 1*1024 | -",
        ],
    );
}

#[test]
fn a_safe_append_brings_data_before_the_length() {
    let calls = [File("a"), FsyncDir(""), Append("a", 100), File("b")];
    changes(
        "safe-append",
        &calls,
        &STRICT,
        &[],
        &["0*100 | -", "0*100 | "],
    );
    // Where metadata has an order, what follows the length follows the data.
    changes(
        "safe-append",
        &calls,
        &JOURNALED,
        &[],
        &["0*100 | -", "0*100 | "],
    );
    let last_block = [
        File("a"),
        Write("a", 0, 100),
        Fsync("a"),
        FsyncDir(""),
        Append("a", 50),
    ];
    changes("safe-append", &last_block, &EXT4, &[], &["1*100 0*50 | -"]);
    let elsewhere = [
        File("a"),
        FsyncDir(""),
        Append("a", 100),
        File("b"),
        Fsync("b"),
    ];
    changes(
        "safe-append",
        &elsewhere,
        &EXT4_WRITEBACK,
        &[],
        &["0*100 | "],
    );
}

#[test]
fn sequential_writes_are_lost_from_the_end() {
    let calls = [
        File("a"),
        File("b"),
        Write("a", 0, 1024),
        Write("b", 0, 100),
        Fsync("a"),
        Fsync("b"),
        FsyncDir(""),
        Write("a", 0, 1024),
        Write("b", 0, 100),
    ];
    changes(
        "sequential",
        &calls,
        &STRICT,
        &[],
        &[
            "1*1024 | 4*100",
            "3*512 1*512 | 4*100",
            "1*512 3*512 | 4*100",
        ],
    );
    // A sync of the second brings the first along.
    let synced = [&calls[..], &[Fsync("b")]].concat();
    changes(
        "sequential",
        &synced,
        &STRICT,
        &[],
        &[
            "1*1024 | 4*100",
            "3*512 1*512 | 4*100",
            "1*512 3*512 | 4*100",
        ],
    );
}

#[test]
fn without_powersafe_overwrite_there_is_junk_beside_a_write() {
    let calls = [
        File("a"),
        Write("a", 0, 1024),
        Fsync("a"),
        FsyncDir(""),
        Write("a", 100, 100),
    ];
    let junk = "165*100 1*100 165*312 1*512 | -";
    for model in [&STRICT as &dyn Model, &JOURNALED, &EXT4, &XFS] {
        changes("no-powersafe-overwrite", &calls, model, &[junk], &[]);
    }
    changes("no-powersafe-overwrite", &calls, &BTRFS, &[], &[]);
    let whole = [
        File("a"),
        Write("a", 0, 1024),
        Fsync("a"),
        FsyncDir(""),
        Write("a", 0, 512),
    ];
    changes("no-powersafe-overwrite", &whole, &STRICT, &[], &[]);
}
