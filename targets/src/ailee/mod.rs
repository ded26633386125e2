//! AILEE's L2 node, over HTTP, and its snapshot file, `l2_snapshots.dat`.
//!
//! The file is text, appended to and never rewritten: one snapshot after the other, each complete
//! at its `END_SNAPSHOT` line, each with an anchor that commits to the state before it. The
//! grammar and the rule of the state root were read from the node's public sources
//! (dfeen87/AILEE-Protocol-Core-For-Bitcoin, `src/l2/L2State.cpp`); what must hold, from its
//! `docs/NODE_CRASH_RECOVERY.md`.

mod grammar;
mod invariants;
#[cfg(feature = "ailee")]
mod node;
mod parse;
mod promises;
pub mod reference;
mod report;
mod root;
mod settings;
mod state;
mod target;
#[cfg(test)]
mod tests;
mod verifier;

use crate::inspect::Inspector;

#[cfg(feature = "ailee")]
pub(crate) use node::{WORKLOAD, workload};
pub use parse::parse;
pub use reference::DEFECTS;
pub use root::state_root;
pub use settings::{SETTINGS, Settings};
pub use state::{Anchor, Balance, Ending, Escrow, File, PegIn, PegOut, Snapshot, State, Task};

pub use target::Ailee;

/// Its name on the command line.
pub const NAME: &str = "ailee";

/// The file of all snapshots, in the data folder.
pub(crate) const SNAPSHOTS: &str = "l2_snapshots.dat";

/// What it is, in one line.
pub const ABOUT: &str = "AILEE's L2 node: the real ailee_node over HTTP, or its persistence, snapshots \
                         with anchors and reorgs (plugpull's stand-in, with --reference)";

/// Looks at a snapshot file.
pub const INSPECTOR: Inspector = Inspector {
    name: "ailee",
    about: "AILEE's l2_snapshots.dat: every snapshot, its state root and its anchor",
    expect: Some("the state root of an acknowledged anchor"),
    inspect: report::inspect,
    repair: None,
    ask_too: Some(verifier::ask),
};
