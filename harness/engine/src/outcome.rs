//! The three outcomes of a trial, kept apart by their types.
//!
//! - [`Observed`]: the target answered. It is all that an oracle takes.
//! - [`TargetFailed`]: the target refused, crashed or hung. It becomes a part of what was observed.
//! - [`HarnessFailed`]: the sandbox, the crash filesystem, the machine or plugpull itself failed, and
//!   nothing may be concluded about the target. Nothing turns it into one of the other two:
//!
//! ```compile_fail
//! use plugpull_engine::outcome::{HarnessFailed, TargetFailed};
//! let ours = HarnessFailed::new("the sandbox is gone");
//! let theirs: TargetFailed = ours.into();
//! ```
//!
//! ```compile_fail
//! use plugpull_engine::outcome::{HarnessFailed, Observed};
//! let ours = HarnessFailed::new("the sandbox is gone");
//! let seen: Observed = ours.into();
//! ```

use std::cell::RefCell;
use std::fmt;
use std::io;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Once;
use std::time::Duration;

use parking_lot::Mutex;
use plugpull_faults::machine::{InjectError, Started};
use plugpull_sandbox::SandboxError;
use plugpull_sandbox::fuse::ServerFailure;
pub use plugpull_workloads::Observed;
use plugpull_workloads::Start;
use serde::{Deserialize, Serialize};

/// How a target failed, with what it wrote as the evidence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TargetFailed {
    /// It ended, or answered that it cannot serve.
    Refused(String),
    /// It printed that it has not recovered, and goes on answering as if it had.
    WentOn(String),
    /// It neither answered nor ended within this time.
    Hung(Duration),
}

impl TargetFailed {
    /// Notes the failure as what was seen of the start.
    pub fn note(self, observed: &mut Observed) {
        observed.went_on = matches!(self, Self::WentOn(_));
        observed.start = match self {
            Self::Refused(message) | Self::WentOn(message) => Start::Refused { message },
            Self::Hung(waited) => Start::Hung { waited },
        };
    }
}

impl fmt::Display for TargetFailed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(message) | Self::WentOn(message) => f.write_str(message),
            Self::Hung(waited) => write!(f, "it neither came up nor ended within {waited:.1?}"),
        }
    }
}

impl From<TargetFailed> for Started {
    fn from(failed: TargetFailed) -> Self {
        match failed {
            TargetFailed::Refused(message) | TargetFailed::WentOn(message) => {
                Started::Refused(message)
            }
            TargetFailed::Hung(waited) => Started::Hung(waited),
        }
    }
}

/// plugpull failed: nothing is known of the target, and nothing may be concluded about it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HarnessFailed {
    /// What failed, and why.
    pub message: String,
    /// The file and line of a failed assertion or another panic.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<String>,
}

impl HarnessFailed {
    /// A failure that has no place of its own in the source.
    pub fn new(message: impl fmt::Display) -> Self {
        Self {
            message: message.to_string(),
            place: None,
        }
    }

    /// The same failure, with what was being done.
    #[must_use]
    pub fn during(mut self, what: &str) -> Self {
        self.message = format!("{what}: {}", self.message);
        self
    }

    /// What a thread that ended by a panic outside of every [`guard`] leaves to say.
    pub fn of_thread(what: &str, payload: &(dyn std::any::Any + Send)) -> Self {
        let message = match ELSEWHERE.lock().take() {
            Some(last) => {
                return Self {
                    message: format!("{what} panicked: {}", last.message),
                    place: last.place,
                };
            }
            None => text_of(payload),
        };
        Self::new(format!("{what} panicked: {message}"))
    }
}

impl fmt::Display for HarnessFailed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        match &self.place {
            Some(place) => write!(f, " (at {place})"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for HarnessFailed {}

impl From<anyhow::Error> for HarnessFailed {
    fn from(error: anyhow::Error) -> Self {
        match error.downcast::<HarnessFailed>() {
            Ok(failed) => failed,
            Err(error) => Self::new(format!("{error:#}")),
        }
    }
}

impl From<InjectError> for HarnessFailed {
    fn from(error: InjectError) -> Self {
        match error {
            InjectError::Io(error) => error.into(),
            other => Self::new(other),
        }
    }
}

impl From<ServerFailure> for HarnessFailed {
    fn from(failure: ServerFailure) -> Self {
        let message = format!("the server of the crash filesystem {}", failure.message);
        let place = failure.place;
        Self { message, place }
    }
}

impl From<SandboxError> for HarnessFailed {
    fn from(error: SandboxError) -> Self {
        Self::new(error)
    }
}

impl From<io::Error> for HarnessFailed {
    fn from(error: io::Error) -> Self {
        let inner = error.get_ref().and_then(|inner| inner.downcast_ref());
        inner.cloned().unwrap_or_else(|| Self::new(&error))
    }
}

impl From<HarnessFailed> for InjectError {
    fn from(failed: HarnessFailed) -> Self {
        InjectError::Io(io::Error::other(failed))
    }
}

thread_local! {
    /// How many guards this thread is in, and where the last panic within one was.
    static GUARDED: RefCell<(u32, Option<String>)> = const { RefCell::new((0, None)) };
}

/// The last panic in a thread that no guard watches.
static ELSEWHERE: Mutex<Option<HarnessFailed>> = Mutex::new(None);

fn text_of(payload: &(dyn std::any::Any + Send)) -> String {
    payload
        .downcast_ref::<&str>()
        .map(ToString::to_string)
        .or_else(|| payload.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "a panic without a message".into())
}

/// Has panics noted: where they were, and outside of guards also what they said.
fn watch_panics() {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            let at = info.location().map(ToString::to_string);
            let guarded = GUARDED.with_borrow_mut(|(depth, place)| {
                if *depth > 0 {
                    place.clone_from(&at);
                }
                *depth > 0
            });
            if !guarded {
                *ELSEWHERE.lock() = Some(HarnessFailed {
                    message: text_of(info.payload()),
                    place: at,
                });
                before(info);
            }
        }));
    });
}

/// Runs it; a panic within becomes a failure with its place, and is not printed.
///
/// # Errors
/// What it returns, or that it panicked.
pub fn guard<T>(run: impl FnOnce() -> Result<T, HarnessFailed>) -> Result<T, HarnessFailed> {
    watch_panics();
    GUARDED.with_borrow_mut(|(depth, _)| *depth += 1);
    let done = panic::catch_unwind(AssertUnwindSafe(run));
    let place = GUARDED.with_borrow_mut(|(depth, place)| {
        *depth -= 1;
        place.take()
    });
    done.unwrap_or_else(|payload| {
        Err(HarnessFailed {
            message: text_of(&*payload),
            place,
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_a_failure_with_its_place() {
        let failed =
            guard(|| -> Result<(), _> { panic!("page {} is gone", 7) }).expect_err("a panic");
        assert_eq!(failed.message, "page 7 is gone");
        let place = failed.place.clone().expect("a place");
        assert!(place.contains("outcome.rs:"), "{place}");
        assert!(failed.to_string().ends_with(&format!("(at {place})")));
        assert_eq!(guard(|| Ok(3)), Ok(3));
    }

    #[test]
    fn a_failure_keeps_its_place_on_its_way_through_other_errors() {
        let failed = guard(|| -> Result<(), _> { panic!("no") }).expect_err("a panic");
        let error = anyhow::Error::from(InjectError::from(failed.clone()));
        let inject = error.downcast::<InjectError>().expect("as it was");
        assert_eq!(HarnessFailed::from(inject), failed);
        let error = anyhow::Error::from(failed.clone()).context("more");
        assert!(HarnessFailed::from(error).message.contains("no"));
    }
}
