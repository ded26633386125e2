//! The stand-in for the log of Interstice's guide: its format, and its promises kept.
//!
//! # How it keeps them
//!
//! - A transaction is one append and one sync of `txn.log`, under one lock, before it is answered: a
//!   record for each row it changes, and one in the table `commits` that ends it. All have the
//!   transaction's logical time, which counts 1, 2, 3, ...
//! - Recovery reads `txn.log.0`, `.1`, ... and `txn.log`. Of a log with one writer that syncs each
//!   transaction only the last can be unfinished: what is no whole transaction at the end of
//!   `txn.log` is cut off, and the cut synced, before anything is appended. Where something of a
//!   later transaction lies behind it, or in a rotated log, it is damage: the stand-in says where,
//!   and how many records are valid before it, and exits.
//! - A log that has reached its length gets the next number, by a rename; the folder is synced, a new
//!   log made, and the folder synced again, before anything is appended to it. A log that a crash left
//!   under both names keeps the new one. Where there are as
//!   many rotated logs as there may be, the log grows on: none is ever removed.
//! - An append or a sync that fails is cut off again, and the transaction has failed. Where that is
//!   not possible either, nobody knows, and the next append begins with it.
//!
//! The price of the second rule: damage to the last transaction looks like a power cut. That one can
//! be lost to damage without being refused.
//!
//! Its integrity check is the independent parser of [`interstice`](crate::interstice), run over all
//! files.
//!
//! It is started as `plugpull-reference interstice`, or by plugpull itself with `--reference`.

mod engine;
mod planted;
mod record;
mod recovery;
mod session;
#[cfg(test)]
mod tests;

use std::path::Path;

pub use planted::{DEFECTS, Planted};

use super::Settings;
use crate::stand_in;

/// Serves the log in the working directory. `args`: settings, `name=value`. Returns why it cannot,
/// with the exit code: 2 for wrong use, else 1.
pub(crate) fn main(args: &[String]) -> (i32, String) {
    let settings = stand_in::settings(args)
        .and_then(|values| Settings::parse(&values).map_err(|e| e.to_string()));
    match settings {
        Ok(settings) => stand_in::serve(engine::Engine::open(Path::new("."), settings)),
        Err(why) => (2, why),
    }
}
