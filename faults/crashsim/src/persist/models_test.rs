//! The rules of the single filesystems: for small histories, every state that is legal.

use std::collections::BTreeSet;

use super::testing_test::{Call, Call::*, possible};
use super::*;
use crate::fs::RenameMode::Replace as Over;

/// Exactly these states are legal.
#[track_caller]
fn exactly(calls: &[Call], model: &dyn Model, paths: &[&str], wanted: &[&str]) {
    let found = possible(calls, model, Device::default(), paths);
    let wanted: BTreeSet<String> = wanted.iter().map(|text| text.to_string()).collect();
    assert_eq!(found, wanted, "{}", model.name());
}

const ALL: [&dyn Model; 4] = [&EXT4, &EXT4_WRITEBACK, &XFS, &BTRFS];

/// A file of one write that is on disk, with its name.
fn on_disk(path: &'static str, len: usize) -> Vec<Call> {
    vec![File(path), Write(path, 0, len), Fsync(path), FsyncDir("")]
}

fn then(mut calls: Vec<Call>, more: &[Call]) -> Vec<Call> {
    calls.extend_from_slice(more);
    calls
}

#[test]
fn a_new_file_never_synced_is_gone_empty_or_whole() {
    let calls = [File("a"), Write("a", 0, 600)];
    for model in [&EXT4 as &dyn Model, &XFS, &BTRFS] {
        exactly(&calls, model, &["a"], &["-", "", "1*600"]);
    }
    exactly(
        &calls,
        &EXT4_WRITEBACK,
        &["a"],
        &["-", "", "0*600", "1*600"],
    );
}

#[test]
fn an_fsync_makes_the_name_durable_too() {
    for model in ALL {
        exactly(
            &[File("a"), Write("a", 0, 600), Fsync("a")],
            model,
            &["a"],
            &["1*600"],
        );
        exactly(
            &[File("a"), Write("a", 0, 600), Fdatasync("a")],
            model,
            &["a"],
            &["1*600"],
        );
        exactly(
            &[Dir("d"), File("d/a"), Append("d/a", 9), Fsync("d/a")],
            model,
            &["d/a"],
            &["1*9"],
        );
    }
}

#[test]
fn another_files_fsync_commits_names_but_no_delayed_length() {
    let calls = [
        File("a"),
        Append("a", 10),
        File("b"),
        Append("b", 20),
        Fsync("b"),
    ];
    // The transaction of b has all names before it; btrfs logs b alone.
    exactly(&calls, &EXT4, &["a", "b"], &[" | 2*20", "1*10 | 2*20"]);
    exactly(&calls, &XFS, &["a", "b"], &[" | 2*20", "1*10 | 2*20"]);
    exactly(
        &calls,
        &EXT4_WRITEBACK,
        &["a", "b"],
        &[" | 2*20", "0*10 | 2*20", "1*10 | 2*20"],
    );
    exactly(
        &calls,
        &BTRFS,
        &["a", "b"],
        &["- | 2*20", " | 2*20", "1*10 | 2*20"],
    );
}

#[test]
fn an_append_in_the_last_block_shows_zeros_on_ext4_only() {
    let calls = then(on_disk("a", 100), &[Append("a", 50)]);
    exactly(
        &calls,
        &EXT4,
        &["a"],
        &["1*100", "1*100 0*50", "1*100 2*50"],
    );
    exactly(
        &calls,
        &EXT4_WRITEBACK,
        &["a"],
        &["1*100", "1*100 0*50", "1*100 2*50"],
    );
    exactly(&calls, &XFS, &["a"], &["1*100", "1*100 2*50"]);
    exactly(&calls, &BTRFS, &["a"], &["1*100", "1*100 2*50"]);
    // Its length is metadata like any other: another file's fsync commits it.
    let calls = then(calls, &[File("b"), Fsync("b")]);
    exactly(&calls, &EXT4, &["a"], &["1*100 0*50", "1*100 2*50"]);
    exactly(&calls, &XFS, &["a"], &["1*100", "1*100 2*50"]);
}

#[test]
fn an_append_in_new_blocks_has_its_data() {
    let calls = then(on_disk("a", 4096), &[Append("a", 50)]);
    for model in [&EXT4 as &dyn Model, &XFS, &BTRFS] {
        exactly(&calls, model, &["a"], &["1*4096", "1*4096 2*50"]);
    }
    let zeros = ["1*4096", "1*4096 0*50", "1*4096 2*50"];
    exactly(&calls, &EXT4_WRITEBACK, &["a"], &zeros);
}

#[test]
fn an_append_across_the_last_blocks_end() {
    let calls = then(on_disk("a", 4000), &[Append("a", 200)]);
    // The room in the last block is filled at once, the new block comes with its data.
    exactly(
        &calls,
        &EXT4,
        &["a"],
        &[
            "1*4000",
            "1*4000 0*96",
            "1*4000 2*96",
            "1*4000 0*96 2*104",
            "1*4000 2*200",
        ],
    );
    exactly(
        &calls,
        &XFS,
        &["a"],
        &["1*4000", "1*4000 2*96", "1*4000 0*96 2*104", "1*4000 2*200"],
    );
}

#[test]
fn new_blocks_do_not_tear_and_old_ones_do() {
    let fresh = [File("a"), Fsync("a"), Write("a", 0, 1024)];
    for model in [&EXT4 as &dyn Model, &XFS, &BTRFS] {
        exactly(&fresh, model, &["a"], &["", "1*1024"]);
    }
    let old = then(on_disk("a", 1024), &[Write("a", 0, 1024)]);
    let whole = ["1*1024", "2*1024"];
    let torn = ["1*1024", "2*1024", "2*512 1*512", "1*512 2*512"];
    exactly(&old, &EXT4, &["a"], &torn);
    exactly(&old, &EXT4_WRITEBACK, &["a"], &torn);
    exactly(&old, &XFS, &["a"], &torn);
    exactly(&old, &BTRFS, &["a"], &whole);
}

#[test]
fn of_two_appends_the_later_may_be_there_alone() {
    let calls = [File("a"), Fsync("a"), Append("a", 4096), Append("a", 4096)];
    let states = ["", "1*4096", "0*4096 2*4096", "1*4096 2*4096"];
    exactly(&calls, &EXT4, &["a"], &states);
    exactly(&calls, &XFS, &["a"], &states);
    // On btrfs the length in memory comes with any data.
    let btrfs = [
        "",
        "1*4096",
        "1*4096 0*4096",
        "0*4096 2*4096",
        "1*4096 2*4096",
    ];
    exactly(&calls, &BTRFS, &["a"], &btrfs);
}

#[test]
fn a_rename_over_a_file_flushes_it_on_ext4() {
    let calls = then(
        on_disk("a", 100),
        &[File("b"), Write("b", 0, 200), Rename("b", "a", Over)],
    );
    exactly(&calls, &EXT4, &["a"], &["1*100", "2*200"]);
    exactly(
        &calls,
        &EXT4_WRITEBACK,
        &["a"],
        &["1*100", "0*200", "2*200"],
    );
    exactly(&calls, &XFS, &["a"], &["1*100", "", "2*200"]);
    exactly(&calls, &BTRFS, &["a"], &["1*100", "", "2*200"]);
    // Not when nothing is replaced.
    let fresh = [File("b"), Write("b", 0, 200), Rename("b", "a", Over)];
    exactly(&fresh, &EXT4, &["a"], &["-", "", "1*200"]);
    let synced = then(
        on_disk("a", 100),
        &[
            File("b"),
            Write("b", 0, 200),
            Fsync("b"),
            Rename("b", "a", Over),
        ],
    );
    for model in ALL {
        exactly(&synced, model, &["a"], &["1*100", "2*200"]);
    }
}

#[test]
fn an_fsync_commits_up_to_the_last_change_of_its_inode() {
    // The sync of a unchanged file waits for nothing that came later.
    let calls = then(on_disk("a", 100), &[File("b"), Fsync("a")]);
    for model in ALL {
        exactly(&calls, model, &["b"], &["-", ""]);
    }
    exactly(&calls, &JOURNALED, &["b"], &[""]);
    let calls = then(
        on_disk("a", 100),
        &[File("b"), Write("a", 0, 9), Fsync("a")],
    );
    exactly(&calls, &EXT4, &["b"], &[""]);
    exactly(&calls, &XFS, &["b"], &[""]);
    exactly(&calls, &BTRFS, &["b"], &["-", ""]);
}

#[test]
fn fdatasync_of_an_overwrite_commits_no_metadata() {
    let calls = then(
        on_disk("a", 100),
        &[File("b"), Write("a", 0, 100), Fdatasync("a")],
    );
    for model in ALL {
        exactly(
            &calls,
            model,
            &["a", "b"],
            &["3*100 | -", "3*100 | "]
                .map(|s| s.replace('3', "2"))
                .each_ref()
                .map(String::as_str),
        );
    }
    // XFS logs a renamed inode's core; ext4 only notes that its times changed.
    let calls = then(on_disk("a", 100), &[Rename("a", "b", Over), Fdatasync("b")]);
    exactly(&calls, &EXT4, &["b"], &["-", "1*100"]);
    exactly(&calls, &XFS, &["b"], &["1*100"]);
    exactly(&calls, &BTRFS, &["b"], &["1*100"]);
}

#[test]
fn what_is_lost_of_metadata_is_a_suffix() {
    let calls = [File("a"), File("b"), Rename("a", "c", Over)];
    let states = ["- | - | -", " | - | -", " |  | -", "- |  | "];
    for model in ALL {
        exactly(&calls, model, &["a", "b", "c"], &states);
    }
}

#[test]
fn data_in_new_blocks_needs_the_metadata_before_it() {
    let calls = then(
        on_disk("a", 4096),
        &[File("b"), Append("a", 10), Write("a", 0, 4096)],
    );
    // The new block is given in the journal, behind b's name; the overwrite is no metadata.
    for model in [&EXT4 as &dyn Model, &XFS] {
        let found = possible(
            &calls,
            model,
            Device::with_sector(4096).unwrap(),
            &["a", "b"],
        );
        let wanted = [
            "1*4096 | -",
            "1*4096 | ",
            "3*4096 | -",
            "3*4096 | ",
            "1*4096 2*10 | ",
            "3*4096 2*10 | ",
        ];
        assert_eq!(found, wanted.map(String::from).into(), "{}", model.name());
    }
}

#[test]
fn a_truncate_waits_for_appended_data_on_xfs() {
    let calls = [
        File("a"),
        Fsync("a"),
        Append("a", 4096),
        Truncate("a", 8192),
    ];
    let data = "1*4096 0*4096";
    exactly(&calls, &XFS, &["a"], &["", "1*4096", data]);
    exactly(&calls, &EXT4, &["a"], &["", "1*4096", "0*8192", data]);
    let shorter = [File("a"), Fsync("a"), Append("a", 4096), Truncate("a", 100)];
    exactly(&shorter, &XFS, &["a"], &["", "1*4096", "1*100"]);
    exactly(&shorter, &EXT4, &["a"], &["", "1*4096", "0*100", "1*100"]);
}

#[test]
fn replacing_by_truncate_can_leave_an_empty_file() {
    let calls = then(on_disk("a", 100), &[Truncate("a", 0), Append("a", 50)]);
    for model in [&EXT4 as &dyn Model, &XFS, &BTRFS] {
        exactly(&calls, model, &["a"], &["1*100", "", "2*50"]);
    }
    exactly(
        &calls,
        &EXT4_WRITEBACK,
        &["a"],
        &["1*100", "", "0*50", "2*50"],
    );
}

#[test]
fn a_directories_fsync_logs_its_names_on_btrfs() {
    let calls = [
        Dir("d"),
        FsyncDir(""),
        File("d/a"),
        File("b"),
        FsyncDir("d"),
    ];
    exactly(&calls, &BTRFS, &["d/a", "b"], &[" | -", " | "]);
    let both = then(calls.to_vec(), &[FsyncDir("")]);
    exactly(&both, &BTRFS, &["d/a", "b"], &[" | "]);
}

#[test]
fn a_rename_into_a_synced_directory_can_leave_both_names_on_btrfs() {
    let calls = then(
        on_disk("o", 10),
        &[
            Dir("d"),
            FsyncDir("d"),
            Rename("o", "d/o", Over),
            FsyncDir("d"),
        ],
    );
    exactly(&calls, &BTRFS, &["o", "d/o"], &["1*10 | 1*10", "- | 1*10"]);
    exactly(&calls, &EXT4, &["o", "d/o"], &["- | 1*10"]);
    // The file's own log has both.
    let file = then(calls[..7].to_vec(), &[Fsync("d/o")]);
    exactly(&file, &BTRFS, &["o", "d/o"], &["- | 1*10"]);
}

#[test]
fn an_fsync_logs_what_had_the_name_before_on_btrfs() {
    let calls = then(
        on_disk("a", 10),
        &[
            Rename("a", "b", Over),
            File("a"),
            Append("a", 20),
            Fsync("a"),
        ],
    );
    exactly(&calls, &BTRFS, &["a", "b"], &["2*20 | 1*10"]);
}

#[test]
fn a_removal_is_lost_until_a_sync_commits_it() {
    let calls = then(on_disk("a", 10), &[File("b"), Unlink("a")]);
    for model in ALL {
        exactly(&calls, model, &["a", "b"], &["1*10 | -", "1*10 | ", "- | "]);
    }
    let calls = then(calls, &[File("c"), Append("c", 5), Fsync("c")]);
    exactly(&calls, &EXT4, &["a", "b"], &["- | "]);
    exactly(&calls, &XFS, &["a", "b"], &["- | "]);
    exactly(
        &calls,
        &BTRFS,
        &["a", "b"],
        &["1*10 | -", "1*10 | ", "- | "],
    );
}
