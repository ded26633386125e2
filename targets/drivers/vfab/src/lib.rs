//! A driver for vfab, a manager of plotter jobs, by its command line, and the inspector of its files.
//!
//! A job is a directory with a state document (`job.json`, rewritten in place) and a journal
//! (`journal.jsonl`, appended to); each transition is written to the journal, then to the document,
//! then as an event to the statistics database. What must hold between the three was read from
//! vfab's public sources and its `docs/troubleshooting/recovery-scenarios.md`.

mod commands;
mod document;
mod driver;
mod job;
mod journal;
mod mutant;
pub mod paper;
mod places;
mod report;
mod settings;
mod sheets;
mod states;
mod statistics;
#[cfg(test)]
mod tests;

use plugpull_driver::sdk::System;
use plugpull_inspect::Inspector;

pub use driver::capabilities;
pub use mutant::{MUTANTS, Mutant};
pub use settings::{SETTINGS, Settings, Until};
pub use states::State;

/// Its name on the command line.
pub const NAME: &str = "vfab";

/// vfab, as a system that a driver speaks for.
pub const SYSTEM: System = System {
    name: NAME,
    about: "vfab, a manager of plotter jobs: journal, state document and statistics (the real command \
            line, or plugpull's fake with --reference)",
    settings: SETTINGS,
    mutants: MUTANTS,
    open: |values| Ok(Box::new(driver::VfabDriver::new(values)?)),
    inspect: Some(|args| plugpull_inspect::main(&INSPECTOR, args)),
};

/// Looks at a workspace, at the directory vfab was run in, or at a single job.
pub const INSPECTOR: Inspector = Inspector {
    name: "vfab",
    about: "vfab's jobs: journal, state document and statistics (a workspace, or a job's directory)",
    expect: Some("the id of a job that was added and not removed"),
    inspect: report::inspect,
    repair: None,
    second_opinion: None,
};
