//! What a finding lost: where its disk differs from the one on which nothing was lost.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::hash::Hash;
use std::path::{Path, PathBuf};

use plugpull_crashsim::fs::{Content, Ino, Inode, Node, ROOT, Tree};

/// The finest unit that is compared, in bytes: a sector.
pub(crate) const UNIT: u64 = 512;

/// One thing that is not as it would be if nothing had been lost.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Loss {
    /// A name that is missing, that is there still, or leads to another kind of file.
    Name(PathBuf),
    /// The length of a file.
    Length(PathBuf),
    /// A sector of a file.
    Sector(PathBuf, u64),
    /// Mode, owner or extended attributes.
    Attributes(PathBuf),
}

/// All that a finding lost.
#[derive(Clone, Debug, Default)]
pub struct Losses {
    all: Vec<Loss>,
}

impl Losses {
    /// What is lost on the disk `crashed`, where on `whole` nothing is. A directory that is lost stands for
    /// what is in it.
    pub fn between(whole: &Tree, crashed: &Tree) -> Self {
        let (ours, theirs) = (paths(whole), paths(crashed));
        let every: BTreeSet<&PathBuf> = ours.keys().chain(theirs.keys()).collect();
        let mut all: Vec<Loss> = Vec::new();
        for path in every {
            let ends = (ours.get(path), theirs.get(path));
            let (Some(one), Some(other)) = ends else {
                let below =
                    |loss: &Loss| matches!(loss, Loss::Name(lost) if path.starts_with(lost));
                if !all.iter().any(below) {
                    all.push(Loss::Name(path.clone()));
                }
                continue;
            };
            compare(path, one, other, &mut all);
        }
        Self { all }
    }

    /// True where nothing is.
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// How many things are lost: names, lengths, sectors, attributes.
    pub fn len(&self) -> usize {
        self.all.len()
    }

    /// Each of them, in the order of their paths.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Loss> {
        self.all.iter()
    }

    /// Every path that something is lost of.
    pub fn paths(&self) -> BTreeSet<&Path> {
        self.all.iter().map(Loss::path).collect()
    }
}

impl Loss {
    /// Hashes what is to be compared of it. False where the inode has nothing of the kind.
    pub(crate) fn hash_value(&self, inode: &Inode, into: &mut impl std::hash::Hasher) -> bool {
        match (self, file(inode)) {
            (Loss::Name(_), _) => kind(inode).hash(into),
            (Loss::Attributes(_), _) => {
                (inode.mode, inode.uid, inode.gid, &inode.xattrs).hash(into);
            }
            (Loss::Length(_), Some(content)) => content.size().hash(into),
            (Loss::Sector(_, at), Some(content)) => sector(content, *at).hash(into),
            (Loss::Length(_) | Loss::Sector(..), None) => return false,
        }
        true
    }

    pub(crate) fn path(&self) -> &Path {
        match self {
            Loss::Name(path)
            | Loss::Length(path)
            | Loss::Sector(path, _)
            | Loss::Attributes(path) => path,
        }
    }
}

fn compare(path: &Path, one: &Inode, other: &Inode, all: &mut Vec<Loss>) {
    let path = || path.to_path_buf();
    if kind(one) != kind(other) {
        all.push(Loss::Name(path()));
        return;
    }
    if !same_attributes(one, other) {
        all.push(Loss::Attributes(path()));
    }
    let (Some(one), Some(other)) = (file(one), file(other)) else {
        return;
    };
    if one.size() != other.size() {
        all.push(Loss::Length(path()));
    }
    let end = one.size().max(other.size());
    let mut at = 0;
    while at < end {
        // Where both have a hole there is nothing to compare.
        let data = |content: &Content| content.seek(at, true).unwrap_or(u64::MAX);
        let next = data(one).min(data(other)) / UNIT * UNIT;
        at = at.max(next);
        if at >= end {
            break;
        }
        if sector(one, at) != sector(other, at) {
            all.push(Loss::Sector(path(), at));
        }
        at += UNIT;
    }
}

/// Every path with what it leads to; the root is "".
pub(crate) fn paths(tree: &Tree) -> BTreeMap<PathBuf, &Inode> {
    let mut all = BTreeMap::new();
    let mut directories: Vec<(PathBuf, Ino)> = vec![(PathBuf::new(), ROOT)];
    if let Ok(root) = tree.get(ROOT) {
        all.insert(PathBuf::new(), root);
    }
    while let Some((path, ino)) = directories.pop() {
        let Ok(dir) = tree.dir(ino) else { continue };
        for (name, entry) in dir.iter() {
            let below = path.join(Path::new(&**name));
            let Ok(inode) = tree.get(entry.ino) else {
                continue;
            };
            if inode.is_dir() {
                directories.push((below.clone(), entry.ino));
            }
            all.insert(below, inode);
        }
    }
    all
}

fn file(inode: &Inode) -> Option<&Content> {
    match &inode.node {
        Node::File(content) => Some(content),
        _ => None,
    }
}

/// The bytes of a sector, and zeros behind the end.
fn sector(content: &Content, at: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    let length = content.size().saturating_sub(at).min(UNIT) as usize;
    content.read(at, length, &mut bytes);
    bytes.resize(UNIT as usize, 0);
    bytes
}

/// What it is, and for a symbolic link where it leads.
fn kind(inode: &Inode) -> (u32, Option<&OsString>) {
    let to = match &inode.node {
        Node::Symlink(to) => Some(to),
        _ => None,
    };
    (inode.mode & libc::S_IFMT, to)
}

fn same_attributes(one: &Inode, other: &Inode) -> bool {
    let of = |inode: &Inode| (inode.mode, inode.uid, inode.gid);
    of(one) == of(other) && one.xattrs == other.xattrs
}

#[cfg(test)]
mod tests {
    use plugpull_crashsim::file::{File, SimDisk, Storage};

    use super::*;
    use crate::trees::tree_of;

    /// A log of three sectors, a name beside it, and what was done then.
    fn disk(act: impl Fn(&SimDisk)) -> Tree {
        let disk = SimDisk::new();
        disk.create("log").unwrap().write_at(0, &[1; 1536]).unwrap();
        disk.create("name").unwrap();
        act(&disk);
        tree_of(disk.take_log().records())
    }

    #[test]
    fn names_lengths_and_sectors_are_compared() {
        let whole = disk(|_| ());
        let losses = |act: fn(&SimDisk)| Losses::between(&whole, &disk(act)).all;
        let tear = losses(|disk| disk.open("log").unwrap().write_at(600, &[0; 10]).unwrap());
        assert_eq!(tear, [Loss::Sector("log".into(), 512)]);
        let name = losses(|disk| disk.remove_file("name").unwrap());
        assert_eq!(name, [Loss::Name("name".into())]);
        let length = losses(|disk| disk.open("log").unwrap().set_len(512).unwrap());
        assert_eq!(length[0], Loss::Length("log".into()));
        assert_eq!(length.len(), 3);
        let renamed = losses(|disk| disk.rename("name", "new").unwrap());
        assert_eq!(renamed.len(), 2);
        assert_eq!(losses(|_| ()), []);
    }
}
