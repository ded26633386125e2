//! The run file: what happened in a run, one JSON line for each thing, flushed as it happens.
//! `docs/run-file.md` describes it.

pub(crate) mod log;
pub(crate) mod reader;
pub(crate) mod record;
pub(crate) mod recorded;
pub(crate) mod writer;
