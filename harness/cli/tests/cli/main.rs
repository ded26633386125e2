//! The command line, end to end. A test says what it needs of the machine, for example
//! `#[test(needs = "fuse")]`: it is ignored where that is missing, and fails where
//! `PLUGPULL_REQUIRE` promises it.

#![allow(
    clippy::unwrap_used,
    reason = "a test fails by panicking, in its helpers too"
)]

mod actions;
mod ailee;
mod attach;
mod bounded_memory;
mod budget;
mod catalog;
mod causes;
mod command_targets;
mod configuration;
mod confirm;
mod controls;
mod decide;
mod defects;
mod driver;
mod embedded;
mod explore;
mod follow_ups;
mod forking;
mod growth;
mod hostile;
mod inspect;
mod interstice;
mod json;
mod kernel_calls;
mod known_findings;
mod no_namespaces;
mod outputs;
mod run_evidence;
mod run_file;
mod shards;
mod signals;
mod smaller;
mod snapshots;
mod sqlite;
mod stacks;
mod statehouse;
mod support;
mod templates;
mod trace;
mod unprivileged;
mod vfab;
mod vfab_api;
mod without_fuse;
mod wrong_use;

use std::process::ExitCode;

fn main() -> ExitCode {
    plugpull_testing::main(|name| match name {
        "systemd" => attach::real_systemd::tried(),
        name => support::machine::capability(name),
    })
}
