//! Crash states.

use super::apply::LostUpdate;
use super::device::Device;
use super::model::Model;
use super::window::Window;
use crate::fs::{Log, Tree};

/// What becomes of the pending updates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// All of them reached the disk.
    Nothing,
    /// None of them did.
    Everything,
    /// A seeded loss set: some whole, some torn, some not.
    Subset,
    /// All reached the disk, but for the last write, of which some sectors did not.
    TornLast,
}

/// One content of the disk after losing power.
pub struct CrashState {
    /// The content.
    pub tree: Tree,
    /// What is missing in it, in the order in which it had happened.
    pub lost: Vec<LostUpdate>,
    /// How many updates were pending.
    pub pending: usize,
}

/// The content of the disk when power is lost at the end of `log`.
///
/// The same log, model, loss, device and seed give the same state anywhere.
pub fn crash_state(
    log: &Log,
    model: &dyn Model,
    loss: Loss,
    device: Device,
    seed: u64,
) -> CrashState {
    Window::new(log, log.records().len(), model, device).crash(loss, seed)
}
