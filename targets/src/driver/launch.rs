//! Starting a driver, and the daemon before it where there is one.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use super::client::DriverClient;
use super::command::Commands;
use super::hello::Introduction;
use super::link::{Link, NoAnswer};
use super::protocol::{Answer, Call, PROTOCOL, Verdict};
use crate::{Client, ClientError, Host, Part, Process, Running, StartError};

/// How often it is looked whether a daemon that is waited for still lives.
const LOOK: Duration = Duration::from_millis(10);

/// A driver that said hello.
pub(super) struct DriverRunning {
    /// The target: the driver itself, or the daemon.
    process: Box<dyn Process>,
    /// The driver, where it is not the target.
    _beside: Option<Box<dyn Process>>,
    link: Arc<Link>,
    introduction: Arc<Introduction>,
    clients: AtomicU32,
}

/// Starts what is to be started, and waits until the driver has answered hello.
pub(super) fn start(
    commands: &Commands,
    host: &dyn Host,
    deadline: Instant,
) -> Result<DriverRunning, StartError> {
    let began = Instant::now();
    let driver = commands.driver.launch(host);
    let (mut process, beside, pipes) = match &commands.daemon {
        None => {
            let (process, pipes) = host.spawn_piped(&driver, Part::Target)?;
            (process, None, pipes)
        }
        Some(daemon) => {
            let process = host.spawn(&daemon.launch(host))?;
            let (beside, pipes) = host.spawn_piped(&driver, Part::Beside)?;
            (process, Some(beside), pipes)
        }
    };
    let link = Link::new(pipes)?;
    let answer = hello(&link, &mut *process, deadline);
    let speaker = beside.as_deref().unwrap_or(&*process);
    let answer = match answer {
        Ok(answer) => answer,
        Err(Silence::Exited(code)) => {
            return Err(StartError::Exited {
                code,
                output: process.output(),
            });
        }
        Err(Silence::Late) => {
            return Err(StartError::Timeout {
                waited: began.elapsed(),
                output: speaker.output(),
            });
        }
        Err(Silence::Breach(why)) => return Err(refused(&why, speaker)),
    };
    let introduction = match answer.answer {
        Verdict::Ok => Introduction::read(&answer.fields).map_err(|why| refused(&why, speaker))?,
        Verdict::Fail | Verdict::Info => return Err(refused(&answer.text, speaker)),
    };
    Ok(DriverRunning {
        process,
        _beside: beside,
        link: Arc::new(link),
        introduction: Arc::new(introduction),
        clients: AtomicU32::new(0),
    })
}

fn refused(why: &str, speaker: &dyn Process) -> StartError {
    let said = speaker.output();
    let text = match said.trim() {
        "" => why.to_owned(),
        said => format!("{why}; its standard error: {said}"),
    };
    StartError::Refused(text)
}

enum Silence {
    /// The target ended.
    Exited(i32),
    Late,
    Breach(String),
}

fn hello(link: &Link, process: &mut dyn Process, deadline: Instant) -> Result<Answer, Silence> {
    let breach = |error: io::Error| Silence::Breach(error.to_string());
    let call = Call::Hello { protocol: PROTOCOL };
    let none = match link.ask(None, call, deadline) {
        Err(none) => none,
        Ok(pending) => loop {
            let now = Instant::now();
            match pending.wait(deadline.min(now + LOOK)) {
                Ok(answer) => return Ok(answer),
                Err(NoAnswer::Late) if now < deadline => {
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
        NoAnswer::Ended => match process.wait(deadline).map_err(breach)? {
            Some(code) => Err(Silence::Exited(code)),
            None => Err(Silence::Late),
        },
    }
}

impl DriverRunning {
    /// What the driver said of itself.
    pub(super) fn introduction(&self) -> &Introduction {
        &self.introduction
    }
}

impl Running for DriverRunning {
    fn connect(&self, _deadline: Instant) -> Result<Box<dyn Client>, ClientError> {
        // A client is a number: the driver learns of it by its first request.
        Ok(Box::new(DriverClient {
            number: self.clients.fetch_add(1, Ordering::Relaxed),
            link: Arc::clone(&self.link),
            introduction: Arc::clone(&self.introduction),
            gone: None,
        }))
    }

    fn process(&mut self) -> Option<&mut dyn Process> {
        Some(&mut *self.process)
    }
}
