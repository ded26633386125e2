//! A service that something else supervises, outside any sandbox: written to, killed, waited for,
//! read back and judged, and at the end everything is as it was. `docs/attach.md` is for those who
//! run it.
//!
//! What may not be touched is found out in [`guard`] before anything is done. What must be put back
//! is written down in [`journal`] before it is needed.

mod back;
mod copy;
mod corruption;
mod damage;
mod door;
mod guard;
mod journal;
mod options;
mod outside;
mod plan;
mod prefix;
mod process;
mod round;
mod session;
mod shell;
mod space;
mod start;
mod supervision;
mod systemd;
mod writers;

pub use options::{AttachOptions, Mode};
pub use start::{Outcome, run, target_name};
