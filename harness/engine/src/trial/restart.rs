//! Starting a target on whatever its disk holds, and reading everything back.

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use plugpull_faults::fault::Started;
use plugpull_targets::{Client, ClientError, Running, StartError, Target};
use plugpull_workloads::{Observed, ReadBack, Start};

use super::host::SandboxHost;
use super::script::{self, Acked};

/// How long reading everything back may take.
const READ_LIMIT: Duration = Duration::from_secs(60);

/// A successful start.
pub struct Up<'t> {
    ask: Ask<'t>,
    /// From the spawn to the first correct answer; none where starting it runs nothing.
    pub took: Option<Duration>,
}

/// How a target is asked for what it holds.
enum Ask<'t> {
    /// Through a connection.
    Client(Box<dyn Client>),
    /// By its own check, with what was acknowledged.
    Script(&'t dyn Target, &'t SandboxHost, Acked),
}

impl Up<'_> {
    /// Everything that the target holds, or why it cannot be read.
    pub fn read_all(&mut self) -> anyhow::Result<ReadBack> {
        match &mut self.ask {
            Ask::Client(client) => Ok(client
                .read_all(Instant::now() + READ_LIMIT)
                .map_err(|error| error.to_string())),
            Ask::Script(target, host, acked) => {
                let mut observed = Observed::default();
                script::look(*target, host, acked, &mut observed)?;
                Ok(match (observed.start, observed.state) {
                    (Start::Started, Some(state)) => state,
                    (Start::Refused { message }, _) => Err(message),
                    (Start::Hung { waited }, _) => {
                        Err(format!("its check had not ended after {waited:?}"))
                    }
                    (Start::Started, None) => Err("its check said nothing".into()),
                })
            }
        }
    }
}

/// How a target ended before it was ready, in words; `code` is its exit code or 128 + signal.
fn ended(code: i32, output: &str) -> String {
    let how = match Signal::try_from(code - 128) {
        Ok(signal) => format!("ended by {signal}"),
        Err(_) => format!("exit code {code}"),
    };
    match output {
        "" => how,
        said => format!("{how}: {said}"),
    }
}

/// Starts the target and asks it for `probe`; the time runs from the spawn to the answer. One with
/// a check of its own is not asked yet: its check will be, about what was `acked`.
pub fn bring_up<'t, 'host: 't>(
    target: &'t dyn Target,
    host: &'host SandboxHost,
    limit: Duration,
    probe: &str,
    acked: Acked,
) -> Result<(Box<dyn Running + 'host>, Up<'t>), Started> {
    let began = Instant::now();
    let deadline = began + limit;
    let running = match target.start(host, deadline) {
        Ok(running) => running,
        Err(StartError::Exited { code, output }) => {
            return Err(Started::Refused(ended(code, output.trim())));
        }
        Err(StartError::Timeout { waited, .. }) => return Err(Started::Hung(waited)),
        Err(StartError::Host(error)) => return Err(Started::Refused(error.to_string())),
    };
    let answer = match target.scripted() {
        Some(_) => Ok(Ask::Script(target, host, acked)),
        None => probed(&*running, probe, deadline).map(Ask::Client),
    };
    let took = began.elapsed();
    match answer {
        Ok(ask) => {
            let timed = target.scripted().is_none_or(|script| script.recovers());
            let took = timed.then_some(took);
            Ok((running, Up { ask, took }))
        }
        Err(_) if took >= limit => Err(Started::Hung(took)),
        Err(error) => Err(Started::Refused(format!("it does not answer: {error}"))),
    }
}

/// A connection that has answered.
fn probed(
    running: &dyn Running,
    probe: &str,
    deadline: Instant,
) -> Result<Box<dyn Client>, ClientError> {
    let mut client = running.connect(deadline)?;
    client.get(probe, deadline)?;
    Ok(client)
}

/// Notes how a start went, and all that the target shows after it. Returns what its own check
/// printed, where it has one.
///
/// # Errors
/// That check could not be run or said what makes no sense.
pub fn note(
    started: Result<&mut Up<'_>, Started>,
    observed: &mut Observed,
) -> anyhow::Result<String> {
    let up = match started {
        Ok(up) => up,
        Err(Started::Hung(waited)) => {
            observed.start = Start::Hung { waited };
            return Ok(String::new());
        }
        Err(why) => {
            let message = words(&why);
            observed.start = Start::Refused { message };
            return Ok(String::new());
        }
    };
    observed.start = Start::Started;
    observed.recovery = up.took;
    let client = match &mut up.ask {
        Ask::Script(target, host, acked) => return script::look(*target, host, acked, observed),
        Ask::Client(client) => client,
    };
    let state = client.read_all(Instant::now() + READ_LIMIT);
    observed.state = Some(state.map_err(|error| error.to_string()));
    observed.integrity = Some(match client.check(Instant::now() + READ_LIMIT) {
        Ok(None) => Ok(()),
        Ok(Some(said)) => Err(said),
        Err(error) => Err(error.to_string()),
    });
    let log = client.event_log(Instant::now() + READ_LIMIT);
    observed.log = log.map_err(|error| error.to_string()).transpose();
    Ok(String::new())
}

/// How a start went, in words.
pub fn words(started: &Started) -> String {
    match started {
        Started::Up => "it came up".into(),
        Started::Refused(text) => text.clone(),
        Started::Hung(waited) => format!("it neither came up nor ended within {waited:?}"),
    }
}
