//! vfab, the plotter manager: the files of its jobs.
//!
//! A job is a folder with a state document (`job.json`, rewritten in place) and a journal
//! (`journal.jsonl`, appended to); each transition is written to the journal, then to the document,
//! then as an event to the statistics database. What must hold between the three was read from
//! vfab's public sources and its `docs/troubleshooting/recovery-scenarios.md`.

pub(crate) mod commands;
mod document;
mod job;
mod journal;
mod paper;
mod places;
mod promises;
pub mod reference;
mod report;
mod settings;
mod sheets;
mod states;
mod statistics;
mod target;
#[cfg(test)]
mod tests;

use crate::inspect::Inspector;

pub use reference::DEFECTS;
pub use settings::{SETTINGS, Settings, Until};
pub use states::State;
pub use target::Vfab;

/// Its name on the command line.
pub const NAME: &str = "vfab";

/// What it is, in one line.
pub const ABOUT: &str = "vfab, a manager of plotter jobs: journal, state document and statistics \
                         (the real command line, or plugpull's stand-in with --reference)";

/// Looks at a workspace, at the folder vfab was run in, or at a single job.
pub const INSPECTOR: Inspector = Inspector {
    name: "vfab",
    about: "vfab's jobs: journal, state document and statistics (a workspace, or a job's folder)",
    expect: Some("the id of a job that was added and not removed"),
    inspect: report::inspect,
    repair: None,
    ask_too: None,
};
