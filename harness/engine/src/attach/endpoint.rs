//! The way clients take to the service: a TCP port, or a driver.

use std::collections::BTreeMap;
use std::net::{TcpStream, ToSocketAddrs};
use std::sync::Arc;
use std::time::{Duration, Instant};

use plugpull_driver::DriverTarget;
use plugpull_driver::host::client_over;
use plugpull_driver::{Abilities, Client, ClientError, Running, Target};
use plugpull_workloads::{Checker, Promise};

use super::local_host::LocalHost;
use super::options::AttachOptions;
use super::prefix::Prefixed;
use crate::wrong;

/// How long one attempt to open a connection, or to start a driver, may take.
const ATTEMPT: Duration = Duration::from_secs(5);

#[derive(Clone)]
enum Transport {
    /// `HOST:PORT`, looked up again each time: a name may move.
    Port(String),
    Driver(Arc<DriverTarget>),
}

/// How the service is reached.
#[derive(Clone)]
pub(super) struct Endpoint {
    transport: Transport,
    local_host: LocalHost,
    /// What the names of all keys begin with.
    prefix: String,
}

/// An endpoint that is open: a driver that said hello, or a port that took a connection.
pub(super) struct Connection<'endpoint> {
    endpoint: &'endpoint Endpoint,
    driver: Option<Box<dyn Running + 'endpoint>>,
}

impl Endpoint {
    /// As the options say; nothing is started or connected to yet.
    pub(super) fn new(
        args: &AttachOptions,
        mut local_host: LocalHost,
        prefix: String,
    ) -> anyhow::Result<Self> {
        let transport = match (&args.connect, &args.driver) {
            (Some(address), _) => {
                if address.rsplit_once(':').is_none() {
                    return Err(wrong(format!(
                        "--connect {address} is not HOST:PORT, for example 127.0.0.1:7000"
                    )));
                }
                Transport::Port(address.clone())
            }
            (_, Some(command)) => {
                let settings = BTreeMap::from([("cmd".to_owned(), command.clone())]);
                Transport::Driver(Arc::new(DriverTarget::user(&settings).map_err(wrong)?))
            }
            _ => {
                return Err(wrong(
                    "it is not known how to write to the service: give --connect or --driver",
                ));
            }
        };
        local_host.env.push(("PLUGPULL_ATTACH".into(), "1".into()));
        local_host
            .env
            .push(("PLUGPULL_PREFIX".into(), args.prefix.clone()));
        Ok(Self {
            transport,
            local_host,
            prefix,
        })
    }

    /// The same way to the service on a copy of its data directory, with these variables, one of which
    /// is its port on this machine.
    pub(super) fn to_copy(&self, env: &[(&str, String)], port: u16) -> Self {
        let mut copy = self.clone();
        if let Transport::Port(address) = &mut copy.transport {
            *address = format!("127.0.0.1:{port}");
        }
        for (name, value) in env {
            if *name == "PLUGPULL_DATA_DIR" {
                copy.local_host.data_dir = value.into();
            }
            copy.local_host
                .env
                .push(((*name).to_owned(), value.clone()));
        }
        copy
    }

    /// The same with another prefix.
    pub(super) fn with_prefix(&self, prefix: &str) -> Self {
        Self {
            prefix: prefix.to_owned(),
            ..self.clone()
        }
    }

    /// Opens it, in one attempt.
    pub(super) fn open(&self, deadline: Instant) -> Result<Connection<'_>, String> {
        if let Transport::Driver(driver) = &self.transport {
            // Which version of the protocol it speaks takes a start of its own, and counts to no
            // attempt.
            let known = driver.introduce(&self.local_host, deadline);
            known.map_err(|error| error.to_string())?;
        }
        let deadline = deadline.min(Instant::now() + ATTEMPT);
        let driver = match &self.transport {
            Transport::Port(address) => {
                connect(address, deadline)?;
                None
            }
            Transport::Driver(driver) => Some(
                driver
                    .start(&self.local_host, deadline)
                    .map_err(|error| error.to_string())?,
            ),
        };
        Ok(Connection {
            endpoint: self,
            driver,
        })
    }

    /// What may be asked of the service; all, until a driver has said otherwise.
    pub(super) fn abilities(&self) -> Abilities {
        match &self.transport {
            Transport::Port(_) => Abilities::default(),
            Transport::Driver(driver) => driver.abilities(),
        }
    }

    /// What a driver said of itself, once it was connected: its version, and promises.
    pub(super) fn introduced(&self) -> Option<(String, Vec<Promise>)> {
        match &self.transport {
            Transport::Port(_) => None,
            Transport::Driver(driver) => Some((driver.version(), driver.promises())),
        }
    }

    /// Whose the integrity check is: what speaks over a port is the service itself.
    pub(super) fn checker(&self) -> Checker {
        match &self.transport {
            Transport::Port(_) => Checker::Target,
            Transport::Driver(driver) => driver.checker(),
        }
    }

    /// Whether clients reach it through a driver.
    pub(super) fn has_driver(&self) -> bool {
        matches!(self.transport, Transport::Driver(_))
    }

    /// In words.
    pub(super) fn describe(&self) -> String {
        match &self.transport {
            Transport::Port(address) => format!("clients connect to {address}"),
            Transport::Driver(driver) => format!("a driver is started: {}", driver.version()),
        }
    }
}

/// The first address that a `HOST:PORT` means.
pub(super) fn resolve(address: &str) -> Option<std::net::SocketAddr> {
    address.to_socket_addrs().ok()?.next()
}

fn connect(address: &str, deadline: Instant) -> Result<TcpStream, String> {
    let at_address = |error: std::io::Error| format!("{address}: {error}");
    let mut last = format!("{address} is no address");
    for found in address.to_socket_addrs().map_err(at_address)? {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(format!("{address}: no connection in time"));
        }
        match TcpStream::connect_timeout(&found, left) {
            Ok(stream) => return Ok(stream),
            Err(error) => last = at_address(error),
        }
    }
    Err(last)
}

impl Connection<'_> {
    /// A new client.
    pub(super) fn connect(&self, deadline: Instant) -> Result<Prefixed, ClientError> {
        self.connect_watched(deadline).map(|(client, _)| client)
    }

    /// A new client, and its connection where it is plugpull's own and not a driver's.
    pub(super) fn connect_watched(
        &self,
        deadline: Instant,
    ) -> Result<(Prefixed, Option<TcpStream>), ClientError> {
        let gone = |error: std::io::Error| ClientError::Gone(error.to_string());
        let (client, stream): (Box<dyn Client>, _) = match (&self.driver, &self.endpoint.transport)
        {
            (Some(driver), _) => (driver.connect(deadline)?, None),
            (None, Transport::Port(address)) => {
                let stream = connect(address, deadline).map_err(ClientError::Gone)?;
                let watched = stream.try_clone().map_err(gone)?;
                (client_over(stream, deadline)?, Some(watched))
            }
            (None, Transport::Driver(_)) => return Err(ClientError::Gone("no driver runs".into())),
        };
        Ok((Prefixed::new(client, &self.endpoint.prefix), stream))
    }
}
