//! The daemon: knowing when it is ready, and connecting to it.

use std::io;
use std::net::{Ipv4Addr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use plugpull_driver::sdk::Store;
use plugpull_driver::{Client, ClientError};

use super::Settings;
use super::client::{StatehouseClient, harmless};
use super::grpc::{CallError, Channel};
use super::messages::{Empty, HealthAnswer, SERVICE};
use super::place::Clients;

/// How often a start is asked whether it is ready. The daemon says that it is before it takes
/// connections, so only asking shows it.
const ASK_EVERY: Duration = Duration::from_millis(2);

/// A daemon that answers.
pub(crate) struct Daemon {
    settings: Settings,
    clients: Clients,
}

impl Daemon {
    /// Waits until `Health` answers.
    pub(crate) fn wait(settings: &Settings, deadline: Instant) -> Result<Self, String> {
        let mut why = String::from("it was not asked");
        while Instant::now() < deadline {
            match healthy(settings.port, deadline) {
                Ok(_) => {
                    return Ok(Self {
                        settings: settings.clone(),
                        clients: Clients::default(),
                    });
                }
                Err(error) => why = error.to_string(),
            }
            thread::sleep(ASK_EVERY);
        }
        Err(format!("it does not answer Health: {why}"))
    }
}

fn open(port: u16, deadline: Instant) -> io::Result<Channel> {
    let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    Channel::open(stream, SERVICE, deadline)
}

/// A connection that answered `Health`.
fn healthy(port: u16, deadline: Instant) -> Result<Channel, CallError> {
    let mut channel = open(port, deadline).map_err(|error| CallError::Gone(error.to_string()))?;
    channel.unary::<HealthAnswer>("Health", &Empty {}, deadline)?;
    Ok(channel)
}

impl Store for Daemon {
    fn connect(&self, _client: u32, deadline: Instant) -> Result<Box<dyn Client>, ClientError> {
        let channel = healthy(self.settings.port, deadline).map_err(harmless)?;
        Ok(Box::new(StatehouseClient::new(
            channel,
            self.clients.clone(),
            self.settings.commit_errors_final,
            self.settings.versions,
        )))
    }
}
