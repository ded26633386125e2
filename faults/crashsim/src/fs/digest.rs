//! A digest of what a filesystem holds, to try states of equal content once.

use foldhash::HashSet;
use xxhash_rust::xxh3::Xxh3;

use super::changes::{Changes, Depth};
use super::node::{Dir, Ino, Inode, Node, ROOT};
use super::tree::Tree;

impl Tree {
    /// 128 bits over every name with type, permissions, owner, links, extended attributes, the
    /// times that a program chose, and bytes of what it leads to. Inode numbers, holes and the times
    /// that the clock gave do not count: no program relies on them.
    ///
    /// Costs what changed since the tree's digests were last made, if it keeps [`Tree::track`] of
    /// changes, and else as much as the whole tree.
    pub fn digest(&self) -> u128 {
        match &self.changes {
            Some(changes) if changes.is_fresh() => changes.names_digest(ROOT),
            _ => {
                let mut tree = self.clone();
                tree.refresh_digests();
                tree.changes.map_or(0, |changes| changes.names_digest(ROOT))
            }
        }
    }

    /// True when it keeps track of changes and every digest was made.
    pub fn knows_digests(&self) -> bool {
        self.changes.as_ref().is_some_and(Changes::is_fresh)
    }

    /// Makes the digests of what changed, so that clones need not.
    pub fn refresh_digests(&mut self) {
        let mut changes = match self.changes.take() {
            Some(changes) => changes,
            None => Changes::none(self.inodes.keys().copied()),
        };
        changes.refresh(
            |ino, names| self.get(ino).map_or(0, |inode| digest_inode(inode, names)),
            |ino| self.get(ino).map_or(&[][..], |inode| &inode.names),
            |ino| self.depth(ino),
        );
        self.changes = Some(changes);
    }

    fn depth(&self, ino: Ino) -> Depth {
        let Ok(mut inode) = self.get(ino) else {
            return Depth::Unreached;
        };
        if !inode.is_dir() {
            return Depth::File;
        }
        let (mut at, mut depth) = (ino, 0);
        while at != ROOT {
            // A tree that is not whole may have a directory that lies in itself.
            let above = inode.names.first().filter(|_| depth <= self.inodes.len());
            let Some((parent, _)) = above else {
                return Depth::Unreached;
            };
            let Ok(next) = self.get(*parent) else {
                return Depth::Unreached;
            };
            (at, inode, depth) = (*parent, next, depth + 1);
        }
        Depth::Dir(depth)
    }

    /// The digest as artifacts of version 1 keep it: over the names in the order of a listing, a
    /// directory's between brackets. Costs as much as the whole tree.
    pub fn listing_digest(&self) -> u128 {
        let mut hash = Xxh3::new();
        let mut above: HashSet<Ino> = HashSet::from_iter([ROOT]);
        let names = |dir: &'_ Dir| -> Vec<_> {
            let names = dir.iter();
            names
                .map(|(name, entry)| (name.clone(), entry.ino))
                .collect()
        };
        // The names still to come of each directory on the way down.
        let mut levels = Vec::new();
        if let Ok(root) = self.dir(ROOT) {
            levels.push((ROOT, names(root).into_iter()));
        }
        while let Some((dir, rest)) = levels.last_mut() {
            let Some((name, ino)) = rest.next() else {
                above.remove(dir);
                levels.pop();
                if !levels.is_empty() {
                    hash.update(b")");
                }
                continue;
            };
            let Ok(inode) = self.get(ino) else { continue };
            hash.update(&(name.len() as u64).to_le_bytes());
            hash.update(name.as_encoded_bytes());
            hash_attributes(&mut hash, inode);
            if let Node::Dir(dir) = &inode.node {
                hash.update(b"(");
                if above.insert(ino) {
                    levels.push((ino, names(dir).into_iter()));
                } else {
                    hash.update(b")");
                }
            } else {
                hash_bytes(&mut hash, inode);
            }
        }
        hash.digest128()
    }
}

fn digest_inode(inode: &Inode, names: u128) -> u128 {
    let mut hash = Xxh3::new();
    hash_attributes(&mut hash, inode);
    for (kind, set, time) in [
        (b"a", inode.atime_set, inode.atime),
        (b"m", inode.mtime_set, inode.mtime),
    ] {
        if set {
            hash.update(kind);
            hash.update(&time.to_le_bytes());
        }
    }
    if inode.is_dir() {
        hash.update(&names.to_le_bytes());
    } else {
        hash_bytes(&mut hash, inode);
    }
    hash.digest128()
}

fn hash_attributes(hash: &mut Xxh3, inode: &Inode) {
    for number in [inode.mode, inode.uid, inode.gid, inode.nlink, inode.rdev] {
        hash.update(&number.to_le_bytes());
    }
    for (name, value) in &inode.xattrs {
        hash.update(b"x");
        hash.update(&(name.len() as u64).to_le_bytes());
        hash.update(name.as_encoded_bytes());
        hash.update(&(value.len() as u64).to_le_bytes());
        hash.update(value);
    }
}

fn hash_bytes(hash: &mut Xxh3, inode: &Inode) {
    match &inode.node {
        Node::File(content) => {
            hash.update(&content.size().to_le_bytes());
            content.for_each_digest(|number, digest| {
                hash.update(&number.to_le_bytes());
                hash.update(&digest.to_le_bytes());
            });
        }
        Node::Symlink(to) => {
            hash.update(&(to.len() as u64).to_le_bytes());
            hash.update(to.as_encoded_bytes());
        }
        Node::Dir(_) | Node::Special => {}
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;

    use proptest::prelude::*;

    use super::*;
    use crate::fs::{Caller, Content, NewNode};

    #[test]
    fn tells_contents_apart_and_nothing_else() {
        let caller = Caller {
            uid: 0,
            gid: 0,
            now: 0,
        };
        let mut one = Tree::new(0, 0, 0);
        let make = |tree: &mut Tree, name: &str, now| {
            tree.create(
                ROOT,
                OsStr::new(name),
                &NewNode::File,
                0o644,
                Caller { now, ..caller },
            )
            .expect("a file")
        };
        let empty = one.digest();
        let a = make(&mut one, "a", 1);
        let named = one.digest();
        assert_ne!(empty, named);
        one.change(a, |content| content.write(5000, b"x"))
            .expect("a write");
        let written = one.digest();
        assert_ne!(named, written);

        // Another inode number, another time, zeros in place of a hole.
        let mut other = Tree::new(0, 0, 9);
        let gone = make(&mut other, "b", 2);
        other.unlink(ROOT, OsStr::new("b"), 3).expect("unlinked");
        let a = make(&mut other, "a", 4);
        assert_ne!(a, gone);
        other
            .change(a, |content| content.write(0, &[0; 5000]))
            .expect("zeros");
        other
            .change(a, |content| content.write(5000, b"x"))
            .expect("a write");
        assert_eq!(other.digest(), written);
        other
            .change(a, |content| content.write(5000, b"y"))
            .expect("a write");
        assert_ne!(other.digest(), written);
    }

    proptest! {
        /// A digest that was asked for in between is not taken for the one after a change.
        #[test]
        fn is_that_of_the_bytes_after_any_changes(
            changes in proptest::collection::vec((0..5u8, 0..600_000u64, 1..9_000u64), 1..12),
        ) {
            let mut content = Content::default();
            let digest_of = |content: &Content| {
                let mut tree = Tree::new(0, 0, 0);
                let caller = Caller { uid: 0, gid: 0, now: 0 };
                let ino = tree
                    .create(ROOT, OsStr::new("a"), &NewNode::File, 0o644, caller)
                    .expect("a file");
                tree.raw_content(ino, |file| *file = content.clone());
                tree.digest()
            };
            for (kind, offset, len) in changes {
                digest_of(&content);
                match kind {
                    0 => drop(content.write(offset, &vec![7; len as usize])),
                    1 => content.truncate(offset),
                    2 => content.zero(offset, len, true),
                    3 => content.patch(offset, &[9]),
                    _ => {
                        content.set_size_only(offset);
                        content.settle();
                    }
                }
            }
            content.settle();
            let mut bytes = Vec::new();
            content.read(0, content.size() as usize, &mut bytes);
            let mut fresh = Content::default();
            fresh.write(0, &bytes);
            prop_assert_eq!(digest_of(&content), digest_of(&fresh));
        }
    }
}
