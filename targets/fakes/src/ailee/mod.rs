//! The fake of the persistence of AILEE's L2 node: the same snapshot file, and the promises of
//! its guide kept.
//!
//! # How it keeps them
//!
//! - A transaction changes the state in memory; nothing of it is promised before the next anchor
//!   (the workload's barrier). A key of the workload is a task, its value the submitter.
//! - An anchor is a whole snapshot appended to `l2_snapshots.dat` and synced, and then tracked in
//!   `reorg_db/reorg.redb` (redb, synced at each commit; the keys and texts are those of the node's
//!   RocksDB) with the Bitcoin block that has it. Only then it is answered.
//! - Every fourth block the simulated Bitcoin chain replaces its last two. All that follows from that
//!   (the event, the anchors that are invalid now, the blocks, the counter) is one transaction. What
//!   the chain did while the node was down it hears of at its start (`bitcoin_reorgs`, which stands
//!   for the network and is written by plugpull), before it is ready.
//! - Recovery reads every snapshot and verifies its root and anchor. Of a file with one writer that
//!   syncs each snapshot only the last can be unfinished: it is cut off, for good, unless its anchor
//!   is tracked. Anything else that does not verify, or a tracked anchor without its snapshot, is
//!   damage: it says so, and exits. A last snapshot whose anchor is not tracked yet is tracked.
//! - An anchor that cannot be written is taken back; where that is not possible, the next one begins
//!   with it.
//!
//! Its integrity check is the independent parser of [`ailee`](plugpull_driver_ailee), and the database held to
//! the file and to itself.
//!
//! It is a driver itself: `plugpull-fake ailee`, started by plugpull with `--reference`.

mod chain;
mod check;
mod engine;
mod session;
mod snapshots;
#[cfg(test)]
mod tests;

use std::time::Instant;

use plugpull_driver::sdk::{Driver, Place, Shared, Store, System, act, described};
use plugpull_driver::{ClientError, Description, Shape, fake};
use plugpull_driver_ailee::{ACTIONS, MUTANTS, Mutant, NAME, SETTINGS, Settings, capabilities};

/// The fake, as a system that a driver speaks for: the driver is the target.
pub const SYSTEM: System = System {
    name: NAME,
    about: "plugpull's fake of AILEE's persistence",
    settings: SETTINGS,
    mutants: MUTANTS,
    open: |values| Ok(Box::new(AileeFake(Settings::parse(values)?))),
    inspect: None,
};

/// The fake with its settings.
struct AileeFake(Settings);

impl Driver for AileeFake {
    fn describe(&self) -> Description {
        Description {
            version: fake::version(NAME, self.0.mutant.map(Mutant::name)),
            shapes: vec![Shape::KeyValue.word().into()],
            capabilities: capabilities(),
            actions: described(ACTIONS),
            ..Description::default()
        }
    }

    fn open(&self, place: &Place, _deadline: Instant) -> Result<Box<dyn Store>, String> {
        let engine = engine::AileeEngine::open(&place.data, self.0.mutant)
            .map_err(|error| error.to_string())?;
        Ok(Box::new(Shared::new(engine)))
    }

    fn act_down(
        &self,
        place: &Place,
        action: &str,
        amount: Option<u32>,
        _deadline: Instant,
    ) -> Result<(), ClientError> {
        Ok(act(ACTIONS, place, action, amount)?)
    }
}
