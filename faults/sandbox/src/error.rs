//! Why the sandbox could not do what it was to do.

use std::io;

use thiserror::Error;

/// Why the sandbox could not do what it was to do. It is never the fault of a target.
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
    /// This machine lacks what it takes.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cause_is_named_and_its_kind_kept() {
        let denied = io::Error::from_raw_os_error(libc::EACCES);
        let error = SandboxError::refused("mount a tmpfs", denied);
        assert!(error.to_string().starts_with("could not mount a tmpfs: "));
        let error = io::Error::from(error);
        assert_eq!(error.kind(), io::ErrorKind::PermissionDenied);
        let late = io::Error::from(SandboxError::TimedOut("mounting".into()));
        assert_eq!(late.kind(), io::ErrorKind::TimedOut);
    }
}
