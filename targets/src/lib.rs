//! The programs under test: how each is started, known ready, written to, read back and stopped.
//!
//! A target is one folder here and one line in the `all` list. It knows nothing of faults: it is given
//! a [`Host`] to live on and says, through [`Promise`](plugpull_workloads::Promise)s, what may be
//! expected of it.

mod target;

pub use target::{
    Client, ClientError, Defect, Host, Launch, Process, Program, Running, Setting, StartError,
    Target,
};
