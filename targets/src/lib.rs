//! The programs under test: how each is started, known ready, written to, read back and stopped.
//!
//! A target is one folder here and one line in [`catalog`]. It knows nothing of faults: it is given
//! a [`Host`] to live on and says, through [`Promise`](plugpull_workloads::Promise)s, what may be
//! expected of it.
//!
//! The embedded targets ([`sqlite`], [`reference`](mod@reference)) run in a [`worker`] process of
//! their own and are spoken to over the protocol of [`wire`]. [`statehouse`] is a daemon that others
//! wrote, spoken to over gRPC. A [`command`] target is described by a file of the user's, and brings
//! its own workload and check ([`Scripted`]), as the real node of [`ailee`] does.

pub mod ailee;
pub mod catalog;
pub mod command;
pub mod driver;
#[cfg(feature = "statehouse")]
mod grpc;
pub mod inspect;
pub mod interstice;
mod program;
mod promise;
pub mod reference;
pub mod reference_daemon;
mod scripted;
mod settings;
pub mod sqlite;
mod stand_in;
pub mod statehouse;
mod sync_tree;
mod target;
pub mod vfab;
pub mod wire;
pub mod worker;

pub use scripted::{Answer, Checked, Missing, Said, Scripted};
pub use settings::UsageError;
pub use target::{
    Abilities, Client, ClientError, Defect, Host, Input, Launch, Part, Pipes, Process, Program,
    Reorgs, Running, Setting, StartError, Target,
};
