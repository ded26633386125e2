//! Why the sandbox could not do as asked.

use std::io;

use thiserror::Error;

use super::protocol::Failure;

/// Why the sandbox could not do as asked.
#[derive(Debug, Error)]
pub enum SandboxError {
    /// The kernel refused, inside or outside.
    #[error("could not {what}: {source}")]
    Refused {
        /// What was tried: "mount a FUSE filesystem".
        what: String,
        /// What the kernel said.
        source: io::Error,
    },
    /// The sandbox has ended: everything in it is dead.
    #[error("the sandbox is gone")]
    Gone,
    /// It did not get done in time.
    #[error("timed out: {0}")]
    TimedOut(String),
    /// This machine has not got what it takes.
    #[error("not available here: {0}")]
    Unavailable(String),
}

impl SandboxError {
    pub(super) fn refused(what: impl Into<String>, source: impl Into<io::Error>) -> Self {
        Self::Refused {
            what: what.into(),
            source: source.into(),
        }
    }
}

impl From<Failure> for SandboxError {
    fn from(failure: Failure) -> Self {
        Self::Refused {
            what: failure.what,
            source: io::Error::from_raw_os_error(failure.errno),
        }
    }
}

impl From<SandboxError> for io::Error {
    fn from(error: SandboxError) -> Self {
        let kind = match &error {
            SandboxError::Refused { source, .. } => source.kind(),
            SandboxError::Gone => io::ErrorKind::BrokenPipe,
            SandboxError::TimedOut(_) => io::ErrorKind::TimedOut,
            SandboxError::Unavailable(_) => io::ErrorKind::Unsupported,
        };
        Self::new(kind, error)
    }
}
