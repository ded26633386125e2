//! The programs under test: how each is started, known ready, written to, read back and stopped.
//!
//! A target is one folder here and one line in [`catalog`]. It knows nothing of faults: it is given
//! a [`Host`] to live on and says, through [`Promise`](plugpull_workloads::Promise)s, what may be
//! expected of it.
//!
//! The embedded targets ([`sqlite`], [`reference`](mod@reference)) run in a [`worker`] process of
//! their own and are spoken to over the protocol of [`wire`]. A [`command`] target is described by
//! a file of the user's, and brings its own workload and check ([`Scripted`]).

pub mod catalog;
pub mod command;
mod promise;
pub mod reference;
mod scripted;
mod settings;
pub mod sqlite;
mod target;
pub mod wire;
pub mod worker;

pub use scripted::{Checked, Missing, Said, Scripted};
pub use settings::UsageError;
pub use target::{
    Client, ClientError, Defect, Host, Input, Launch, Process, Program, Running, Setting,
    StartError, Target,
};
