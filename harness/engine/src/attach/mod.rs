//! A service that something else supervises, outside any sandbox: written to, killed, waited for,
//! read back and judged, and at the end everything is as it was. `docs/attach.md` is for those who
//! run it.
//!
//! What may not be touched is found out in `guard` before anything is done. What must be put back
//! is written down in `journal` before it is needed.

mod copy;
mod corruption;
mod damage;
mod endpoint;
mod guard;
mod incarnation;
mod journal;
mod local_host;
mod options;
mod plan;
mod prefix;
mod process;
mod readiness;
mod rounds;
mod run;
mod serving;
mod session;
mod shell;
mod space;
mod supervision;
mod systemd;
mod writers;

pub use options::{AttachOptions, Mode};
pub use run::{Attached, run, target_name};
