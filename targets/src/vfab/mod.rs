//! vfab, the plotter manager: the files of its jobs.
//!
//! A job is a folder with a state document (`job.json`, rewritten in place) and a journal
//! (`journal.jsonl`, appended to); each transition is written to the journal, then to the document,
//! then as an event to the statistics database. What must hold between the three was read from
//! vfab's public sources and its `docs/troubleshooting/recovery-scenarios.md`.

mod document;
mod job;
mod journal;
mod places;
mod report;
mod states;
mod statistics;
#[cfg(test)]
mod tests;

use crate::inspect::Inspector;

pub use states::State;

/// Looks at a workspace, at the folder vfab was run in, or at a single job.
pub const INSPECTOR: Inspector = Inspector {
    name: "vfab",
    about: "vfab's jobs: journal, state document and statistics (a workspace, or a job's folder)",
    expect: Some("the id of a job that was added and not removed"),
    inspect: report::inspect,
    repair: None,
};
