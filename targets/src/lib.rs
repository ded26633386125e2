//! The programs under test, by name: the systems whose drivers come with plugpull (`targets/drivers`),
//! with what the catalogue says that they promise; a driver of the user's own; and [`command`] targets,
//! which a file of the user's describes, and which bring their own workload and check ([`Scripted`]).

pub mod catalog;
pub mod command;

pub use plugpull_driver::{
    Abilities, CheckAnswer, Checked, Client, ClientError, Host, Input, Launch, Missing, Part,
    Pipes, Process, Running, Scripted, Setting, StartError, Target, UsageError, WorkloadLine,
};
