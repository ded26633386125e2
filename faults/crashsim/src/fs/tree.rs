//! The filesystem tree: inodes, names and their rules, as POSIX and ext4 have them.
//!
//! No log in here: a [`Tree`] is a value. Cloning one costs nothing, however many files it has
//! (persistent maps), and shares all inodes and pages, so a crash state costs what differs.

use std::ffi::OsStr;
use std::sync::Arc;

use nix::errno::Errno;

use super::changes::Changes;
use super::content::Content;
use super::layered::Layered;
use super::node::{
    Attrs, Caller, Dir, Ino, Inode, LINK_MAX, NAME_MAX, Nanos, NewNode, Node, ROOT, RenameMode,
    Times,
};

/// The filesystem's content at one moment.
#[derive(Clone)]
pub struct Tree {
    pub(super) inodes: Layered<Ino, Arc<Inode>>,
    pub(super) next_ino: Ino,
    pub(super) pages: u64,
    /// What changed since the tree was whole, where somebody keeps track.
    pub(super) changes: Option<Changes>,
}

impl Tree {
    /// An empty filesystem whose root belongs to `uid` and `gid`.
    pub fn new(uid: u32, gid: u32, now: Nanos) -> Self {
        let mut root = Inode::new(&NewNode::Dir, 0o755, Caller { uid, gid, now }, "".into());
        root.nlink = 2;
        let mut inodes = Layered::default();
        inodes.insert(ROOT, Arc::new(root));
        Self {
            inodes,
            next_ino: ROOT + 1,
            pages: 1,
            changes: None,
        }
    }

    /// Makes what changed a part of what there was: changes of a clone then cost as much as there are
    /// of them, however many files there are. Costs what changed since it was last folded.
    pub(crate) fn fold(&mut self) {
        let open = |inode: &Inode| matches!(&inode.node, Node::Dir(dir) if !dir.is_folded());
        let changed = self.inodes.changed().filter(|(_, inode)| open(inode));
        let directories: Vec<Ino> = changed.map(|(ino, _)| *ino).collect();
        for ino in directories {
            let inode = self.inodes.get_mut(&ino).map(Arc::make_mut);
            if let Some(Node::Dir(dir)) = inode.map(|inode| &mut inode.node) {
                dir.fold();
            }
        }
        self.inodes.fold();
        if let Some(changes) = &mut self.changes {
            changes.digests.fold();
        }
    }

    /// Pages of space in use.
    pub fn pages(&self) -> u64 {
        self.pages
    }

    /// Inodes in use.
    pub fn inode_count(&self) -> u64 {
        self.inodes.len() as u64
    }

    /// Every inode, by its number.
    pub fn inodes(&self) -> impl Iterator<Item = (Ino, &Inode)> {
        self.inodes.iter().map(|(ino, inode)| (*ino, &**inode))
    }

    /// The inode of this number. `ESTALE` when there is none (a name that is gone).
    pub fn get(&self, ino: Ino) -> Result<&Inode, Errno> {
        self.inodes
            .get(&ino)
            .map(|inode| &**inode)
            .ok_or(Errno::ESTALE)
    }

    /// The same, to change it.
    pub fn get_mut(&mut self, ino: Ino) -> Result<&mut Inode, Errno> {
        if let Some(changes) = &mut self.changes {
            changes.touch(ino);
        }
        self.inodes
            .get_mut(&ino)
            .map(Arc::make_mut)
            .ok_or(Errno::ESTALE)
    }

    /// A directory. `ENOTDIR` when it is something else.
    pub fn dir(&self, ino: Ino) -> Result<&Dir, Errno> {
        match &self.get(ino)?.node {
            Node::Dir(dir) => Ok(dir),
            _ => Err(Errno::ENOTDIR),
        }
    }

    pub(super) fn dir_mut(&mut self, ino: Ino) -> Result<&mut Dir, Errno> {
        match &mut self.get_mut(ino)?.node {
            Node::Dir(dir) => Ok(dir),
            _ => Err(Errno::ENOTDIR),
        }
    }

    /// A file's bytes. `EISDIR` or `EINVAL` when it is something else.
    pub fn content(&self, ino: Ino) -> Result<&Content, Errno> {
        match &self.get(ino)?.node {
            Node::File(content) => Ok(content),
            Node::Dir(_) => Err(Errno::EISDIR),
            _ => Err(Errno::EINVAL),
        }
    }

    /// Changes a file's bytes and keeps count of the space. `EISDIR` or `EINVAL` when it is
    /// something else.
    pub fn change<T>(
        &mut self,
        ino: Ino,
        change: impl FnOnce(&mut Content) -> T,
    ) -> Result<T, Errno> {
        let inode = self.get_mut(ino)?;
        let content = match &mut inode.node {
            Node::File(content) => content,
            Node::Dir(_) => return Err(Errno::EISDIR),
            _ => return Err(Errno::EINVAL),
        };
        // Whatever the file is given now, its time is no longer one that a program chose.
        inode.mtime_set = false;
        let before = content.pages();
        let result = change(content);
        let after = content.pages();
        self.pages = self.pages + after - before;
        Ok(result)
    }

    /// The inode of a name. `ENOENT` when there is none, `ENAMETOOLONG` over [`NAME_MAX`].
    pub fn lookup(&self, parent: Ino, name: &OsStr) -> Result<Ino, Errno> {
        check_name(name)?;
        let dir = self.dir(parent)?;
        if name == ".." {
            return Ok(dir.parent);
        }
        if name == "." {
            return Ok(parent);
        }
        dir.get(name).map(|entry| entry.ino).ok_or(Errno::ENOENT)
    }

    /// Follows a path from the root, by names only (no symlinks).
    pub fn resolve(&self, path: &str) -> Result<Ino, Errno> {
        path.split('/')
            .filter(|part| !part.is_empty())
            .try_fold(ROOT, |at, part| self.lookup(at, OsStr::new(part)))
    }

    /// The path of a name in a directory, for people. Directories nested deeper than any path can say
    /// are shortened to "…", or paths would take more room than the tree.
    pub fn path_of(&self, parent: Ino, name: &OsStr) -> Arc<str> {
        let parent = self.get(parent).map_or("?", |inode| &inode.path);
        let parent = if parent.len() > libc::PATH_MAX as usize {
            "…"
        } else {
            parent
        };
        if parent.is_empty() {
            name.to_string_lossy().into()
        } else {
            format!("{parent}/{}", name.to_string_lossy()).into()
        }
    }

    /// The number that the next new inode will get.
    pub fn next_ino(&self) -> Ino {
        self.next_ino
    }

    /// Gives the next new inode this number; false where it was given before.
    pub(crate) fn number_next(&mut self, ino: Ino) -> bool {
        let fresh = ino >= self.next_ino;
        if fresh {
            self.next_ino = ino;
        }
        fresh
    }

    /// Makes a new inode under a name that must not exist (`EEXIST`). In a directory with the
    /// set-group-ID bit it takes the directory's group, and a new directory takes the bit
    /// (inode(7), `inode_init_owner` in fs/inode.c).
    pub fn create(
        &mut self,
        parent: Ino,
        name: &OsStr,
        new: &NewNode,
        mode: u32,
        caller: Caller,
    ) -> Result<Ino, Errno> {
        let directory = self.directory_for(parent, name)?;
        let is_dir = matches!(new, NewNode::Dir);
        let (gid, mode) = if directory.mode & libc::S_ISGID != 0 {
            (
                directory.gid,
                if is_dir { mode | libc::S_ISGID } else { mode },
            )
        } else {
            (caller.gid, mode)
        };
        let path = self.path_of(parent, name);
        let mut inode = Inode::new(new, mode, Caller { gid, ..caller }, path);
        inode.nlink = 1 + u32::from(is_dir);
        if let Node::Dir(dir) = &mut inode.node {
            dir.parent = parent;
        }
        let ino = self.next_ino;
        self.next_ino += 1;
        self.pages += inode.pages();
        self.inodes.insert(ino, Arc::new(inode));
        self.touch_dir(parent, caller.now, i32::from(is_dir))?;
        self.set_name(parent, name, Some(ino))?;
        Ok(ino)
    }

    /// The directory, where it can take the new `name`: `EEXIST` when it has it, `ENOENT` when the
    /// directory itself was removed while somebody stands in it.
    fn directory_for(&self, parent: Ino, name: &OsStr) -> Result<&Inode, Errno> {
        let directory = self.get(parent)?;
        match self.lookup(parent, name) {
            Ok(_) => Err(Errno::EEXIST),
            Err(Errno::ENOENT) if directory.nlink == 0 => Err(Errno::ENOENT),
            Err(Errno::ENOENT) => Ok(directory),
            Err(other) => Err(other),
        }
    }

    /// Gives a file one more name. `EEXIST`; `EPERM` for directories; `EMLINK`; `ENOENT` for a file
    /// whose last name is gone (link(2): only a file from O_TMPFILE could come back).
    pub fn link(&mut self, ino: Ino, parent: Ino, name: &OsStr, now: Nanos) -> Result<(), Errno> {
        self.directory_for(parent, name)?;
        let inode = self.get(ino)?;
        if inode.is_dir() {
            return Err(Errno::EPERM);
        }
        if inode.nlink == 0 {
            return Err(Errno::ENOENT);
        }
        if inode.nlink >= LINK_MAX {
            return Err(Errno::EMLINK);
        }
        self.touch_dir(parent, now, 0)?;
        self.set_name(parent, name, Some(ino))?;
        let inode = self.get_mut(ino)?;
        inode.nlink += 1;
        inode.ctime = now;
        Ok(())
    }

    /// Removes a name of something that is no directory (`EISDIR`), and returns what it named.
    pub fn unlink(&mut self, parent: Ino, name: &OsStr, now: Nanos) -> Result<Ino, Errno> {
        let ino = self.lookup(parent, name)?;
        if self.get(ino)?.is_dir() {
            return Err(Errno::EISDIR);
        }
        self.touch_dir(parent, now, 0)?;
        self.set_name(parent, name, None)?;
        self.drop_name(ino, now)?;
        Ok(ino)
    }

    /// Removes an empty directory. `ENOTEMPTY` (also for ".."), `ENOTDIR`, `EINVAL` for ".".
    pub fn rmdir(&mut self, parent: Ino, name: &OsStr, now: Nanos) -> Result<Ino, Errno> {
        match name.as_encoded_bytes() {
            b"." => return Err(Errno::EINVAL),
            b".." => return Err(Errno::ENOTEMPTY),
            _ => {}
        }
        let ino = self.lookup(parent, name)?;
        if !self.dir(ino)?.is_empty() {
            return Err(Errno::ENOTEMPTY);
        }
        self.touch_dir(parent, now, -1)?;
        self.set_name(parent, name, None)?;
        self.drop_dir(ino, now)?;
        Ok(ino)
    }

    /// Renames as rename(2) and renameat2(2) say. Returns the inode that moved and the one that
    /// it replaced or was exchanged with, if any. When both names are of one file nothing
    /// happens, and that file is returned as both.
    ///
    /// What comes first when several errors apply is as in `do_renameat2` and `vfs_rename`
    /// (fs/namei.c).
    pub fn rename(
        &mut self,
        from: (Ino, &OsStr),
        to: (Ino, &OsStr),
        mode: RenameMode,
        now: Nanos,
    ) -> Result<(Ino, Option<Ino>), Errno> {
        let is_dots = |name: &OsStr| name == "." || name == "..";
        if is_dots(from.1) || is_dots(to.1) {
            return Err(Errno::EBUSY);
        }
        let ino = self.lookup(from.0, from.1)?;
        let there = match self.lookup(to.0, to.1) {
            Ok(ino) => Some(ino),
            Err(Errno::ENOENT) => None,
            Err(other) => return Err(other),
        };
        match (mode, there) {
            (RenameMode::NoReplace, Some(_)) => return Err(Errno::EEXIST),
            (RenameMode::Exchange, None) => return Err(Errno::ENOENT),
            _ => {}
        }
        // A directory cannot move into itself, nor take the place of one that it lies in.
        let is_dir = self.get(ino)?.is_dir();
        if is_dir && self.is_inside(to.0, ino)? {
            return Err(Errno::EINVAL);
        }
        let there_is_dir = there.map_or(Ok(false), |other| self.get(other).map(Inode::is_dir))?;
        if let Some(other) = there.filter(|_| there_is_dir)
            && self.is_inside(from.0, other)?
        {
            return Err(match mode {
                RenameMode::Exchange => Errno::EINVAL,
                _ => Errno::ENOTEMPTY,
            });
        }
        if there == Some(ino) {
            return Ok((ino, there));
        }
        if self.get(to.0)?.nlink == 0 {
            return Err(Errno::ENOENT);
        }
        let (here, other_here) = (i32::from(is_dir), i32::from(there_is_dir));
        if let (RenameMode::Exchange, Some(other)) = (mode, there) {
            self.touch_dir(from.0, now, other_here - here)?;
            self.touch_dir(to.0, now, here - other_here)?;
            self.set_name(from.0, from.1, Some(other))?;
            self.set_name(to.0, to.1, Some(ino))?;
            self.moved(other, from.0, from.1, now)?;
            self.moved(ino, to.0, to.1, now)?;
            return Ok((ino, there));
        }
        if let Some(other) = there {
            match (is_dir, there_is_dir) {
                (true, false) => return Err(Errno::ENOTDIR),
                (false, true) => return Err(Errno::EISDIR),
                (true, true) if !self.dir(other)?.is_empty() => return Err(Errno::ENOTEMPTY),
                _ => {}
            }
        }
        self.touch_dir(from.0, now, -here)?;
        self.touch_dir(to.0, now, here - other_here)?;
        self.set_name(from.0, from.1, None)?;
        self.set_name(to.0, to.1, Some(ino))?;
        match there {
            Some(other) if there_is_dir => self.drop_dir(other, now)?,
            Some(other) => self.drop_name(other, now)?,
            None => {}
        }
        self.moved(ino, to.0, to.1, now)?;
        Ok((ino, there))
    }

    /// Changes attributes. The change time becomes `now` unless it is set itself.
    pub fn set_attrs(&mut self, ino: Ino, attrs: Attrs, now: Nanos) -> Result<(), Errno> {
        let inode = self.get_mut(ino)?;
        if let Some(mode) = attrs.mode {
            inode.mode = (inode.mode & libc::S_IFMT) | (mode & 0o7777);
        }
        inode.uid = attrs.uid.unwrap_or(inode.uid);
        inode.gid = attrs.gid.unwrap_or(inode.gid);
        inode.atime = attrs.atime.unwrap_or(inode.atime);
        inode.mtime = attrs.mtime.unwrap_or(inode.mtime);
        inode.atime_set |= attrs.atime.is_some();
        inode.mtime_set |= attrs.mtime.is_some();
        inode.ctime = attrs.ctime.unwrap_or(now);
        Ok(())
    }

    /// Sets times to what the clock shows: nobody chose them.
    pub fn touch(&mut self, ino: Ino, times: Times) -> Result<(), Errno> {
        let inode = self.get_mut(ino)?;
        if let Some(atime) = times.atime {
            (inode.atime, inode.atime_set) = (atime, false);
        }
        if let Some(mtime) = times.mtime {
            (inode.mtime, inode.mtime_set) = (mtime, false);
        }
        inode.ctime = times.ctime;
        Ok(())
    }

    /// Sets an extended attribute, or removes it, whether it was there or not.
    pub fn set_xattr(
        &mut self,
        ino: Ino,
        name: &OsStr,
        value: Option<Arc<[u8]>>,
    ) -> Result<(), Errno> {
        let inode = self.get_mut(ino)?;
        match value {
            Some(value) => inode.xattrs.insert(name.to_owned(), value),
            None => inode.xattrs.remove(name),
        };
        Ok(())
    }

    /// Notes lookups that the kernel holds (`by` above 0) or forgets (below 0), and gives back
    /// an inode that has neither names nor holders.
    pub fn count_lookups(&mut self, ino: Ino, by: i64) {
        if let Ok(inode) = self.get_mut(ino) {
            inode.lookups = inode.lookups.saturating_add_signed(by);
            if by < 0 {
                self.reap(ino);
            }
        }
    }

    /// True when `ino` is `directory` or lies below it.
    fn is_inside(&self, mut ino: Ino, directory: Ino) -> Result<bool, Errno> {
        while ino != ROOT {
            if ino == directory {
                return Ok(true);
            }
            ino = self.dir(ino)?.parent;
        }
        Ok(directory == ROOT)
    }

    /// Sets, replaces or removes a name of a directory, and notes it with what is named. No link
    /// is counted.
    pub(super) fn set_name(
        &mut self,
        parent: Ino,
        name: &OsStr,
        ino: Option<Ino>,
    ) -> Result<(), Errno> {
        let name: Arc<OsStr> = name.into();
        let dir = self.dir_mut(parent)?;
        let before = match ino {
            Some(ino) => dir.insert(&name, ino),
            None => dir.remove(&name),
        };
        if let Some(before) = before {
            self.forget_name(before, parent, &name);
        }
        if let Some(ino) = ino {
            let place = (parent, name.clone());
            self.get_mut(ino)?.names.push(place);
            if let Some(changes) = &mut self.changes {
                changes.named(parent, &name, ino);
            }
        }
        Ok(())
    }

    /// Notes that an inode no longer has this name.
    pub(super) fn forget_name(&mut self, ino: Ino, parent: Ino, name: &Arc<OsStr>) {
        if let Some(changes) = &mut self.changes {
            changes.unnamed(parent, name, ino);
        }
        if let Ok(inode) = self.get_mut(ino) {
            inode
                .names
                .retain(|(dir, known)| (*dir, known) != (parent, name));
        }
    }

    /// Takes an inode out of the tree; what it named has a name less.
    pub(super) fn remove_inode(&mut self, ino: Ino) {
        let Some(inode) = self.inodes.remove(&ino) else {
            return;
        };
        self.pages -= inode.pages();
        if let Node::Dir(dir) = &inode.node {
            for (name, entry) in dir.iter() {
                self.forget_name(entry.ino, ino, name);
            }
        }
        if let Some(changes) = &mut self.changes {
            changes.removed(ino);
        }
    }

    fn touch_dir(&mut self, ino: Ino, now: Nanos, subdirs: i32) -> Result<(), Errno> {
        let inode = self.get_mut(ino)?;
        inode.mtime = now;
        inode.ctime = now;
        inode.nlink = inode.nlink.saturating_add_signed(subdirs);
        match &inode.node {
            Node::Dir(_) => Ok(()),
            _ => Err(Errno::ENOTDIR),
        }
    }

    fn drop_name(&mut self, ino: Ino, now: Nanos) -> Result<(), Errno> {
        let inode = self.get_mut(ino)?;
        inode.nlink = inode.nlink.saturating_sub(1);
        inode.ctime = now;
        self.reap(ino);
        Ok(())
    }

    fn drop_dir(&mut self, ino: Ino, now: Nanos) -> Result<(), Errno> {
        let inode = self.get_mut(ino)?;
        inode.nlink = 0;
        inode.ctime = now;
        self.reap(ino);
        Ok(())
    }

    fn moved(&mut self, ino: Ino, parent: Ino, name: &OsStr, now: Nanos) -> Result<(), Errno> {
        let path = self.path_of(parent, name);
        let inode = self.get_mut(ino)?;
        inode.ctime = now;
        inode.path = path;
        if let Node::Dir(dir) = &mut inode.node {
            dir.parent = parent;
            self.rename_below(ino);
        }
        Ok(())
    }

    /// Refreshes the paths shown for what lies below a directory that moved.
    pub(super) fn rename_below(&mut self, directory: Ino) {
        // Directories may nest deeper than a stack does.
        let mut directories = vec![directory];
        while let Some(directory) = directories.pop() {
            let Ok(dir) = self.dir(directory) else {
                continue;
            };
            let below: Vec<Ino> = dir.iter().map(|(_, entry)| entry.ino).collect();
            for ino in below {
                let path = self.shown_path(ino);
                let Ok(inode) = self.get_mut(ino) else {
                    continue;
                };
                if inode.is_dir() {
                    directories.push(ino);
                }
                // The other names of a file may be about to change too: settling it decides.
                if let Some(path) = path
                    && (inode.names.len() == 1 || self.changes.is_none())
                    && let Ok(inode) = self.get_mut(ino)
                {
                    inode.path = path;
                }
            }
        }
    }

    /// The path to show for an inode: the one that is shown, while one of its names has it, and
    /// then the first of its names' paths. None without a name.
    pub(super) fn shown_path(&self, ino: Ino) -> Option<Arc<str>> {
        let inode = self.get(ino).ok()?;
        let paths = inode.names.iter();
        let paths = paths.map(|(parent, name)| self.path_of(*parent, name));
        let mut paths: Vec<Arc<str>> = paths.collect();
        match paths.iter().position(|path| *path == inode.path) {
            Some(at) => Some(paths.swap_remove(at)),
            None => paths.into_iter().min(),
        }
    }

    pub(super) fn reap(&mut self, ino: Ino) {
        let orphan = |inode: &Arc<Inode>| inode.nlink == 0 && inode.lookups == 0;
        if self.inodes.get(&ino).is_some_and(orphan) {
            self.remove_inode(ino);
        }
    }
}

fn check_name(name: &OsStr) -> Result<(), Errno> {
    if name.len() > NAME_MAX {
        Err(Errno::ENAMETOOLONG)
    } else {
        Ok(())
    }
}
