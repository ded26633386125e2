//! Runs for the tests: operations done to a crash filesystem, with the tree after every record.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};

use nix::errno::Errno;
use proptest::prelude::*;

use crate::fs::{Attrs, Caller, Disk, Ino, Log, NewNode, Node, Op, ROOT, Record, RenameMode, Tree};
use crate::persist::{Device, Model, Window};

/// What a test does, by path. What is refused leaves no record.
#[derive(Clone, Debug)]
pub(crate) enum Call {
    File(&'static str),
    Dir(&'static str),
    Link(&'static str, &'static str),
    Unlink(&'static str),
    Rmdir(&'static str),
    Rename(&'static str, &'static str, RenameMode),
    Chmod(&'static str, u32),
    /// Each write carries a byte of its own.
    Write(&'static str, u64, usize),
    Append(&'static str, usize),
    Truncate(&'static str, u64),
    /// fallocate(2) with this mode.
    Allocate(&'static str, u64, u64, i32),
    Fsync(&'static str),
    Fdatasync(&'static str),
    /// A directory's fsync; "" is the data directory.
    FsyncDir(&'static str),
    /// An fsync that fails, after which the pages count as clean.
    FsyncFails(&'static str),
}

/// A filesystem on which calls were done.
pub(crate) struct Run {
    pub(crate) disk: Disk,
    /// `moments[n]` is the tree after n records.
    pub(crate) moments: Vec<Tree>,
    written: u8,
}

impl Run {
    pub(crate) fn new(calls: &[Call]) -> Self {
        let disk = Disk::empty((0, 0));
        let moments = vec![disk.tree.clone()];
        let mut run = Run {
            disk,
            moments,
            written: 0,
        };
        for call in calls {
            run.call(call);
        }
        run
    }

    /// Does a call; what is refused, as the many impossible ones of a random run, does nothing.
    pub(crate) fn call(&mut self, call: &Call) {
        // What is not possible changes nothing.
        self.attempt(call).unwrap_or_default();
        let (tree, records) = (self.disk.tree.clone(), self.disk.log.records().len());
        if records == self.moments.len() {
            self.moments.push(tree);
        }
        assert_eq!(
            records + 1,
            self.moments.len(),
            "more than one record for {call:?}"
        );
    }

    fn attempt(&mut self, call: &Call) -> Result<(), Errno> {
        let tree = self.disk.tree.clone();
        let find = |path: &str| tree.resolve(path);
        let place = |path: &'static str| {
            let (directory, name) = path.rsplit_once('/').unwrap_or(("", path));
            Ok::<_, Errno>((find(directory)?, OsStr::new(name)))
        };
        let disk = &mut self.disk;
        let owner = Caller {
            uid: 0,
            gid: 0,
            now: 1,
        };
        match call {
            Call::File(path) => disk
                .make(1, owner, place(path)?, NewNode::File, 0o644)
                .map(drop),
            Call::Dir(path) => disk
                .make(1, owner, place(path)?, NewNode::Dir, 0o755)
                .map(drop),
            Call::Link(from, to) => disk.link(1, find(from)?, place(to)?),
            Call::Unlink(path) => disk.remove(1, place(path)?, false),
            Call::Rmdir(path) => disk.remove(1, place(path)?, true),
            Call::Rename(from, to, mode) => disk.rename(1, place(from)?, place(to)?, *mode),
            Call::Chmod(path, mode) => disk.set_attrs(
                1,
                find(path)?,
                Attrs {
                    mode: Some(*mode),
                    ..Attrs::default()
                },
            ),
            Call::Write(path, at, len) => {
                let ino = find(path)?;
                self.written = self.written % 250 + 1;
                disk.write_bytes(1, ino, *at, &vec![self.written; *len])
                    .map(drop)
            }
            Call::Append(path, len) => {
                let ino = find(path)?;
                let end = tree.content(ino)?.size();
                self.written = self.written % 250 + 1;
                disk.write_bytes(1, ino, end, &vec![self.written; *len])
                    .map(drop)
            }
            Call::Truncate(path, size) => disk.set_size(1, find(path)?, *size),
            Call::Allocate(path, at, len, mode) => disk.allocate(1, find(path)?, *at, *len, *mode),
            Call::Fsync(path) => self.sync_file(path, false),
            Call::Fdatasync(path) => self.sync_file(path, true),
            Call::FsyncDir(path) => {
                let ino = find(path)?;
                tree.dir(ino)?;
                disk.sync(1, ino, false, true)
            }
            Call::FsyncFails(path) => {
                let ino = find(path)?;
                tree.content(ino)?;
                disk.sync_failed(ino);
                Err(Errno::EIO)
            }
        }
    }

    fn sync_file(&mut self, path: &str, data_only: bool) -> Result<(), Errno> {
        let ino = self.disk.tree.resolve(path)?;
        self.disk.tree.content(ino)?;
        self.disk.sync(1, ino, data_only, false)
    }

    /// Syncs every file and every directory that a name leads to.
    pub(crate) fn sync_all(&mut self) {
        let tree = self.live().clone();
        for ino in visible(&tree).into_values().map(|seen| seen.ino) {
            let dir = tree.dir(ino).is_ok();
            if dir || tree.content(ino).is_ok() {
                self.disk.sync(1, ino, false, dir).unwrap();
                self.moments.push(tree.clone());
            }
        }
    }

    pub(crate) fn live(&self) -> &Tree {
        &self.moments[self.moments.len() - 1]
    }

    pub(crate) fn records(&self) -> Vec<Record> {
        self.disk.log.records().to_vec()
    }

    pub(crate) fn inspect<T>(&self, look: impl FnOnce(&Tree, &Log) -> T) -> T {
        look(&self.disk.tree, &self.disk.log)
    }
}

/// Every state that is legal at the end of a run.
pub(crate) fn all_states(run: &Run, model: &dyn Model, device: Device) -> Vec<Tree> {
    let log = &run.disk.log;
    let window = Window::new(log, log.records().len(), model, device);
    window.every_state().map(|state| state.tree).collect()
}

/// What these paths show in every state that is legal: the bytes in runs, "1*512 0*88"; "" for an
/// empty file and "-" for no such name.
pub(crate) fn possible(
    calls: &[Call],
    model: &dyn Model,
    device: Device,
    paths: &[&str],
) -> BTreeSet<String> {
    let shown = |tree: Tree| -> String {
        let show = |path: &&str| match tree.resolve(path) {
            Ok(ino) => runs(&bytes(&tree, ino)),
            Err(_) => "-".into(),
        };
        paths.iter().map(show).collect::<Vec<_>>().join(" | ")
    };
    let states = all_states(&Run::new(calls), model, device);
    states.into_iter().map(shown).collect()
}

fn runs(bytes: &[u8]) -> String {
    let runs = bytes.chunk_by(|a, b| a == b);
    let runs = runs.map(|run| format!("{}*{}", run[0], run.len()));
    runs.collect::<Vec<_>>().join(" ")
}

/// What a name shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) ino: Ino,
    pub(crate) mode: u32,
    pub(crate) nlink: u32,
    pub(crate) bytes: Vec<u8>,
}

/// Every path with what it shows; the data directory is "".
pub(crate) fn visible(tree: &Tree) -> BTreeMap<String, Seen> {
    let mut all = BTreeMap::new();
    let mut queue = vec![(String::new(), ROOT)];
    while let Some((path, ino)) = queue.pop() {
        let inode = tree.get(ino).unwrap();
        if let Node::Dir(dir) = &inode.node {
            for (name, entry) in dir.iter() {
                let name = name.to_string_lossy();
                let path = if path.is_empty() {
                    name.into()
                } else {
                    format!("{path}/{name}")
                };
                queue.push((path, entry.ino));
            }
        }
        let (mode, nlink) = (inode.mode, inode.nlink);
        all.insert(
            path,
            Seen {
                ino,
                mode,
                nlink,
                bytes: bytes(tree, ino),
            },
        );
    }
    all
}

/// A file's bytes; none when it is not there or no file.
pub(crate) fn bytes(tree: &Tree, ino: Ino) -> Vec<u8> {
    let mut read = Vec::new();
    if let Ok(content) = tree.content(ino) {
        content.read(0, content.size() as usize, &mut read);
    }
    read
}

/// The names alone, with what they name.
pub(crate) fn names(tree: &Tree) -> BTreeMap<String, Ino> {
    visible(tree)
        .into_iter()
        .map(|(path, seen)| (path, seen.ino))
        .collect()
}

/// The names that a record changes, by directory.
pub(crate) fn changed_names(op: &Op) -> Vec<(Ino, OsString)> {
    match op {
        Op::Create { parent, name, .. }
        | Op::Link { parent, name, .. }
        | Op::Unlink { parent, name, .. } => vec![(*parent, name.clone())],
        Op::Rename { from, to, .. } => vec![from.clone(), to.clone()],
        _ => Vec::new(),
    }
}

const PATHS: [&str; 10] = [
    "a", "b", "log", "d/a", "d/b", "d/log", "e/a", "d/e/a", "d/e", "e",
];

fn path() -> impl Strategy<Value = &'static str> {
    proptest::sample::select(&PATHS[..])
}

fn directory() -> impl Strategy<Value = &'static str> {
    proptest::sample::select(&["d", "e", "d/e"][..])
}

/// Anything that a program may do.
pub(crate) fn call() -> impl Strategy<Value = Call> {
    let at = prop_oneof![0..9000u64, (0..18u64).prop_map(|n| n * 512)];
    let len = prop_oneof![1..300usize, Just(512usize), Just(4096), 1..5000usize];
    let mode = prop_oneof![
        4 => Just(RenameMode::Replace),
        1 => Just(RenameMode::Exchange),
    ];
    let how = proptest::sample::select(
        &[
            0,
            libc::FALLOC_FL_KEEP_SIZE,
            libc::FALLOC_FL_ZERO_RANGE,
            libc::FALLOC_FL_PUNCH_HOLE | libc::FALLOC_FL_KEEP_SIZE,
        ][..],
    );
    prop_oneof![
        6 => path().prop_map(Call::File),
        5 => directory().prop_map(Call::Dir),
        1 => (path(), path()).prop_map(|(from, to)| Call::Link(from, to)),
        2 => path().prop_map(Call::Unlink),
        1 => directory().prop_map(Call::Rmdir),
        6 => (path(), path(), mode).prop_map(|(from, to, mode)| Call::Rename(from, to, mode)),
        1 => (path(), 0..0o1000u32).prop_map(|(path, mode)| Call::Chmod(path, mode)),
        8 => (path(), at.clone(), len.clone()).prop_map(|(p, at, n)| Call::Write(p, at, n)),
        8 => (path(), len).prop_map(|(path, n)| Call::Append(path, n)),
        3 => (path(), at.clone()).prop_map(|(path, size)| Call::Truncate(path, size)),
        2 => (path(), at, 1..5000u64, how).prop_map(|(p, at, n, how)| Call::Allocate(p, at, n, how)),
        4 => path().prop_map(Call::Fsync),
        3 => path().prop_map(Call::Fdatasync),
        2 => prop_oneof![Just(""), directory()].prop_map(Call::FsyncDir),
        1 => path().prop_map(Call::FsyncFails),
    ]
}

pub(crate) fn calls() -> impl Strategy<Value = Vec<Call>> {
    // Two directories and a file from the beginning, or most calls would find nothing to do.
    proptest::collection::vec(call(), 1..40).prop_map(|calls| {
        [Call::Dir("d"), Call::File("a"), Call::File("d/log")]
            .into_iter()
            .chain(calls)
            .collect()
    })
}
