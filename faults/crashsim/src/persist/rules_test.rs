//! The rules of the models, one small history each, and the words that explain a loss.

use super::testing_test::{Call, Call::*, Run, bytes, names};
use super::*;
use crate::fs::RenameMode::{Exchange, Replace};

/// The models that know of no delayed allocation.
const PLAIN: [&dyn Model; 2] = [&JOURNALED, &STRICT];

fn crash(run: &Run, model: &dyn Model, loss: Loss, seed: u64) -> CrashState {
    run.inspect(|_, log| crash_state(log, model, loss, Device::default(), seed))
}

/// The file at `path` when all that may be lost is lost; none when its name is.
fn after_losing_all(calls: &[Call], model: &dyn Model, path: &str) -> Option<Vec<u8>> {
    let state = crash(&Run::new(calls), model, Loss::Everything, 0);
    let ino = state.tree.resolve(path).ok()?;
    Some(bytes(&state.tree, ino))
}

/// Every content that `path` has in 300 random states; none stands for no such name.
fn possible(calls: &[Call], model: &dyn Model, path: &str) -> Vec<Option<Vec<u8>>> {
    let run = Run::new(calls);
    let mut all = Vec::new();
    for seed in 0..300 {
        let state = crash(&run, model, Loss::Subset, seed);
        let found = state
            .tree
            .resolve(path)
            .ok()
            .map(|ino| bytes(&state.tree, ino));
        if !all.contains(&found) {
            all.push(found);
        }
    }
    all
}

#[test]
fn a_new_file_needs_an_fsync_of_its_directory_in_strict_only() {
    let calls = [File("a"), Write("a", 0, 10), Fsync("a")];
    assert_eq!(after_losing_all(&calls, &STRICT, "a"), None);
    assert_eq!(after_losing_all(&calls, &JOURNALED, "a"), Some(vec![1; 10]));
    let calls = [File("a"), Write("a", 0, 10), Fsync("a"), FsyncDir("")];
    assert_eq!(after_losing_all(&calls, &STRICT, "a"), Some(vec![1; 10]));
}

#[test]
fn a_directory_synced_but_not_named_durably_is_lost_with_its_files_in_strict() {
    let calls = [
        Dir("d"),
        File("d/a"),
        Write("d/a", 0, 10),
        Fsync("d/a"),
        FsyncDir("d"),
    ];
    assert_eq!(after_losing_all(&calls, &STRICT, "d/a"), None);
    assert_eq!(
        after_losing_all(&calls, &JOURNALED, "d/a"),
        Some(vec![1; 10])
    );
}

#[test]
fn a_rename_may_come_before_the_bytes_of_the_renamed_file() {
    let calls = [
        File("a"),
        Write("a", 0, 1000),
        Fsync("a"),
        File("b"),
        Write("b", 0, 1000),
        Rename("b", "a", Replace),
        FsyncDir(""),
    ];
    // The length is metadata, and the fsync of the directory has committed it.
    assert_eq!(
        after_losing_all(&calls, &JOURNALED, "a"),
        Some(vec![0; 1000])
    );
    assert_eq!(after_losing_all(&calls, &STRICT, "a"), Some(vec![]));
    let mut synced = calls.to_vec();
    synced.insert(5, Fsync("b"));
    for model in PLAIN {
        assert_eq!(after_losing_all(&synced, model, "a"), Some(vec![2; 1000]));
    }
}

#[test]
fn a_rename_is_old_or_new_and_never_neither() {
    let calls = [
        Dir("d"),
        File("a"),
        Fsync("a"),
        FsyncDir(""),
        Dir("e"),
        Rename("a", "e/a", Replace),
        // The old name's directory: its fsync may not leave the file without a name.
        FsyncDir(""),
        // The new name's, at last.
        FsyncDir("e"),
    ];
    for calls in [&calls[..6], &calls[..7]] {
        let run = Run::new(calls);
        for seed in 0..50 {
            let names = names(&crash(&run, &STRICT, Loss::Subset, seed).tree);
            assert!(
                names.contains_key("a") || names.contains_key("e/a"),
                "{names:?}"
            );
        }
    }
    // Nobody synced the directory of the new name: it may not be there, and then the old one is.
    let old = &calls[..7];
    assert_eq!(after_losing_all(old, &STRICT, "e/a"), None);
    assert_eq!(after_losing_all(old, &STRICT, "a"), Some(vec![]));
    assert_eq!(after_losing_all(&calls, &STRICT, "e/a"), Some(vec![]));
    assert_eq!(after_losing_all(&calls, &STRICT, "a"), None);
    assert_eq!(described(&calls, &STRICT), [""; 0], "nothing is un-synced");
}

#[test]
fn a_rename_makes_no_directory_durable() {
    let calls = [
        Dir("d"),
        File("d/new"),
        Fsync("d/new"),
        Rename("d/new", "d/a", Replace),
        FsyncDir("d"),
    ];
    assert_eq!(after_losing_all(&calls, &STRICT, "d/a"), None);
    assert_eq!(after_losing_all(&calls, &JOURNALED, "d/a"), Some(vec![]));
    let mut calls = calls.to_vec();
    calls.push(FsyncDir(""));
    assert_eq!(after_losing_all(&calls, &STRICT, "d/a"), Some(vec![]));
    assert_eq!(after_losing_all(&calls, &STRICT, "d/new"), None);
}

#[test]
fn what_takes_an_old_name_is_durable_with_its_directory() {
    let calls = [
        Dir("old"),
        File("log"),
        FsyncDir(""),
        Rename("log", "old/log", Replace),
        File("log"),
        Write("log", 0, 9),
        Fsync("log"),
        FsyncDir(""),
    ];
    // The new log is promised, so the old one can no longer be under this name, and is under the other.
    assert_eq!(after_losing_all(&calls, &STRICT, "log"), Some(vec![1; 9]));
    assert_eq!(after_losing_all(&calls, &STRICT, "old/log"), Some(vec![]));
}

#[test]
fn an_exchange_is_whole() {
    let calls = [
        Dir("d"),
        File("a"),
        File("d/b"),
        FsyncDir(""),
        FsyncDir("d"),
        Rename("a", "d/b", Exchange),
    ];
    let before = names(Run::new(&calls[..5]).live());
    let after = names(Run::new(&calls).live());
    for model in PLAIN {
        let run = Run::new(&calls);
        let mut both = [false; 2];
        for seed in 0..50 {
            let found = names(&crash(&run, model, Loss::Subset, seed).tree);
            assert!(found == before || found == after, "{found:?}");
            both[usize::from(found == after)] = true;
        }
        assert_eq!(both, [true; 2], "{}", model.name());
        let mut synced = calls.to_vec();
        synced.push(FsyncDir("d"));
        let found = names(&crash(&Run::new(&synced), model, Loss::Everything, 0).tree);
        assert_eq!(
            found, after,
            "one directory's fsync makes both names durable"
        );
    }
}

#[test]
fn what_was_moved_out_of_a_directory_is_not_lost_with_it() {
    let calls = [
        Dir("d"),
        Dir("e"),
        File("d/a"),
        FsyncDir(""),
        FsyncDir("d"),
        Rename("d/a", "e/a", Replace),
        Rmdir("d"),
    ];
    let run = Run::new(&calls);
    for seed in 0..100 {
        let names = names(&crash(&run, &STRICT, Loss::Subset, seed).tree);
        assert!(
            names.contains_key("d/a") || names.contains_key("e/a"),
            "{names:?}"
        );
    }
}

#[test]
fn an_exchange_is_whole_also_when_a_later_rename_brings_it_along() {
    let calls = [
        Dir("d"),
        File("a"),
        File("d/b"),
        FsyncDir(""),
        FsyncDir("d"),
        Rename("a", "d/b", Exchange),
        Rename("d/b", "d/c", Replace),
    ];
    let run = Run::new(&calls);
    for seed in 0..100 {
        let state = crash(&run, &STRICT, Loss::Subset, seed);
        assert_eq!(state.tree.inode_count(), 4, "{:?}", names(&state.tree));
    }
}

#[test]
fn another_files_fsync_commits_the_length_but_not_the_bytes() {
    let calls = [
        File("a"),
        File("b"),
        Write("a", 0, 600),
        Fsync("a"),
        Append("a", 600),
        Write("b", 0, 5),
        Fsync("b"),
    ];
    let half = [vec![1; 600], vec![0; 600]].concat();
    assert_eq!(after_losing_all(&calls, &JOURNALED, "a"), Some(half));
    let mut calls = calls.to_vec();
    calls.push(FsyncDir(""));
    assert_eq!(after_losing_all(&calls, &STRICT, "a"), Some(vec![1; 600]));
}

#[test]
fn fdatasync_brings_the_length_that_its_data_needs() {
    let calls = [
        File("a"),
        Fsync("a"),
        FsyncDir(""),
        Append("a", 700),
        Fdatasync("a"),
        Append("a", 9),
    ];
    for model in PLAIN {
        assert_eq!(after_losing_all(&calls, model, "a"), Some(vec![1; 700]));
    }
}

#[test]
fn fdatasync_commits_other_metadata_only_where_it_must_commit() {
    let overwrite = [
        File("a"),
        Write("a", 0, 100),
        Fsync("a"),
        File("b"),
        Write("a", 0, 50),
        Fdatasync("a"),
    ];
    assert_eq!(after_losing_all(&overwrite, &JOURNALED, "b"), None);
    let mut append = overwrite.to_vec();
    append[4] = Append("a", 50);
    assert_eq!(after_losing_all(&append, &JOURNALED, "b"), Some(vec![]));
    // A rename is nothing that the file's data needs.
    let renamed = [
        File("a"),
        Write("a", 0, 100),
        Fsync("a"),
        Rename("a", "b", Replace),
        Fdatasync("b"),
    ];
    assert_eq!(after_losing_all(&renamed, &JOURNALED, "b"), None);
    assert_eq!(
        after_losing_all(&renamed, &JOURNALED, "a"),
        Some(vec![1; 100])
    );
}

#[test]
fn a_removed_file_comes_back_until_the_removal_is_synced() {
    let kept = [
        File("a"),
        Write("a", 0, 10),
        Fsync("a"),
        FsyncDir(""),
        File("b"),
        Unlink("a"),
    ];
    for model in PLAIN {
        assert_eq!(after_losing_all(&kept, model, "a"), Some(vec![1; 10]));
    }
    let mut elsewhere = kept.to_vec();
    elsewhere.push(Fsync("b"));
    assert_eq!(
        after_losing_all(&elsewhere, &STRICT, "a"),
        Some(vec![1; 10])
    );
    assert_eq!(after_losing_all(&elsewhere, &JOURNALED, "a"), None);
}

#[test]
fn of_two_appends_in_one_sector_the_second_is_not_there_alone() {
    let calls = [
        File("a"),
        FsyncDir(""),
        Truncate("a", 400),
        Fsync("a"),
        Write("a", 0, 200),
        Write("a", 200, 200),
    ];
    for model in PLAIN {
        let mut states = possible(&calls, model, "a");
        states.sort();
        let content = |first, second| Some([[first; 200], [second; 200]].concat());
        assert_eq!(
            states,
            [content(0, 0), content(1, 0), content(1, 2)],
            "{}",
            model.name()
        );
    }
}

#[test]
fn of_two_sectors_any_may_be_there_alone() {
    let calls = [
        File("a"),
        FsyncDir(""),
        Truncate("a", 1024),
        Fsync("a"),
        Write("a", 0, 1024),
    ];
    for model in PLAIN {
        let mut states = possible(&calls, model, "a");
        states.sort();
        let content = |first, second| Some([[first; 512], [second; 512]].concat());
        let all = [content(0, 0), content(0, 1), content(1, 0), content(1, 1)];
        assert_eq!(states, all, "{}", model.name());
    }
}

#[test]
fn what_was_cut_off_does_not_come_back_under_later_writes() {
    let calls = [
        File("a"),
        Write("a", 0, 300),
        Fsync("a"),
        FsyncDir(""),
        Truncate("a", 0),
        Write("a", 100, 100),
    ];
    for found in possible(&calls, &STRICT, "a") {
        let found = found.unwrap();
        let mixed = found.contains(&1) && found.contains(&2);
        assert!(!mixed, "old and new bytes in one file: {found:?}");
    }
    // Nor when a second cut comes between: the two keep their order.
    let zero = libc::FALLOC_FL_ZERO_RANGE | libc::FALLOC_FL_KEEP_SIZE;
    let mut calls = calls.to_vec();
    calls.extend([Allocate("a", 120, 10, zero), Write("a", 150, 10)]);
    for found in possible(&calls, &STRICT, "a") {
        let found = found.unwrap();
        let mixed = found.contains(&1) && (found.contains(&2) || found.contains(&3));
        assert!(!mixed, "old and new bytes in one file: {found:?}");
    }
}

#[test]
fn a_failed_fsync_gives_the_bytes_up_until_their_page_is_written_again() {
    let calls = [
        File("a"),
        Write("a", 0, 8192),
        Fsync("a"),
        FsyncDir(""),
        Write("a", 0, 8192),
        FsyncFails("a"),
        Fsync("a"),
    ];
    for model in PLAIN {
        assert_eq!(after_losing_all(&calls, model, "a"), Some(vec![1; 8192]));
        let mut again = calls.to_vec();
        again.extend([Write("a", 4096, 1), Fsync("a")]);
        let second_page = [vec![1; 4096], vec![3], vec![2; 4095]].concat();
        assert_eq!(after_losing_all(&again, model, "a"), Some(second_page));
    }
}

/// The sentences for what was un-synced after these calls, latest first.
fn described(calls: &[Call], model: &dyn Model) -> Vec<String> {
    let all = Run::new(calls).inspect(|_, log| unsynced(log, model, u64::MAX));
    all.iter().map(Unsynced::describe).collect()
}

#[test]
fn words_for_a_log_that_is_never_synced() {
    let calls = [File("log"), Append("log", 10), Append("log", 20)];
    assert_eq!(
        described(&calls, &JOURNALED),
        ["log had 2 writes (30 bytes, operations 1 to 2) and never an fsync or fdatasync"]
    );
}

#[test]
fn words_for_an_ack_before_the_sync() {
    let calls = [
        File("log"),
        Append("log", 10),
        Fdatasync("log"),
        Append("log", 20),
    ];
    assert_eq!(
        described(&calls, &JOURNALED),
        ["log had 1 write (20 bytes, operation 3) and no fsync or fdatasync after operation 2"]
    );
    assert_eq!(described(&calls[..3], &JOURNALED), [""; 0], "all is synced");
}

#[test]
fn words_for_a_missing_fsync_of_a_directory() {
    let calls = [
        Dir("d"),
        FsyncDir(""),
        File("d/log"),
        Append("d/log", 10),
        Fsync("d/log"),
    ];
    assert_eq!(
        described(&calls, &STRICT),
        ["the name d/log (operation 2) was not made durable by an fsync of d"]
    );
    assert_eq!(described(&calls, &JOURNALED), [""; 0]);
    assert_eq!(
        described(&[File("log")], &STRICT),
        ["the name log (operation 0) was not made durable by an fsync of the data directory"]
    );
    assert_eq!(
        described(&[File("log")], &JOURNALED),
        ["the name log (operation 0) was not made durable by any fsync after it"]
    );
}

#[test]
fn words_for_a_rename_without_fsync_of_the_file() {
    let calls = [
        File("b"),
        Append("b", 10),
        Rename("b", "a", Replace),
        FsyncDir(""),
    ];
    for model in PLAIN {
        assert_eq!(
            described(&calls, model)[0],
            "b had 1 write (10 bytes, operation 1) and never an fsync or fdatasync"
        );
    }
}

#[test]
fn words_for_a_rename_without_fsync_of_its_directories() {
    let calls = [
        Dir("d"),
        File("a"),
        FsyncDir(""),
        Fsync("a"),
        Rename("a", "d/a", Replace),
    ];
    assert_eq!(
        described(&calls, &STRICT),
        [
            "the rename a -> d/a (operation 4) was not made durable by an fsync of the data \
             directory and d"
        ]
    );
}

#[test]
fn words_for_a_removal_that_is_not_synced() {
    let calls = [File("a"), FsyncDir(""), Unlink("a")];
    assert_eq!(
        described(&calls, &STRICT),
        ["the removal of a (operation 2) was not made durable by an fsync of the data directory"]
    );
}

#[test]
fn words_for_an_ignored_error_of_fsync() {
    let calls = [
        File("log"),
        Append("log", 10),
        FsyncFails("log"),
        Fsync("log"),
        FsyncDir(""),
    ];
    for model in PLAIN {
        assert_eq!(
            described(&calls, model),
            ["log had 1 write (10 bytes, operation 1) whose fsync had failed"]
        );
    }
    let mut again = calls.to_vec();
    again.extend([Write("log", 0, 3), Fsync("log")]);
    assert_eq!(
        described(&again, &JOURNALED),
        [""; 0],
        "the page was written again, whole"
    );
}

#[test]
fn words_do_not_take_an_older_files_sync_for_this_ones() {
    let calls = [
        File("a"),
        Append("a", 10),
        Fsync("a"),
        Rename("a", "b", Replace),
        File("a"),
        Append("a", 20),
        FsyncDir(""),
    ];
    assert_eq!(
        described(&calls, &JOURNALED),
        ["a had 1 write (20 bytes, operation 5) and never an fsync or fdatasync"]
    );
}

#[test]
fn words_are_about_what_came_before_the_ack() {
    let calls = [File("log"), Append("log", 10), Append("log", 20)];
    let before = Run::new(&calls).inspect(|_, log| unsynced(log, &JOURNALED, 2));
    assert_eq!((before[0].writes, before[0].bytes), (1, 10));
}
