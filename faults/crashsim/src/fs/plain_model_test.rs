//! A deliberately naive model of a filesystem: a map from paths to nodes.

use std::collections::{BTreeMap, BTreeSet};

use nix::errno::Errno;

use super::*;

/// Bytes in a page.
pub(super) const P: u64 = PAGE as u64;

#[derive(Clone, Debug)]
pub(super) enum Kind {
    File(Vec<u8>),
    Dir,
    Symlink(usize),
}

#[derive(Clone, Debug)]
pub(super) struct Plain {
    pub(super) kind: Kind,
    /// Pages that take space.
    pub(super) pages: BTreeSet<u64>,
    pub(super) mode: u32,
    pub(super) mtime: Nanos,
    pub(super) ctime: Nanos,
    pub(super) holds: u64,
    pub(super) removed: bool,
}

/// Nodes by inode number, and every path that there is.
pub(super) struct Model {
    pub(super) nodes: BTreeMap<Ino, Plain>,
    pub(super) names: BTreeMap<String, Ino>,
    pub(super) now: Nanos,
}

pub(super) fn split(path: &str) -> (&str, &str) {
    path.rsplit_once('/').unwrap_or(("", path))
}

pub(super) fn is_below(path: &str, directory: &str) -> bool {
    directory.is_empty()
        || path
            .strip_prefix(directory)
            .is_some_and(|rest| rest.starts_with('/'))
}

impl Model {
    pub(super) fn new() -> Self {
        let mut model = Model {
            nodes: BTreeMap::new(),
            names: BTreeMap::new(),
            now: 0,
        };
        model.add(ROOT, Kind::Dir, 0o755);
        model.names.insert(String::new(), ROOT);
        model
    }

    pub(super) fn add(&mut self, ino: Ino, kind: Kind, mode: u32) {
        let (mtime, ctime) = (self.now, self.now);
        let pages = BTreeSet::new();
        let node = Plain {
            kind,
            pages,
            mode,
            mtime,
            ctime,
            holds: 0,
            removed: false,
        };
        self.nodes.insert(ino, node);
    }

    pub(super) fn is_dir(&self, ino: Ino) -> bool {
        matches!(self.nodes[&ino].kind, Kind::Dir)
    }

    /// The inode of a path, walking it.
    pub(super) fn find(&self, path: &str) -> Result<Ino, Errno> {
        let mut at = String::new();
        let mut ino = ROOT;
        for part in path.split('/').filter(|part| !part.is_empty()) {
            if part.len() > NAME_MAX {
                return Err(Errno::ENAMETOOLONG);
            }
            if !self.is_dir(ino) {
                return Err(Errno::ENOTDIR);
            }
            at = if at.is_empty() {
                part.into()
            } else {
                format!("{at}/{part}")
            };
            ino = *self.names.get(&at).ok_or(Errno::ENOENT)?;
        }
        Ok(ino)
    }

    /// The directory in which a new path can be made.
    pub(super) fn vacant(&self, path: &str) -> Result<(), Errno> {
        match self.find(path) {
            Ok(_) => Err(Errno::EEXIST),
            Err(Errno::ENOENT) => self.find(split(path).0).map(drop),
            Err(other) => Err(other),
        }
    }

    pub(super) fn touch_parent(&mut self, path: &str) {
        let ino = self.names[split(path).0];
        let now = self.now;
        let node = self.nodes.get_mut(&ino).unwrap();
        (node.mtime, node.ctime) = (now, now);
    }

    pub(super) fn node(&mut self, ino: Ino) -> &mut Plain {
        self.nodes.get_mut(&ino).unwrap()
    }

    pub(super) fn names_of(&self, ino: Ino) -> usize {
        self.names.values().filter(|named| **named == ino).count()
    }

    /// Takes a name away; what has neither names nor holders is gone.
    pub(super) fn take(&mut self, path: &str) {
        let ino = self.names.remove(path).unwrap();
        let (now, gone) = (self.now, self.names_of(ino) == 0);
        let node = self.node(ino);
        node.ctime = now;
        node.removed = gone;
        if gone && node.holds == 0 {
            self.nodes.remove(&ino);
        }
    }

    pub(super) fn make(&mut self, path: &str, ino: Ino, kind: Kind, mode: u32) {
        self.add(ino, kind, mode);
        self.names.insert(path.into(), ino);
        self.touch_parent(path);
    }

    pub(super) fn link(&mut self, ino: Ino, to: &str) -> Result<(), Errno> {
        self.vacant(to)?;
        if self.is_dir(ino) {
            return Err(Errno::EPERM);
        }
        if self.nodes[&ino].removed {
            return Err(Errno::ENOENT);
        }
        self.names.insert(to.into(), ino);
        self.touch_parent(to);
        let now = self.now;
        self.node(ino).ctime = now;
        Ok(())
    }

    pub(super) fn unlink(&mut self, path: &str, dir: bool) -> Result<(), Errno> {
        let ino = self.find(path)?;
        match (self.is_dir(ino), dir) {
            (true, false) => return Err(Errno::EISDIR),
            (false, true) => return Err(Errno::ENOTDIR),
            _ => {}
        }
        if self.names.keys().any(|other| is_below(other, path)) {
            return Err(Errno::ENOTEMPTY);
        }
        self.touch_parent(path);
        self.take(path);
        Ok(())
    }

    pub(super) fn rename(&mut self, from: &str, to: &str, mode: RenameMode) -> Result<(), Errno> {
        self.find(split(from).0)?;
        self.find(split(to).0)?;
        let ino = self.find(from)?;
        let there = match self.find(to) {
            Ok(ino) => Some(ino),
            Err(Errno::ENOENT) => None,
            Err(other) => return Err(other),
        };
        if mode == RenameMode::NoReplace && there.is_some() {
            return Err(Errno::EEXIST);
        }
        if mode == RenameMode::Exchange && there.is_none() {
            return Err(Errno::ENOENT);
        }
        if is_below(to, from) {
            return Err(Errno::EINVAL);
        }
        if is_below(from, to) {
            let exchange = mode == RenameMode::Exchange;
            return Err(if exchange {
                Errno::EINVAL
            } else {
                Errno::ENOTEMPTY
            });
        }
        let Some(other) = there else {
            self.move_all(from, to);
            return Ok(());
        };
        if other == ino {
            return Ok(());
        }
        if mode == RenameMode::Exchange {
            self.move_all(to, "\0");
            self.move_all(from, to);
            self.move_all("\0", from);
            return Ok(());
        }
        match (self.is_dir(ino), self.is_dir(other)) {
            (true, false) => return Err(Errno::ENOTDIR),
            (false, true) => return Err(Errno::EISDIR),
            _ if self.names.keys().any(|name| is_below(name, to)) => {
                return Err(Errno::ENOTEMPTY);
            }
            _ => {}
        }
        self.take(to);
        self.move_all(from, to);
        Ok(())
    }

    pub(super) fn move_all(&mut self, from: &str, to: &str) {
        let moved: Vec<String> = self
            .names
            .keys()
            .filter(|name| *name == from || is_below(name, from))
            .cloned()
            .collect();
        for name in moved {
            let ino = self.names.remove(&name).unwrap();
            self.names
                .insert(format!("{to}{}", &name[from.len()..]), ino);
        }
        for path in [from, to].into_iter().filter(|path| *path != "\0") {
            self.touch_parent(path);
        }
        let (now, ino) = (self.now, self.names[to]);
        self.node(ino).ctime = now;
    }

    pub(super) fn file(&mut self, ino: Ino) -> Result<(&mut Vec<u8>, &mut BTreeSet<u64>), Errno> {
        let node = self.node(ino);
        match &mut node.kind {
            Kind::File(bytes) => Ok((bytes, &mut node.pages)),
            Kind::Dir => Err(Errno::EISDIR),
            Kind::Symlink(_) => Err(Errno::EINVAL),
        }
    }

    pub(super) fn write(&mut self, ino: Ino, at: u64, len: usize) -> Result<(), Errno> {
        let (bytes, pages) = self.file(ino)?;
        let (from, to) = (at as usize, at as usize + len);
        bytes.resize(bytes.len().max(to), 0);
        bytes[from..to].fill(7);
        pages.extend(at / P..(at + len as u64).div_ceil(P));
        Ok(())
    }

    pub(super) fn truncate(&mut self, ino: Ino, size: u64) -> Result<(), Errno> {
        let (bytes, pages) = self.file(ino)?;
        if size <= bytes.len() as u64 {
            pages.retain(|page| page * P < size);
        }
        bytes.resize(size as usize, 0);
        Ok(())
    }

    pub(super) fn zero(&mut self, ino: Ino, at: u64, len: u64, punch: bool) -> Result<(), Errno> {
        let (bytes, pages) = self.file(ino)?;
        let size = bytes.len() as u64;
        for byte in at.min(size)..(at + len).min(size) {
            bytes[byte as usize] = 0;
        }
        let whole = |page: u64| {
            at <= page * P && (page + 1) * P <= at + len
                || at <= page * P && size < at + len && size < (page + 1) * P
        };
        if punch {
            pages.retain(|page| !(whole(*page) && page * P < at + len));
        } else {
            pages.extend(at / P..(at + len).div_ceil(P));
        }
        Ok(())
    }

    pub(super) fn forget(&mut self, ino: Ino) {
        let node = self.node(ino);
        node.holds -= 1;
        if node.removed && node.holds == 0 {
            self.nodes.remove(&ino);
        }
    }

    pub(super) fn space(&self) -> u64 {
        self.nodes
            .values()
            .map(|node| match node.kind {
                Kind::File(_) => node.pages.len() as u64,
                Kind::Dir => 1,
                Kind::Symlink(len) => u64::from(len >= 60),
            })
            .sum()
    }
}
