//! What init was asked, and waiting for its answer.

use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError};

use super::SandboxError;
use super::child::Ending;
use super::listener::{Reply, Shared};
use super::protocol::{Answer, Failure};

/// How long the sandbox may take to stand, to answer, and to be gone. Far beyond what it takes:
/// for machines under heavy load.
pub(super) const PATIENCE: Duration = Duration::from_secs(20);

/// A question to init that is open. Nobody waits for the answer once this is dropped.
pub(super) struct Question {
    shared: Arc<Shared>,
    id: u64,
    what: &'static str,
    answer: Receiver<Result<Reply, Failure>>,
}

impl Question {
    /// Announces a question of this number, before it is sent. None when no answers come any more.
    pub(super) fn new(shared: &Arc<Shared>, id: u64, what: &'static str) -> Option<Self> {
        Some(Self {
            answer: shared.expect(id)?,
            shared: Arc::clone(shared),
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

impl Drop for Question {
    fn drop(&mut self) {
        self.shared.forget(self.id);
    }
}
