//! The stand-in for vfab: the same files, and the promises of its guide kept.
//!
//! # How it keeps them
//!
//! - A job is `workspace/jobs/ID/`, with `src.svg`, `job.json` and `journal.jsonl`. It is made in
//!   `workspace/incoming/`, synced, and renamed, and the folder synced: it is there whole or not.
//! - A transition is a `state_change` appended to the journal and synced; then `job.json`, written
//!   beside its place, synced, renamed, the folder synced; then the journal's lines on hooks and
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
//! Its integrity check is the independent parser of [`vfab`](crate::vfab), with the paper.
//!
//! It is started as `plugpull-reference vfab`, or by plugpull itself with `--reference`.

mod engine;
mod files;
mod job;
mod planted;
mod plotter;
mod session;
#[cfg(test)]
mod tests;

use std::path::Path;

pub use planted::{DEFECTS, Planted};

use super::Settings;
use crate::stand_in;

/// Serves jobs in the working directory. `args`: settings, `name=value`. Returns why it cannot, with
/// the exit code: 2 for wrong use, else 1.
pub(crate) fn main(args: &[String]) -> (i32, String) {
    let settings = stand_in::settings(args)
        .and_then(|values| Settings::parse(&values).map_err(|e| e.to_string()));
    match settings {
        Ok(settings) => {
            let engine = engine::Engine::open(Path::new("."), settings.defect);
            stand_in::serve(engine.map_err(|e| e.to_string()))
        }
        Err(why) => (2, why),
    }
}
