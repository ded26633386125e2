//! Windows anywhere in a log, at a cost that does not depend on the log's length.

use super::device::Device;
use super::model::Model;
use super::replay::Replay;
use super::window::Window;
use crate::fs::Log;

/// The fewest records between two places that are kept.
const SPACING: usize = 128;

/// A log that was read once under a model, with places kept from which to read on.
///
/// Places are at least 128 records apart, and as far as there are open updates and files: so all of
/// them together take no more memory than a constant times the log.
pub struct Index<'a> {
    places: Vec<Replay<'a>>,
}

impl<'a> Index<'a> {
    /// Reads the log.
    pub fn new(log: &'a Log, model: &'a dyn Model, device: Device) -> Self {
        let records = log.records();
        let mut replay = Replay::new(log.base(), records, model, device);
        let mut places = vec![replay.clone()];
        while replay.at < records.len() {
            let files = replay.durable.inode_count() as usize;
            let spacing = SPACING.max(replay.open.len()).max(files);
            replay.advance(replay.at.saturating_add(spacing));
            replay.prune();
            places.push(replay.clone());
        }
        Self { places }
    }

    /// The window in front of the record at index `point` of the log.
    pub fn window(&self, point: usize) -> Window<'a> {
        let behind = self.places.partition_point(|place| place.at <= point);
        // The first place is before the first record.
        let mut replay = self.places[behind.saturating_sub(1)].clone();
        replay.advance(point);
        Window::of(replay)
    }
}
