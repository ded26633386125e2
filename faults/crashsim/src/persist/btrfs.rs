//! `btrfs`.

use super::model::{Growth, MetadataOrder, Model, Overwrite};
use super::update::{SyncPoint, Update, UpdateKind};

/// btrfs as made and mounted by default (`no-holes`, checksummed copy-on-write data).
///
/// - **Transactions.** Metadata changes join the running transaction; one commits every 30 s as a
///   whole (`commit=` in btrfs(5)), at any time as far as a program can know. So without syncs
///   what is lost of it is a suffix.
/// - **fsync logs one inode** (fs/btrfs/tree-log.c): its data, length and attributes; the names
///   that it got, and those that it lost, with the directories above them (`btrfs_log_inode_parent`,
///   `btrfs_log_all_parents`, `log_all_new_ancestors`); and what had such a name before
///   (`btrfs_check_ref_name_override`). Other files are not touched: of two new files the later one
///   can be there alone, where ext4 and XFS would have both. fsync of a directory logs its names.
///   DataFirst a rename into another directory the file is there under both names, if only the new directory
///   was synced (seen on Linux 6.18: the log of the new directory says nothing of the old one).
///   fdatasync does the same as fsync (`btrfs_sync_file`, fs/btrfs/file.c).
/// - **Data is copied on write**: new bytes go to new blocks, which replace the old ones in the
///   transaction in which their write-back completes (`btrfs_finish_ordered_io`, fs/btrfs/inode.c).
///   So no page is ever torn, and data that no fsync covers is there only with all metadata that
///   changed before it.
/// - **The length** on disk becomes that in memory whenever any data of the file completes
///   (`btrfs_inode_safe_disk_i_size_write`, fs/btrfs/file-item.c, with `no-holes`: the default of
///   mkfs.btrfs since 5.15). So it may cover an append whose data is missing and reads as zeros, if
///   other data of the file was written back.
/// - **A rename** replaces atomically; over an existing file it starts the write-back of the
///   renamed one (`filemap_flush` in `btrfs_rename`) but does not wait, so the new name may show an
///   empty file.
pub struct Btrfs;

/// The one instance.
pub const BTRFS: Btrfs = Btrfs;

impl Model for Btrfs {
    fn name(&self) -> &'static str {
        "btrfs"
    }

    fn about(&self) -> &'static str {
        "an fsync logs one inode with its names; the rest in transactions; no page is torn"
    }

    fn covers(&self, sync: &SyncPoint, update: &Update<'_>) -> bool {
        match update.kind {
            UpdateKind::Name { dir, of, .. } => dir == sync.ino || of == sync.ino,
            _ => update.kind.home() == sync.ino,
        }
    }

    fn metadata_order(&self) -> MetadataOrder {
        MetadataOrder::JournalAndLogs
    }

    fn growth(&self) -> Growth {
        Growth::AfterAnyData
    }

    fn overwrite(&self) -> Overwrite {
        Overwrite::InNewBlocks
    }
}
