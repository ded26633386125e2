//! What real filesystems leave when the power goes: the kernel's own ext4, XFS and btrfs on a block
//! device of ours, so that every block write and every flush is seen.
//!
//! ```text
//! plugpull            serves the disk image (FUSE), and has its log of block writes
//!   └─ a Machine      plugpull again, in a mount namespace of its own: FUSE mount, loop device over the
//!                     image, the real filesystem on that; plays operations, or reads what is there
//! ```
//!
//! plugpull serves the image, so it must hold nothing open that lies on it: the kernel would wait for the
//! server at its exit, which is plugpull itself. The machine serves nothing. It dies with plugpull, and its
//! mounts and its loop device go with it.
//!
//! A program that starts a [`Machine`] must call [`machine_main`] when its first argument is
//! [`MACHINE_ARG`], before it starts a thread.

mod block_log;
mod difference;
mod kinds;
mod log_writes;
mod loop_device;
mod machine;
mod names;
mod perform;
mod player;
mod plays;
mod protocol;
mod read_back;
mod search;
mod sought;
mod sync_times;
mod sys;
mod trees;

pub use block_log::BlockLog;
pub use difference::Losses;
pub use kinds::{FILESYSTEMS, Filesystem, missing_here};
pub use log_writes::{LogWritesError, read_log_writes, write_log_writes};
pub use machine::{Machine, MachineFailed, empty_image};
pub use perform::machine_main;
pub use search::{Search, ShowsFinding, Tally, recovered, this_program};
pub use sought::{Reached, Sought};
pub use sync_times::{SyncTimes, time_syncs};
pub use trees::{records_of, tree_of};

/// The argument that has a program become a machine.
pub const MACHINE_ARG: &str = "__machine";
