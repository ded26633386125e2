//! What init has not answered yet: requests, and processes that wait to become their program.

use std::io::{PipeWriter, Write};
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError};

use super::child::{Child, Ending, SpawnRequest};
use super::error::SandboxError;
use super::listener::{Replies, Reply};
use super::output::Output;
use super::protocol::{Answer, Failure, ProgramSpec};

/// How long the sandbox may take to stand, to answer, and to be gone. Far beyond what it takes:
/// for machines under heavy load.
pub(super) const PATIENCE: Duration = Duration::from_secs(20);

/// A request to init without its answer. Dropping it gives the answer up.
pub(super) struct PendingRequest {
    replies: Arc<Replies>,
    id: u64,
    what: &'static str,
    answer: Receiver<Result<Reply, Failure>>,
}

impl PendingRequest {
    /// Announces a request of this number, before it is sent. None when no answers come any more.
    pub(super) fn new(replies: &Arc<Replies>, id: u64, what: &'static str) -> Option<Self> {
        Some(Self {
            answer: replies.expect(id)?,
            replies: Arc::clone(replies),
            id,
            what,
        })
    }

    /// Waits for the answer.
    pub(super) fn reply(self) -> Result<Reply, SandboxError> {
        match self.answer.recv_timeout(PATIENCE) {
            Ok(reply) => Ok(reply?),
            Err(RecvTimeoutError::Disconnected) => Err(SandboxError::Gone),
            Err(RecvTimeoutError::Timeout) => Err(SandboxError::TimedOut(self.what.to_owned())),
        }
    }

    /// Waits for the answer that a process was started: its number, and where its end is made known.
    pub(super) fn started(self) -> Result<(i32, Arc<Ending>), SandboxError> {
        match self.reply()? {
            Reply {
                answer: Answer::Started(pid),
                ending: Some(ending),
                ..
            } => Ok((pid, ending)),
            _ => Err(SandboxError::Gone),
        }
    }
}

impl Drop for PendingRequest {
    fn drop(&mut self) {
        self.replies.forget(self.id);
    }
}

/// A process that is ready to become its program, made by [`super::Sandbox::prepare`]. Dropping it ends the process, which may take a moment.
pub struct Prepared {
    pub(super) program: ProgramSpec,
    pub(super) reads_lines: bool,
    pub(super) gate: PipeWriter,
    pub(super) request: PendingRequest,
    pub(super) output: Arc<Output>,
}

impl Prepared {
    /// Whether it was prepared for this request.
    pub fn is_for(&self, request: &SpawnRequest) -> bool {
        self.program == ProgramSpec::from(request) && self.reads_lines == request.reads_lines
    }

    /// Lets it become its program, and waits until it has.
    pub fn go(mut self) -> Result<Child, SandboxError> {
        self.gate
            .write_all(&[1])
            .map_err(|error| SandboxError::refused("start a prepared process", error))?;
        let (pid, ending) = self.request.started()?;
        Ok(Child {
            pid,
            ending,
            output: self.output,
        })
    }
}
