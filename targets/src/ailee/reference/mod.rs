//! The stand-in for the persistence of AILEE's L2 node: the same snapshot file, and the promises of
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
//! Its integrity check is the independent parser of [`ailee`](crate::ailee), and the database held to
//! the file and to itself.
//!
//! It is started as `plugpull-reference ailee`, or by plugpull itself with `--reference`; it is built
//! with the feature `ailee`.

#[cfg(feature = "ailee")]
mod chain;
#[cfg(feature = "ailee")]
mod check;
#[cfg(feature = "ailee")]
mod engine;
#[cfg(feature = "ailee")]
mod network;
mod planted;
#[cfg(feature = "ailee")]
mod session;
#[cfg(feature = "ailee")]
mod snapshots;
#[cfg(all(test, feature = "ailee"))]
mod tests;

pub use planted::{DEFECTS, Planted};

/// In place of settings: `reorg=DEPTH` reorganises the simulated chain while the node is down.
pub(crate) const REORG: &str = "reorg";

/// Serves the node's persistence in the working directory. `args`: settings, `name=value`. Returns
/// why it cannot, with the exit code: 2 for wrong use, else 1.
#[cfg(feature = "ailee")]
pub(crate) fn main(args: &[String]) -> (i32, String) {
    use super::Settings;
    use crate::stand_in;
    if let [one] = args
        && let Some((REORG, depth)) = one.split_once('=')
    {
        let folder = std::path::Path::new(".");
        return match depth.parse() {
            Ok(depth) => match network::reorganise(folder, depth) {
                Ok(()) => (0, String::new()),
                Err(e) => (1, format!("Error: the chain cannot be reorganised: {e}")),
            },
            Err(_) => (2, format!("{depth:?} is no number of blocks")),
        };
    }
    let settings = stand_in::settings(args)
        .and_then(|values| Settings::parse(&values).map_err(|e| e.to_string()));
    match settings {
        Ok(settings) => {
            let engine = engine::Engine::open(std::path::Path::new("."), settings.defect);
            stand_in::serve(engine.map_err(|e| e.to_string()))
        }
        Err(why) => (2, why),
    }
}
