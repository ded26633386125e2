//! The drivers that come with plugpull: where each is, and how it describes itself.

use std::collections::BTreeMap;
use std::io;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::CommandLine;
use super::link::Link;
use crate::protocol::{Call, PROTOCOL, Verdict};
use crate::{CommandDescription, Description, Pipes, UsageError, program};

/// How long a driver may take to describe itself.
const LIMIT: Duration = Duration::from_secs(20);

/// The name of the program that drives a system.
pub fn program_name(system: &str) -> String {
    format!("plugpull-driver-{system}")
}

/// How the driver of a system that comes with plugpull describes itself with its default settings.
///
/// # Errors
/// It is missing or of another build.
pub fn describe_bundled(system: &str) -> Result<Description, UsageError> {
    describe(system, &BTreeMap::new()).map(|(_, description)| description)
}

/// The driver of a system, with these settings as its arguments, and its description.
pub(super) fn describe(
    system: &str,
    settings: &BTreeMap<String, String>,
) -> Result<(CommandLine, Description), UsageError> {
    let name = program_name(system);
    let program = program::sibling(&name).ok_or_else(|| missing(&name))?;
    let args = settings
        .iter()
        .map(|(name, value)| format!("{name}={value}"));
    let driver = CommandLine {
        program,
        args: args.collect(),
    };
    let wrong = |why: String| {
        UsageError::Driver(format!(
            "the driver {} cannot be used: {why}; `cargo build --release -p plugpull` builds it \
             with plugpull",
            driver.program.display()
        ))
    };
    let reply = described(&driver).map_err(|error| wrong(error.to_string()))?;
    if reply.verdict != Verdict::Ok {
        return Err(UsageError::Driver(reply.text));
    }
    let description: Description = reply.returned().map_err(wrong)?;
    description.of_this_build().map_err(wrong)?;
    let description = description.checked().map_err(wrong)?;
    Ok((driver, description))
}

/// Another program that a driver names as the driver.
pub(super) fn other(command: &CommandDescription) -> Result<CommandLine, UsageError> {
    let name = command.program.display().to_string();
    let program = match command.program.is_absolute() {
        true => program::find(&name),
        false => program::sibling(&command.program),
    };
    Ok(CommandLine {
        program: program.ok_or_else(|| missing(&name))?,
        args: command.args.clone(),
    })
}

fn missing(name: &str) -> UsageError {
    UsageError::Driver(format!(
        "the driver {name} is neither beside plugpull nor on PATH; `cargo build --release -p \
         plugpull` builds it with plugpull"
    ))
}

/// Starts a driver as a plain process, outside of any sandbox, and has it describe itself.
fn described(driver: &CommandLine) -> io::Result<super::link::Reply> {
    let (its_stdin, stdin) = io::pipe()?;
    let (stdout, its_stdout) = io::pipe()?;
    let mut command = Command::new(&driver.program);
    command
        .args(&driver.args)
        .stdin(its_stdin)
        .stdout(its_stdout)
        .stderr(Stdio::null());
    let mut child = command.spawn()?;
    // It holds the other ends of the pipes.
    drop(command);
    let link = Link::new(Pipes { stdin, stdout })?;
    let call = Call::Describe { protocol: PROTOCOL };
    let answer = link.call(None, call, Instant::now() + LIMIT);
    drop(link);
    if answer.is_err() {
        child.kill()?;
    }
    child.wait()?;
    answer.map_err(|none| io::Error::other(none.describe()))
}
