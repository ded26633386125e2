//! The filesystem tree: inodes, names and their rules, as POSIX and ext4 have them.
//!
//! No FUSE and no log in here: a [`Tree`] is a value. Cloning one shares all inodes and pages,
//! so a crash state costs little more than its differences.

use std::collections::{BTreeMap, HashMap};
use std::ffi::{OsStr, OsString};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use nix::errno::Errno;

use super::content::{Content, PAGE};

/// An inode number; the root folder is [`ROOT`].
pub type Ino = u64;
/// The root folder's inode number, as FUSE has it.
pub const ROOT: Ino = 1;
/// The longest name, in bytes (ext4's limit).
pub const NAME_MAX: usize = 255;
/// The most links that an inode may have (ext4's limit).
const LINK_MAX: u32 = 65_000;
/// The largest file: ext4's limit with 4 KiB blocks.
pub const FILE_MAX: u64 = (1 << 44) - PAGE as u64;
/// A symlink up to this length lives in the inode and takes no space (ext4).
const FAST_SYMLINK: usize = 60;

/// Nanoseconds since the epoch, within i64 years of it.
pub type Nanos = i64;

/// Converts a time for the kernel.
pub fn to_system_time(nanos: Nanos) -> SystemTime {
    if nanos >= 0 {
        UNIX_EPOCH + Duration::from_nanos(nanos.unsigned_abs())
    } else {
        UNIX_EPOCH - Duration::from_nanos(nanos.unsigned_abs())
    }
}

/// Converts a time from the kernel, kept within range.
pub fn from_system_time(time: SystemTime) -> Nanos {
    match time.duration_since(UNIX_EPOCH) {
        Ok(after) => Nanos::try_from(after.as_nanos()).unwrap_or(Nanos::MAX),
        Err(before) => Nanos::try_from(before.duration().as_nanos()).map_or(Nanos::MIN, |n| -n),
    }
}

/// One name of a folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DirEntry {
    /// What it names.
    pub ino: Ino,
    /// Its place in the listing: never reused in its folder, so that a listing in several parts
    /// shows each entry that stays exactly once.
    pub cookie: u64,
}

/// The names of one folder.
#[derive(Clone, Debug, Default)]
pub struct Dir {
    entries: BTreeMap<Arc<OsStr>, DirEntry>,
    listing: BTreeMap<u64, Arc<OsStr>>,
    next_cookie: u64,
    /// The folder that holds it; itself for the root.
    pub parent: Ino,
}

impl Dir {
    fn new(parent: Ino) -> Self {
        // Cookies 1 and 2 are "." and "..".
        Self {
            next_cookie: 3,
            parent,
            ..Self::default()
        }
    }

    /// The entry of this name.
    pub fn get(&self, name: &OsStr) -> Option<DirEntry> {
        self.entries.get(name).copied()
    }

    /// Every name with its entry, in the order of names.
    pub fn iter(&self) -> impl Iterator<Item = (&Arc<OsStr>, &DirEntry)> {
        self.entries.iter()
    }

    /// The entries behind `cookie`, in listing order.
    pub fn list_from(&self, cookie: u64) -> impl Iterator<Item = (u64, &OsStr, Ino)> {
        self.listing
            .range(cookie + 1..)
            .map(|(cookie, name)| (*cookie, &**name, self.entries[name].ino))
    }

    /// True when it holds no name.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Sets, replaces or removes a name.
    pub fn set(&mut self, name: &OsStr, ino: Option<Ino>) {
        match ino {
            Some(ino) => {
                if let Some(entry) = self.entries.get_mut(name) {
                    entry.ino = ino;
                } else {
                    let cookie = self.next_cookie;
                    self.next_cookie += 1;
                    let name: Arc<OsStr> = name.into();
                    self.entries.insert(name.clone(), DirEntry { ino, cookie });
                    self.listing.insert(cookie, name);
                }
            }
            None => {
                if let Some(entry) = self.entries.remove(name) {
                    self.listing.remove(&entry.cookie);
                }
            }
        }
    }
}

/// What an inode is.
#[derive(Clone)]
pub enum Node {
    /// A regular file.
    File(Content),
    /// A folder.
    Dir(Dir),
    /// A symbolic link and where it leads.
    Symlink(OsString),
    /// A FIFO, a socket or a device node; its type bits are in the mode.
    Special,
}

/// An inode.
#[derive(Clone)]
pub struct Inode {
    /// What it is.
    pub node: Node,
    /// Type and permission bits.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Device number of a device node.
    pub rdev: u32,
    /// How many names it has (a folder: 2 and one for each folder in it).
    pub nlink: u32,
    /// Last access.
    pub atime: Nanos,
    /// Last change of content.
    pub mtime: Nanos,
    /// Last change of the inode.
    pub ctime: Nanos,
    /// Birth.
    pub crtime: Nanos,
    /// A path that it has, or last had, for people: relative to the root, without a leading
    /// slash.
    pub path: Arc<str>,
    /// Lookups that the kernel has not forgotten; 0 in a crash state.
    pub lookups: u64,
}

impl Inode {
    /// Length in bytes, as stat(2) shows it.
    pub fn size(&self) -> u64 {
        match &self.node {
            Node::File(content) => content.size(),
            Node::Dir(_) => PAGE as u64,
            Node::Symlink(to) => to.len() as u64,
            Node::Special => 0,
        }
    }

    /// Pages of space that it takes.
    pub fn pages(&self) -> u64 {
        match &self.node {
            Node::File(content) => content.pages(),
            Node::Dir(_) => 1,
            Node::Symlink(to) => u64::from(to.len() >= FAST_SYMLINK),
            Node::Special => 0,
        }
    }

    /// True for a folder.
    pub fn is_dir(&self) -> bool {
        matches!(self.node, Node::Dir(_))
    }
}

/// Who asks, and when.
#[derive(Clone, Copy, Debug)]
pub struct Caller {
    /// Effective user.
    pub uid: u32,
    /// Effective group.
    pub gid: u32,
    /// The time now.
    pub now: Nanos,
}

/// What a new inode shall be.
#[derive(Clone, Debug)]
pub enum NewNode {
    /// An empty regular file.
    File,
    /// An empty folder.
    Dir,
    /// A symbolic link.
    Symlink(OsString),
    /// A FIFO, socket or device node.
    Special {
        /// Device number.
        rdev: u32,
    },
}

/// Changed attributes; none means unchanged. The size is not one of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Attrs {
    /// Permission bits.
    pub mode: Option<u32>,
    /// Owner.
    pub uid: Option<u32>,
    /// Group.
    pub gid: Option<u32>,
    /// Last access.
    pub atime: Option<Nanos>,
    /// Last change of content.
    pub mtime: Option<Nanos>,
    /// Last change of the inode.
    pub ctime: Option<Nanos>,
}

/// How rename(2) shall treat a target that exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RenameMode {
    /// Replace it.
    Replace,
    /// Refuse (RENAME_NOREPLACE).
    NoReplace,
    /// Swap the two (RENAME_EXCHANGE).
    Exchange,
}

/// The filesystem's content at one moment.
#[derive(Clone)]
pub struct Tree {
    inodes: HashMap<Ino, Arc<Inode>>,
    next_ino: Ino,
    pages: u64,
}

impl Tree {
    /// An empty filesystem whose root belongs to `uid` and `gid`.
    pub fn new(uid: u32, gid: u32, now: Nanos) -> Self {
        let root = Inode {
            node: Node::Dir(Dir::new(ROOT)),
            mode: libc::S_IFDIR | 0o755,
            uid,
            gid,
            rdev: 0,
            nlink: 2,
            atime: now,
            mtime: now,
            ctime: now,
            crtime: now,
            path: "".into(),
            lookups: 0,
        };
        Self {
            inodes: HashMap::from([(ROOT, Arc::new(root))]),
            next_ino: ROOT + 1,
            pages: 1,
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

    /// Every inode, in no order.
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
        self.inodes
            .get_mut(&ino)
            .map(Arc::make_mut)
            .ok_or(Errno::ESTALE)
    }

    /// A folder. `ENOTDIR` when it is something else.
    pub fn dir(&self, ino: Ino) -> Result<&Dir, Errno> {
        match &self.get(ino)?.node {
            Node::Dir(dir) => Ok(dir),
            _ => Err(Errno::ENOTDIR),
        }
    }

    fn dir_mut(&mut self, ino: Ino) -> Result<&mut Dir, Errno> {
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
        let content = match &mut self.get_mut(ino)?.node {
            Node::File(content) => content,
            Node::Dir(_) => return Err(Errno::EISDIR),
            _ => return Err(Errno::EINVAL),
        };
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

    /// The path of a name in a folder, for people.
    pub fn path_of(&self, parent: Ino, name: &OsStr) -> Arc<str> {
        let parent = self.get(parent).map_or("?", |inode| &inode.path);
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

    /// Makes a new inode under a name that must not exist (`EEXIST`). In a folder with the
    /// set-group-ID bit it takes the folder's group, and a new folder takes the bit (chmod(2)).
    pub fn create(
        &mut self,
        parent: Ino,
        name: &OsStr,
        new: &NewNode,
        mode: u32,
        caller: Caller,
    ) -> Result<Ino, Errno> {
        check_name(name)?;
        let folder = self.get(parent)?;
        let Node::Dir(dir) = &folder.node else {
            return Err(Errno::ENOTDIR);
        };
        if dir.get(name).is_some() {
            return Err(Errno::EEXIST);
        }
        // A folder that was removed while somebody stands in it takes no new names.
        if folder.nlink == 0 {
            return Err(Errno::ENOENT);
        }
        let is_dir = matches!(new, NewNode::Dir);
        if is_dir && folder.nlink >= LINK_MAX {
            return Err(Errno::EMLINK);
        }
        let (gid, mode) = if folder.mode & libc::S_ISGID != 0 {
            (folder.gid, if is_dir { mode | libc::S_ISGID } else { mode })
        } else {
            (caller.gid, mode)
        };
        let (node, kind, rdev) = match new {
            NewNode::File => (Node::File(Content::default()), libc::S_IFREG, 0),
            NewNode::Dir => (Node::Dir(Dir::new(parent)), libc::S_IFDIR, 0),
            NewNode::Symlink(to) => (Node::Symlink(to.clone()), libc::S_IFLNK, 0),
            NewNode::Special { rdev } => (Node::Special, mode & libc::S_IFMT, *rdev),
        };
        let ino = self.next_ino;
        self.next_ino += 1;
        let inode = Inode {
            node,
            mode: kind | (mode & 0o7777),
            uid: caller.uid,
            gid,
            rdev,
            nlink: if is_dir { 2 } else { 1 },
            atime: caller.now,
            mtime: caller.now,
            ctime: caller.now,
            crtime: caller.now,
            path: self.path_of(parent, name),
            lookups: 0,
        };
        self.pages += inode.pages();
        self.inodes.insert(ino, Arc::new(inode));
        self.touch_dir(parent, caller.now, i64::from(is_dir))?
            .set(name, Some(ino));
        Ok(ino)
    }

    /// Gives a file one more name. `EPERM` for folders, `EEXIST`, `EMLINK`.
    pub fn link(&mut self, ino: Ino, parent: Ino, name: &OsStr, now: Nanos) -> Result<(), Errno> {
        check_name(name)?;
        let inode = self.get(ino)?;
        if inode.is_dir() {
            return Err(Errno::EPERM);
        }
        if inode.nlink >= LINK_MAX {
            return Err(Errno::EMLINK);
        }
        // A file whose last name is gone cannot be named again (linkat(2), unless O_TMPFILE).
        if inode.nlink == 0 {
            return Err(Errno::ENOENT);
        }
        if self.dir(parent)?.get(name).is_some() {
            return Err(Errno::EEXIST);
        }
        if self.get(parent)?.nlink == 0 {
            return Err(Errno::ENOENT);
        }
        self.touch_dir(parent, now, 0)?.set(name, Some(ino));
        let inode = self.get_mut(ino)?;
        inode.nlink += 1;
        inode.ctime = now;
        Ok(())
    }

    /// Removes a name of something that is no folder (`EISDIR`), and returns what it named.
    pub fn unlink(&mut self, parent: Ino, name: &OsStr, now: Nanos) -> Result<Ino, Errno> {
        let ino = self.lookup(parent, name)?;
        if self.get(ino)?.is_dir() {
            return Err(Errno::EISDIR);
        }
        self.touch_dir(parent, now, 0)?.set(name, None);
        self.drop_name(ino, now)?;
        Ok(ino)
    }

    /// Removes an empty folder. `ENOTEMPTY`, `ENOTDIR`.
    pub fn rmdir(&mut self, parent: Ino, name: &OsStr, now: Nanos) -> Result<Ino, Errno> {
        let ino = self.lookup(parent, name)?;
        if !self.dir(ino)?.is_empty() {
            return Err(Errno::ENOTEMPTY);
        }
        self.touch_dir(parent, now, -1)?.set(name, None);
        let inode = self.get_mut(ino)?;
        inode.nlink = 0;
        inode.ctime = now;
        self.reap(ino);
        Ok(ino)
    }

    /// Renames as rename(2) and renameat2(2) say. Returns the inode that moved and the one that
    /// it replaced or was exchanged with, if any.
    pub fn rename(
        &mut self,
        from: (Ino, &OsStr),
        to: (Ino, &OsStr),
        mode: RenameMode,
        now: Nanos,
    ) -> Result<(Ino, Option<Ino>), Errno> {
        check_name(to.1)?;
        let ino = self.lookup(from.0, from.1)?;
        let there = match self.lookup(to.0, to.1) {
            Ok(ino) => Some(ino),
            Err(Errno::ENOENT) => None,
            Err(other) => return Err(other),
        };
        if self.get(to.0)?.nlink == 0 {
            return Err(Errno::ENOENT);
        }
        let is_dir = self.get(ino)?.is_dir();
        match (mode, there) {
            (RenameMode::NoReplace, Some(_)) => return Err(Errno::EEXIST),
            (RenameMode::Exchange, None) => return Err(Errno::ENOENT),
            _ => {}
        }
        if is_dir && self.is_inside(to.0, ino)? {
            return Err(Errno::EINVAL);
        }
        // Two names of one file: rename(2) does nothing.
        if there == Some(ino) {
            return Ok((ino, None));
        }
        if mode == RenameMode::Exchange {
            let other = there.ok_or(Errno::ENOENT)?;
            let other_is_dir = self.get(other)?.is_dir();
            if other_is_dir && self.is_inside(from.0, other)? {
                return Err(Errno::EINVAL);
            }
            let moved = i64::from(other_is_dir) - i64::from(is_dir);
            self.touch_dir(from.0, now, moved)?.set(from.1, Some(other));
            self.touch_dir(to.0, now, -moved)?.set(to.1, Some(ino));
            self.moved(other, from.0, from.1, now)?;
            self.moved(ino, to.0, to.1, now)?;
            return Ok((ino, Some(other)));
        }
        if let Some(other) = there {
            match (is_dir, self.get(other)?.is_dir()) {
                (true, false) => return Err(Errno::ENOTDIR),
                (false, true) => return Err(Errno::EISDIR),
                (true, true) if !self.dir(other)?.is_empty() => return Err(Errno::ENOTEMPTY),
                _ => {}
            }
        }
        self.touch_dir(from.0, now, -i64::from(is_dir))?
            .set(from.1, None);
        let replaced_dir = there.is_some() && is_dir;
        self.touch_dir(to.0, now, i64::from(is_dir) - i64::from(replaced_dir))?
            .set(to.1, Some(ino));
        if let Some(other) = there {
            if is_dir {
                self.get_mut(other)?.nlink = 0;
                self.reap(other);
            } else {
                self.drop_name(other, now)?;
            }
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
        inode.ctime = attrs.ctime.unwrap_or(now);
        Ok(())
    }

    /// Notes lookups that the kernel holds (`by` above 0) or forgets (below 0), and gives back
    /// an inode that has neither names nor holders.
    pub fn count_lookups(&mut self, ino: Ino, by: i64) {
        // Shared only with crash states, which do not care for lookups.
        if let Some(inode) = self.inodes.get_mut(&ino) {
            let inode = Arc::make_mut(inode);
            inode.lookups = inode.lookups.saturating_add_signed(by);
            if by < 0 {
                self.reap(ino);
            }
        }
    }

    /// True when `ino` is `folder` or lies below it.
    fn is_inside(&self, mut ino: Ino, folder: Ino) -> Result<bool, Errno> {
        while ino != ROOT {
            if ino == folder {
                return Ok(true);
            }
            ino = self.dir(ino)?.parent;
        }
        Ok(folder == ROOT)
    }

    fn touch_dir(&mut self, ino: Ino, now: Nanos, subdirs: i64) -> Result<&mut Dir, Errno> {
        let inode = self.get_mut(ino)?;
        inode.mtime = now;
        inode.ctime = now;
        inode.nlink = inode.nlink.saturating_add_signed(subdirs as i32);
        match &mut inode.node {
            Node::Dir(dir) => Ok(dir),
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

    /// Refreshes the paths shown for what lies below a folder that moved.
    fn rename_below(&mut self, folder: Ino) {
        let Ok(dir) = self.dir(folder) else { return };
        let below: Vec<(Arc<OsStr>, Ino)> = dir
            .iter()
            .map(|(name, entry)| (name.clone(), entry.ino))
            .collect();
        for (name, ino) in below {
            let path = self.path_of(folder, &name);
            if let Ok(inode) = self.get_mut(ino) {
                inode.path = path;
                if inode.is_dir() {
                    self.rename_below(ino);
                }
            }
        }
    }

    fn reap(&mut self, ino: Ino) {
        if self
            .inodes
            .get(&ino)
            .is_some_and(|inode| inode.nlink == 0 && inode.lookups == 0)
        {
            if let Some(inode) = self.inodes.remove(&ino) {
                self.pages -= inode.pages();
            }
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

/// The raw changes that crash states are built from. They keep no rule of POSIX: what power loss
/// leaves need not be what any sequence of calls could make. [`Tree::settle`] makes it a
/// filesystem again, as recovery (a journal replay, fsck) would.
impl Tree {
    /// Makes sure that an inode of this number exists, without a name.
    pub fn raw_node(&mut self, ino: Ino, new: &NewNode, mode: u32, owner: Caller, path: Arc<str>) {
        let (node, kind, rdev) = match new {
            NewNode::File => (Node::File(Content::default()), libc::S_IFREG, 0),
            NewNode::Dir => (Node::Dir(Dir::new(ROOT)), libc::S_IFDIR, 0),
            NewNode::Symlink(to) => (Node::Symlink(to.clone()), libc::S_IFLNK, 0),
            NewNode::Special { rdev } => (Node::Special, mode & libc::S_IFMT, *rdev),
        };
        let inode = Inode {
            node,
            mode: kind | (mode & 0o7777),
            uid: owner.uid,
            gid: owner.gid,
            rdev,
            nlink: 0,
            atime: owner.now,
            mtime: owner.now,
            ctime: owner.now,
            crtime: owner.now,
            path,
            lookups: 0,
        };
        self.inodes.insert(ino, Arc::new(inode));
        self.next_ino = self.next_ino.max(ino + 1);
    }

    /// Sets or removes a name in a folder, if the folder is there.
    pub fn raw_entry(&mut self, parent: Ino, name: &OsStr, ino: Option<Ino>) {
        if let Ok(dir) = self.dir_mut(parent) {
            dir.set(name, ino);
        }
    }

    /// Changes a file's bytes, if it is there.
    pub fn raw_content(&mut self, ino: Ino, change: impl FnOnce(&mut Content)) {
        if let Some(inode) = self.inodes.get_mut(&ino) {
            if let Node::File(content) = &mut Arc::make_mut(inode).node {
                change(content);
            }
        }
    }

    /// Sets attributes, if the inode is there.
    pub fn raw_attrs(&mut self, ino: Ino, attrs: Attrs, now: Nanos) {
        let _ = self.set_attrs(ino, attrs, now);
    }

    /// Makes the tree whole: drops names that lead nowhere and inodes that no name reaches,
    /// gives every folder one parent, and counts links and space anew.
    pub fn settle(&mut self) {
        let mut reached: HashMap<Ino, u32> = HashMap::from([(ROOT, 0)]);
        let mut subdirs: HashMap<Ino, u32> = HashMap::new();
        let mut queue = vec![ROOT];
        while let Some(folder) = queue.pop() {
            let Ok(dir) = self.dir(folder) else { continue };
            let names: Vec<(Arc<OsStr>, Ino)> = dir
                .iter()
                .map(|(name, entry)| (name.clone(), entry.ino))
                .collect();
            for (name, ino) in names {
                let is_dir = match self.get(ino) {
                    Ok(inode) => inode.is_dir(),
                    Err(_) => {
                        self.raw_entry(folder, &name, None);
                        continue;
                    }
                };
                if is_dir && reached.contains_key(&ino) {
                    self.raw_entry(folder, &name, None);
                    continue;
                }
                let path = self.path_of(folder, &name);
                *reached.entry(ino).or_insert(0) += 1;
                if let Ok(inode) = self.get_mut(ino) {
                    inode.path = path;
                    if let Node::Dir(dir) = &mut inode.node {
                        dir.parent = folder;
                        *subdirs.entry(folder).or_insert(0) += 1;
                        queue.push(ino);
                    }
                }
            }
        }
        self.inodes.retain(|ino, _| reached.contains_key(ino));
        let mut pages = 0;
        for (ino, inode) in &mut self.inodes {
            let nlink = if inode.is_dir() {
                2 + subdirs.get(ino).copied().unwrap_or(0)
            } else {
                reached[ino]
            };
            let unsettled = matches!(&inode.node, Node::File(_));
            if unsettled || inode.nlink != nlink || inode.lookups != 0 {
                let inode = Arc::make_mut(inode);
                inode.nlink = nlink;
                inode.lookups = 0;
                if let Node::File(content) = &mut inode.node {
                    content.settle();
                }
            }
            pages += inode.pages();
        }
        self.pages = pages;
    }
}
