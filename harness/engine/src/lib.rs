//! One experiment: prepare a target, crash it, let it recover, observe it and judge what it kept.

/// Writes a line to standard error. Where nobody reads it there is nothing left to do: what it says is no
/// part of a verdict.
macro_rules! eprintln {
    ($($line:tt)*) => {{
        use std::io::Write;
        if writeln!(std::io::stderr(), $($line)*).is_err() {}
    }};
}

pub mod attach;
pub mod evidence;
pub mod experiment;
pub mod explore;
pub mod growth;
pub mod keep;
pub mod outcome;
pub mod prepare;
pub mod run;
pub mod seed;
pub mod shard;
#[cfg(test)]
mod simulated;
pub mod trial;

use std::fmt;

/// Something the user asked for that cannot be: exit code 2, and nothing was started.
#[derive(Debug)]
pub struct WrongUse(pub String);

impl fmt::Display for WrongUse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for WrongUse {}

/// Wrong use, for this reason.
pub fn wrong(why: impl fmt::Display) -> anyhow::Error {
    anyhow::Error::new(WrongUse(why.to_string()))
}
