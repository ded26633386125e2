//! Starting a target on whatever its disk holds, and reading everything back.

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use plugpull_faults::fault::Started;
use plugpull_targets::{Client, Running, StartError, Target};
use plugpull_workloads::{Observed, Start};

use super::host::SandboxHost;

/// How long reading everything back may take.
const READ_LIMIT: Duration = Duration::from_secs(60);

/// A successful start.
pub(crate) struct Up {
    pub(crate) client: Box<dyn Client>,
    /// From the spawn to the first correct answer.
    pub(crate) took: Duration,
}

impl Up {
    /// Everything that the target holds, or why it cannot be read.
    pub(crate) fn read_all(&mut self) -> plugpull_workloads::ReadBack {
        self.client
            .read_all(Instant::now() + READ_LIMIT)
            .map_err(|error| error.to_string())
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

/// Starts the target and asks it for `probe`; the time runs from the spawn to the answer.
pub(crate) fn bring_up<'host>(
    target: &dyn Target,
    host: &'host SandboxHost,
    limit: Duration,
    probe: &str,
) -> Result<(Box<dyn Running + 'host>, Up), Started> {
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
    let answer = running.connect(deadline).and_then(|mut client| {
        client.get(probe, deadline)?;
        Ok(client)
    });
    let took = began.elapsed();
    match answer {
        Ok(client) => Ok((running, Up { client, took })),
        Err(_) if took >= limit => Err(Started::Hung(took)),
        Err(error) => Err(Started::Refused(format!("it does not answer: {error}"))),
    }
}

/// Notes how a start went, and all that the target shows after it.
pub(crate) fn note(started: Result<&mut Up, Started>, observed: &mut Observed) {
    match started {
        Ok(up) => {
            observed.start = Start::Started;
            observed.recovery = Some(up.took);
            observed.state = Some(up.read_all());
            let deadline = Instant::now() + READ_LIMIT;
            observed.integrity = Some(match up.client.check(deadline) {
                Ok(None) => Ok(()),
                Ok(Some(said)) => Err(said),
                Err(error) => Err(error.to_string()),
            });
            observed.log = up
                .client
                .event_log(Instant::now() + READ_LIMIT)
                .map_err(|error| error.to_string())
                .transpose();
        }
        Err(Started::Hung(waited)) => observed.start = Start::Hung { waited },
        Err(why) => {
            observed.start = Start::Refused {
                message: words(&why),
            }
        }
    }
}

/// How a start went, in words.
pub(crate) fn words(started: &Started) -> String {
    match started {
        Started::Up => "it came up".into(),
        Started::Refused(text) => text.clone(),
        Started::Hung(waited) => format!("it neither came up nor ended within {waited:?}"),
    }
}
