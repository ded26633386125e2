//! A driver that is reached over TCP: it serves already, and takes a connection for each client.

use std::io;
use std::net::TcpStream;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Instant;

use super::driver_client::DriverClient;
use super::link::{Link, NoAnswer, Reply};
use crate::protocol::{Call, OLDEST, PROTOCOL, Verdict};
use crate::{Client, ClientError, Description};

/// Says hello over a connection, and returns its client.
///
/// # Errors
/// There is no answer by the deadline, or it is not what the protocol wants.
pub fn client_over(stream: TcpStream, deadline: Instant) -> Result<Box<dyn Client>, ClientError> {
    let link = link_over(stream).map_err(|error| ClientError::Gone(error.to_string()))?;
    client_of(link, deadline)
}

/// The same over what a driver writes to and what it reads from.
///
/// # Errors
/// As [`client_over`].
pub fn client_over_pipes(
    driver_writes: OwnedFd,
    driver_reads: OwnedFd,
    deadline: Instant,
) -> Result<Box<dyn Client>, ClientError> {
    let link = Link::over(driver_reads, driver_writes)
        .map_err(|error| ClientError::Gone(error.to_string()))?;
    client_of(link, deadline)
}

fn client_of(link: Link, deadline: Instant) -> Result<Box<dyn Client>, ClientError> {
    let gone = |why: String| ClientError::Gone(why);
    let (version, reply) = hello(&link, deadline).map_err(|none| gone(none.describe()))?;
    if reply.verdict != Verdict::Ok {
        return Err(gone(reply.text));
    }
    let fields = reply.returned().map_err(gone)?;
    let description = Description::of_hello(&fields, version, None).map_err(gone)?;
    let (link, description) = (Arc::new(link), Arc::new(description));
    Ok(Box::new(DriverClient::new(0, link, description)))
}

fn link_over(stream: TcpStream) -> io::Result<Link> {
    // A request is one small packet that somebody waits for.
    stream.set_nodelay(true)?;
    let output = stream.try_clone()?;
    Link::over(OwnedFd::from(output), OwnedFd::from(stream))
}

/// Says hello in the newest version, and in the oldest where that is refused.
fn hello(link: &Link, deadline: Instant) -> Result<(u64, Reply), NoAnswer> {
    let ask = |protocol| link.call(None, Call::Hello { protocol }, deadline);
    let reply = ask(PROTOCOL)?;
    match reply.verdict {
        Verdict::Ok => Ok((PROTOCOL, reply)),
        _ => Ok((OLDEST, ask(OLDEST)?)),
    }
}
