//! The raw changes that crash states are built from.
//!
//! They keep no rule of POSIX: what power loss leaves need not be what any sequence of calls
//! could make. [`Tree::settle`] makes it a filesystem again, as recovery (a journal replay, fsck)
//! would.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::sync::Arc;

use super::content::Content;
use super::node::{Attrs, Caller, Ino, Inode, Nanos, NewNode, Node, ROOT};
use super::tree::Tree;

impl Tree {
    /// Makes sure that an inode of this number exists, without a name.
    pub fn raw_node(&mut self, ino: Ino, new: &NewNode, mode: u32, owner: Caller, path: Arc<str>) {
        let inode = Inode::new(new, mode, owner, path);
        self.pages += inode.pages();
        if let Some(before) = self.inodes.insert(ino, Arc::new(inode)) {
            self.pages -= before.pages();
        }
        self.next_ino = self.next_ino.max(ino + 1);
    }

    /// Sets or removes a name in a directory, if the directory is there. Counts the names of files;
    /// what has none any more stays, because a later change may name it again.
    pub fn raw_entry(&mut self, parent: Ino, name: &OsStr, ino: Option<Ino>) {
        let Ok(dir) = self.dir_mut(parent) else {
            return;
        };
        let before = dir.get(name).map(|entry| entry.ino);
        dir.set(name, ino);
        for (changed, by) in [(before, -1), (ino, 1)] {
            if let Some(Ok(inode)) = changed.map(|ino| self.get_mut(ino))
                && !inode.is_dir()
            {
                inode.nlink = inode.nlink.saturating_add_signed(by);
            }
        }
    }

    /// Drops an inode that no name will lead to again: a file without names, or a directory whose
    /// only name was taken away.
    pub fn raw_drop(&mut self, ino: Ino) {
        if let Ok(inode) = self.get_mut(ino) {
            inode.lookups = 0;
            if inode.is_dir() {
                inode.nlink = 0;
            }
            self.reap(ino);
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
        // What is not there, or no file, has no bytes to lose.
        let _ = self.change(ino, change);
    }

    /// Sets attributes, if the inode is there.
    pub fn raw_attrs(&mut self, ino: Ino, attrs: Attrs, now: Nanos) {
        let _ = self.set_attrs(ino, attrs, now);
    }

    /// Makes the tree whole: drops names that lead nowhere and inodes that no name reaches,
    /// gives every directory one parent, and counts links and space again.
    pub fn settle(&mut self) {
        let mut reached: HashMap<Ino, u32> = HashMap::from([(ROOT, 0)]);
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
                if is_dir && reached.contains_key(&ino) {
                    self.raw_entry(directory, &name, None);
                    continue;
                }
                let path = self.path_of(directory, &name);
                let names = reached.entry(ino).or_insert(0);
                *names += 1;
                let first = *names == 1;
                if is_dir {
                    *subdirs.entry(directory).or_insert(0) += 1;
                    queue.push(ino);
                }
                self.raw_place(ino, directory, first.then_some(path));
            }
        }
        self.inodes.retain(|ino, _| reached.contains_key(ino));
        self.pages = 0;
        for (ino, inode) in &mut self.inodes {
            let nlink = if inode.is_dir() {
                2 + subdirs.get(ino).copied().unwrap_or(0)
            } else {
                reached.get(ino).copied().unwrap_or(0)
            };
            let settled = match &inode.node {
                Node::File(content) => content.is_settled(),
                _ => true,
            };
            // An inode that is right stays shared with the tree that it came from.
            if !settled || inode.nlink != nlink || inode.lookups != 0 {
                let inode = Arc::make_mut(inode);
                inode.nlink = nlink;
                inode.lookups = 0;
                if let Node::File(content) = &mut inode.node {
                    content.settle();
                }
            }
            self.pages += inode.pages();
        }
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
