//! The raw changes that crash states are built from.
//!
//! They keep no rule of POSIX: what power loss leaves need not be what any sequence of calls
//! could make. [`Tree::settle`] makes it a filesystem again, as recovery (a journal replay, fsck)
//! would.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::sync::Arc;

use foldhash::{HashMap, HashMapExt, HashSet};

use super::changes::Changes;
use super::content::Content;
use super::node::{Attrs, Caller, Ino, Inode, Nanos, NewNode, Node, ROOT, Times};
use super::tree::Tree;

/// A change of what is not there, or of another kind, changes nothing.
fn if_there<T, E>(_changed: Result<T, E>) {}

impl Tree {
    /// Makes sure that an inode of this number exists, without a name.
    pub fn raw_node(&mut self, ino: Ino, new: &NewNode, mode: u32, owner: Caller, path: Arc<str>) {
        let mut inode = Inode::new(new, mode, owner, path);
        if inode.is_dir() {
            inode.nlink = 2;
        }
        self.remove_inode(ino);
        self.pages += inode.pages();
        self.inodes.insert(ino, Arc::new(inode));
        if let Some(changes) = &mut self.changes {
            changes.touch(ino);
        }
        self.next_ino = self.next_ino.max(ino + 1);
    }

    /// Sets or removes a name in a directory, if the directory is there, and what it shall name.
    /// Counts links; what has no name any more stays, because a later change may name it again.
    pub fn raw_entry(&mut self, parent: Ino, name: &OsStr, ino: Option<Ino>) {
        let Ok(dir) = self.dir(parent) else {
            return;
        };
        let before = dir.get(name).map(|entry| entry.ino);
        let ino = ino.filter(|ino| self.get(*ino).is_ok());
        if before == ino || self.set_name(parent, name, ino).is_err() {
            return;
        }
        for (changed, by) in [(before, -1), (ino, 1)] {
            let Some(changed) = changed else { continue };
            let counts = match self.get(changed) {
                Ok(inode) if inode.is_dir() => parent,
                _ => changed,
            };
            if let Ok(inode) = self.get_mut(counts) {
                inode.nlink = inode.nlink.saturating_add_signed(by);
            }
        }
    }

    /// Drops an inode that no name will lead to again: a file without names, or a directory whose
    /// only name was taken away.
    pub fn raw_drop(&mut self, ino: Ino) {
        if self.get(ino).is_ok_and(|inode| inode.names.is_empty()) && ino != ROOT {
            self.remove_inode(ino);
        }
    }

    /// Drops what no name leads to and only open files keep alive.
    pub fn raw_drop_orphans(&mut self) {
        let orphans: Vec<Ino> = self
            .inodes()
            .filter(|(_, inode)| inode.nlink == 0)
            .map(|(ino, _)| ino)
            .collect();
        for ino in orphans {
            self.raw_drop(ino);
        }
    }

    /// Changes a file's bytes, if it is there.
    pub fn raw_content(&mut self, ino: Ino, change: impl FnOnce(&mut Content)) {
        if_there(self.change(ino, change));
    }

    /// Sets attributes, if the inode is there.
    pub fn raw_attrs(&mut self, ino: Ino, attrs: Attrs, now: Nanos) {
        if_there(self.set_attrs(ino, attrs, now));
    }

    /// Sets or removes an extended attribute, if the inode is there.
    pub fn raw_xattr(&mut self, ino: Ino, name: &OsStr, value: Option<&[u8]>) {
        if_there(self.set_xattr(ino, name, value.map(Arc::from)));
    }

    /// Sets times to what the clock showed, if the inode is there.
    pub fn raw_touch(&mut self, ino: Ino, times: Times) {
        if_there(self.touch(ino, times));
    }

    /// Keeps track of changes from here on: then [`Tree::settle`] and [`Tree::digest`] cost what
    /// changed. Makes the tree whole first, which costs as much as the whole tree.
    pub fn track(&mut self) {
        self.changes = None;
        self.settle_all();
        self.changes = Some(Changes::none(self.inodes.keys().copied()));
    }

    /// Keeps track of changes no longer, for a tree that will be changed often and seldom looked
    /// at.
    pub fn untrack(&mut self) {
        self.changes = None;
    }

    /// Makes the tree whole: drops names that lead nowhere and inodes that no name reaches,
    /// gives every directory one parent, and counts links and space.
    ///
    /// Costs what changed since, if the tree keeps [`Tree::track`] of changes; but as much as the
    /// whole tree where a directory has two names, or lies in itself.
    pub fn settle(&mut self) {
        if !self.settle_changes() {
            self.settle_all();
        }
    }

    /// Settles what changed and what follows from it; false when that does not decide.
    fn settle_changes(&mut self) -> bool {
        let Some(changes) = &self.changes else {
            return false;
        };
        let mut leads_up = HashSet::from_iter([ROOT]);
        for ino in &changes.unsettled {
            if !self.has_one_place(*ino, &mut leads_up) {
                return false;
            }
        }
        let nameless = |tree: &Tree, ino: &Ino| {
            *ino != ROOT && tree.get(*ino).is_ok_and(|inode| inode.names.is_empty())
        };
        let mut gone: Vec<Ino> = changes.unsettled.iter().copied().collect();
        gone.retain(|ino| nameless(self, ino));
        while let Some(ino) = gone.pop() {
            let Ok(inode) = self.get(ino) else { continue };
            let below: Vec<Ino> = match &inode.node {
                Node::Dir(dir) => dir.iter().map(|(_, entry)| entry.ino).collect(),
                _ => Vec::new(),
            };
            self.remove_inode(ino);
            gone.extend(below.into_iter().filter(|ino| nameless(self, ino)));
        }
        // Directories first: the paths of files follow from theirs.
        let is_dir = |tree: &Tree, ino: &Ino| tree.dir(*ino).is_ok();
        let mut rest = self.take_unsettled();
        let dirs: Vec<Ino> = rest
            .iter()
            .copied()
            .filter(|ino| is_dir(self, ino))
            .collect();
        for ino in dirs {
            self.settle_inode(ino);
        }
        rest.extend(self.take_unsettled());
        rest.retain(|ino| !is_dir(self, ino));
        for ino in rest {
            self.settle_inode(ino);
        }
        self.take_unsettled();
        true
    }

    fn take_unsettled(&mut self) -> BTreeSet<Ino> {
        let changes = self.changes.as_mut();
        changes.map_or_else(BTreeSet::new, |changes| {
            std::mem::take(&mut changes.unsettled)
        })
    }

    /// Forgets changes that leave nothing to settle, whatever else changes: so that their number
    /// is that of what is unsynced.
    pub(crate) fn forget_settled(&mut self) {
        let Some(changes) = &mut self.changes else {
            return;
        };
        let mut unsettled = std::mem::take(&mut changes.unsettled);
        let mut leads_up = HashSet::from_iter([ROOT]);
        unsettled.retain(|ino| {
            let Ok(inode) = self.get(*ino) else {
                return false;
            };
            let hidden = matches!(&inode.node, Node::File(content) if !content.is_settled());
            if hidden
                || (*ino != ROOT && inode.names.is_empty())
                || !self.has_one_place(*ino, &mut leads_up)
            {
                return true;
            }
            self.settle_inode(*ino);
            false
        });
        if let Some(changes) = &mut self.changes {
            changes.unsettled = unsettled;
        }
    }

    /// False for a directory with several names, or one that lies in itself. `leads_up` are
    /// directories known to lie below the root, or below something that has no name.
    fn has_one_place(&self, ino: Ino, leads_up: &mut HashSet<Ino>) -> bool {
        let mut way = Vec::new();
        let mut at = ino;
        while !leads_up.contains(&at) {
            let Ok(inode) = self.get(at) else { break };
            if !inode.is_dir() {
                return true;
            }
            match &inode.names[..] {
                [] => break,
                [(parent, _)] if !way.contains(&at) => {
                    way.push(at);
                    at = *parent;
                }
                _ => return false,
            }
        }
        leads_up.extend(way);
        true
    }

    /// Settles an inode that has a name.
    fn settle_inode(&mut self, ino: Ino) {
        let Ok(inode) = self.get(ino) else { return };
        let hidden = matches!(&inode.node, Node::File(content) if !content.is_settled());
        let nlink = if inode.is_dir() {
            inode.nlink
        } else {
            inode.names.len() as u32
        };
        let counted = inode.nlink == nlink && inode.lookups == 0;
        // An inode that is right stays shared with the tree that it came from.
        if !counted && let Ok(inode) = self.get_mut(ino) {
            inode.nlink = nlink;
            inode.lookups = 0;
        }
        if hidden {
            self.raw_content(ino, Content::settle);
        }
        let Ok(inode) = self.get(ino) else { return };
        let Some((parent, _)) = inode.names.first() else {
            return;
        };
        let path = self.shown_path(ino).filter(|path| *path != inode.path);
        let moved = path.is_some() && inode.is_dir();
        self.raw_place(ino, *parent, path);
        if moved {
            self.rename_below(ino);
        }
    }

    fn settle_all(&mut self) {
        let mut reached: HashSet<Ino> = HashSet::from_iter([ROOT]);
        let mut subdirs: HashMap<Ino, u32> = HashMap::new();
        let mut queue = vec![ROOT];
        while let Some(directory) = queue.pop() {
            let Ok(dir) = self.dir(directory) else {
                continue;
            };
            let names: Vec<(Arc<OsStr>, Ino)> = dir
                .iter()
                .map(|(name, entry)| (name.clone(), entry.ino))
                .collect();
            for (name, ino) in names {
                let is_dir = match self.get(ino) {
                    Ok(inode) => inode.is_dir(),
                    Err(_) => {
                        self.raw_entry(directory, &name, None);
                        continue;
                    }
                };
                if is_dir && reached.contains(&ino) {
                    self.raw_entry(directory, &name, None);
                    continue;
                }
                reached.insert(ino);
                if is_dir {
                    *subdirs.entry(directory).or_insert(0) += 1;
                    queue.push(ino);
                    let path = self.path_of(directory, &name);
                    self.raw_place(ino, directory, Some(path));
                }
            }
        }
        let all: Vec<Ino> = self.inodes.keys().copied().collect();
        for ino in all.iter().filter(|ino| !reached.contains(ino)) {
            self.remove_inode(*ino);
        }
        for ino in all {
            let Ok(inode) = self.get(ino) else { continue };
            let nlink = 2 + subdirs.get(&ino).copied().unwrap_or(0);
            if inode.is_dir()
                && inode.nlink != nlink
                && let Ok(inode) = self.get_mut(ino)
            {
                inode.nlink = nlink;
            }
            self.settle_inode(ino);
        }
        self.pages = self.count_pages();
        if let Some(changes) = &mut self.changes {
            changes.unsettled.clear();
        }
    }

    /// The pages of all inodes, counted.
    pub fn count_pages(&self) -> u64 {
        self.inodes().map(|(_, inode)| inode.pages()).sum()
    }

    /// What is wrong with a tree that should be whole; none when nothing is. Costs as much as the
    /// whole tree.
    pub fn flaw(&self) -> Option<String> {
        if self.pages != self.count_pages() {
            return Some(format!(
                "{} pages are counted where {} are in use",
                self.pages,
                self.count_pages()
            ));
        }
        let mut whole = self.clone();
        whole.changes = None;
        whole.settle_all();
        if whole.inodes.len() != self.inodes.len() {
            return Some("an inode that no name reaches".into());
        }
        let mut both = whole.inodes.iter().zip(self.inodes.iter());
        // What is right stays shared.
        let differs = both.find(|((_, whole), (_, here))| !Arc::ptr_eq(whole, here));
        differs.map(|((ino, _), _)| format!("inode {ino} is not settled"))
    }

    /// Notes where an inode was found, where that is news.
    fn raw_place(&mut self, ino: Ino, directory: Ino, path: Option<Arc<str>>) {
        let Ok(inode) = self.get(ino) else { return };
        let path = path.filter(|path| *path != inode.path);
        let adopted = matches!(&inode.node, Node::Dir(dir) if dir.parent != directory);
        if path.is_none() && !adopted {
            return;
        }
        if let Ok(inode) = self.get_mut(ino) {
            if let Some(path) = path {
                inode.path = path;
            }
            if let Node::Dir(dir) = &mut inode.node {
                dir.parent = directory;
            }
        }
    }
}
