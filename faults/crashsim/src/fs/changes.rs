//! What changed in a tree since it was whole, and the digests of what did not change.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::sync::Arc;

use xxhash_rust::xxh3::Xxh3;

use super::layered::Layered;
use super::node::Ino;

/// The digest of one inode.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct InodeDigest {
    /// Of all that a name that leads to it shows: its attributes, and its bytes or `names`. None
    /// before it was made once.
    own: Option<u128>,
    /// Of a directory: the sum over its names of [`term`].
    names: u128,
}

/// The changes of one tree.
///
/// The digest of a directory is a sum over its names, so that a changed name costs the same in a
/// directory of any size: the old term goes and the new one comes.
#[derive(Clone, Default)]
pub(super) struct Changes {
    /// Inodes to look at before the tree is whole again.
    pub(super) unsettled: BTreeSet<Ino>,
    /// Inodes whose digest is not that of what they hold now.
    stale: BTreeSet<Ino>,
    /// Those of them to which no name leads, at the last refresh.
    unreached: BTreeSet<Ino>,
    pub(super) digests: Layered<Ino, InodeDigest>,
}

/// 128 bits over a name and what it leads to; 0 when that has no digest yet.
fn term(name: &OsStr, own: Option<u128>) -> u128 {
    let Some(own) = own else { return 0 };
    let mut hash = Xxh3::new();
    hash.update(name.as_encoded_bytes());
    hash.update(&own.to_le_bytes());
    hash.digest128()
}

impl Changes {
    /// Of a tree that is whole and of which no digest is known.
    pub(super) fn none(inodes: impl Iterator<Item = Ino>) -> Self {
        Self {
            stale: inodes.collect(),
            ..Self::default()
        }
    }

    /// An inode changes.
    pub(super) fn touch(&mut self, ino: Ino) {
        self.unsettled.insert(ino);
        self.stale.insert(ino);
    }

    /// An inode is no more. It has no name.
    pub(super) fn removed(&mut self, ino: Ino) {
        self.unsettled.remove(&ino);
        self.stale.remove(&ino);
        self.unreached.remove(&ino);
        self.digests.remove(&ino);
    }

    /// A directory gets a name.
    pub(super) fn named(&mut self, parent: Ino, name: &OsStr, ino: Ino) {
        let term = term(name, self.of(ino).own);
        self.add_term(parent, term);
    }

    /// A directory loses a name.
    pub(super) fn unnamed(&mut self, parent: Ino, name: &OsStr, ino: Ino) {
        let term = term(name, self.of(ino).own);
        self.add_term(parent, term.wrapping_neg());
    }

    fn of(&self, ino: Ino) -> InodeDigest {
        self.digests.get(&ino).copied().unwrap_or_default()
    }

    fn add_term(&mut self, parent: Ino, term: u128) {
        let mut digest = self.of(parent);
        digest.names = digest.names.wrapping_add(term);
        self.digests.insert(parent, digest);
        self.stale.insert(parent);
    }

    /// The sum over the names of a directory.
    pub(super) fn names_digest(&self, dir: Ino) -> u128 {
        self.of(dir).names
    }

    /// True when every digest is known that the root's depends on.
    pub(super) fn is_fresh(&self) -> bool {
        self.stale.is_empty()
    }

    /// Brings the digests up to date: of files first, then of directories from the deepest up.
    /// `digest` makes the digest of an inode, given the sum over its names; `names` lists the names
    /// that an inode has; `depth` says how deep a directory lies, and none for a file. What no
    /// name leads to from the root waits until one does.
    pub(super) fn refresh<'t>(
        &mut self,
        digest: impl Fn(Ino, u128) -> u128,
        names: impl Fn(Ino) -> &'t [(Ino, Arc<OsStr>)],
        depth: impl Fn(Ino) -> Depth,
    ) {
        let mut unreached = BTreeSet::new();
        let mut by_depth: BTreeMap<usize, BTreeSet<Ino>> = BTreeMap::new();
        let stale = std::mem::take(&mut self.stale);
        for ino in std::mem::take(&mut self.unreached).into_iter().chain(stale) {
            match depth(ino) {
                Depth::File => by_depth.entry(usize::MAX).or_default().insert(ino),
                Depth::Dir(depth) => by_depth.entry(depth).or_default().insert(ino),
                Depth::Unreached => unreached.insert(ino),
            };
        }
        while let Some((_, inos)) = by_depth.pop_last() {
            for ino in inos {
                let before = self.of(ino);
                let own = Some(digest(ino, before.names));
                if own == before.own {
                    continue;
                }
                self.digests.insert(ino, InodeDigest { own, ..before });
                for (parent, name) in names(ino) {
                    let change = term(name, own).wrapping_sub(term(name, before.own));
                    self.add_term(*parent, change);
                    match depth(*parent) {
                        Depth::Dir(depth) => by_depth.entry(depth).or_default().insert(*parent),
                        _ => unreached.insert(*parent),
                    };
                }
            }
        }
        self.stale.clear();
        self.unreached = unreached;
    }
}

/// Where an inode lies, for the order in which digests are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Depth {
    /// It holds no names.
    File,
    /// So many directories above it.
    Dir(usize),
    /// No name leads to it from the root.
    Unreached,
}
