//! What is read of a crash filesystem is noted, in each way in which a program can read it.
//!
//! Each case is a program that shows one thing of a directory; a change of the directory that it shows, of
//! which the noted reads must know that the two are not the same to it; and one that it does not show.

use std::ffi::OsStr;
use std::sync::Arc;

use libtest_mimic::Failed;
use nix::unistd::{getegid, geteuid};
use plugpull_crashsim::fs::{Attrs, Caller, Disk, Ino, NewNode, PAGE, ROOT, Reads, Tree};
use plugpull_sandbox::Isolation;
use plugpull_sandbox::fuse::{AdmitAll, CrashFs, Server};

use crate::support::{Test, ensure, run};

pub(crate) fn tests() -> Vec<(&'static str, Test)> {
    vec![
        ("each_kind_of_read_is_noted", || all(SHELL)),
        ("a_disk_that_is_too_small_is_read_as_a_whole", too_small),
    ]
}

pub(crate) fn python_tests() -> Vec<(&'static str, Test)> {
    vec![
        ("each_kind_of_read_is_noted_of_python", || all(PYTHON)),
        ("what_a_program_wrote_itself_is_not_read", written),
    ]
}

type Change = fn(&mut Tree);

/// A program, a change that it shows, and one that it does not show.
type ReadCheck = (&'static str, Change, Change);

const SHELL: &[ReadCheck] = &[
    (
        "head -c 10 a",
        |tree| patch(tree, "a", 3),
        |tree| patch(tree, "a", 9000),
    ),
    (
        "tail -c 10 a",
        |tree| patch(tree, "a", 12_280),
        |tree| patch(tree, "b", 0),
    ),
    (
        "stat -c %s a",
        |tree| size(tree, "a", 100),
        |tree| patch(tree, "a", 3),
    ),
    (
        "stat -c %a a",
        |tree| mode(tree, "a", 0o600),
        |tree| patch(tree, "a", 3),
    ),
    (
        "stat -c %h a",
        |tree| name(tree, ROOT, "link", "a"),
        |tree| patch(tree, "a", 3),
    ),
    (
        "stat -c %Y a",
        |tree| time(tree, "a", 5),
        |tree| time(tree, "b", 5),
    ),
    (
        "readlink symlink",
        |tree| name(tree, ROOT, "symlink", "other"),
        |tree| size(tree, "a", 5),
    ),
    (
        "test -e new; echo $?",
        |tree| name(tree, ROOT, "new", "a"),
        |tree| name(tree, ROOT, "x", "b"),
    ),
    (
        "test -e b; echo $?",
        |tree| gone(tree, "b"),
        |tree| gone(tree, "a"),
    ),
    (
        "ls -f e",
        |tree| name(tree, dir(tree), "new", "b"),
        |tree| name(tree, ROOT, "new", "b"),
    ),
    (
        "rmdir e 2>/dev/null; echo $?",
        |tree| name(tree, dir(tree), "n", "a"),
        |tree| gone(tree, "b"),
    ),
    (
        "mv -T f e 2>/dev/null; echo $?",
        |tree| name(tree, dir(tree), "n", "a"),
        |tree| gone(tree, "b"),
    ),
    ("stat -f -c %f .", |tree| patch(tree, "hole", 8000), |_| {}),
    (
        // What is cut off is nowhere, also when the file is as long as before.
        "truncate -s 3 a; truncate -s 12288 a; cksum a",
        |tree| patch(tree, "a", 2),
        |tree| patch(tree, "a", 5000),
    ),
    (
        "fallocate -n -p -o 4096 -l 4096 a; cksum a",
        |tree| patch(tree, "a", 8192),
        |tree| patch(tree, "a", 5000),
    ),
    (
        "cat e/../b",
        |tree| patch(tree, "b", 0),
        |tree| patch(tree, "a", 0),
    ),
];

const PYTHON: &[ReadCheck] = &[
    (
        "python3 -I -c 'import os; print(os.lseek(os.open(\"hole\", os.O_RDONLY), 0, os.SEEK_DATA))'",
        |tree| patch(tree, "hole", 0),
        |tree| patch(tree, "a", 0),
    ),
    (
        // Written zeros are no hole.
        "python3 -I -c 'import os; print(os.lseek(os.open(\"hole\", os.O_RDONLY), 0, os.SEEK_DATA))'",
        |tree| tree.raw_content(ino(tree, "hole"), |content| content.patch(4096, &[0])),
        |tree| patch(tree, "a", 0),
    ),
    (
        "python3 -I -c 'import os; print(os.getxattr(\"a\", \"user.kind\"))'",
        |tree| tree.raw_xattr(ino(tree, "a"), OsStr::new("user.kind"), Some(b"other")),
        |tree| tree.raw_xattr(ino(tree, "b"), OsStr::new("user.kind"), Some(b"other")),
    ),
    (
        "python3 -I -c 'import os; print(os.listxattr(\"a\"))'",
        |tree| tree.raw_xattr(ino(tree, "a"), OsStr::new("user.kind"), None),
        |tree| patch(tree, "a", 0),
    ),
    (
        "python3 -I -c 'import mmap, os; print(mmap.mmap(os.open(\"a\", os.O_RDONLY), 0, prot=1)[5000])'",
        |tree| patch(tree, "a", 5000),
        |tree| patch(tree, "a", 3),
    ),
    (
        "python3 -I -c 'import os; a = os.open(\"a\", 0); new = os.open(\"c\", os.O_RDWR | os.O_CREAT)
os.copy_file_range(a, new, 100, 0, 0); print(os.pread(new, 100, 0))'",
        |tree| patch(tree, "a", 3),
        |tree| patch(tree, "b", 3),
    ),
    (
        // Where an append goes depends on the length alone.
        "python3 -I -c 'import os; a = os.open(\"a\", os.O_RDWR | os.O_APPEND); os.write(a, b\"more\")
print(os.lseek(a, 0, os.SEEK_CUR))'",
        |tree| size(tree, "a", 100),
        |tree| patch(tree, "a", 12_000),
    ),
];

fn ino(tree: &Tree, path: &str) -> Ino {
    tree.resolve(path).expect("a file of the case")
}

fn dir(tree: &Tree) -> Ino {
    ino(tree, "e")
}

fn patch(tree: &mut Tree, path: &str, at: u64) {
    tree.raw_content(ino(tree, path), |content| content.patch(at, b"#"));
}

fn size(tree: &mut Tree, path: &str, size: u64) {
    tree.raw_content(ino(tree, path), |content| content.truncate(size));
}

fn mode(tree: &mut Tree, path: &str, mode: u32) {
    let attrs = Attrs {
        mode: Some(mode),
        ..Attrs::default()
    };
    tree.raw_attrs(ino(tree, path), attrs, 1);
}

fn time(tree: &mut Tree, path: &str, seconds: i64) {
    let attrs = Attrs {
        mtime: Some(seconds * 1_000_000_000),
        ..Attrs::default()
    };
    tree.raw_attrs(ino(tree, path), attrs, 1);
}

fn name(tree: &mut Tree, dir: Ino, name: &str, of: &str) {
    tree.raw_entry(dir, OsStr::new(name), Some(ino(tree, of)));
}

fn gone(tree: &mut Tree, name: &str) {
    tree.raw_entry(ROOT, OsStr::new(name), None);
}

/// What a crash is said to have left: files `a` and `b`, one with a hole, two symlinks, two directories.
fn left() -> Tree {
    let mut disk = Disk::empty((geteuid().as_raw(), getegid().as_raw()));
    let owner = Caller {
        uid: geteuid().as_raw(),
        gid: getegid().as_raw(),
        now: 1,
    };
    let mut make = |name: &str, node, mode| {
        let made = disk.make(1, owner, (ROOT, OsStr::new(name)), node, mode);
        made.expect("a name of the case")
    };
    let [a, b, hole] = ["a", "b", "hole"].map(|name| make(name, NewNode::File, 0o644));
    make("symlink", NewNode::Symlink("a".into()), 0o777);
    make("other", NewNode::Symlink("b".into()), 0o777);
    make("e", NewNode::Dir, 0o755);
    make("f", NewNode::Dir, 0o755);
    for (ino, at, len) in [(a, 0, 3 * PAGE), (b, 0, 20), (hole, 4 * PAGE, 20)] {
        let bytes = vec![b'.'; len];
        disk.write_bytes(1, ino, at as u64, &bytes)
            .expect("a write of the case");
    }
    let value = OsStr::new("user.kind");
    disk.set_xattr(1, a, value, b"one", 0)
        .expect("an attribute of the case");
    let mut tree = disk.tree;
    tree.settle();
    tree
}

/// What a program printed on a directory, and what it read of it.
fn show(tree: &Tree, script: &str, small: bool) -> Result<(String, Reads), Failed> {
    let sandbox = crate::support::open(Isolation::Full)?;
    let disk = Disk::new(tree.clone(), std::time::Instant::now(), 0);
    let fs = Arc::new(CrashFs::new(disk, Arc::new(AdmitAll)));
    if small {
        fs.fill(0);
    }
    fs.note_reads();
    let server = Server::start(Arc::clone(&fs), sandbox.mount_fuse()?, None)?;
    let (_, output) = run(&sandbox, script)?;
    sandbox.unmount(true)?;
    server.join()?;
    let reads = fs.take_noted().ok_or("nothing was noted")?;
    Ok((output, reads))
}

fn all(cases: &[ReadCheck]) -> Result<(), Failed> {
    let base = left();
    for (script, seen, unseen) in cases {
        let changed = |change: &Change| {
            let mut tree = base.clone();
            change(&mut tree);
            tree.settle();
            tree
        };
        let (seen, unseen) = (changed(seen), changed(unseen));
        let (shown, reads) = show(&base, script, false)?;
        let (other, _) = show(&seen, script, false)?;
        ensure(shown != other, format!("{script}: both print {shown:?}"))?;
        ensure(!reads.agree(&base, &seen), format!("{script}: not noted"))?;
        let (same, _) = show(&unseen, script, false)?;
        ensure(shown == same, format!("{script}: {shown:?} and {same:?}"))?;
        ensure(
            reads.agree(&base, &unseen),
            format!("{script}: too much in {reads:?}"),
        )?;
    }
    Ok(())
}

/// Where there was no space, there might have been some on another disk.
fn too_small() -> Result<(), Failed> {
    let base = left();
    let mut other = base.clone();
    other.raw_entry(ROOT, OsStr::new("b"), None);
    other.settle();
    let script = "echo more 2>/dev/null > new; LC_ALL=C ls -f new";
    let (_, reads) = show(&base, "echo more > new", true)?;
    ensure(!reads.agree(&base, &other), format!("{script}: {reads:?}"))?;
    let (_, reads) = show(&base, "echo more > new", false)?;
    ensure(reads.agree(&base, &other), "with space it does not matter")
}

/// Bytes that a program wrote before it read them are not those of the crash.
fn written() -> Result<(), Failed> {
    let script =
        "python3 -I -c 'import os; a = os.open(\"a\", os.O_RDWR); os.pwrite(a, b\"x\" * 4096, 0)
print(os.pread(a, 9, 0))'";
    let base = left();
    let mut other = base.clone();
    patch(&mut other, "a", 5);
    other.settle();
    let (_, reads) = show(&base, script, false)?;
    ensure(reads.agree(&base, &other), format!("{reads:?}"))
}
