//! `journaled`: a filesystem with one ordered metadata journal.

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

    fn order(&self) -> MetadataOrder {
        MetadataOrder::Journal
    }

    fn growth(&self) -> Growth {
        Growth::AtOnce
    }
}
