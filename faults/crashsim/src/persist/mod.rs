//! Persistence models: which contents a disk may legally hold after losing power.
//!
//! A record of the log is one or more [`Update`]s towards the disk: bytes, a size, a name. A
//! [`Model`] says which updates a completed sync has made durable. The others are pending: each may
//! have reached the disk whole, in some of its sectors, or not at all, as far as the model keeps
//! an order among them. A crash state is the tree with one such loss set applied.

mod apply;
mod btrfs;
mod count;
mod device;
#[cfg(test)]
mod device_test;
mod explain;
mod ext4;
mod generic;
#[cfg(test)]
mod index_test;
mod legalize;
mod loss_class;
mod loss_sets;
mod lower;
mod model;
#[cfg(test)]
mod models_test;
mod random;
mod replay;
#[cfg(test)]
mod rules_test;
#[cfg(test)]
mod spec_test;
#[cfg(test)]
mod sync_edits_test;
mod tears;
#[cfg(test)]
mod testing_test;
mod update;
mod whole;
#[cfg(test)]
mod whole_test;
mod window;
#[cfg(test)]
mod wrong_test;
mod xfs;

pub use apply::LostUpdate;
pub use btrfs::BTRFS;
pub use count::Possible;
pub use device::{Atomic, Device};
pub use explain::{Unsynced, unsynced};
pub use ext4::{EXT4, EXT4_WRITEBACK};
pub use generic::{JOURNALED, STRICT};
pub use model::{Growth, MetadataOrder, Model, Overwrite, Replace};
pub use update::{
    DataFirst, Durability, Journal, Loss, LossSet, SyncPoint, Update, UpdateKind, part_of,
    record_of, update_of,
};
pub use whole::{Classes, LossClass, Outside, WholeLosses};
pub use window::{CrashState, Index, Window, crash_state, crash_states};
pub use xfs::XFS;

/// Every model, the default first.
pub const MODELS: [&dyn Model; 6] = [&JOURNALED, &STRICT, &EXT4, &EXT4_WRITEBACK, &XFS, &BTRFS];

/// The model of this name.
pub fn model(name: &str) -> Option<&'static dyn Model> {
    MODELS.into_iter().find(|model| model.name() == name)
}
