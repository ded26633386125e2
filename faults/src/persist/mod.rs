//! Persistence models: which contents a disk may legally hold after losing power.
//!
//! A record of the log is one or more [`Step`]s towards the disk: bytes, a size, a name. A
//! [`Model`] says which steps a completed sync has made durable. The others are pending: each may
//! have reached the disk whole, in some of its sectors, or not at all, as far as the model keeps
//! an order among them. A crash state is the tree with one such choice applied.

mod choice;
mod explain;
mod journaled;
mod plan;
#[cfg(test)]
mod rules_test;
#[cfg(test)]
mod spec_test;
mod state;
mod step;
mod strict;
#[cfg(test)]
mod testing;
mod window;
#[cfg(test)]
mod wrong_test;

pub use explain::{Unsynced, unsynced};
pub use journaled::JOURNALED;
pub use plan::Plan;
pub use state::{CrashState, Loss, Lost, crash_state};
pub use step::{Fate, Model, Step, StepKind, SyncPoint};
pub use strict::STRICT;
pub use window::{Choice, Window};

/// Every model, the default first.
pub const MODELS: [&dyn Model; 2] = [&JOURNALED, &STRICT];

/// The model of this name.
pub fn model(name: &str) -> Option<&'static dyn Model> {
    MODELS.into_iter().find(|model| model.name() == name)
}
