//! The one question that the server asks before it serves an operation.

use std::ffi::OsStr;
use std::sync::Arc;
use std::time::Duration;

use nix::errno::Errno;
use plugpull_crashsim::fs::{Ino, Tree};

/// A kind of storage operation, as a trigger names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum OpKind {
    /// read(2) that reaches the filesystem (not the page cache).
    Read,
    /// write(2), or write-back of a shared mapping.
    Write,
    /// fsync(2) or fdatasync(2) of a file; sync(2) or syncfs(2).
    Sync,
    /// fsync(2) of a directory.
    SyncDir,
    /// A new file, directory, symlink or node.
    Create,
    /// link(2).
    Link,
    /// unlink(2) or rmdir(2).
    Unlink,
    /// rename(2).
    Rename,
    /// ftruncate(2) or O_TRUNC.
    Truncate,
    /// fallocate(2).
    Allocate,
    /// chmod, chown, utimens, setxattr.
    SetAttr,
}

impl OpKind {
    /// Every kind with its name on the command line.
    pub const ALL: [(&'static str, OpKind); 11] = [
        ("read", OpKind::Read),
        ("write", OpKind::Write),
        ("sync", OpKind::Sync),
        ("syncdir", OpKind::SyncDir),
        ("create", OpKind::Create),
        ("link", OpKind::Link),
        ("unlink", OpKind::Unlink),
        ("rename", OpKind::Rename),
        ("truncate", OpKind::Truncate),
        ("allocate", OpKind::Allocate),
        ("setattr", OpKind::SetAttr),
    ];

    /// The kind of this name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL
            .iter()
            .find(|(known, _)| *known == name)
            .map(|(_, kind)| *kind)
    }

    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        Self::ALL
            .iter()
            .find(|(_, kind)| *kind == self)
            .map_or("?", |(name, _)| name)
    }

    /// True when it changes the disk or makes a change durable: where a crash can matter.
    pub fn changes(self) -> bool {
        self != OpKind::Read
    }
}

/// An operation that a process asked for, before it happens.
pub struct Operation<'a> {
    /// Its kind.
    pub kind: OpKind,
    /// The number that its record will get, if it comes to that.
    pub seq: u64,
    /// True when it was paused already, and goes on.
    pub resumed: bool,
    pub(super) tree: &'a Tree,
    pub(super) ino: Ino,
    pub(super) name: Option<&'a OsStr>,
}

impl Operation<'_> {
    /// The path of what it changes, relative to the root.
    pub fn path(&self) -> Arc<str> {
        match self.name {
            Some(name) => self.tree.path_of(self.ino, name),
            None => self
                .tree
                .get(self.ino)
                .map_or_else(|_| "".into(), |inode| inode.path.clone()),
        }
    }
}

/// Names a wait, for the admission that asked for it.
pub type WaitId = u64;

/// What becomes of an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// It is served.
    Serve,
    /// It fails with this error and changes nothing.
    Fail(Errno),
    /// A sync fails with EIO, and the kernel counts its pages as clean.
    FailSyncPagesClean,
    /// It, and all behind it, waits while the admission says so, then the question is asked again.
    Pause(WaitId),
    /// It, and all behind it, waits while the admission says so and no longer than this, and then
    /// it is served.
    Delay(WaitId, Option<Duration>),
}

/// Decides whether, and how, each operation is served. Called with the filesystem locked: it must
/// not call the filesystem.
pub trait Admission: Send + Sync {
    /// Whether and how to serve an operation.
    fn admit(&self, op: &Operation<'_>) -> Decision;
    /// True while an operation that waits must wait on. Asked again after each
    /// [`CrashFs::wake`](super::CrashFs::wake).
    fn waits(&self, id: WaitId) -> bool;
}

/// Serves every operation.
pub struct AdmitAll;

impl Admission for AdmitAll {
    fn admit(&self, _: &Operation<'_>) -> Decision {
        Decision::Serve
    }

    fn waits(&self, _: WaitId) -> bool {
        false
    }
}
