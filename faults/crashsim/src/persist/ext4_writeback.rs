//! `ext4-writeback`: ext4 mounted with data=writeback.

use super::ext4;
use super::model::{Growth, MetadataOrder, Model, Replace};
use super::update::{SyncPoint, Update};

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
        ext4::covers(sync, update)
    }

    fn order(&self) -> MetadataOrder {
        MetadataOrder::Journal
    }

    fn growth(&self) -> Growth {
        Growth::AtAllocation { ordered: false }
    }

    fn replace(&self) -> Replace {
        Replace::Length
    }
}
