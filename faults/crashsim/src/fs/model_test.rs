//! The tree against a deliberately naive model: a map from paths to nodes.

use std::collections::BTreeMap;
use std::ffi::OsStr;

use nix::errno::Errno;
use proptest::prelude::*;

use super::plain_model_test::{Kind, Model, P, split};
use super::*;

#[derive(Clone, Debug)]
enum Call {
    File(String),
    Dir(String),
    Symlink(String, usize),
    Link(String, String),
    Unlink(String),
    Rmdir(String),
    Rename(String, String, RenameMode),
    Chmod(String, u32),
    Write(String, u64, usize),
    Truncate(String, u64),
    Allocate(String, u64, u64),
    Zero(String, u64, u64, bool),
    /// The kernel looks a path up, and keeps what it found.
    Hold(String),
    /// The kernel forgets one of the things that it holds.
    Forget(usize),
    /// A write through a descriptor that is still open.
    WriteHeld(usize, u64, usize),
    /// A new file in a directory that somebody stands in.
    FileInHeld(usize),
    /// A new name for something held, as linkat(2) on a descriptor.
    LinkHeld(usize, String),
}

/// Everything that can be seen of the tree is as the model has it.
fn agree(tree: &Tree, model: &Model) -> Result<(), String> {
    let mut seen = BTreeMap::from([(String::new(), ROOT)]);
    let mut directories = vec![(String::new(), ROOT)];
    while let Some((path, ino)) = directories.pop() {
        for (name, entry) in tree.dir(ino).map_err(|e| e.to_string())?.iter() {
            let name = name.to_string_lossy();
            let path = if path.is_empty() {
                name.into()
            } else {
                format!("{path}/{name}")
            };
            let inode = tree.get(entry.ino).map_err(|e| format!("{path}: {e}"))?;
            if let Node::Dir(dir) = &inode.node {
                if dir.parent != ino {
                    return Err(format!("{path}: its \"..\" leads to {}", dir.parent));
                }
                directories.push((path.clone(), entry.ino));
            }
            seen.insert(path, entry.ino);
        }
    }
    if seen != model.names {
        return Err(format!("names {seen:?} for {:?}", model.names));
    }
    for (ino, node) in &model.nodes {
        let inode = tree.get(*ino).map_err(|e| format!("inode {ino}: {e}"))?;
        let children = model.names.iter().filter(|(path, child)| {
            !path.is_empty() && model.names[split(path).0] == *ino && model.is_dir(**child)
        });
        let (nlink, same) = match (&node.kind, &inode.node) {
            (Kind::Dir, Node::Dir(_)) if node.removed => (0, true),
            (Kind::Dir, Node::Dir(_)) => (2 + children.count(), true),
            (Kind::Symlink(len), Node::Symlink(to)) => (model.names_of(*ino), *len == to.len()),
            (Kind::File(bytes), Node::File(content)) => {
                let mut read = Vec::new();
                content.read(0, bytes.len() + 1, &mut read);
                let same = read == *bytes && content.pages() == node.pages.len() as u64;
                (model.names_of(*ino), same)
            }
            _ => (0, false),
        };
        if !same {
            return Err(format!(
                "inode {ino}: not the same content as {:?}",
                node.kind
            ));
        }
        let found = (
            inode.nlink as usize,
            inode.mode & 0o7777,
            inode.mtime,
            inode.ctime,
        );
        let wanted = (nlink, node.mode, node.mtime, node.ctime);
        if found != wanted || inode.lookups != node.holds {
            return Err(format!(
                "inode {ino}: links, mode, times {found:?} for {wanted:?}"
            ));
        }
    }
    if tree.inode_count() != model.nodes.len() as u64 {
        return Err(format!(
            "{} inodes for {}",
            tree.inode_count(),
            model.nodes.len()
        ));
    }
    if tree.pages() != model.space() {
        return Err(format!("{} pages for {}", tree.pages(), model.space()));
    }
    Ok(())
}

fn place<'a>(tree: &Tree, path: &'a str) -> Result<(Ino, &'a OsStr), Errno> {
    let (directory, name) = split(path);
    Ok((tree.resolve(directory)?, OsStr::new(name)))
}

/// Does a call to both, and returns what they answer.
fn both(tree: &mut Tree, model: &mut Model, held: &mut Vec<Ino>, call: &Call) -> (R, R) {
    model.now += 1;
    let caller = Caller {
        uid: 1,
        gid: 2,
        now: model.now,
    };
    by_name(tree, model, caller, call)
        .or_else(|| to_content(tree, model, call))
        .unwrap_or_else(|| without_name(tree, model, held, caller, call))
}

/// Calls that make, move and remove names; none for the others.
fn by_name(tree: &mut Tree, model: &mut Model, caller: Caller, call: &Call) -> Option<(R, R)> {
    let now = caller.now;
    let next = tree.next_ino();
    Some(match call {
        Call::File(path) | Call::Dir(path) | Call::Symlink(path, _) => {
            let (kind, new, mode) = match call {
                Call::Dir(_) => (Kind::Dir, NewNode::Dir, 0o755),
                Call::Symlink(_, len) => (
                    Kind::Symlink(*len),
                    NewNode::Symlink("t".repeat(*len).into()),
                    0o777,
                ),
                _ => (Kind::File(Vec::new()), NewNode::File, 0o644),
            };
            let made = place(tree, path)
                .and_then(|(directory, name)| tree.create(directory, name, &new, mode, caller));
            let wanted = model
                .vacant(path)
                .map(|()| model.make(path, next, kind, mode));
            (made.map(drop), wanted)
        }
        Call::Link(from, to) => {
            let linked = place(tree, to).and_then(|(directory, name)| {
                let ino = tree.resolve(from)?;
                tree.link(ino, directory, name, now)
            });
            let wanted = model.find(split(to).0).and_then(|_| model.find(from));
            (linked, wanted.and_then(|ino| model.link(ino, to)))
        }
        Call::Unlink(path) => {
            let gone = place(tree, path).and_then(|(dir, name)| tree.unlink(dir, name, now));
            (gone.map(drop), model.unlink(path, false))
        }
        Call::Rmdir(path) => {
            let gone = place(tree, path).and_then(|(dir, name)| tree.rmdir(dir, name, now));
            (gone.map(drop), model.unlink(path, true))
        }
        Call::Rename(from, to, mode) => {
            let moved = place(tree, from).and_then(|from| {
                let to = place(tree, to)?;
                tree.rename(from, to, *mode, now)
            });
            (moved.map(drop), model.rename(from, to, *mode))
        }
        _ => return None,
    })
}

/// Calls that change what has a name; none for the others.
fn to_content(tree: &mut Tree, model: &mut Model, call: &Call) -> Option<(R, R)> {
    let now = model.now;
    let content = |tree: &Tree, path: &str| tree.resolve(path);
    Some(match call {
        Call::Chmod(path, mode) => {
            let attrs = Attrs {
                mode: Some(*mode),
                ..Attrs::default()
            };
            let changed = tree
                .resolve(path)
                .and_then(|ino| tree.set_attrs(ino, attrs, now));
            let wanted = model.find(path).map(|ino| {
                let node = model.node(ino);
                (node.mode, node.ctime) = (*mode, now);
            });
            (changed, wanted)
        }
        Call::Write(path, at, len) => {
            let done = content(tree, path)
                .and_then(|ino| tree.change(ino, |c| c.write(*at, &vec![7; *len])));
            (
                done.map(drop),
                model.find(path).and_then(|ino| model.write(ino, *at, *len)),
            )
        }
        Call::Truncate(path, size) => {
            let done = content(tree, path).and_then(|ino| tree.change(ino, |c| c.truncate(*size)));
            (
                done,
                model.find(path).and_then(|ino| model.truncate(ino, *size)),
            )
        }
        Call::Allocate(path, at, len) => {
            let done =
                content(tree, path).and_then(|ino| tree.change(ino, |c| c.allocate(*at, *len)));
            let wanted = model.find(path).and_then(|ino| {
                let (_, pages) = model.file(ino)?;
                pages.extend(at / P..(at + len).div_ceil(P));
                Ok(())
            });
            (done, wanted)
        }
        Call::Zero(path, at, len, punch) => {
            let done =
                content(tree, path).and_then(|ino| tree.change(ino, |c| c.zero(*at, *len, *punch)));
            (
                done,
                model
                    .find(path)
                    .and_then(|ino| model.zero(ino, *at, *len, *punch)),
            )
        }
        _ => return None,
    })
}

/// Calls on what is held open, with a name or without.
fn without_name(
    tree: &mut Tree,
    model: &mut Model,
    held: &mut Vec<Ino>,
    caller: Caller,
    call: &Call,
) -> (R, R) {
    let now = caller.now;
    let pick = |n: &usize| (!held.is_empty()).then(|| held[n % held.len()]);
    match call {
        Call::Hold(path) => {
            if let Ok(ino) = tree.resolve(path) {
                tree.count_lookups(ino, 1);
                held.push(ino);
            }
            (
                Ok(()),
                model.find(path).map_or(Ok(()), |ino| {
                    model.node(ino).holds += 1;
                    Ok(())
                }),
            )
        }
        Call::Forget(n) => {
            if let Some(ino) = pick(n) {
                held.swap_remove(n % held.len());
                tree.count_lookups(ino, -1);
                model.forget(ino);
            }
            (Ok(()), Ok(()))
        }
        Call::WriteHeld(n, at, len) => match pick(n) {
            Some(ino) => {
                let done = tree.change(ino, |c| c.write(*at, &vec![7; *len]));
                (done.map(drop), model.write(ino, *at, *len))
            }
            None => (Ok(()), Ok(())),
        },
        Call::FileInHeld(n) => match pick(n).filter(|ino| model.nodes[ino].removed) {
            Some(ino) => {
                let made = tree.create(ino, OsStr::new("x"), &NewNode::File, 0o644, caller);
                let is_dir = model.is_dir(ino);
                (
                    made.map(drop),
                    Err(if is_dir {
                        Errno::ENOENT
                    } else {
                        Errno::ENOTDIR
                    }),
                )
            }
            None => (Ok(()), Ok(())),
        },
        Call::LinkHeld(n, to) => match pick(n) {
            Some(ino) => {
                let linked = place(tree, to).and_then(|(dir, name)| tree.link(ino, dir, name, now));
                let wanted = model.find(split(to).0).and_then(|_| model.link(ino, to));
                (linked, wanted)
            }
            None => (Ok(()), Ok(())),
        },
        Call::File(_)
        | Call::Dir(_)
        | Call::Symlink(..)
        | Call::Link(..)
        | Call::Unlink(_)
        | Call::Rmdir(_)
        | Call::Rename(..)
        | Call::Chmod(..)
        | Call::Write(..)
        | Call::Truncate(..)
        | Call::Allocate(..)
        | Call::Zero(..) => unreachable!("{call:?} has a name"),
    }
}

type R = Result<(), Errno>;

fn path() -> impl Strategy<Value = String> {
    let name = prop_oneof![
        12 => Just("a".to_string()),
        12 => Just("b".to_string()),
        6 => Just("c".to_string()),
        1 => Just("n".repeat(NAME_MAX + 1)),
    ];
    proptest::collection::vec(name, 1..4).prop_map(|names| names.join("/"))
}

fn call() -> impl Strategy<Value = Call> {
    let at = 0..20_000u64;
    let len = prop_oneof![1..300usize, Just(PAGE), 1..9000usize];
    let mode = prop_oneof![
        3 => Just(RenameMode::Replace),
        1 => Just(RenameMode::NoReplace),
        2 => Just(RenameMode::Exchange),
    ];
    prop_oneof![
        6 => path().prop_map(Call::File),
        8 => path().prop_map(Call::Dir),
        1 => (path(), prop_oneof![Just(59usize), Just(60)]).prop_map(|(p, n)| Call::Symlink(p, n)),
        4 => (path(), path()).prop_map(|(from, to)| Call::Link(from, to)),
        4 => path().prop_map(Call::Unlink),
        3 => path().prop_map(Call::Rmdir),
        10 => (path(), path(), mode.clone())
            .prop_map(|(from, to, mode)| Call::Rename(from, to, mode)),
        // Into itself, and over what it lies in.
        1 => (path(), path(), mode.clone())
            .prop_map(|(above, below, mode)| Call::Rename(above.clone(), format!("{above}/{below}"), mode)),
        2 => (path(), path(), mode)
            .prop_map(|(above, below, mode)| Call::Rename(format!("{above}/{below}"), above, mode)),
        1 => (path(), 0..0o1000u32).prop_map(|(p, mode)| Call::Chmod(p, mode)),
        4 => (path(), at.clone(), len.clone()).prop_map(|(p, at, len)| Call::Write(p, at, len)),
        2 => (path(), at.clone()).prop_map(|(p, size)| Call::Truncate(p, size)),
        2 => (path(), at.clone(), 1..9000u64).prop_map(|(p, at, n)| Call::Allocate(p, at, n)),
        2 => (path(), at.clone(), 1..9000u64, any::<bool>())
            .prop_map(|(p, at, n, punch)| Call::Zero(p, at, n, punch)),
        4 => path().prop_map(Call::Hold),
        3 => any::<usize>().prop_map(Call::Forget),
        2 => (any::<usize>(), at, len).prop_map(|(n, at, len)| Call::WriteHeld(n, at, len)),
        1 => any::<usize>().prop_map(Call::FileInHeld),
        2 => (any::<usize>(), path()).prop_map(|(n, to)| Call::LinkHeld(n, to)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, ..ProptestConfig::default() })]

    #[test]
    fn is_a_map_of_paths(steps in proptest::collection::vec(call(), 1..80)) {
        let (mut tree, mut model) = (Tree::new(1, 2, 0), Model::new());
        let mut held = Vec::new();
        // Something to work on, or most steps would find nothing.
        let first = ["a", "a/b", "b"].map(|path| Call::Dir(path.into()));
        let steps: Vec<Call> =
            first.into_iter().chain([Call::File("a/b/a".into())]).chain(steps).collect();
        for step in &steps {
            let (done, wanted) = both(&mut tree, &mut model, &mut held, step);
            prop_assert_eq!(done, wanted, "{:?}", step);
        }
        prop_assert_eq!(agree(&tree, &model), Ok(()));
        // A tree that is whole is not changed by making it whole.
        for ino in held {
            tree.count_lookups(ino, -1);
            model.forget(ino);
        }
        tree.settle();
        prop_assert_eq!(agree(&tree, &model), Ok(()));
    }
}

type Plant = fn(&mut Tree, Ino);

/// The comparison says no to each kind of difference.
#[test]
fn a_wrong_tree_is_noticed() {
    let seeded: [(&str, Plant); 7] = [
        ("a link too many", |tree, ino| {
            tree.get_mut(ino).unwrap().nlink += 1
        }),
        ("another mode", |tree, ino| {
            tree.get_mut(ino).unwrap().mode ^= 1
        }),
        ("an untouched time", |tree, ino| {
            tree.get_mut(ino).unwrap().ctime = 0
        }),
        ("a changed byte", |tree, ino| {
            tree.raw_content(ino, |c| c.patch(3, b"x"))
        }),
        ("a lost name", |tree, _| {
            tree.raw_entry(ROOT, OsStr::new("a"), None)
        }),
        ("space that nobody has", |tree, _| tree.pages += 1),
        ("an inode that nobody has", |tree, _| {
            let owner = Caller {
                uid: 1,
                gid: 2,
                now: 0,
            };
            tree.raw_node(99, &NewNode::File, 0, owner, "".into());
        }),
    ];
    for (what, plant) in seeded {
        let (mut tree, mut model) = (Tree::new(1, 2, 0), Model::new());
        for step in [Call::File("a".into()), Call::Write("a".into(), 0, 10)] {
            let (done, wanted) = both(&mut tree, &mut model, &mut Vec::new(), &step);
            assert_eq!((done, wanted), (Ok(()), Ok(())));
        }
        assert_eq!(agree(&tree, &model), Ok(()));
        plant(&mut tree, ROOT + 1);
        assert!(agree(&tree, &model).is_err(), "{what} was not noticed");
    }
}

#[test]
fn directories_nested_deeper_than_any_path_can_be_moved() {
    let mut tree = Tree::new(0, 0, 0);
    let caller = Caller {
        uid: 0,
        gid: 0,
        now: 1,
    };
    let name = OsStr::new("a directory with a name of some length");
    let mut at = ROOT;
    for _ in 0..20_000 {
        at = tree.create(at, name, &NewNode::Dir, 0o755, caller).unwrap();
    }
    let to = OsStr::new("moved");
    tree.rename((ROOT, name), (ROOT, to), RenameMode::Replace, 2)
        .unwrap();
    assert!(tree.get(at).unwrap().path.len() < 3 * libc::PATH_MAX as usize);
}

#[test]
fn huge_ranges_cost_no_more_than_what_is_there() {
    let mut content = Content::default();
    content.write(FILE_MAX - 10, b"0123456789");
    assert_eq!(content.pages_needed(0, FILE_MAX), FILE_MAX / P - 1);
    content.zero(0, FILE_MAX - P, true);
    assert_eq!(
        (content.pages(), content.seek(0, true)),
        (1, Some(FILE_MAX - P))
    );
}

#[test]
fn the_log_does_not_keep_files_that_are_gone() {
    let mut fs = Disk::empty((0, 0));
    fs.limit_log(LogLimit::Fold(1 << 20));
    let owner = Caller {
        uid: 0,
        gid: 0,
        now: 1,
    };
    for _ in 0..100 {
        let name = (ROOT, OsStr::new("tmp"));
        let ino = fs.make(1, owner, name, NewNode::File, 0o600).unwrap();
        fs.write_bytes(1, ino, 0, &[1; 64 << 10]).unwrap();
        fs.remove(1, name, false).unwrap();
    }
    let (pages, records) = (fs.log.base().pages(), fs.log.records().len());
    assert!(records < 100, "nothing was folded");
    assert!(
        pages <= 1 + 16,
        "{pages} pages are kept of files that are gone"
    );
}

/// Where nobody saw a file being mapped, what the kernel writes back of it tells that one is, and is
/// recorded also of a file that loses its last name.
#[test]
fn a_mapping_that_nobody_saw_makes_what_a_kill_leaves_unknown() {
    let known = |seen: bool| {
        let mut disk = Disk::empty((0, 0));
        disk.hold_write_backs();
        let owner = Caller {
            uid: 0,
            gid: 0,
            now: 1,
        };
        let name = (ROOT, OsStr::new("mapped"));
        let ino = disk.make(1, owner, name, NewNode::File, 0o600).unwrap();
        disk.write_bytes(1, ino, 0, &[1; PAGE]).unwrap();
        if seen {
            disk.cache_settled();
        }
        disk.write_bytes(0, ino, 0, &[2; PAGE]).unwrap();
        disk.remove(1, name, false).unwrap();
        let points = disk.take_log().kill_points();
        let known = points.iter().map(|point| *point == KillPoint::Known);
        known.collect::<Vec<_>>()
    };
    assert_eq!(known(true), [true, true, true, true, false]);
    assert_eq!(known(false), [true, false, false, false, false]);
}

/// What the kernel writes back by itself is recorded where it was asked for, as it is then, once.
#[test]
fn write_backs_that_are_held_come_with_a_sync_or_in_the_end() {
    let logged = |early: bool| {
        let mut disk = Disk::empty((0, 0));
        disk.hold_write_backs();
        disk.cache_settled();
        let owner = Caller {
            uid: 0,
            gid: 0,
            now: 1,
        };
        let [one, two] = ["one", "two"].map(|name| {
            let place = (ROOT, OsStr::new(name));
            let ino = disk.make(1, owner, place, NewNode::File, 0o600).unwrap();
            disk.set_size(1, ino, 3 * P).unwrap();
            ino
        });
        let back = |disk: &mut Disk, ino, page: u64, byte: u8| {
            disk.write_bytes(0, ino, page * P, &[byte; PAGE]).unwrap();
        };
        if early {
            back(&mut disk, one, 0, 1);
            back(&mut disk, two, 2, 1);
        }
        disk.write_bytes(1, one, 4, b"own").unwrap();
        back(&mut disk, one, 1, 2);
        let mut page = [1; PAGE];
        page[4..7].copy_from_slice(b"own");
        disk.write_bytes(0, one, 0, &page).unwrap();
        disk.sync(1, one, false, false).unwrap();
        back(&mut disk, two, 2, 3);
        disk.remove(1, (ROOT, OsStr::new("one")), false).unwrap();
        let records = disk.take_log();
        let described = |record: &crate::fs::Record| match &record.op {
            Op::Write { ino, data, .. } => format!("{ino} {} {:?}", data.offset(), data.to_vec()),
            op => format!("{} {}", op.name(), op.ino()),
        };
        let all = records.records().iter().skip(1).map(described);
        (all.collect::<Vec<_>>(), one, two)
    };
    let (log, one, two) = logged(false);
    assert_eq!(log, logged(true).0);
    let places: Vec<&str> = log.iter().map(|line| &line[..line.len().min(6)]).collect();
    let wanted = [
        "create".to_owned(),
        "trunca".into(),
        "create".into(),
        "trunca".into(),
        format!("{one} 4 [1"),
        format!("{one} 0 [1"),
        "fsync ".into(),
        "unlink".into(),
        format!("{two} 8192"),
    ];
    assert_eq!(places, wanted);
}
