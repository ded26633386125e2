//! What a behaviour comes to, as one canonical line.

use std::fmt;
use std::io;

use nix::errno::Errno;

/// What was seen, or why it could not be looked at.
pub(crate) type Outcome = Result<String, Trouble>;

/// Why a behaviour has no outcome.
#[derive(Debug)]
pub(crate) enum Trouble {
    /// This machine cannot show it.
    NotMeasured(String),
    /// A step that only prepares went wrong.
    Io(io::Error),
    /// The same in words.
    Other(String),
}

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotMeasured(why) => write!(f, "{NOT_MEASURED}{why}"),
            Self::Io(error) => write!(f, "stopped by {}", name_of(error)),
            Self::Other(text) => f.write_str(text),
        }
    }
}

/// How the line of what was not measured begins.
pub(crate) const NOT_MEASURED: &str = "not measured: ";

/// The error's name as errno(3) has it.
fn name_of(error: &io::Error) -> String {
    match error.raw_os_error() {
        Some(code) => format!("{:?}", Errno::from_raw(code)),
        None => error.to_string(),
    }
}

/// `ok`, or the name of the error.
pub(crate) fn word<T>(result: io::Result<T>) -> String {
    match result {
        Ok(_) => "ok".into(),
        Err(error) => name_of(&error),
    }
}

/// The value, or the name of the error.
pub(crate) fn value<T: fmt::Display>(result: io::Result<T>) -> String {
    match result {
        Ok(value) => value.to_string(),
        Err(error) => name_of(&error),
    }
}

/// Words with a space between them.
pub(crate) fn line<const N: usize>(words: [String; N]) -> Outcome {
    Ok(words.join(" "))
}
