//! `xfs`.

use super::model::{Growth, MetadataOrder, Model};
use super::update::{Journal, SyncPoint, Update, UpdateKind};

/// XFS as mounted by default.
///
/// - **One log.** Metadata is logged in order, in checkpoints that hold everything up to some
///   change ("Delayed Logging", Documentation/filesystems/xfs-delayed-logging-design.rst), so what
///   is lost of it is a suffix.
/// - **fsync forces the log up to the last change of the inode** (`ili_commit_seq`,
///   `xfs_fsync_seq` in fs/xfs/xfs_file.c), and so all metadata up to that change; nothing when
///   nothing of the inode is in the log. fdatasync does the same, but does nothing when only
///   times changed since (`XFS_ILOG_TIMESTAMP`). A rename logs the inode's core, so after it
///   fdatasync makes the name durable.
/// - **The length follows the data.** It is changed when the write-back of the data completes
///   (`xfs_end_ioend` and `xfs_setfilesize`, fs/xfs/xfs_aops.c), also within the last block, and
///   new blocks count as unwritten until then (`xfs_iomap_write_unwritten`, fs/xfs/xfs_iomap.c). So
///   no append shows zeros at its end; but of two appends the later may be on disk alone, with
///   zeros before it. New blocks are never torn.
/// - **A truncate waits** for data that was appended below the new length
///   (`xfs_setattr_size`, fs/xfs/xfs_iops.c: "we expose ourselves to the null files problem").
/// - **A rename flushes nothing**: the new name may show an empty file. A file that was truncated
///   is flushed when it is closed (`XFS_ITRUNCATED`, `xfs_release` in fs/xfs/xfs_inode.c), which
///   only makes the time shorter in which it can be lost.
/// - Overwritten blocks are written in place, sector by sector.
pub struct Xfs;

/// The one instance.
pub const XFS: Xfs = Xfs;

impl Model for Xfs {
    fn name(&self) -> &'static str {
        "xfs"
    }

    fn about(&self) -> &'static str {
        "a length follows its data; metadata in order; a rename flushes nothing"
    }

    fn covers(&self, sync: &SyncPoint, update: &Update<'_>) -> bool {
        let own = update.kind.home() == sync.ino;
        match update.kind {
            UpdateKind::Data { .. } => own,
            // Changed when the data was written back.
            _ if update.journal == Journal::AtWriteBack => own,
            _ => {
                let forced = if sync.allocates {
                    sync.now
                } else if sync.data_only && !sync.dir {
                    sync.reshaped
                } else {
                    sync.changed
                };
                update.id < forced
            }
        }
    }

    fn metadata_order(&self) -> MetadataOrder {
        MetadataOrder::Journal
    }

    fn growth(&self) -> Growth {
        Growth::AfterData
    }

    fn truncate_waits(&self) -> bool {
        true
    }
}
