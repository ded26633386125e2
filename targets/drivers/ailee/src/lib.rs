//! A driver for AILEE's L2 node, over HTTP, and the inspector of its snapshot file,
//! `l2_snapshots.dat`.
//!
//! The file is text, appended to and never rewritten: one snapshot after the other, each complete
//! at its `END_SNAPSHOT` line, each with an anchor that commits to the state before it. The
//! grammar and the rule of the state root were read from the node's public sources
//! (dfeen87/AILEE-Protocol-Core-For-Bitcoin, `src/l2/L2State.cpp`); what must hold, from its
//! `docs/NODE_CRASH_RECOVERY.md`.

mod driver;
mod grammar;
mod invariants;
mod mutant;
mod node;
mod parse;
mod reorg;
mod report;
mod root;
mod settings;
mod state;
#[cfg(test)]
mod tests;
mod verifier;

use plugpull_driver::sdk::System;
use plugpull_inspect::Inspector;

pub use driver::{ACTIONS, capabilities};
pub use mutant::{MUTANTS, Mutant};
pub use parse::parse;
pub use reorg::reorgs;
pub use root::{sha256, state_root};
pub use settings::{SETTINGS, Settings};
pub use state::{Anchor, Balance, Ending, Escrow, File, PegIn, PegOut, Snapshot, State, Task};

/// Its name on the command line.
pub const NAME: &str = "ailee";

/// The file of all snapshots, in the data directory.
pub const SNAPSHOTS: &str = "l2_snapshots.dat";

/// AILEE, as a system that a driver speaks for.
pub const SYSTEM: System = System {
    name: NAME,
    about: "AILEE's L2 node: the real ailee_node over HTTP, or its persistence, snapshots with anchors \
            and reorgs (plugpull's fake, with --reference)",
    settings: SETTINGS,
    mutants: MUTANTS,
    open: |values| Ok(Box::new(driver::AileeDriver::new(values)?)),
    inspect: Some(|args| plugpull_inspect::main(&INSPECTOR, args)),
};

/// Looks at a snapshot file.
pub const INSPECTOR: Inspector = Inspector {
    name: "ailee",
    about: "AILEE's l2_snapshots.dat: every snapshot, its state root and its anchor",
    expect: Some("the state root of an acknowledged anchor"),
    inspect: report::inspect,
    repair: None,
    second_opinion: Some(verifier::ask),
};
