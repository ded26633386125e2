//! Models of no filesystem in particular: the default, and the least that POSIX promises.

use super::model::{Growth, MetadataOrder, Model};
use super::update::{SyncPoint, Update, UpdateKind};

/// Any completed fsync commits all earlier metadata of the filesystem, in order; a file's data is
/// durable up to its last completed fsync or fdatasync; what is un-synced may vanish by block.
///
/// Sources: jbd2 keeps one running transaction for the whole filesystem
/// (Documentation/filesystems/journalling.rst); ext4's fsync commits the transaction that last
/// touched the inode, fdatasync only if it changed what is needed to find the data
/// (`i_sync_tid`, `i_datasync_tid`, fs/ext4/fsync.c).
pub struct Journaled;

/// The one instance.
pub const JOURNALED: Journaled = Journaled;

impl Model for Journaled {
    fn name(&self) -> &'static str {
        "journaled"
    }

    fn about(&self) -> &'static str {
        "any fsync commits all earlier metadata in order; un-synced data may vanish by block"
    }

    fn covers(&self, sync: &SyncPoint, update: &Update<'_>) -> bool {
        match update.kind {
            UpdateKind::Data { ino } => ino == sync.ino,
            // The names of a directory are its data.
            _ => !sync.data_only || sync.dir || sync.needs_metadata,
        }
    }

    fn metadata_order(&self) -> MetadataOrder {
        MetadataOrder::Journal
    }

    fn growth(&self) -> Growth {
        Growth::AtOnce
    }
}

/// A name is durable only after an fsync of its directory; a file's data, size and attributes only
/// after an fsync of the file; of what is un-synced any subset may be on disk, in any order.
///
/// Sources: fsync(2): "Calling fsync() does not necessarily ensure that the entry in the
/// directory containing the file has also reached disk. For that an explicit fsync() on a file
/// descriptor for the directory is also needed"; fdatasync(2) on what of the metadata it flushes;
/// Pillai et al., "All File Systems Are Not Created Equal", OSDI 2014, for what real filesystems
/// reorder. Liberties that are not taken, because no filesystem known takes them:
/// - a change of one name is atomic, and the changes of one name keep their order;
/// - a rename never loses the file: its old name is gone only where the new one is there and can be reached
///   (by directories that are on the disk, but for those above both names, whose loss is not the rename's
///   doing); a sync of the old directory alone leaves the old name. A directory that is removed or replaced
///   takes nothing with it that was moved out before;
/// - what was cut off a file (truncated, punched) does not come back under later writes.
pub struct Strict;

/// The one instance.
pub const STRICT: Strict = Strict;

impl Model for Strict {
    fn name(&self) -> &'static str {
        "strict"
    }

    fn about(&self) -> &'static str {
        "a name needs an fsync of its directory; any un-synced subset in any order"
    }

    fn covers(&self, sync: &SyncPoint, update: &Update<'_>) -> bool {
        if update.kind.home() != sync.ino {
            return false;
        }
        match update.kind {
            UpdateKind::Name { .. } => sync.dir,
            UpdateKind::Attrs { .. } => !sync.data_only,
            _ => true,
        }
    }

    fn metadata_order(&self) -> MetadataOrder {
        MetadataOrder::None
    }

    fn growth(&self) -> Growth {
        Growth::AtOnce
    }
}
