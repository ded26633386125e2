//! Persistence models: which contents a disk may legally hold after losing power.
//!
//! A record of the log is one or more [`Step`]s towards the disk: bytes, a size, a name. A
//! [`Model`] says which steps a completed sync has made durable. The others are pending: each may
//! have reached the disk whole, in some of its sectors, or not at all, as far as the model keeps
//! an order among them. A crash state is the tree with one such choice applied.

mod btrfs;
mod build;
mod chance;
mod choices;
mod close;
mod count;
mod device;
#[cfg(test)]
mod device_test;
mod expand;
mod explain;
mod ext4;
mod ext4_writeback;
mod index;
#[cfg(test)]
mod index_test;
mod journaled;
mod model;
#[cfg(test)]
mod models_test;
#[cfg(test)]
mod rules_test;
#[cfg(test)]
mod spec_test;
mod state;
mod step;
mod strict;
#[cfg(test)]
mod testing;
mod ties;
mod walk;
mod window;
#[cfg(test)]
mod wrong_test;
mod xfs;

pub use btrfs::BTRFS;
pub use build::Lost;
pub use count::Possible;
pub use device::{Atomic, Device};
pub use explain::{Unsynced, unsynced};
pub use ext4::EXT4;
pub use ext4_writeback::EXT4_WRITEBACK;
pub use index::Index;
pub use journaled::JOURNALED;
pub use model::{Growth, Model, Order, Overwrite, Replace};
pub use state::{CrashState, Loss, crash_state};
pub use step::{After, Fate, Journal, Step, StepKind, SyncPoint};
pub use strict::STRICT;
pub use window::{Choice, Window};
pub use xfs::XFS;

/// Every model, the default first.
pub const MODELS: [&dyn Model; 6] = [&JOURNALED, &STRICT, &EXT4, &EXT4_WRITEBACK, &XFS, &BTRFS];

/// The model of this name.
pub fn model(name: &str) -> Option<&'static dyn Model> {
    MODELS.into_iter().find(|model| model.name() == name)
}
