//! The fake of `statehoused`: the same calls, and the promises of its documents kept.
//!
//! # How it keeps them
//!
//! - `events` is the log: one line a transaction, `CRC JSON`, appended and synced before the commit
//!   is answered, under one lock. Of a log with one writer that syncs each line only the last can be
//!   torn; such a line was never acknowledged, is cut off and the cut synced before anything is
//!   appended. A bad line with a good one behind it is damage: the fake says so and exits.
//! - `snapshot` is the state after every sixteenth commit: `CRC JSON` too, written beside its place,
//!   synced, renamed and the directory synced. The log is kept whole, for `Replay`.
//! - Recovery reads the snapshot and applies what the log has after it. A log that ends before the
//!   snapshot does is damage.
//! - A commit that finds no space is taken back (the log cut to where it was) and answered with an
//!   error; a sync that fails leaves open what is on the disk, so nothing more is taken until a
//!   restart.
//!
//! The price of the first rule: a damaged *last* line looks like a torn one and is dropped. That
//! one transaction can be lost to damage without being refused.
//!
//! It is started as `plugpull-fake statehouse`, or by plugpull itself with `--reference`.

mod engine;
mod log;
mod service;
mod snapshot;
#[cfg(test)]
mod tests;

use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::sync::Arc;

use plugpull_driver_statehouse::grpc;
use plugpull_driver_statehouse::{ADDRESS, Mutant};

use engine::StatehouseEngine;
use service::StateService;

/// The directory of its files, under the working directory.
const DIRECTORY: &str = "data";

/// Serves on `$STATEHOUSE_ADDR` (0.0.0.0:50051 when not set) from `./data`. `args`: `defect=NAME`, or
/// nothing. Returns why it cannot, with the exit code: 2 for wrong use, else 1.
pub(crate) fn main(args: &[String]) -> (u8, String) {
    let mutant = match args {
        [] => None,
        [one] => match one.strip_prefix("defect=").map(Mutant::named) {
            Some(Some(mutant)) => Some(mutant),
            _ => return (2, format!("{one:?} is not defect=NAME with a known name")),
        },
        _ => return (2, "it takes defect=NAME, or nothing".into()),
    };
    let address = std::env::var(ADDRESS).unwrap_or_else(|_| "0.0.0.0:50051".into());
    let Ok(address) = address.parse::<SocketAddr>() else {
        return (
            2,
            format!("{ADDRESS} is no address with a port: {address:?}"),
        );
    };
    let engine = match StatehouseEngine::open(Path::new(DIRECTORY), mutant) {
        Ok(engine) => engine,
        Err(e) => return (1, format!("Error: {e}")),
    };
    let service = Arc::new(StateService::new(engine));
    let error = match TcpListener::bind(address) {
        Ok(listener) => grpc::serve(&listener, &service),
        Err(e) => e,
    };
    (1, format!("Error: {address}: {error}"))
}
