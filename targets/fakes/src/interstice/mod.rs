//! The fake of the log of Interstice's guide: its format, and its promises kept.
//!
//! # How it keeps them
//!
//! - A transaction is one append and one sync of `txn.log`, under one lock, before it is answered: a
//!   record for each row it changes, and one in the table `commits` that ends it. All have the
//!   transaction's logical time, which counts 1, 2, 3, ...
//! - Recovery reads `txn.log.0`, `.1`, ... and `txn.log`. Of a log with one writer that syncs each
//!   transaction only the last can be unfinished: what is no whole transaction at the end of
//!   `txn.log` is cut off, and the cut synced, before anything is appended. Where something of a
//!   later transaction lies behind it, or in a rotated log, it is damage: the fake says where,
//!   and how many records are valid before it, and exits.
//! - A log that has reached its length gets the next number, by a rename; the directory is synced, a new
//!   log made, and the directory synced again, before anything is appended to it. A log that a crash left
//!   under both names keeps the new one. Where there are as
//!   many rotated logs as there may be, the log grows on: none is ever removed.
//! - An append or a sync that fails is cut off again, and the transaction has failed. Where that is
//!   not possible either, nobody knows, and the next append begins with it.
//!
//! The price of the second rule: damage to the last transaction looks like a power cut. That one can
//! be lost to damage without being refused.
//!
//! Its integrity check is the independent parser of [`interstice`](plugpull_driver_interstice), run over all
//! files.
//!
//! It is a driver itself: `plugpull-fake interstice`, started by plugpull with `--reference`.

mod engine;
mod record;
mod recovery;
mod session;
#[cfg(test)]
mod tests;

use std::time::Instant;

use plugpull_driver::sdk::{Driver, Place, Shared, Store, System};
use plugpull_driver::{Description, Shape, fake};
use plugpull_driver_interstice::{MUTANTS, Mutant, NAME, SETTINGS, Settings, capabilities};

/// The fake, as a system that a driver speaks for: the driver is the target.
pub const SYSTEM: System = System {
    name: NAME,
    about: "plugpull's fake of the log of Interstice's guide",
    settings: SETTINGS,
    mutants: MUTANTS,
    open: |values| Ok(Box::new(IntersticeFake(Settings::parse(values)?))),
    inspect: None,
};

/// The fake with its settings.
struct IntersticeFake(Settings);

impl Driver for IntersticeFake {
    fn describe(&self) -> Description {
        Description {
            version: fake::version(NAME, self.0.mutant.map(Mutant::name)),
            shapes: vec![Shape::KeyValue.word().into()],
            capabilities: capabilities(),
            ..Description::default()
        }
    }

    fn open(&self, place: &Place, _deadline: Instant) -> Result<Box<dyn Store>, String> {
        let engine = engine::IntersticeEngine::open(&place.data, self.0)?;
        Ok(Box::new(Shared::new(engine)))
    }
}
