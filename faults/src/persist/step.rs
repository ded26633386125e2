//! Steps towards the disk, and the rules that a model gives them.

use std::ffi::OsStr;

use crate::crashfs::Ino;

/// What a step changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StepKind<'a> {
    /// The folder `dir` gets `name` for `ino`, or loses it (`ino` none).
    Name {
        /// The folder.
        dir: Ino,
        /// The name.
        name: &'a OsStr,
        /// What it names from now on.
        ino: Option<Ino>,
    },
    /// The bytes of a write.
    Data {
        /// The file.
        ino: Ino,
    },
    /// A length.
    Size {
        /// The file.
        ino: Ino,
        /// The length from now on.
        size: u64,
        /// True when it cuts bytes off.
        shrinks: bool,
    },
    /// Space taken, or a range made zero.
    Space {
        /// The file.
        ino: Ino,
        /// True when bytes become zero.
        zeroes: bool,
    },
    /// Permissions, owner, times.
    Attrs {
        /// The file or folder.
        ino: Ino,
    },
}

impl StepKind<'_> {
    /// The inode whose fsync is about this step: the file, or for a name its folder.
    pub fn home(&self) -> Ino {
        match self {
            StepKind::Name { dir, .. } => *dir,
            StepKind::Data { ino }
            | StepKind::Size { ino, .. }
            | StepKind::Space { ino, .. }
            | StepKind::Attrs { ino } => *ino,
        }
    }

    /// True for everything but the bytes of a write.
    pub fn is_metadata(&self) -> bool {
        !matches!(self, StepKind::Data { .. })
    }
}

/// What is known of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// A completed sync covers it.
    Durable,
    /// It may be on disk or not.
    Pending,
    /// Pending, and no later sync will cover it: its write-back failed and the kernel marked the
    /// pages clean.
    Abandoned,
}

/// One change on its way to the disk.
#[derive(Clone, Debug)]
pub struct Step<'a> {
    /// Index of its record in the log.
    pub record: usize,
    /// What it changes.
    pub kind: StepKind<'a>,
    /// What is known of it.
    pub fate: Fate,
    /// Steps without which this one cannot be on disk (indices in the plan).
    pub needs: Vec<usize>,
    /// Steps of one group reach the disk together.
    pub group: usize,
}

/// A sync, as a model judges it.
#[derive(Clone, Copy, Debug)]
pub struct SyncPoint {
    /// File or folder.
    pub ino: Ino,
    /// True for fdatasync.
    pub data_only: bool,
    /// True for a folder.
    pub dir: bool,
    /// True when the file's own creation, size or space is pending: then fdatasync must write
    /// metadata too, or the data could not be found. A rename is no such thing: it only touches
    /// the inode's times (`i_datasync_tid`, `ext4_do_update_inode` in fs/ext4/inode.c).
    pub needs_metadata: bool,
}

/// The rules of one kind of filesystem.
pub trait Model: Sync {
    /// Its name on the command line.
    fn name(&self) -> &'static str;
    /// What it says, in one line.
    fn about(&self) -> &'static str;
    /// True when a completed sync makes this earlier step durable. Asked about the steps whose
    /// home is the synced inode, and where metadata is ordered about all metadata.
    fn covers(&self, sync: &SyncPoint, step: &Step<'_>) -> bool;
    /// True when metadata reaches the disk in the order in which it was changed, so that what is
    /// lost of it is a suffix.
    fn orders_metadata(&self) -> bool;
}
