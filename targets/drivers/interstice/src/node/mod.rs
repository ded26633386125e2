//! The published node, driven over its TCP protocol.
//!
//! Everything here was read from the sources of `interstice-core`, `-cli` and `-abi` 0.5.0, and holds
//! for what those do.
//!
//! - **Start**: the driver makes the node ([`directory`]) at its first start (`interstice node
//!   create`, and the test module put in its place), then `interstice node start` is the target's
//!   process ([`daemon`]).
//! - **A transaction** of the workload is one call of one reducer of the test module
//!   (`docs/examples/interstice/module.c`, [`module`]), so it is one transaction of the node.
//! - **An ack** is the event of the row that the call changes last, in a table that no file belongs to:
//!   see [`client`].
//! - **The check** after a restart is that of `plugpull inspect interstice`, over the node's files, by
//!   the driver. It trusts nothing that the node says.

mod client;
mod daemon;
mod directory;
mod installed;
mod link;
mod module;
mod packets;

pub(crate) use daemon::{Answering, launch};
pub(crate) use installed::{Installed, find};

#[cfg(test)]
mod tests;
