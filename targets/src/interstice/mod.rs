//! Interstice's transaction logs, of which there are two.
//!
//! The *guide's log* is one append-only file of records with a checksum each, as its
//! `docs/RECOVERY_MODE.md` (branch AI of Naloween/interstice) describes it. The *published node*
//! (`interstice-core` 0.3 and later) keeps a log and a snapshot a table, without checksums. Formats
//! and rules were read from the public sources.
//!
//! A folder is taken for the published node's. So is a file that ends in `.snap` or `.row`, or that
//! lies in a folder named `logs`. Any other file is the guide's log.

mod bytes;
mod guide_log;
mod guide_report;
mod guide_row;
mod node_log;
mod node_report;
mod node_row;
mod node_snapshot;
mod node_table;
mod node_tree;
#[cfg(test)]
mod tests;

use crate::inspect::{InspectError, Inspection, Inspector, Request};

pub use guide_log::{Bad, Change, Record, Scan, scan};

/// Looks at logs and snapshots.
pub const INSPECTOR: Inspector = Inspector {
    name: "interstice",
    about: "Interstice's logs: the guide's transaction log (a file), or the published node's \
            tables (a folder)",
    expect: None,
    inspect,
    repair: Some(guide_report::repair),
};

fn inspect(request: &Request) -> Result<Inspection, InspectError> {
    if node_tree::is_nodes(&request.path) {
        node_report::inspect(request)
    } else {
        guide_report::inspect(request)
    }
}
