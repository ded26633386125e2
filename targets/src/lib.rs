//! The programs under test: how each is started, known ready, written to, read back and stopped.
//!
//! A target is one folder here and one line in [`catalog`]. It knows nothing of faults: it is given
//! a [`Host`] to live on and says, through [`Promise`](plugpull_workloads::Promise)s, what may be
//! expected of it.
//!
//! SQLite and the reference store are drivers of their own (`targets/drivers`). [`statehouse`] is a daemon that others
//! wrote, spoken to over gRPC. A [`command`] target is described by a file of the user's, and brings
//! its own workload and check ([`Scripted`]), as the real node of [`ailee`] does.

pub mod ailee;
pub mod catalog;
pub mod command;
#[cfg(feature = "statehouse")]
mod grpc;
pub mod inspect;
pub mod interstice;
pub mod reference_daemon;
mod stand_in;
pub mod statehouse;
mod sync_tree;
pub mod vfab;
pub mod wire;

pub use plugpull_driver::{
    Abilities, Answer, Checked, Client, ClientError, Host, Input, Launch, Missing,
    Mutant as Defect, Part, Pipes, Process, Program, Reorgs, Running, Said, Scripted, Setting,
    StartError, Target, UsageError,
};
