//! A digest of what a filesystem holds, to try states of equal content once.

use xxhash_rust::xxh3::Xxh3;

use super::node::{Ino, Node, ROOT};
use super::tree::Tree;

impl Tree {
    /// 128 bits over every path with type, permissions, owner, links and bytes. Inode numbers,
    /// times and holes do not count: no program can tell them apart by reading.
    pub fn digest(&self) -> u128 {
        let mut hash = Xxh3::new();
        self.digest_directory(ROOT, &mut hash);
        hash.digest128()
    }

    fn digest_directory(&self, directory: Ino, hash: &mut Xxh3) {
        let Ok(dir) = self.dir(directory) else { return };
        for (name, entry) in dir.iter() {
            let Ok(inode) = self.get(entry.ino) else {
                continue;
            };
            let name = name.as_encoded_bytes();
            hash.update(&(name.len() as u64).to_le_bytes());
            hash.update(name);
            for number in [inode.mode, inode.uid, inode.gid, inode.nlink, inode.rdev] {
                hash.update(&number.to_le_bytes());
            }
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
                Node::Dir(_) => {
                    hash.update(b"(");
                    self.digest_directory(entry.ino, hash);
                    hash.update(b")");
                }
                Node::Special => {}
            }
        }
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
