//! Starting a driver, and the daemon that it speaks for where there is one.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Map, Value};

use super::command_line::CommandLine;
use super::driver_client::DriverClient;
use super::lines::Lines;
use super::link::{Link, NoAnswer, Reply};
use crate::protocol::{Call, LaunchAnswer, OLDEST, PROTOCOL, Verdict};
use crate::{
    Client, ClientError, Description, Host, Launch, Part, Process, Running, StartError, program,
};

/// How often it is looked whether a daemon that is waited for still lives.
const LOOK: Duration = Duration::from_millis(10);
/// How long a driver may take to describe itself, or to end.
const DESCRIBE_LIMIT: Duration = Duration::from_secs(5);

/// What is started for a target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Commands {
    /// The driver.
    pub driver: CommandLine,
    /// The program under test, where the driver is not and does not say it by itself.
    pub daemon: Option<CommandLine>,
}

/// A driver that said hello.
pub(super) struct DriverRunning {
    /// The target: the driver itself, or the daemon.
    process: Box<dyn Process>,
    /// The driver, where it is not the target.
    _beside: Option<Box<dyn Process>>,
    pub(super) link: Arc<Link>,
    description: Arc<Description>,
    clients: AtomicU32,
}

/// Processes that were started and have not said hello yet.
struct Started {
    process: Box<dyn Process>,
    beside: Option<Box<dyn Process>>,
    link: Link,
    /// What the daemon's lines mean.
    lines: Lines,
}

/// Starts a driver once, to learn what it is; none where it knows nothing of descriptions, as one
/// of version 1.
///
/// # Errors
/// It could not be started, neither answered nor ended in time, or what it said is not right.
pub(super) fn describe(
    driver: &CommandLine,
    host: &dyn Host,
    deadline: Instant,
) -> Result<Option<Description>, StartError> {
    let began = Instant::now();
    let (mut process, pipes) = host.spawn_piped(&driver.launch(host), Part::Beside)?;
    let link = Link::new(pipes)?;
    let call = Call::Describe { protocol: PROTOCOL };
    let soon = deadline.min(began + DESCRIBE_LIMIT);
    let described = match link.call(None, call, soon) {
        Ok(reply) if reply.verdict == Verdict::Ok => {
            let described = reply.returned().and_then(Description::checked);
            Some(described.map_err(|why| broken(&why, &*process))?)
        }
        Err(NoAnswer::Late) if soon == deadline => return Err(late(began, &*process)),
        _ => None,
    };
    // The end of its standard input ends it.
    drop(link);
    process.wait(deadline.min(Instant::now() + DESCRIBE_LIMIT))?;
    Ok(described)
}

/// Starts what is to be started, and waits until the driver has answered hello. `known` is how the
/// driver described itself.
pub(super) fn start(
    commands: &Commands,
    known: Option<&Description>,
    host: &dyn Host,
    deadline: Instant,
) -> Result<DriverRunning, StartError> {
    let began = Instant::now();
    let mut started = spawn(commands, known, host, deadline)?;
    started.lines.ready(&mut *started.process, deadline)?;
    let version = known.map_or(OLDEST, |known| known.protocol);
    let answer = hello(&mut started, version, deadline);
    let Started {
        mut process,
        beside,
        link,
        mut lines,
    } = started;
    if answer.is_ok() {
        lines.settled(&mut *process)?;
    }
    process.ignore_lines();
    let speaker = beside.as_deref().unwrap_or(&*process);
    let reply = match answer {
        Ok(reply) => reply,
        Err(Silence::Exited(code)) => {
            return Err(StartError::Exited {
                code,
                output: process.output(),
            });
        }
        Err(Silence::DriverExited(code)) => {
            return Err(StartError::Refused(with_output(
                &format!("the driver ended with code {code}"),
                speaker,
            )));
        }
        Err(Silence::Refused(why)) => return Err(StartError::WentOn(why)),
        Err(Silence::Late) => return Err(late(began, speaker)),
        Err(Silence::Breach(why)) => return Err(broken(&why, speaker)),
    };
    let description = match reply.verdict {
        Verdict::Ok => {
            let fields: Result<Map<String, Value>, String> = reply.returned();
            fields
                .and_then(|fields| Description::of_hello(&fields, version, known))
                .map_err(|why| broken(&why, speaker))?
        }
        Verdict::Fail | Verdict::Info | Verdict::Gone => {
            return Err(StartError::Refused(with_output(&reply.text, speaker)));
        }
    };
    Ok(DriverRunning {
        process,
        _beside: beside,
        link: Arc::new(link),
        description: Arc::new(description),
        clients: AtomicU32::new(0),
    })
}

/// Starts a driver beside a target that is up already, and says hello.
pub(super) fn join(
    driver: &CommandLine,
    known: &Description,
    host: &dyn Host,
    deadline: Instant,
) -> io::Result<(Box<dyn Process>, Link)> {
    let (process, link) = beside(driver, host)?;
    let call = Call::Hello {
        protocol: known.protocol,
    };
    match link.call(None, call, deadline) {
        Ok(reply) if reply.verdict == Verdict::Ok => Ok((process, link)),
        Ok(reply) => Err(io::Error::other(with_output(&reply.text, &*process))),
        Err(none) => Err(io::Error::other(with_output(&none.describe(), &*process))),
    }
}

/// Starts a driver beside the target, or while there is none.
pub(super) fn beside(
    driver: &CommandLine,
    host: &dyn Host,
) -> io::Result<(Box<dyn Process>, Link)> {
    let (process, pipes) = host.spawn_piped(&driver.launch(host), Part::Beside)?;
    Ok((process, Link::new(pipes)?))
}

fn spawn(
    commands: &Commands,
    known: Option<&Description>,
    host: &dyn Host,
    deadline: Instant,
) -> Result<Started, StartError> {
    if let Some(daemon) = &commands.daemon {
        let process = host.spawn(&daemon.launch(host))?;
        let (beside, link) = beside(&commands.driver, host)?;
        return Ok(Started {
            process,
            beside: Some(beside),
            link,
            lines: Lines::default(),
        });
    }
    if known.is_none_or(|known| !known.daemon) {
        let launch = Launch {
            forks: known.is_some_and(Description::forks),
            fork_exits: known.is_some_and(Description::fork_exits),
            ..commands.driver.launch(host)
        };
        let (process, pipes) = host.spawn_piped(&launch, Part::Target)?;
        return Ok(Started {
            process,
            beside: None,
            link: Link::new(pipes)?,
            lines: Lines::default(),
        });
    }
    let (beside, link) = beside(&commands.driver, host)?;
    let began = Instant::now();
    let launch = match link.call(None, Call::Launch, deadline) {
        Ok(reply) if reply.verdict == Verdict::Ok => {
            let launch: Result<LaunchAnswer, String> = reply.returned();
            launch.and_then(|answer| {
                let lines = Lines::new(&answer);
                let mut launch = program_of(answer)?;
                launch.reads_lines = lines.mean_something();
                Ok((launch, lines))
            })
        }
        Ok(reply) => return Err(StartError::Refused(with_output(&reply.text, &*beside))),
        Err(NoAnswer::Late) => return Err(late(began, &*beside)),
        Err(none) => Err(none.describe()),
    };
    let (launch, lines) = launch.map_err(|why| broken(&why, &*beside))?;
    Ok(Started {
        process: host.spawn(&launch)?,
        beside: Some(beside),
        link,
        lines,
    })
}

fn program_of(launch: LaunchAnswer) -> Result<Launch, String> {
    let program = program::find(&launch.program)
        .or_else(|| program::sibling(&launch.program))
        .ok_or_else(|| program::missing(&launch.program))?;
    Ok(Launch {
        program,
        args: launch.args,
        env: launch.env.into_iter().collect(),
        cwd: launch.cwd.map(Into::into),
        reads_lines: false,
        forks: false,
        fork_exits: false,
    })
}

/// What a driver or plugpull did wrong: nothing is known of the target.
fn broken(why: &str, speaker: &dyn Process) -> StartError {
    StartError::Host(io::Error::other(with_output(why, speaker)))
}

fn late(began: Instant, speaker: &dyn Process) -> StartError {
    StartError::Timeout {
        waited: began.elapsed(),
        output: speaker.output(),
    }
}

/// A reason, with what a process wrote to its standard error.
pub(super) fn with_output(why: &str, speaker: &dyn Process) -> String {
    let output = speaker.output();
    match output.trim() {
        "" => why.to_owned(),
        output if output == why => why.to_owned(),
        output => format!("{why}; its standard error: {output}"),
    }
}

enum Silence {
    /// The target ended.
    Exited(i32),
    /// The target printed that it refuses to start.
    Refused(String),
    /// The driver ended, and is not the target.
    DriverExited(i32),
    Late,
    Breach(String),
}

fn hello(started: &mut Started, version: u64, deadline: Instant) -> Result<Reply, Silence> {
    let breach = |error: io::Error| Silence::Breach(error.to_string());
    let Started {
        process,
        beside,
        link,
        lines,
    } = started;
    let call = Call::Hello { protocol: version };
    let none = match link.send(None, call, deadline) {
        Err(none) => none,
        Ok(id) => loop {
            let now = Instant::now();
            // The end of a daemon is seen by looking; that of the driver ends its output.
            let until = match beside {
                Some(_) => deadline.min(now + LOOK),
                None => deadline,
            };
            match link.wait(id, until) {
                Ok(reply) => return Ok(reply),
                Err(NoAnswer::Late) if until < deadline => {
                    if let Some(why) = lines.refusal(&mut **process) {
                        return Err(Silence::Refused(why));
                    }
                    if let Some(code) = process.wait(now).map_err(breach)? {
                        return Err(Silence::Exited(code));
                    }
                }
                Err(none) => break none,
            }
        },
    };
    match none {
        NoAnswer::Late => Err(Silence::Late),
        NoAnswer::Breach(why) => Err(Silence::Breach(why)),
        NoAnswer::Ended => {
            if let Some(beside) = beside {
                let looked = process.wait(Instant::now() + LOOK).map_err(breach)?;
                return Err(match (looked, beside.wait(deadline).map_err(breach)?) {
                    (Some(code), _) => Silence::Exited(code),
                    (None, Some(code)) => Silence::DriverExited(code),
                    (None, None) => Silence::Late,
                });
            }
            match process.wait(deadline).map_err(breach)? {
                Some(code) => Err(Silence::Exited(code)),
                None => Err(Silence::Late),
            }
        }
    }
}

impl DriverRunning {
    /// What the driver said of itself.
    pub(super) fn description(&self) -> &Arc<Description> {
        &self.description
    }
}

impl Running for DriverRunning {
    fn connect(&self, _deadline: Instant) -> Result<Box<dyn Client>, ClientError> {
        // A client is a number: the driver learns of it by its first request.
        Ok(Box::new(DriverClient::new(
            self.clients.fetch_add(1, Ordering::Relaxed),
            Arc::clone(&self.link),
            Arc::clone(&self.description),
        )))
    }

    fn process(&mut self) -> Option<&mut dyn Process> {
        Some(&mut *self.process)
    }
}
