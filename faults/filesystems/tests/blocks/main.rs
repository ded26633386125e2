//! The models held to real filesystems: a disk image on the crash filesystem is made into ext4,
//! XFS or btrfs, a short history is done on it, the power is cut between any two block writes with
//! any of those lost that no flush covered, and what the filesystem then recovers must be a state
//! that its model calls legal.
//!
//! Needs root, loop devices and the mkfs programs, and takes minutes, so it runs when it is asked for:
//! `cargo test -p plugpull-filesystems --test blocks -- --include-ignored --test-threads 1`.

#![expect(clippy::unwrap_used, reason = "a test ends where something fails")]

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::Path;

use plugpull_crashsim::fs::RenameMode::Replace as Over;
use plugpull_crashsim::fs::{Log, Tree};
use plugpull_crashsim::persist::{BTRFS, Device, EXT4, EXT4_WRITEBACK, Index, Model, STRICT, XFS};
use plugpull_crashsim::{fs, persist};
use plugpull_filesystems::{
    Filesystem, MACHINE_ARG, Machine, empty_image, machine_main, recovered, this_program,
};
use plugpull_testing::test;
use testing::{Call, Call::*, Run, all_states, visible};

mod qemu;
mod search;

// What the unit tests of the models use to make and to look at histories.
#[expect(dead_code, reason = "the tests of the models use the rest")]
#[path = "../../../crashsim/src/persist/testing_test.rs"]
mod testing;

fn main() -> std::process::ExitCode {
    if std::env::args()
        .nth(1)
        .is_some_and(|first| first == MACHINE_ARG)
    {
        return std::process::ExitCode::from(machine_main() as u8);
    }
    plugpull_testing::main(|name| match name {
        "root" if !nix::unistd::geteuid().is_root() => Err("this is not root".to_owned()),
        "loop" if !Path::new("/dev/loop-control").exists() => {
            Err("there is no /dev/loop-control".to_owned())
        }
        "root" | "loop" => Ok(()),
        program => plugpull_testing::program(program),
    })
}

/// A real filesystem and its model.
struct Real {
    model: &'static dyn Model,
    filesystem: Filesystem,
}

/// What is done on the real filesystem.
#[derive(Clone)]
enum Act {
    /// As in the model.
    Do(Call),
    /// Data of a file is written back, as the kernel may at any time: sync_file_range(2), which
    /// commits no metadata. No call of the model.
    WriteBack(&'static str),
    /// The filesystem commits its metadata, as it may at any time. No call of the model.
    Commit,
}
use Act::{Commit, Do, WriteBack};

/// Histories: what is on disk before, and what is done then.
#[expect(clippy::too_many_lines, reason = "it is a table of histories")]
fn histories() -> Vec<(&'static str, Vec<Call>, Vec<Act>)> {
    let base = || {
        vec![
            File("a"),
            Write("a", 0, 100),
            File("o"),
            Write("o", 0, 9000),
        ]
    };
    let other = [Do(File("s")), Do(Append("s", 10)), Do(Fsync("s"))];
    let with = |acts: &[Act]| [acts, &other, &[Commit]].concat();
    vec![
        (
            "replace by rename",
            base(),
            with(&[
                Do(File("b")),
                Do(Write("b", 0, 5000)),
                Do(Rename("b", "a", Over)),
            ]),
        ),
        (
            "new name by rename",
            base(),
            with(&[
                Do(File("b")),
                Do(Write("b", 0, 5000)),
                Do(Rename("b", "c", Over)),
            ]),
        ),
        (
            "append in the last block",
            base(),
            with(&[Do(Append("a", 50))]),
        ),
        (
            "append across the last block",
            base(),
            with(&[Do(Append("o", 6000)), WriteBack("o")]),
        ),
        (
            "appends written back",
            base(),
            with(&[
                Do(File("b")),
                Do(Append("b", 4096)),
                Do(Append("b", 4096)),
                WriteBack("b"),
            ]),
        ),
        (
            "replace by truncate",
            base(),
            with(&[Do(Truncate("a", 0)), Do(Append("a", 300)), WriteBack("a")]),
        ),
        (
            "overwrite",
            base(),
            with(&[Do(Write("o", 0, 8192)), WriteBack("o"), Do(File("n"))]),
        ),
        (
            "fdatasync after a rename",
            base(),
            vec![
                Do(Rename("a", "c", Over)),
                Do(Fdatasync("c")),
                Do(File("n")),
                Commit,
            ],
        ),
        (
            "fsync of an unchanged file",
            base(),
            vec![
                Do(File("n")),
                Do(Fsync("o")),
                Do(Unlink("a")),
                Do(FsyncDir("")),
                Commit,
            ],
        ),
        (
            "directories",
            base(),
            with(&[
                Do(Dir("d")),
                Do(File("d/a")),
                Do(Append("d/a", 30)),
                Do(Rename("o", "d/o", Over)),
                Do(FsyncDir("d")),
            ]),
        ),
        (
            "truncate up and down",
            base(),
            with(&[
                Do(Append("a", 8000)),
                Do(Truncate("a", 12_000)),
                Do(Truncate("a", 2000)),
                WriteBack("a"),
            ]),
        ),
    ]
}

type Shown = BTreeMap<String, Option<Vec<u8>>>;

/// What a tree shows: files with their bytes, directories with none.
fn shown(tree: &Tree) -> Shown {
    let seen = visible(tree)
        .into_iter()
        .filter(|(path, _)| !path.is_empty());
    seen.map(|(path, seen)| {
        let file = tree.content(seen.ino).is_ok();
        (path, file.then_some(seen.bytes))
    })
    .collect()
}

/// What the model allows after some calls.
fn legal(run: &Run, model: &dyn Model) -> BTreeSet<Shown> {
    let device = Device::with_sector(4096).unwrap();
    let states = all_states(run, model, device);
    states.iter().map(shown).collect()
}

/// In short: every path with its bytes in runs.
fn short(shown: &Shown) -> String {
    let one = |(path, bytes): (&String, &Option<Vec<u8>>)| {
        let runs = bytes.iter().flat_map(|bytes| bytes.chunk_by(|a, b| a == b));
        let runs: Vec<String> = runs
            .map(|run| format!("{}*{}", run[0], run.len()))
            .collect();
        format!("{path}: {}", runs.join(" "))
    };
    shown.iter().map(one).collect::<Vec<_>>().join("; ")
}

/// What was seen of one history.
#[derive(Default)]
struct Tried {
    states: usize,
    contents: BTreeSet<Shown>,
    legal: BTreeSet<Shown>,
    illegal: BTreeSet<String>,
}

/// Does the history on the real filesystem: the block log, and where each operation was over in it.
fn played(real: &Real, run: &Run, acts: &[Act], before: usize) -> (Log, Vec<usize>) {
    let program = this_program();
    let image = empty_image(real.filesystem.bytes).unwrap();
    let mut machine = Machine::start(&program, &real.filesystem, image, true).unwrap();
    let records = run.records();
    machine.prepare(&records, before).unwrap();
    let mut over = vec![machine.blocks()];
    let mut next = before;
    for act in acts {
        match act {
            Do(_) => {
                assert!(machine.perform(next).unwrap(), "{:?}", records[next]);
                next += 1;
                over.push(machine.blocks());
            }
            WriteBack(path) => {
                let tree = &run.moments[next];
                let file = tree.resolve(path).unwrap();
                let every = tree.inodes().map(|(ino, _)| ino);
                let but: Vec<_> = every.filter(|ino| *ino != file).collect();
                machine.write_back(&but, &[]).unwrap();
            }
            Commit => machine.commit().unwrap(),
        }
    }
    let log = machine.take_blocks().unwrap();
    machine.end().unwrap();
    (log, over)
}

fn try_history(real: &Real, base: &[Call], acts: &[Act], most: usize) -> Tried {
    let mut model = Run::new(base);
    model.sync_all();
    let before = model.records().len();
    let mut legal_after = vec![legal(&model, real.model)];
    for act in acts {
        if let Do(call) = act {
            let records = model.records().len();
            model.call(call);
            assert_eq!(model.records().len(), records + 1, "{call:?} was refused");
            legal_after.push(legal(&model, real.model));
        }
    }
    let (log, over) = played(real, &model, acts, before);
    let last = log.records().len();

    let mut tried = Tried::default();
    let mut seen = HashSet::new();
    let index = Index::new(&log, &STRICT, Device::with_sector(4096).unwrap());
    let mut states = Vec::new();
    for point in 0..=last {
        let window = index.window(point);
        for choice in window.loss_sets(3, point as u64, usize::MAX) {
            let state = window.state(&choice).tree;
            // Right after a call, and at the end: not to be missed.
            let telling = choice.is_empty() && (over.contains(&point) || point == last);
            if seen.insert(state.digest()) || telling {
                states.push((telling, point, state));
            }
        }
    }
    let every = states.len().div_ceil(most).max(1);
    let sample = states.into_iter().enumerate();
    let sample = sample.filter(|(n, (telling, ..))| *telling || n % every == 0);
    for (_, (_, point, image)) in sample {
        // Steps over before the cut, and the one under way.
        let done = over.partition_point(|end| *end <= point).saturating_sub(1);
        let shown = shown(&recovered(&this_program(), &real.filesystem, image).unwrap());
        tried.states += 1;
        let legal = legal_after[done..].iter().take(2);
        if !legal.clone().any(|legal| legal.contains(&shown)) {
            tried
                .illegal
                .insert(format!("after {done} calls: {}", short(&shown)));
        }
        tried.contents.insert(shown);
        tried.legal.extend(legal.flatten().cloned());
    }
    tried
}

fn hold(model: &'static dyn Model) {
    let filesystem = Filesystem::named(model.name()).unwrap();
    let real = &Real { model, filesystem };
    let most = std::env::var("PLUGPULL_BLOCK_STATES").ok();
    let most = most.and_then(|most| most.parse().ok()).unwrap_or(150);
    let mut illegal = Vec::new();
    for (name, base, acts) in histories() {
        let tried = try_history(real, &base, &acts, most);
        println!(
            "{} {name}: {} block states, {} contents seen of {} legal, {} illegal",
            real.model.name(),
            tried.states,
            tried.contents.len(),
            tried.legal.len(),
            tried.illegal.len()
        );
        for shown in &tried.contents {
            println!("    seen: {}", short(shown));
        }
        for what in &tried.illegal {
            println!("    ILLEGAL {what}");
        }
        illegal.extend(
            tried
                .illegal
                .into_iter()
                .map(|what| format!("{name}: {what}")),
        );
    }
    assert_eq!(
        illegal, [""; 0],
        "{} shows what its model calls illegal",
        real.filesystem.name
    );
}

#[test(needs = "root loop mkfs.ext4", ignore = "takes minutes")]
fn blocks_of_ext4() {
    hold(&EXT4);
}

#[test(needs = "root loop mkfs.ext4", ignore = "takes minutes")]
fn blocks_of_ext4_writeback() {
    hold(&EXT4_WRITEBACK);
}

#[test(needs = "root loop mkfs.xfs", ignore = "takes minutes")]
fn blocks_of_xfs() {
    hold(&XFS);
}

#[test(needs = "root loop mkfs.btrfs", ignore = "takes minutes")]
fn blocks_of_btrfs() {
    hold(&BTRFS);
}
