//! Updates towards the disk: what a record of the log changes there, and which of them did not reach it.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::ops::Range;

use serde::{Deserialize, Serialize};

use crate::fs::{Ino, Op, PAGE, Record, WriteData};

/// Updates are numbered by their record and their part in it, so that an update has one number under
/// every model.
pub(super) const PARTS: usize = 4;
/// What an update changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UpdateKind<'a> {
    /// The directory `dir` gets `name` for `ino`, or loses it (`ino` none).
    Name {
        /// The directory.
        dir: Ino,
        /// The name.
        name: &'a OsStr,
        /// What it names from now on.
        ino: Option<Ino>,
        /// Whose name it is: what it names, or what it named when it is removed.
        of: Ino,
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
        /// The file or directory.
        ino: Ino,
    },
}

impl UpdateKind<'_> {
    /// The inode whose fsync is about this update: the file, or for a name its directory.
    pub fn home(&self) -> Ino {
        match self {
            UpdateKind::Name { dir, .. } => *dir,
            UpdateKind::Data { ino }
            | UpdateKind::Size { ino, .. }
            | UpdateKind::Space { ino, .. }
            | UpdateKind::Attrs { ino } => *ino,
        }
    }

    /// True for everything but the bytes of a write.
    pub fn is_metadata(&self) -> bool {
        !matches!(self, UpdateKind::Data { .. })
    }

    /// True for a change of a file's content: its bytes, length or space.
    pub fn is_content(&self) -> bool {
        !matches!(self, UpdateKind::Name { .. } | UpdateKind::Attrs { .. })
    }
}

/// What is known of an update.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// A completed sync covers it.
    Durable,
    /// It may be on disk or not.
    Pending,
    /// Pending, and no later sync will cover it: its write-back failed and the kernel marked the
    /// pages clean.
    Abandoned,
}

/// When an update enters the journal of a filesystem that has one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Journal {
    /// When it happens: what is lost of these updates is a suffix.
    AtOnce,
    /// Some time later, when the data is written back: it is lost with any earlier update that is
    /// lost, and takes nothing with it.
    AtWriteBack,
    /// Never: it is on disk apart from all others.
    Never,
}

/// One change on its way to the disk.
#[derive(Clone, Debug)]
pub struct Update<'a> {
    /// Its number: updates of later records have higher ones, and an update has the same under every
    /// model.
    pub id: usize,
    /// Index of its record in the log.
    pub record: usize,
    /// What it changes.
    pub kind: UpdateKind<'a>,
    /// What is known of it.
    pub durability: Durability,
    /// Updates without which this one cannot be on disk, whole (their numbers).
    pub needs: Vec<usize>,
    /// Updates of one group reach the disk together.
    pub group: usize,
    /// When it enters the journal.
    pub journal: Journal,
    /// For a length: the data that it must not come before.
    pub after: DataFirst,
    /// For a write: the pages (of 4096 bytes) that had no block of the disk before it.
    pub fresh: Vec<Range<u64>>,
}

impl Update<'_> {
    /// True when the write is the first to this page of the file.
    pub fn is_fresh(&self, page: u64) -> bool {
        self.fresh.iter().any(|pages| pages.contains(&page))
    }
}

/// Which data a length that grew must not come before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DataFirst {
    /// None: what it covers reads as zeros until the data is there.
    Nothing,
    /// The data of this write: it goes as far as that is there.
    Write(usize),
    /// Any data of the same file.
    AnyData,
}

/// A sync, as a model judges it.
///
/// The last four are the numbers of updates: everything before them belongs to the journal's
/// transaction in which the inode was changed, or to an earlier one.
#[derive(Clone, Copy, Debug)]
pub struct SyncPoint {
    /// File or directory.
    pub ino: Ino,
    /// True for fdatasync.
    pub data_only: bool,
    /// True for a directory.
    pub dir: bool,
    /// True when the file's own creation, size or space is pending: then fdatasync must write
    /// metadata too, or the data could not be found. A rename is no such thing: it only touches
    /// the inode's times (`i_datasync_tid`, `ext4_do_update_inode` in fs/ext4/inode.c).
    pub needs_metadata: bool,
    /// True when data is written back for it that has no blocks yet, or that lies behind the
    /// length on disk: then metadata changes during the sync itself.
    pub allocates: bool,
    /// Behind the last update of all.
    pub now: usize,
    /// Behind the last update that changed the inode in any way, its times included.
    pub changed: usize,
    /// Behind the last update that changed more than its times.
    pub reshaped: usize,
    /// Behind the last update that changed its length or space, or created it.
    pub resized: usize,
}

/// What becomes of the pending updates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// All of them reached the disk.
    Nothing,
    /// None of them did.
    Everything,
    /// A seeded loss set: some whole, some torn, some not.
    Subset,
    /// All reached the disk, but for the last write, of which some sectors did not.
    TornLast,
}

/// What of the pending updates did not reach the disk. Updates are named by their number in the log,
/// which is the same on every machine and at every later point.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct LossSet {
    /// Updates that are missing whole.
    pub lost: BTreeSet<usize>,
    /// Writes that are there in part: for each sector from the first one touched, whether it is.
    pub torn: BTreeMap<usize, Vec<bool>>,
    /// Writes that are missing and left junk beside them, in the sectors that they would have
    /// filled in part; only on a device without powersafe overwrite.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub spoiled: BTreeSet<usize>,
}

/// The index of the record that an update belongs to.
pub fn record_of(update: usize) -> usize {
    update / PARTS
}

/// Which part of its record an update is: bytes, a name or a cut (0), a length (1, 2), a second name (2).
pub fn part_of(update: usize) -> usize {
    update % PARTS
}

/// The number of an update.
pub fn update_of(record: usize, part: usize) -> usize {
    record * PARTS + part
}

impl LossSet {
    /// The same with other numbers; what has none is left out.
    pub fn renumbered(&self, number: impl Fn(usize) -> Option<usize>) -> Self {
        let torn = self.torn.iter();
        Self {
            lost: self.lost.iter().filter_map(|id| number(*id)).collect(),
            torn: torn
                .filter_map(|(id, kept)| Some((number(*id)?, kept.clone())))
                .collect(),
            spoiled: self.spoiled.iter().filter_map(|id| number(*id)).collect(),
        }
    }

    /// How many updates are not there whole.
    pub fn len(&self) -> usize {
        self.lost.len() + self.torn.len() + self.spoiled.len()
    }

    /// True when nothing is missing.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// The pages that a write touches.
pub(super) fn pages(data: &WriteData) -> std::ops::Range<u64> {
    data.offset() / PAGE as u64..data.end().div_ceil(PAGE as u64)
}

/// The bytes of an update that is a write.
pub(super) fn write_of<'r>(
    records: &'r [Record],
    update: &Update<'_>,
) -> Option<(Ino, &'r WriteData)> {
    match (&update.kind, &records[update.record].op) {
        (UpdateKind::Data { ino }, Op::Write { data, .. }) => Some((*ino, data)),
        _ => None,
    }
}

/// The place of an update among those that are open; none when it is not, and so durable.
pub(super) fn place(open: &[Update<'_>], id: usize) -> Option<usize> {
    open.binary_search_by_key(&id, |update| update.id).ok()
}
