//! Starting a worker on a host, and what is running then.

use std::io::ErrorKind;
use std::time::Instant;

use super::client::WireClient;
use super::protocol::READY;
use crate::{Client, ClientError, Host, Launch, Process, Running, StartError};

/// A worker that takes connections.
pub struct WireRunning<'host> {
    host: &'host dyn Host,
    process: Box<dyn Process>,
    port: u16,
}

/// Starts whatever speaks this protocol, and waits until it says that it is ready.
pub fn start<'host>(
    host: &'host dyn Host,
    launch: &Launch,
    deadline: Instant,
) -> Result<WireRunning<'host>, StartError> {
    let mut process = host.spawn(launch)?;
    let port = announced(&mut *process, deadline)?;
    Ok(WireRunning {
        host,
        process,
        port,
    })
}

/// The port that a process says it is ready on.
pub(crate) fn announced(process: &mut dyn Process, deadline: Instant) -> Result<u16, StartError> {
    let began = Instant::now();
    loop {
        match process.stdout_line(deadline) {
            Ok(Some(line)) => {
                if let Some(port) = ready_port(&line) {
                    return Ok(port);
                }
            }
            Ok(None) => {
                return Err(match process.wait(deadline)? {
                    Some(code) => StartError::Exited {
                        code,
                        output: process.output(),
                    },
                    None => timeout(began, process),
                });
            }
            Err(e) if e.kind() == ErrorKind::TimedOut => return Err(timeout(began, process)),
            Err(e) => return Err(e.into()),
        }
    }
}

fn timeout(began: Instant, process: &dyn Process) -> StartError {
    StartError::Timeout {
        waited: began.elapsed(),
        output: process.output(),
    }
}

fn ready_port(line: &str) -> Option<u16> {
    line.strip_prefix(READY)?
        .strip_prefix(' ')?
        .trim()
        .parse()
        .ok()
}

impl Running for WireRunning<'_> {
    fn connect(&self, _deadline: Instant) -> Result<Box<dyn Client>, ClientError> {
        // Connecting on a loopback ends at once: the kernel itself accepts or refuses.
        let client = self.host.connect(self.port).and_then(WireClient::new);
        match client {
            Ok(client) => Ok(Box::new(client)),
            Err(e) => Err(ClientError::Gone(e.to_string())),
        }
    }

    fn process(&mut self) -> Option<&mut dyn Process> {
        Some(&mut *self.process)
    }
}

#[cfg(test)]
mod tests {
    use super::ready_port;

    #[test]
    fn only_the_ready_line_is_taken() {
        assert_eq!(ready_port("ready 4711"), Some(4711));
        assert_eq!(ready_port("ready 4711\r"), Some(4711));
        assert_eq!(ready_port("already 4711"), None);
        assert_eq!(ready_port("ready"), None);
        assert_eq!(ready_port("ready 70000"), None);
    }
}
