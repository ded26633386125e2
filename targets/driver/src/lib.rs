//! The driver protocol, both ends: what a driver is made with ([`sdk`]), the lines that are
//! exchanged ([`protocol`], specified in `docs/driver-protocol.md`), and a driver as a target
//! ([`host`]).

mod client;
pub mod conformance;
mod description;
pub mod fake;
pub mod host;
mod process;
pub mod program;
pub mod protocol;
mod scripted;
pub mod sdk;
mod settings;
mod sync_tree;
mod target;

pub use client::{Client, ClientError};
pub use description::{
    Action, ActionTime, Amount, Capability, CommandDescription, Description, MutantDescription,
    SettingDescription, Shape,
};
pub use host::DriverTarget;
pub use process::{Host, Input, Launch, Part, Pipes, Process};
pub use scripted::{CheckAnswer, Checked, Missing, Scripted, WorkloadLine};
pub use settings::{Given, Mutant, Setting, UsageError, closest, resolved};
pub use sync_tree::sync_tree;
pub use target::{Abilities, Running, StartError, Target};

/// Names the build that this code belongs to. A driver that comes with plugpull must be of the
/// same build.
pub const BUILD: &str = env!("PLUGPULL_BUILD");
