//! `ext4`: data=ordered, delayed allocation and auto_da_alloc, as mounted by default.

use super::model::{Growth, MetadataOrder, Model, Replace};
use super::update::{Journal, SyncPoint, Update, UpdateKind};

/// ext4 as mounted by default.
///
/// - **One journal.** Metadata is committed in the order in which it changed, so what is lost of
///   it is a suffix (Documentation/filesystems/ext4/journal.rst). A commit may come at any time
///   (every 5 s, `commit=` in Documentation/admin-guide/ext4.rst).
/// - **fsync commits the transaction that changed the inode last**, and so all metadata up to
///   that change (`i_sync_tid`, `ext4_fsync_journal` in fs/ext4/fsync.c); what came later may be
///   in a transaction that nobody waits for. Data that must get blocks changes the inode during
///   the sync, so then everything up to now is committed. fdatasync commits the transaction that
///   last changed what is needed to find the data (`i_datasync_tid`: creation, length, blocks;
///   `ext4_update_inode_fsync_trans`, fs/ext4/ext4_jbd2.h): a rename or a mode is no such change.
///   The names of a directory count as its data.
/// - **Delayed allocation.** A write gets its blocks, and the file its length, only when the data
///   is written back (`mpage_map_and_submit_extent`, fs/ext4/inode.c), by default within 30 s. So
///   another file's fsync commits neither, and a new file that was never synced is there with
///   length 0.
/// - **data=ordered.** Data in new blocks is on disk before the length and the blocks are
///   committed ("the associated data blocks are written first", Documentation/admin-guide/ext4.rst).
///   New blocks are never torn. Any part of what was appended may be written back first (a
///   cyclic scan begins anywhere, `mpage_prepare_extent_to_map`), and what was not reads as zeros.
/// - **The last block is an exception**: an append that fits into the file's last block changes
///   the length in the journal at once, without its data (`ext4_da_should_update_i_disksize`,
///   fs/ext4/inode.c), and zeros show at the end. (Seen and accepted: "ext4: defer updating
///   i_disksize until endio", linux-ext4, March 2023.)
/// - **auto_da_alloc.** A rename over an existing file gives the renamed one its blocks first
///   (`ext4_alloc_da_blocks` in `ext4_rename`, fs/ext4/namei.c), so that "the data blocks of the
///   new file are forced to disk before the rename() operation is committed" (admin-guide). This
///   is about new blocks alone: nothing orders what overwrites old ones. The same is done when a
///   file that was truncated to 0 is closed; this gives no guarantee that a model could use,
///   because the truncation may be committed before the file is closed.
/// - Overwritten blocks are written in place, sector by sector.
///
/// Since Linux 5.6 new blocks are marked unwritten until their data is on disk (`dioread_nolock`),
/// and such an inode is not on the transaction's list of ordered data (`ext4_map_blocks`). By the
/// sources, then, a commit that overtakes data already under way shows zeros where the
/// documentation promises the data; such states are under
/// [`ext4-writeback`](super::EXT4_WRITEBACK).
pub struct Ext4;

/// The one instance.
pub const EXT4: Ext4 = Ext4;

impl Model for Ext4 {
    fn name(&self) -> &'static str {
        "ext4"
    }

    fn about(&self) -> &'static str {
        "data=ordered: lengths come with their data, at write-back; a rename over a file flushes it"
    }

    fn covers(&self, sync: &SyncPoint, update: &Update<'_>) -> bool {
        covers(sync, update)
    }

    fn metadata_order(&self) -> MetadataOrder {
        MetadataOrder::Journal
    }

    fn growth(&self) -> Growth {
        Growth::AtAllocation { ordered: true }
    }

    fn replace(&self) -> Replace {
        Replace::Data
    }
}

/// What a sync makes durable, in either of ext4's modes.
pub(super) fn covers(sync: &SyncPoint, update: &Update<'_>) -> bool {
    let own = update.kind.home() == sync.ino;
    match update.kind {
        UpdateKind::Data { .. } => own,
        // Written back with the data.
        _ if update.journal == Journal::AtWriteBack => own,
        _ => {
            let committed = if sync.allocates {
                sync.now
            } else if sync.data_only && !sync.dir {
                sync.resized
            } else {
                sync.changed
            };
            update.id < committed
        }
    }
}

/// ext4 mounted with data=writeback: as [`EXT4`](super::EXT4), but nothing orders data before the
/// metadata that shows it.
///
/// - The length, and the blocks, may be committed before the data is written ("A crash+recovery
///   can cause incorrect data to appear in files which were written shortly before the crash",
///   Documentation/admin-guide/ext4.rst). What shows are zeros: since Linux 5.6 new blocks count
///   as unwritten until their data is on disk (`dioread_nolock` by default, fs/ext4/super.c).
///   Without it old content of the blocks shows; the model does not make any up.
/// - A rename over an existing file still gives the renamed one its blocks first, and so commits
///   its length; its data may be missing.
/// - So may data=ordered be, by the sources, between the submission of a write of new blocks and
///   its completion: see [`EXT4`](super::EXT4).
pub struct Ext4Writeback;

/// The one instance.
pub const EXT4_WRITEBACK: Ext4Writeback = Ext4Writeback;

impl Model for Ext4Writeback {
    fn name(&self) -> &'static str {
        "ext4-writeback"
    }

    fn about(&self) -> &'static str {
        "data=writeback: as ext4, but a length may come before its data, which reads as zeros"
    }

    fn covers(&self, sync: &SyncPoint, update: &Update<'_>) -> bool {
        covers(sync, update)
    }

    fn metadata_order(&self) -> MetadataOrder {
        MetadataOrder::Journal
    }

    fn growth(&self) -> Growth {
        Growth::AtAllocation { ordered: false }
    }

    fn replace(&self) -> Replace {
        Replace::Length
    }
}
