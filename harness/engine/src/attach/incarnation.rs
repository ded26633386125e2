//! One life of the service: from when its process was found to belong to its data directory and its
//! endpoint, to when it was seen to end. What ended unseen counts for nothing.

use std::net::TcpStream;
use std::path::Path;
use std::time::{Duration, Instant};

use plugpull_driver::Client;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use super::endpoint::{Connection, Endpoint};
use super::prefix::Prefixed;
use super::process::ProcessHandle;
use super::serving::{self, Use};
use super::supervision::{Seen, Supervision};
use crate::trial::PROBE;

/// How long a driver may take to notice that its connection broke.
const QUESTION: Duration = Duration::from_secs(2);

/// The service while one process is it.
pub(super) struct Incarnation<'a> {
    /// What its supervision shows of it.
    pub(super) seen: Seen,
    /// Its main process, and those below it that answer clients; empty where they are of another
    /// machine.
    processes: Vec<ProcessHandle>,
    canary: Canary<'a>,
}

/// A connection that shows by its end that the service ended.
struct Canary<'a> {
    /// A driver ends with it.
    _connection: Connection<'a>,
    client: Prefixed,
    /// None where the connection is a driver's.
    stream: Option<TcpStream>,
}

impl<'a> Incarnation<'a> {
    /// The service as it runs now. An error says what shows that it is not the one which was meant, or
    /// why nobody knows.
    pub(super) fn find(
        supervision: &Supervision,
        endpoint: &'a Endpoint,
        data: Option<&Path>,
        deadline: Instant,
    ) -> Result<Self, String> {
        let seen = supervision.require()?;
        let main = match seen.pid {
            Some(pid) if supervision.local() => {
                Some(ProcessHandle::open(pid).map_err(|error| format!("{error:#}"))?)
            }
            _ => None,
        };
        let canary = Canary::open(endpoint, deadline)?;
        let mut processes = Vec::new();
        if let Some(main) = main {
            let below = belongs(main.pid, endpoint, data)
                .map_err(|why| format!("{}: {why}", supervision.describe_source()))?;
            let below: Result<Vec<_>, _> = below.into_iter().map(ProcessHandle::open).collect();
            processes.push(main);
            processes.extend(below.map_err(|error| format!("{error:#}"))?);
            // What was looked at is what is held, since it still lives.
            if processes.iter().any(|handle| handle.ended(Duration::ZERO)) {
                return Err("the service ended while it was looked at".into());
            }
        }
        Ok(Self {
            seen,
            processes,
            canary,
        })
    }

    /// Its main process, where it is one of this machine.
    pub(super) fn main(&self) -> Option<&ProcessHandle> {
        self.processes.first()
    }

    /// Whether its main process was seen to end.
    pub(super) fn main_ended(&self) -> bool {
        self.main().is_some_and(|main| main.ended(Duration::ZERO))
    }

    /// Waits for its end: of its processes, and of the connection to it. An error says what went on.
    pub(super) fn over(&mut self, limit: Duration) -> Result<(), String> {
        let deadline = Instant::now() + limit;
        let left = || deadline.saturating_duration_since(Instant::now());
        for (number, handle) in self.processes.iter().enumerate() {
            if !handle.ended(left()) {
                return Err(match number {
                    0 => format!("process {} was never seen to end", handle.pid),
                    _ => format!(
                        "process {}, which answers clients, was never seen to end",
                        handle.pid
                    ),
                });
            }
        }
        let local = !self.processes.is_empty();
        match &self.canary.stream {
            Some(stream) if !broke(stream, left()) => {
                Err("a connection to the service that was open before never broke".into())
            }
            Some(_) => Ok(()),
            // The kernel breaks the connections of a process that it saw end.
            None if local => Ok(()),
            None => match self.canary.client.get(PROBE, Instant::now() + QUESTION) {
                Ok(_) => Err("the driver's connection to the service never broke".into()),
                Err(_) => Ok(()),
            },
        }
    }
}

impl<'a> Canary<'a> {
    fn open(endpoint: &'a Endpoint, deadline: Instant) -> Result<Self, String> {
        let connection = endpoint.open(deadline)?;
        let (mut client, stream) = connection
            .connect_watched(deadline)
            .map_err(|error| error.to_string())?;
        // An answer shows that it was accepted.
        client
            .get(PROBE, deadline)
            .map_err(|error| error.to_string())?;
        Ok(Self {
            _connection: connection,
            client,
            stream,
        })
    }
}

/// Waits until the other side has ended a connection.
fn broke(stream: &TcpStream, limit: Duration) -> bool {
    let deadline = Instant::now() + limit;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let Ok(timeout) = Timespec::try_from(left) else {
            return false;
        };
        let mut fds = [PollFd::new(stream, PollFlags::RDHUP)];
        match poll(&mut fds, Some(&timeout)) {
            Ok(0) | Err(Errno::INTR) if Instant::now() < deadline => {}
            Ok(ready) => return ready > 0,
            Err(_) => return false,
        }
    }
}

/// Whether a process is the service: it has the data directory open, and who is at the other end of
/// plugpull's connections is it or below it. Returns those below it that are; an error says what does
/// not belong together. A connection to the endpoint must be open.
pub(super) fn belongs(
    pid: i32,
    endpoint: &Endpoint,
    data: Option<&Path>,
) -> Result<Vec<i32>, String> {
    let tree = serving::tree(pid);
    let named = |pid: i32| format!("process {pid} ({})", serving::name(pid));
    let whose = named(pid);
    let usage = match data {
        None => None,
        Some(data) => {
            let usage = serving::directory_use(&tree, data).map_err(|error| {
                format!(
                    "{whose} may not be looked at ({error}); run plugpull as the user of the service \
                     or as root, or give --pid-cmd and --kill-cmd"
                )
            })?;
            if usage == Use::None {
                return Err(format!(
                    "{whose} has nothing open in {}, and does not name it: it is not the service of \
                     this data directory",
                    data.display()
                ));
            }
            Some(usage)
        }
    };
    let peers = serving::peers(&tree);
    if !peers.own.is_empty() {
        return Ok(peers.own.into_iter().filter(|own| *own != pid).collect());
    }
    let ways = "connect to the service itself, or give --pid-cmd and --kill-cmd";
    if let Some(other) = peers.others.first() {
        return Err(format!(
            "{whose} does not serve what clients connect to: that is {}; {ways}",
            named(*other)
        ));
    }
    match usage {
        // A driver may reach it by a way that nobody sees from outside.
        Some(Use::Open) if endpoint.has_driver() => Ok(Vec::new()),
        _ => Err(format!(
            "nothing shows that {whose} serves what clients connect to; {ways}"
        )),
    }
}
