//! Inodes and directories: what the tree is made of.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use super::content::{Content, PAGE};
use super::layered::Layered;

/// An inode number; the root directory is [`ROOT`].
pub type Ino = u64;
/// The root directory's inode number, as FUSE has it.
pub const ROOT: Ino = 1;
/// The longest name, in bytes (ext4's limit).
pub const NAME_MAX: usize = 255;
/// The most names that a file may have (ext4's limit; directories have none, by `dir_nlink`).
pub(super) const LINK_MAX: u32 = 65_000;
/// The largest file: ext4's limit with 4 KiB blocks.
pub const FILE_MAX: u64 = (1 << 44) - PAGE as u64;

/// Refuses what is no name of a file in one directory, for names that come from elsewhere than the
/// kernel: a path would lead out of the directory that a tree is written to.
///
/// # Errors
/// What is wrong with it.
pub fn check_name(name: &OsStr) -> Result<(), String> {
    let bytes = name.as_encoded_bytes();
    let why = match bytes {
        b"" => "is empty",
        b"." | b".." => "is no name but a way",
        _ if bytes.contains(&b'/') => "is a path",
        _ if bytes.contains(&0) => "has a byte 0 in it",
        _ if bytes.len() > NAME_MAX => "is longer than 255 bytes",
        _ => return Ok(()),
    };
    let shown: String = name.to_string_lossy().chars().take(80).collect();
    Err(format!("the name {shown:?} {why}"))
}

/// A symlink shorter than this lives in the inode and takes no space (ext4).
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

/// One name of a directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DirEntry {
    /// What it names.
    pub ino: Ino,
    /// Its place in the listing: never reused in its directory, so that a listing in several parts
    /// shows each entry that stays exactly once.
    pub cookie: u64,
}

/// The names of one directory.
#[derive(Clone, Debug, Default)]
pub struct Dir {
    entries: Layered<Arc<OsStr>, DirEntry>,
    listing: Layered<u64, Arc<OsStr>>,
    next_cookie: u64,
    /// The directory that holds it; itself for the root.
    pub parent: Ino,
}

impl Dir {
    pub(super) fn new(parent: Ino) -> Self {
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
            .behind(cookie)
            .filter_map(|(cookie, name)| Some((*cookie, &**name, self.entries.get(name)?.ino)))
    }

    /// True when it holds no name.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Sets or replaces a name, and returns what it named before.
    pub(super) fn insert(&mut self, name: &Arc<OsStr>, ino: Ino) -> Option<Ino> {
        if let Some(entry) = self.entries.get_mut(name) {
            return Some(std::mem::replace(&mut entry.ino, ino));
        }
        let cookie = self.next_cookie;
        self.next_cookie += 1;
        self.entries.insert(name.clone(), DirEntry { ino, cookie });
        self.listing.insert(cookie, name.clone());
        None
    }

    /// Makes what changed a part of what there was; see [`Tree::fold`](super::Tree::fold).
    pub(super) fn fold(&mut self) {
        self.entries.fold();
        self.listing.fold();
    }

    pub(super) fn is_folded(&self) -> bool {
        self.entries.is_folded() && self.listing.is_folded()
    }

    /// Removes a name, and returns what it named.
    pub(super) fn remove(&mut self, name: &OsStr) -> Option<Ino> {
        let entry = self.entries.remove(name)?;
        self.listing.remove(&entry.cookie);
        Some(entry.ino)
    }
}

/// What an inode is.
#[derive(Clone)]
pub enum Node {
    /// A regular file.
    File(Content),
    /// A directory.
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
    /// How many names it has (a directory: 2 and one for each directory in it).
    pub nlink: u32,
    /// Last access.
    pub atime: Nanos,
    /// Last change of content.
    pub mtime: Nanos,
    /// Last change of the inode.
    pub ctime: Nanos,
    /// Birth.
    pub crtime: Nanos,
    /// True while the last access is what a program set it to.
    pub atime_set: bool,
    /// True while the last change of content is what a program set it to, and nothing was written
    /// since.
    pub mtime_set: bool,
    /// Extended attributes, by their full names.
    pub xattrs: BTreeMap<OsString, Arc<[u8]>>,
    /// A path that it has, or last had, for people: relative to the root, without a leading
    /// slash.
    pub path: Arc<str>,
    /// Lookups that the kernel has not forgotten; 0 in a crash state.
    pub lookups: u64,
    /// Every name that it has: the directory, and the name there. None for the root.
    pub(super) names: Vec<(Ino, Arc<OsStr>)>,
}

impl Default for Inode {
    /// An inode that is nothing.
    fn default() -> Self {
        let nobody = Caller {
            uid: 0,
            gid: 0,
            now: 0,
        };
        Self::new(&NewNode::Special { rdev: 0 }, 0, nobody, "".into())
    }
}

impl Inode {
    /// A new inode without names that the kernel does not know yet. The type bits of `mode` count
    /// for [`NewNode::Special`] alone.
    pub(super) fn new(new: &NewNode, mode: u32, owner: Caller, path: Arc<str>) -> Self {
        let (node, kind, rdev) = match new {
            NewNode::File => (Node::File(Content::default()), libc::S_IFREG, 0),
            NewNode::Dir => (Node::Dir(Dir::new(ROOT)), libc::S_IFDIR, 0),
            NewNode::Symlink(to) => (Node::Symlink(to.clone()), libc::S_IFLNK, 0),
            NewNode::Special { rdev } => (Node::Special, mode & libc::S_IFMT, *rdev),
        };
        Self {
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
            atime_set: false,
            mtime_set: false,
            xattrs: BTreeMap::new(),
            path,
            lookups: 0,
            names: Vec::new(),
        }
    }

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
            Node::Symlink(to) => symlink_pages(to),
            Node::Special => 0,
        }
    }

    /// The mode without the set-id bits that a write or a change of owner takes; none where it has
    /// none. The group's bit means something else where the group may not execute.
    pub fn without_set_ids(&self) -> Option<u32> {
        let group = libc::S_ISGID | libc::S_IXGRP;
        let mut mode = self.mode & !libc::S_ISUID;
        if mode & group == group {
            mode &= !libc::S_ISGID;
        }
        let is_file = matches!(self.node, Node::File(_));
        (is_file && mode != self.mode).then_some(mode)
    }

    /// True for a directory.
    pub fn is_dir(&self) -> bool {
        matches!(self.node, Node::Dir(_))
    }
}

/// Who asks, and when.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Caller {
    /// Effective user.
    pub uid: u32,
    /// Effective group.
    pub gid: u32,
    /// The time now.
    pub now: Nanos,
}

/// What a new inode shall be.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum NewNode {
    /// An empty regular file.
    File,
    /// An empty directory.
    Dir,
    /// A symbolic link.
    Symlink(OsString),
    /// A FIFO, socket or device node.
    Special {
        /// Device number.
        rdev: u32,
    },
}

impl NewNode {
    /// Pages of space that the new inode takes at once.
    pub fn pages(&self) -> u64 {
        match self {
            NewNode::Dir => 1,
            NewNode::Symlink(to) => symlink_pages(to),
            NewNode::File | NewNode::Special { .. } => 0,
        }
    }
}

fn symlink_pages(to: &OsStr) -> u64 {
    u64::from(to.len() >= FAST_SYMLINK)
}

/// Changed attributes; none means unchanged. The size is not one of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
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

impl Attrs {
    /// The call that changes these, for people.
    pub fn call(&self) -> &'static str {
        match self {
            Attrs { mode: Some(_), .. } => "chmod",
            Attrs { uid: Some(_), .. } | Attrs { gid: Some(_), .. } => "chown",
            _ => "utimens",
        }
    }
}

/// Times that the clock gave; none means unchanged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Times {
    /// Last access.
    pub atime: Option<Nanos>,
    /// Last change of content.
    pub mtime: Option<Nanos>,
    /// Last change of the inode.
    pub ctime: Nanos,
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
