//! A simulated disk: what a filesystem holds, what was done to it, and what it may hold after the
//! power went.
//!
//! A store runs on a [`file::SimDisk`], in its own process; every write, name and sync is recorded.
//! Then [`persist::crash_states`] makes the contents that a real filesystem may leave at each crash
//! point, and the store is started on them.
//!
//! ```
//! use plugpull_crashsim::file::{File, SimDisk, Storage};
//! use plugpull_crashsim::persist::{EXT4, crash_states};
//!
//! # fn main() -> std::io::Result<()> {
//! let disk = SimDisk::new();
//! let log = disk.create("log")?;
//! log.write_at(0, b"one.")?;
//! log.sync_all()?;
//! disk.ack(1);
//! log.write_at(4, b"two.")?;
//! log.write_at(8, b"three.")?;
//!
//! let recorded = disk.take_log();
//! let mut seen = std::collections::BTreeSet::new();
//! for (point, state) in crash_states(&recorded, &EXT4, 8) {
//!     let after = SimDisk::of(state.tree).read("log").unwrap_or_default();
//!     // What was acknowledged is there, at every crash point and whatever was lost.
//!     assert!(recorded.acks_before(point) == 0 || after.starts_with(b"one."));
//!     seen.insert(String::from_utf8_lossy(&after).into_owned());
//! }
//! // Ext4 may write the length of an append before its bytes: zeros show.
//! assert!(seen.contains("one.\0\0\0\0"));
//! # Ok(())
//! # }
//! ```
//!
//! | module | what it holds |
//! | --- | --- |
//! | [`mod@file`] | a small file trait, and the simulated disk as one |
//! | [`fs`] | the tree of files, their bytes, the log of what was done to them |
//! | [`persist`] | persistence models, loss sets, crash states |
//! | [`trace`] | a log as a file |

#![forbid(unsafe_code)]

pub mod file;
pub mod fs;
pub mod persist;
pub mod trace;
