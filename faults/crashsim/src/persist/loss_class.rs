//! Loss sets that a program cannot tell from each other: they agree on all that it read.

use std::collections::BTreeSet;
use std::ffi::OsStr;

use foldhash::{HashMap, HashMapExt, HashSet, HashSetExt};

use super::update::LossSet;
use super::update::{Update, UpdateKind, write_of};
use super::whole::LossClass;
use super::window::Window;
use crate::fs::{Ino, Node, Ranges, Reads, Tree};

/// By directory and name, what may have it.
type Named<'w> = HashMap<(Ino, &'w OsStr), Vec<Ino>>;

impl Window<'_> {
    /// The loss sets that agree with this one, of whole updates, on all that was read of its state.
    pub fn class(&self, losses: &LossSet, reads: &Reads) -> LossClass {
        let rules = self.rules();
        let named = self.named();
        // Whether a directory is there says how many links a file has that is read by another name.
        let any_dir = named
            .values()
            .flatten()
            .any(|ino| is_dir(&self.durable, *ino));
        let asked_by_links = any_dir && self.linked(&named).any(|ino| reads.asks_inode(ino));
        let shown = self.shown(losses, reads);
        let is_read = |update: &&Update<'_>| match update.kind {
            UpdateKind::Name { dir, name, .. } => {
                // The links of what it names or named, and which of two names a directory keeps.
                let named = named.get(&(dir, name)).map_or(&[][..], Vec::as_slice);
                reads.asks_name(dir, name)
                    || named.iter().any(|ino| {
                        let is_dir = is_dir(&self.durable, *ino);
                        reads.asks_inode(*ino)
                            || is_dir && (asked_by_links || reads.asks_inode(dir))
                    })
            }
            UpdateKind::Data { .. } | UpdateKind::Size { .. } => shown.contains(&update.id),
            // With space bytes go anywhere in the file; and whoever read a byte was given the length.
            UpdateKind::Space { ino, .. } | UpdateKind::Attrs { ino } => reads.asks_inode(ino),
        };
        let read = rules.pending().filter(is_read).map(|update| update.id);
        let (lost, kept) = read.partition(|id| losses.lost.contains(id));
        LossClass { lost, kept }
    }

    /// The writes and lengths on which it depends what was read of files: with an update that is kept those
    /// before it say nothing more of what it sets. An update that cuts off or makes zero is not looked behind.
    fn shown(&self, losses: &LossSet, reads: &Reads) -> HashSet<usize> {
        let zeroed = |update: &Update<'_>| match update.kind {
            UpdateKind::Space { ino, zeroes: true } => Some(ino),
            _ => None,
        };
        let zeroed: HashSet<Ino> = self.open.iter().filter_map(zeroed).collect();
        let (mut shown, mut lengths) = (HashSet::new(), HashSet::new());
        let mut unknown: HashMap<Ino, Ranges> = HashMap::new();
        for update in self.open.iter().rev() {
            let kept = !losses.lost.contains(&update.id);
            if let UpdateKind::Size { ino, shrinks, .. } = update.kind
                && reads.asks_inode(ino)
            {
                if shrinks || zeroed.contains(&ino) || !lengths.contains(&ino) {
                    shown.insert(update.id);
                }
                if kept {
                    lengths.insert(ino);
                }
            }
            if let Some((ino, data)) = write_of(self.records, update) {
                let unknown = unknown.entry(ino).or_insert_with(|| reads.bytes_of(ino));
                if unknown.meets(data.offset(), data.end()) {
                    shown.insert(update.id);
                    if kept {
                        unknown.remove(data.offset(), data.end());
                    }
                }
            }
        }
        shown
    }

    /// Files that may have more than one name.
    fn linked(&self, named: &Named<'_>) -> impl Iterator<Item = Ino> {
        let mut places: HashMap<Ino, u32> = HashMap::new();
        for ino in named.values().flatten().copied().collect::<BTreeSet<Ino>>() {
            let durable = self.durable.get(ino).map_or(0, |inode| inode.nlink);
            places.insert(ino, durable);
        }
        for inos in named.values() {
            for ino in inos.iter().copied().collect::<BTreeSet<Ino>>() {
                places.entry(ino).and_modify(|places| *places += 1);
            }
        }
        let durable = self.durable.inodes();
        let durable = durable.filter(|(ino, inode)| {
            !matches!(inode.node, Node::Dir(_)) && inode.nlink > 1 && !places.contains_key(ino)
        });
        let durable: Vec<Ino> = durable.map(|(ino, _)| ino).collect();
        let several = places.into_iter().filter(|(_, places)| *places > 1);
        several.map(|(ino, _)| ino).chain(durable)
    }

    /// What each name that a pending update changes may name.
    fn named(&self) -> Named<'_> {
        let mut named = Named::new();
        for update in &self.open {
            if let UpdateKind::Name { dir, name, of, .. } = update.kind {
                let entry = || self.durable.dir(dir).ok()?.get(name);
                let known = named.entry((dir, name));
                let known =
                    known.or_insert_with(|| entry().map(|entry| entry.ino).into_iter().collect());
                known.push(of);
            }
        }
        named
    }
}

fn is_dir(tree: &Tree, ino: Ino) -> bool {
    tree.get(ino)
        .is_ok_and(|inode| matches!(inode.node, Node::Dir(_)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::testing_test::{Call, Run, calls};
    use super::super::{Device, Index, MODELS, Outside};
    use super::*;
    use crate::fs::ROOT;

    /// What a program may have read of a disk, by the way of names from the root on; `which` decides.
    fn reads(tree: &Tree, mut which: u64) -> Reads {
        let mut reads = Reads::default();
        let mut one_in = |number: u64| {
            which = which.rotate_left(7).wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ 0x55;
            (which >> 32).is_multiple_of(number)
        };
        reads.inode(ROOT);
        if one_in(12) {
            reads.all();
        }
        let mut reached = vec![ROOT];
        while let Some(ino) = reached.pop() {
            if one_in(6) && tree.dir(ino).is_ok() {
                reads.list(ino);
            }
            for name in ["a", "b", "d", "e", "log"] {
                if tree.dir(ino).is_ok() && one_in(2) {
                    reads.name(ino, name.as_ref());
                    if let Ok(found) = tree.lookup(ino, name.as_ref()) {
                        reads.inode(found);
                        reached.push(found);
                    }
                }
            }
            if one_in(6) && tree.content(ino).is_ok() {
                reads.holes(ino);
            }
            for at in [0, 100, 4000, 8192] {
                if tree.content(ino).is_ok() && one_in(3) {
                    reads.bytes(ino, at, at + 300);
                }
            }
        }
        reads
    }

    /// What is in a class gives the same answers to what was read.
    fn assert_classes_agree(calls: &[Call], which: u64) {
        let run = Run::new(calls);
        let log = &run.disk.log;
        for model in MODELS {
            let index = Index::new(log, model, Device::default());
            for point in (0..=log.records().len()).rev().take(6) {
                let window = index.window(point);
                let whole = window.whole_losses();
                let (mut all, mut each) = (Vec::new(), whole.classes());
                // Each by itself a class, so that all of them come.
                while all.len() < 40 {
                    let Outside::Lies(losses) = whole.outside(&mut each) else {
                        break;
                    };
                    let pending = window.pending().into_iter();
                    let (lost, kept) = pending.partition(|id| losses.lost.contains(id));
                    each.push(&whole, &LossClass { lost, kept });
                    all.push(losses);
                }
                let trees: Vec<Tree> = all.iter().map(|losses| window.state(losses).tree).collect();
                for (one, tree) in all.iter().zip(&trees) {
                    let reads = reads(tree, which);
                    let class = window.class(one, &reads);
                    for (other, its) in all.iter().zip(&trees) {
                        let within = class.lost.is_subset(&other.lost)
                            && class.kept.is_disjoint(&other.lost);
                        assert!(
                            !within || reads.agree(tree, its),
                            "{}: {one:?} and {other:?} of {reads:?}",
                            model.name()
                        );
                    }
                }
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 150, ..ProptestConfig::default() })]

        #[test]
        fn what_is_in_a_class_agrees(calls in calls(), which: u64) {
            assert_classes_agree(&calls, which);
        }
    }

    /// What cuts off, makes zero or leaves a hole shows behind a length and a write that came later.
    #[test]
    fn a_length_that_is_kept_hides_no_bytes_that_are_gone() {
        let begun = [
            Call::File("a"),
            Call::Write("a", 0, 5000),
            Call::Fsync("a"),
            Call::FsyncDir(""),
        ];
        let punch = libc::FALLOC_FL_PUNCH_HOLE | libc::FALLOC_FL_KEEP_SIZE;
        for then in [
            vec![Call::Truncate("a", 0), Call::Truncate("a", 9000)],
            vec![Call::Truncate("a", 100), Call::Write("a", 8000, 100)],
            vec![
                Call::Allocate("a", 0, 5000, punch),
                Call::Write("a", 8000, 100),
            ],
            vec![
                Call::Truncate("a", 4500),
                Call::Allocate(
                    "a",
                    4096,
                    800,
                    libc::FALLOC_FL_ZERO_RANGE | libc::FALLOC_FL_KEEP_SIZE,
                ),
                Call::Truncate("a", 9000),
            ],
            vec![Call::Truncate("a", 30_000), Call::Write("a", 20_000, 100)],
            // Zeros go to the end of a page that the file does not fill.
            vec![
                Call::Truncate("a", 50),
                Call::Fsync("a"),
                Call::Write("a", 4000, 90),
                Call::Allocate("a", 0, 200, libc::FALLOC_FL_ZERO_RANGE),
                Call::Truncate("a", 9000),
            ],
        ] {
            let calls: Vec<Call> = begun.iter().cloned().chain(then).collect();
            for which in 0..200 {
                assert_classes_agree(&calls, which);
            }
        }
    }
}
