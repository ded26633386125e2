//! What was read of a disk: all by which a program could have distinguished it from another one.
//!
//! A program that is deterministic and was answered the same by two disks did the same on both. So it is
//! enough to know what it asked and to compare the answers. What is noted too much only makes fewer
//! disks equal; what is not noted makes two disks equal that are not.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};

use xxhash_rust::xxh3::Xxh3;

use super::node::{Ino, Inode, Node};
use super::tree::Tree;

/// Ranges of bytes, apart from each other.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Ranges(BTreeMap<u64, u64>);

impl Ranges {
    fn add(&mut self, mut from: u64, mut to: u64) {
        if from >= to {
            return;
        }
        // Those that it touches become one with it.
        while let Some((&start, &end)) = self.0.range(..=to).next_back()
            && end >= from
        {
            self.0.remove(&start);
            (from, to) = (from.min(start), to.max(end));
        }
        self.0.insert(from, to);
    }

    fn iter(&self) -> impl Iterator<Item = (u64, u64)> {
        self.0.iter().map(|(from, to)| (*from, *to))
    }

    /// Takes a range away.
    pub(crate) fn remove(&mut self, from: u64, to: u64) {
        while let Some((&start, &end)) = self.0.range(..to).next_back()
            && end > from
            && from < to
        {
            self.0.remove(&start);
            if end > to {
                self.0.insert(to, end);
            }
            if start < from {
                self.0.insert(start, from);
            }
        }
    }

    /// True when a byte of this range is in it.
    pub(crate) fn meets(&self, from: u64, to: u64) -> bool {
        let before = self.0.range(..to).next_back();
        from < to && before.is_some_and(|(_, end)| *end > from)
    }

    /// What of a range is not in it.
    fn gaps(&self, mut from: u64, to: u64) -> Vec<(u64, u64)> {
        let mut gaps = Vec::new();
        for (start, end) in self.iter().take_while(|(start, _)| *start < to) {
            if start > from {
                gaps.push((from, start));
            }
            from = from.max(end);
        }
        if from < to {
            gaps.push((from, to));
        }
        gaps
    }
}

/// What was read of a disk that a crash had left, since its reads are noted ([`Disk::note_reads`]).
///
/// [`Disk::note_reads`]: super::Disk::note_reads
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reads {
    /// What was asked that depends on everything: the free space.
    everything: bool,
    /// Names that were looked up, or whose being there decided what a call did.
    names: BTreeMap<Ino, BTreeSet<OsString>>,
    /// Directories that were listed, or whose being empty decided what a call did.
    listed: BTreeSet<Ino>,
    /// Inodes of which attributes were given: length, mode, owner, links, where a symlink leads; and
    /// extended attributes.
    inodes: BTreeSet<Ino>,
    /// Bytes.
    bytes: BTreeMap<Ino, Ranges>,
    /// Files of which it was asked where data and where holes are.
    holes: BTreeSet<Ino>,
    /// Bytes that were written, cut off or made zero, and so are not those of the crash any more.
    written: BTreeMap<Ino, Ranges>,
}

impl Reads {
    pub(crate) fn all(&mut self) {
        self.everything = true;
    }

    pub(crate) fn name(&mut self, parent: Ino, name: &OsStr) {
        let names = self.names.entry(parent).or_default();
        if !names.contains(name) {
            names.insert(name.to_owned());
        }
    }

    pub(crate) fn list(&mut self, dir: Ino) {
        self.listed.insert(dir);
    }

    pub(crate) fn inode(&mut self, ino: Ino) {
        self.inodes.insert(ino);
    }

    /// Bytes that were read: how many there are depends on the length, so that is read too.
    pub(crate) fn bytes(&mut self, ino: Ino, from: u64, to: u64) {
        self.inode(ino);
        let gaps = match self.written.get(&ino) {
            Some(written) => written.gaps(from, to),
            None => vec![(from, to)],
        };
        for (from, to) in gaps {
            self.bytes.entry(ino).or_default().add(from, to);
        }
    }

    /// Where data and where holes are: also what was written since lies beside what was not.
    pub(crate) fn holes(&mut self, ino: Ino) {
        self.inode(ino);
        self.holes.insert(ino);
        self.bytes.entry(ino).or_default().add(0, u64::MAX);
    }

    pub(super) fn wrote(&mut self, ino: Ino, from: u64, to: u64) {
        self.written.entry(ino).or_default().add(from, to);
    }

    /// True when what is said of the names in `dir` depends on this one.
    pub(crate) fn asks_name(&self, dir: Ino, name: &OsStr) -> bool {
        let named = || {
            self.names
                .get(&dir)
                .is_some_and(|names| names.contains(name))
        };
        self.everything || self.listed.contains(&dir) || named()
    }

    /// True when attributes of this inode were given.
    pub(crate) fn asks_inode(&self, ino: Ino) -> bool {
        self.everything || self.inodes.contains(&ino)
    }

    /// The bytes of this file that were read.
    pub(crate) fn bytes_of(&self, ino: Ino) -> Ranges {
        if self.everything {
            let mut all = Ranges::default();
            all.add(0, u64::MAX);
            return all;
        }
        self.bytes.get(&ino).cloned().unwrap_or_default()
    }

    /// True when two disks, neither touched since, give the same answer to all that was asked.
    pub fn agree(&self, one: &Tree, other: &Tree) -> bool {
        let used = |tree: &Tree| (tree.digest(), tree.pages(), tree.inode_count());
        if self.everything && used(one) != used(other) {
            return false;
        }
        let names = self.names.iter().all(|(dir, names)| {
            let entry = |tree: &Tree, name| Some(tree.dir(*dir).ok()?.get(name)?.ino);
            let mut names = names.iter();
            names.all(|name| entry(one, name) == entry(other, name))
        });
        let listed = || {
            let listing = |tree: &Tree, dir| {
                let dir = tree.dir(dir).ok()?;
                let names = dir
                    .list_from(0)
                    .map(|(_, name, ino)| (name.to_owned(), ino));
                Some((dir.parent, names.collect::<Vec<_>>()))
            };
            let mut dirs = self.listed.iter();
            dirs.all(|dir| listing(one, *dir) == listing(other, *dir))
        };
        let inodes = || {
            let mut inodes = self.inodes.iter();
            inodes.all(|ino| match (one.get(*ino), other.get(*ino)) {
                (Ok(one), Ok(other)) => looks_the_same(one, other),
                (one, other) => one.is_err() && other.is_err(),
            })
        };
        names && listed() && inodes() && self.same_bytes(one, other)
    }

    fn same_bytes(&self, one: &Tree, other: &Tree) -> bool {
        let read = |tree: &Tree, ino: Ino, from: u64, to: u64| {
            let mut bytes = Vec::new();
            if let Ok(content) = tree.content(ino) {
                let to = to.min(content.size()).max(from);
                content.read(from, (to - from) as usize, &mut bytes);
            }
            bytes
        };
        // Where data begins and where holes do, in turn.
        let holes = |tree: &Tree, ino: Ino| {
            let content = tree.content(ino).ok()?;
            let (mut at, mut data, mut bounds) = (0, true, Vec::new());
            while let Some(next) = content.seek(at, data) {
                bounds.push(next);
                (at, data) = (next, !data);
            }
            Some(bounds)
        };
        let mut asked = self.holes.iter();
        if !asked.all(|ino| holes(one, *ino) == holes(other, *ino)) {
            return false;
        }
        self.bytes.iter().all(|(ino, ranges)| {
            let mut ranges = ranges.iter();
            ranges.all(|(from, to)| read(one, *ino, from, to) == read(other, *ino, from, to))
        })
    }
}

impl Tree {
    /// 128 bits over all by which a program could tell this tree from others of the same
    /// [digest](Tree::digest): the numbers and times of inodes, and the order of listings. Costs as much as
    /// the whole tree.
    pub fn identity(&self) -> u128 {
        let mut hash = Xxh3::new();
        for (ino, inode) in self.inodes() {
            hash.update(&ino.to_le_bytes());
            for time in [inode.atime, inode.mtime, inode.ctime] {
                hash.update(&time.to_le_bytes());
            }
            if let Node::Dir(dir) = &inode.node {
                for (_, name, ino) in dir.list_from(0) {
                    hash.update(name.as_encoded_bytes());
                    hash.update(b"/");
                    hash.update(&ino.to_le_bytes());
                }
            }
        }
        hash.update(&self.pages().to_le_bytes());
        hash.digest128()
    }
}

/// Whether what stat(2), readlink(2) and getxattr(2) say of two inodes is the same. Their space is not
/// asked: while reads are noted it follows from the length.
fn looks_the_same(one: &Inode, other: &Inode) -> bool {
    let leads = |inode: &Inode| match &inode.node {
        Node::Symlink(to) => Some(to.clone()),
        _ => None,
    };
    let numbers = |inode: &Inode| {
        let Inode {
            mode,
            uid,
            gid,
            rdev,
            nlink,
            ..
        } = *inode;
        [mode, uid, gid, rdev, nlink]
    };
    let times = |inode: &Inode| [inode.atime, inode.mtime, inode.ctime];
    one.size() == other.size()
        && numbers(one) == numbers(other)
        && times(one) == times(other)
        && leads(one) == leads(other)
        && one.xattrs == other.xattrs
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Ranges are a set of bytes.
        #[test]
        fn ranges_are_a_set(adds in proptest::collection::vec((0..40_u64, 0..12_u64), 0..20)) {
            let (mut ranges, mut plain) = (Ranges::default(), BTreeSet::new());
            for (from, len) in adds {
                ranges.add(from, from + len);
                plain.extend(from..from + len);
                let shown: BTreeSet<u64> = ranges.iter().flat_map(|(from, to)| from..to).collect();
                prop_assert_eq!(&shown, &plain);
                // Apart from each other: no two meet or touch.
                let all: Vec<_> = ranges.iter().collect();
                prop_assert!(all.windows(2).all(|pair| pair[0].1 < pair[1].0));
                for at in 0..52 {
                    for to in at..53 {
                        prop_assert_eq!(ranges.meets(at, to), (at..to).any(|byte| plain.contains(&byte)));
                        let mut less = ranges.clone();
                        less.remove(at, to);
                        let less: BTreeSet<u64> = less.iter().flat_map(|(from, to)| from..to).collect();
                        let wanted: BTreeSet<u64> =
                            plain.iter().copied().filter(|byte| !(at..to).contains(byte)).collect();
                        prop_assert_eq!(less, wanted);
                    }
                    let gaps: BTreeSet<u64> =
                        ranges.gaps(at, 52).into_iter().flat_map(|(from, to)| from..to).collect();
                    let wanted: BTreeSet<u64> = (at..52).filter(|byte| !plain.contains(byte)).collect();
                    prop_assert_eq!(gaps, wanted);
                }
            }
        }
    }
}
