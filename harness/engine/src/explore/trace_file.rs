//! A trace as a file: what `--record` writes and `--trace` reads.

use std::path::PathBuf;

use anyhow::Context;
use plugpull_crashsim::fs::Tree;
use plugpull_crashsim::trace::{self, TraceError, TraceWriter};

use super::record::{Recorded, Trace};

/// Where a trace is kept, and how much memory it may take on the way there.
pub struct TraceFile {
    /// The file.
    pub path: PathBuf,
    /// The most bytes that wait to be written.
    pub memory: u64,
}

impl TraceFile {
    /// Begins to write it.
    pub(super) fn create(&self) -> anyhow::Result<TraceWriter> {
        TraceWriter::create(&self.path, self.memory)
            .with_context(|| format!("the trace cannot be written to {}", self.path.display()))
    }

    /// Writes what it is about and gives it its name.
    pub(super) fn finish(&self, writer: TraceWriter, about: &Recorded) -> anyhow::Result<()> {
        writer
            .finish(serde_json::to_vec(about)?)
            .with_context(|| format!("the trace could not be written to {}", self.path.display()))
    }

    /// Reads it.
    pub fn read(&self) -> anyhow::Result<Trace> {
        let mut about: Option<serde_json::Result<Recorded>> = None;
        let traced = trace::read(&self.path, |bytes| {
            let read = about.insert(serde_json::from_slice(bytes));
            let (uid, gid) = read.as_ref().map_or((0, 0), |about| about.owner);
            Tree::new(uid, gid, 0)
        })?;
        match about {
            Some(Ok(about)) => Ok(Trace {
                log: traced.log,
                about,
            }),
            _ => Err(TraceError::NoTrace(self.path.clone()).into()),
        }
    }
}
