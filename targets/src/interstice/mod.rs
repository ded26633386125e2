//! Interstice's transaction logs, of which there are two.
//!
//! The *guide's log* is one append-only file of records with a checksum each, as its
//! `docs/RECOVERY_MODE.md` (branch AI of Naloween/interstice) describes it. The *published node*
//! (`interstice-core` 0.3 and later) keeps a log and a snapshot a table, without checksums. Formats
//! and rules were read from the public sources.
//!
//! The target of this name drives the published node (`node`), and with `--reference` tests [the
//! guide's log](mod@reference) by a stand-in that keeps what the guide promises.
//!
//! A folder is taken for the published node's. So is a file that ends in `.snap` or `.row`, or that
//! lies in a folder named `logs`. Any other file is the guide's log.

mod bytes;
mod guide_folder;
mod guide_log;
mod guide_report;
mod guide_row;
pub(crate) mod node;
mod node_log;
mod node_report;
mod node_row;
mod node_snapshot;
mod node_table;
mod node_tree;
mod promises;
pub mod reference;
mod settings;
mod target;
#[cfg(test)]
mod tests;

use crate::inspect::{InspectError, Inspection, Inspector, Request};

pub use guide_log::{Bad, Change, Record, Scan, scan};
pub use reference::DEFECTS;
pub use settings::{NodeSettings, SETTINGS, Settings};
pub use target::Interstice;

/// Its name on the command line.
pub const NAME: &str = "interstice";

/// What it is, in one line.
pub const ABOUT: &str = "Interstice, a runtime for WASM modules with tables: its published node \
                         (installed), or its guide's transaction log (plugpull's stand-in, with \
                         --reference)";

/// Looks at logs and snapshots.
pub const INSPECTOR: Inspector = Inspector {
    name: "interstice",
    about: "Interstice's logs: the guide's transaction log (a file), or the published node's \
            tables (a folder)",
    expect: None,
    inspect,
    repair: Some(guide_report::repair),
    ask_too: None,
};

fn inspect(request: &Request) -> Result<Inspection, InspectError> {
    if node_tree::is_nodes(&request.path) {
        node_report::inspect(request)
    } else {
        guide_report::inspect(request)
    }
}
