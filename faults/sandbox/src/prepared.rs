//! A process that is ready to become its program.

use std::io::{PipeWriter, Write};
use std::sync::Arc;

use super::output::Output;
use super::protocol::Order;
use super::question::Question;
use super::{Child, SandboxError, SpawnRequest};

/// Made by [`super::Sandbox::prepare`]. Dropping it ends the process, which may take a moment.
pub struct Prepared {
    pub(super) wanted: Order,
    pub(super) gate: PipeWriter,
    pub(super) open: Question,
    pub(super) output: Arc<Output>,
}

impl Prepared {
    /// Whether this is what it was prepared for.
    pub fn is_for(&self, request: &SpawnRequest) -> bool {
        self.wanted == Order::from(request)
    }

    /// Lets it become its program, and waits until it has.
    pub fn go(mut self) -> Result<Child, SandboxError> {
        self.gate
            .write_all(&[1])
            .map_err(|error| SandboxError::refused("start a prepared process", error))?;
        let (pid, ending) = self.open.started()?;
        Ok(Child {
            pid,
            ending,
            output: self.output,
        })
    }
}
