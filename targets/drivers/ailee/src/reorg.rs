//! The action `reorg`, for the fake: what the Bitcoin network did while the node was down is a file,
//! which the node reads and never writes.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::path::Path;

use plugpull_driver::ActionTime;
use plugpull_driver::sdk::{OfferedAction, Place, StoreError};

/// The chain that the fake follows is another one when it comes back. Bitcoin's anchors count as
/// confirmed after six blocks.
pub(crate) const REORG: OfferedAction<Place> = OfferedAction {
    name: "reorg",
    when: ActionTime::Down,
    about: "the last blocks of the chain that the node follows are replaced by others",
    amount: Some(("depth", 1, 8)),
    act: |place, depth| {
        reorganise(&place.data, u64::from(depth))
            .map_err(|error| StoreError::Fail(format!("the chain cannot be reorganised: {error}")))
    },
};

/// A line for each reorg, with the number of blocks that it replaced and a checksum. The checksum is
/// not part of what is simulated: it tells damage to this file from a chain that was reorganised.
const FILE: &str = "bitcoin_reorgs";

fn line(depth: u64) -> String {
    let text = depth.to_string();
    format!("{text} {:08x}", crc32fast::hash(text.as_bytes()))
}

/// Replaces the last `depth` blocks, for a node in this directory that is down.
fn reorganise(directory: &Path, depth: u64) -> io::Result<()> {
    let mut file = OpenOptions::new()
        .create(true)
        .append(true)
        .open(directory.join(FILE))?;
    writeln!(file, "{}", line(depth))?;
    file.sync_all()?;
    File::open(directory)?.sync_all()
}

/// The depths of all reorgs so far, oldest first.
///
/// # Errors
/// They cannot be read, or are damaged.
pub fn reorgs(directory: &Path) -> io::Result<Vec<u64>> {
    let text = match fs::read_to_string(directory.join(FILE)) {
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        other => other?,
    };
    let parse = |one: &str| {
        let depth = one.split(' ').next()?.parse().ok()?;
        (line(depth) == one).then_some(depth)
    };
    let damaged = || io::Error::new(ErrorKind::InvalidData, format!("corruption: {FILE}"));
    text.lines()
        .map(|one| parse(one).ok_or_else(damaged))
        .collect()
}
