//! The fake of vfab: the same files, and the promises of its guide kept.
//!
//! # How it keeps them
//!
//! - A job is `workspace/jobs/ID/`, with `src.svg`, `job.json` and `journal.jsonl`. It is made in
//!   `workspace/incoming/`, synced, and renamed, and the directory synced: it is there whole or not.
//! - A transition is a `state_change` appended to the journal and synced; then `job.json`, written
//!   beside its place, synced, renamed, the directory synced; then the journal's lines on hooks and
//!   guards; then a row of the statistics in `workspace/vfab.db` (SQLite, WAL, synchronous=NORMAL).
//! - The simulated plotter writes a line for each stroke to `plotter/strokes.log`, syncs it, and
//!   draws. So the paper is known after any crash, and no stroke is drawn twice.
//! - Recovery cuts an unfinished line off the journal, for good; brings `job.json` and the statistics
//!   up to the journal; and resumes every job that is not at its end: PLOTTING goes to PAUSED and back
//!   to PLOTTING, and draws the strokes that the paper lacks. A bad line with a change of state
//!   behind it, a document that cannot be read or is ahead of its journal, is damage: it says so, and
//!   exits.
//! - A job is answered when it is COMPLETED. One that met a full disk or an error on its way is driven
//!   on before the next one.
//!
//! What a job draws stands for the writes of a transaction: they are in the drawing's metadata, and
//! count once the job is COMPLETED. A transaction that is rolled back is a job that its user cancels.
//!
//! Its integrity check is the independent parser of [`vfab`](plugpull_driver_vfab), with the paper.
//!
//! It is a driver itself: `plugpull-fake vfab`, started by plugpull with `--reference`.

mod engine;
mod files;
mod job;
mod plotter;
mod session;
#[cfg(test)]
mod tests;

use std::time::Instant;

use plugpull_driver::sdk::{Driver, Place, Shared, Store, System};
use plugpull_driver::{Description, Shape, fake};
use plugpull_driver_vfab::{MUTANTS, Mutant, NAME, SETTINGS, Settings, capabilities};

/// The fake, as a system that a driver speaks for: the driver is the target.
pub const SYSTEM: System = System {
    name: NAME,
    about: "plugpull's fake of vfab",
    settings: SETTINGS,
    mutants: MUTANTS,
    open: |values| Ok(Box::new(VfabFake(Settings::parse(values)?))),
    inspect: None,
};

/// The fake with its settings.
struct VfabFake(Settings);

impl Driver for VfabFake {
    fn describe(&self) -> Description {
        Description {
            version: fake::version(NAME, self.0.mutant.map(Mutant::name)),
            shapes: vec![Shape::KeyValue.word().into()],
            capabilities: capabilities(true),
            ..Description::default()
        }
    }

    fn open(&self, place: &Place, _deadline: Instant) -> Result<Box<dyn Store>, String> {
        let engine = engine::VfabEngine::open(&place.data, self.0.mutant)
            .map_err(|error| error.to_string())?;
        Ok(Box::new(Shared::new(engine)))
    }
}
