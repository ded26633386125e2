//! A driver for Interstice's node, over its TCP protocol, and the inspector of its transaction logs, of
//! which there are two.
//!
//! The *guide's log* is one append-only file of records with a checksum each, as its
//! `docs/RECOVERY_MODE.md` (branch AI of Naloween/interstice) describes it. The *published node*
//! (`interstice-core` 0.3 and later) keeps a log and a snapshot a table, without checksums. Formats
//! and rules were read from the public sources.
//!
//! The driver drives the published node (`node`), and with `--reference` tests the
//! guide's log by a fake that keeps what the guide promises.
//!
//! A directory is taken for the published node's. So is a file that ends in `.snap` or `.row`, or that
//! lies in a directory named `logs`. Any other file is the guide's log.

mod bytes;
mod driver;
mod guide_log;
pub mod guide_log_files;
mod guide_report;
mod guide_row;
mod mutant;
mod node;
mod node_log;
mod node_report;
mod node_row;
mod node_snapshot;
mod node_table;
mod node_tree;
mod settings;
#[cfg(test)]
mod tests;

use plugpull_driver::sdk::System;
use plugpull_inspect::{InspectError, Inspection, Inspector, Request};

pub use driver::capabilities;
pub use guide_log::{Bad, Change, Record, Scan, scan};
pub use mutant::{MUTANTS, Mutant};
pub use settings::{NodeSettings, SETTINGS, Settings};

/// Its name on the command line.
pub const NAME: &str = "interstice";

/// Interstice, as a system that a driver speaks for.
pub const SYSTEM: System = System {
    name: NAME,
    about: "Interstice, a runtime for WASM modules with tables: its published node (installed), or its \
            guide's transaction log (plugpull's fake, with --reference)",
    settings: SETTINGS,
    mutants: MUTANTS,
    open: |values| Ok(Box::new(driver::IntersticeDriver::new(values)?)),
    inspect: Some(|args| plugpull_inspect::main(&INSPECTOR, args)),
};

/// Looks at logs and snapshots.
pub const INSPECTOR: Inspector = Inspector {
    name: "interstice",
    about: "Interstice's logs: the guide's transaction log (a file), or the published node's \
            tables (a directory)",
    expect: None,
    inspect,
    repair: Some(guide_report::repair),
    second_opinion: None,
};

fn inspect(request: &Request) -> Result<Inspection, InspectError> {
    if node_tree::is_nodes(&request.path) {
        node_report::inspect(request)
    } else {
        guide_report::inspect(request)
    }
}
