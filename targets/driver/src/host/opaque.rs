//! A driver whose workload is opaque: IDs that it writes by itself, and a check of them.
//!
//! The workload and each check have a driver process of their own, beside the target.

use std::io::{self, ErrorKind};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::CommandLine;
use super::link::{Heard, Link, NoAnswer};
use super::start::{join, with_output};
use crate::protocol::{Call, EventKind, OpaqueCheck, Verdict};
use crate::{CheckAnswer, Checked, Description, Host, Missing, Process, Scripted};

/// How long a driver may take to reach a target that is up.
const JOIN_LIMIT: Duration = Duration::from_secs(20);
/// How long a check may take.
const CHECK_LIMIT: Duration = Duration::from_secs(60);
/// How long a workload's answer is waited for: it has none before it has no more to do.
const WORK_LIMIT: Duration = Duration::from_secs(7 * 24 * 3600);

/// A driver, started again for the workload and for each check.
pub(super) struct OpaqueDriver {
    driver: CommandLine,
    description: Description,
    visible: Vec<PathBuf>,
}

impl OpaqueDriver {
    pub(super) fn new(
        driver: CommandLine,
        description: Description,
        visible: Vec<PathBuf>,
    ) -> Self {
        Self {
            driver,
            description,
            visible,
        }
    }

    fn join(&self, host: &dyn Host) -> io::Result<(Box<dyn Process>, Link)> {
        let deadline = Instant::now() + JOIN_LIMIT;
        join(&self.driver, &self.description, host, deadline)
    }
}

impl Scripted for OpaqueDriver {
    fn serves(&self) -> bool {
        true
    }

    fn recovers(&self) -> bool {
        true
    }

    fn first_barrier(&self) -> Option<Duration> {
        self.description.first_barrier_ms.map(Duration::from_millis)
    }

    fn work(&self, host: &dyn Host, life: u64) -> io::Result<Box<dyn Process>> {
        let (driver, link) = self.join(host)?;
        let deadline = Instant::now() + WORK_LIMIT;
        let request = link.send(None, Call::Work { life }, deadline);
        let request = request.map_err(|none| io::Error::other(none.describe()))?;
        Ok(Box::new(Working {
            driver,
            link: Some(link),
            request,
            refused: String::new(),
        }))
    }

    fn check(&self, host: &dyn Host, acked: &[String]) -> io::Result<CheckAnswer> {
        let (driver, link) = self.join(host)?;
        let began = Instant::now();
        let call = Call::Check {
            acked: Some(acked.into()),
        };
        let reply = match link.call(Some(0), call, began + CHECK_LIMIT) {
            Ok(reply) => reply,
            Err(NoAnswer::Late) => {
                return Ok(CheckAnswer {
                    checked: Checked::Hung(began.elapsed()),
                    output: driver.output(),
                });
            }
            Err(none) => {
                return Err(io::Error::other(with_output(&none.describe(), &*driver)));
            }
        };
        if reply.verdict != Verdict::Ok {
            return Err(io::Error::other(with_output(&reply.text, &*driver)));
        }
        let found: OpaqueCheck = reply.returned().map_err(io::Error::other)?;
        Ok(CheckAnswer {
            checked: match (found.refused, found.silent_ms) {
                (Some(why), _) => Checked::Refused(why),
                (None, Some(ms)) => Checked::Hung(Duration::from_millis(ms)),
                (None, None) => Checked::Opened(Missing {
                    lost: found.lost,
                    torn: found.torn,
                    corrupt: found.corrupt,
                }),
            },
            output: found.output,
        })
    }

    fn visible(&self) -> Vec<PathBuf> {
        self.visible.clone()
    }

    fn described(&self) -> Vec<(String, String)> {
        self.description.details.clone()
    }
}

/// A workload that goes on. Its events are lines, as those of a workload that is a command.
struct Working {
    driver: Box<dyn Process>,
    /// None once it has no more to do.
    link: Option<Link>,
    request: u64,
    /// Why it cannot go on.
    refused: String,
}

impl Process for Working {
    fn stdout_line(&mut self, deadline: Instant) -> io::Result<Option<String>> {
        let Some(link) = &self.link else {
            return Ok(None);
        };
        match link.hear(self.request, deadline) {
            Ok(Heard::Event(event, item)) => Ok(Some(line(event, item.as_deref()))),
            Ok(Heard::Reply(reply)) => {
                self.refused = reply.text;
                self.link = None;
                Ok(None)
            }
            Err(NoAnswer::Late) => Err(ErrorKind::TimedOut.into()),
            Err(none) => {
                self.refused = none.describe();
                self.link = None;
                Ok(None)
            }
        }
    }

    fn wait(&mut self, deadline: Instant) -> io::Result<Option<i32>> {
        let code = self.driver.wait(deadline)?;
        // A driver that ends well, as its standard input did, may have had a reason.
        Ok(code.map(|code| match (code, self.refused.as_str()) {
            (0, "") => 0,
            (0, _) => 1,
            (code, _) => code,
        }))
    }

    fn output(&self) -> String {
        match self.refused.as_str() {
            "" => self.driver.output(),
            why => with_output(why, &*self.driver),
        }
    }
}

fn line(event: EventKind, item: Option<&str>) -> String {
    let word = match event {
        EventKind::Try => "try",
        EventKind::Ack => "ack",
        EventKind::Fail => "fail",
        EventKind::Info => "info",
        EventKind::Barrier => return "barrier".into(),
    };
    format!("{word} {}", item.unwrap_or_default())
}
