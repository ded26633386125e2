//! The programs under test: how each is started, known ready, written to, read back and stopped.
//!
//! A target is one folder here and one line in [`catalog`]. It knows nothing of faults: it is given
//! a [`Host`] to live on and says, through [`Promise`](plugpull_workloads::Promise)s, what may be
//! expected of it.
//!
//! The embedded targets ([`sqlite`], [`reference`](mod@reference)) run in a [`worker`] process of
//! their own and are spoken to over the protocol of [`wire`]. [`statehouse`] is a daemon that others
//! wrote, spoken to over gRPC.

pub mod ailee;
pub mod catalog;
pub mod driver;
#[cfg(feature = "statehouse")]
mod grpc;
pub mod inspect;
pub mod interstice;
mod promise;
pub mod reference;
pub mod reference_daemon;
mod settings;
pub mod sqlite;
mod stand_in;
pub mod statehouse;
mod target;
pub mod vfab;
pub mod wire;
pub mod worker;

pub use settings::UsageError;
pub use target::{
    Abilities, Client, ClientError, Defect, Host, Launch, Part, Pipes, Process, Program, Running,
    Setting, StartError, Target,
};
