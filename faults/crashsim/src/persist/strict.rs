//! `strict`: POSIX at its loosest.

use super::model::{Growth, MetadataOrder, Model};
use super::update::{SyncPoint, Update, UpdateKind};

/// A name is durable only after an fsync of its directory; a file's data, size and attributes only
/// after an fsync of the file; of what is un-synced any subset may be on disk, in any order.
///
/// Sources: fsync(2): "Calling fsync() does not necessarily ensure that the entry in the
/// directory containing the file has also reached disk. For that an explicit fsync() on a file
/// descriptor for the directory is also needed"; fdatasync(2) on what of the metadata it flushes;
/// Pillai et al., "All File Systems Are Not Created Equal", OSDI 2014, for what real filesystems
/// reorder. Liberties that are not taken, because no filesystem known takes them:
/// - a change of one name is atomic, and the changes of one name keep their order;
/// - a rename never loses the file: its old name goes only together with the new one (whose
///   directory, and the directories above, are then on the disk too), and a directory that is removed or
///   replaced takes nothing with it that was moved out before;
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

    fn order(&self) -> MetadataOrder {
        MetadataOrder::None
    }

    fn growth(&self) -> Growth {
        Growth::AtOnce
    }
}
