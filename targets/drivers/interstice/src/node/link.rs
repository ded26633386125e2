//! Packets over a connection, each call by its deadline.

use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::os::linux::net::TcpStreamExt;
use std::time::{Duration, Instant};

use super::packets::{Received, Sent, decode, encode};
use plugpull_driver::ClientError;

/// The longest packet that is taken, in bytes. A whole table comes as one packet.
const LONGEST: u32 = 1 << 30;
/// The most that is read at once.
const CHUNK: usize = 64 << 10;

/// A connection that packets go over. After an error it must not be used again.
pub(super) struct Link {
    stream: TcpStream,
    /// What has come of the next packets.
    buffer: Vec<u8>,
    /// Where bytes are read to.
    chunk: Vec<u8>,
}

/// The time that is left; [`ErrorKind::TimedOut`] where none is.
fn remaining(deadline: Instant) -> io::Result<Duration> {
    let left = deadline.saturating_duration_since(Instant::now());
    if left.is_zero() {
        return Err(io::Error::new(ErrorKind::TimedOut, "the deadline passed"));
    }
    Ok(left)
}

/// A timeout of the socket is answered by looking at the deadline again.
fn retry_or(error: io::Error) -> io::Result<()> {
    match error.kind() {
        ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted => Ok(()),
        _ => Err(error),
    }
}

fn gone(error: impl ToString) -> ClientError {
    ClientError::Gone(error.to_string())
}

impl Link {
    pub(super) fn new(stream: TcpStream) -> Result<Self, ClientError> {
        stream.set_nodelay(true).map_err(gone)?;
        Ok(Self {
            stream,
            buffer: Vec::new(),
            chunk: vec![0; CHUNK],
        })
    }

    /// Sends a packet.
    pub(super) fn send(&mut self, packet: &Sent, deadline: Instant) -> Result<(), ClientError> {
        // Nothing was sent, and a shorter packet may be.
        let bytes = encode(packet).map_err(ClientError::Fail)?;
        let mut bytes = &bytes[..];
        while !bytes.is_empty() {
            let left = remaining(deadline).map_err(gone)?;
            self.stream.set_write_timeout(Some(left)).map_err(gone)?;
            match self.stream.write(bytes) {
                Ok(0) => return Err(gone("the node takes no more bytes")),
                Ok(sent) => bytes = &bytes[sent..],
                Err(error) => retry_or(error).map_err(gone)?,
            }
        }
        Ok(())
    }

    /// The next packet; none when `deadline` passes first. What has come of it then is kept.
    pub(super) fn receive(&mut self, deadline: Instant) -> Result<Option<Received>, ClientError> {
        loop {
            if let Some(packet) = self.complete()? {
                return Ok(Some(packet));
            }
            let Ok(left) = remaining(deadline) else {
                return Ok(None);
            };
            self.stream.set_read_timeout(Some(left)).map_err(gone)?;
            // The node sends a packet's length by itself, and keeps the rest back until that is
            // acknowledged (Nagle's algorithm), which a kernel delays by 40 ms. See tcp(7): it does so
            // again after a while.
            self.stream.set_quickack(true).map_err(gone)?;
            match self.stream.read(&mut self.chunk) {
                Ok(0) => return Err(gone("the node closed the connection")),
                Ok(read) => self.buffer.extend_from_slice(&self.chunk[..read]),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => retry_or(error).map_err(gone)?,
            }
        }
    }

    /// Takes a packet off the buffer, if one is whole.
    fn complete(&mut self) -> Result<Option<Received>, ClientError> {
        let Some(head) = self.buffer.first_chunk::<4>() else {
            return Ok(None);
        };
        let length = u32::from_be_bytes(*head);
        if length > LONGEST {
            return Err(gone(format!(
                "the node announces a packet of {length} bytes"
            )));
        }
        let end = 4 + length as usize;
        if self.buffer.len() < end {
            return Ok(None);
        }
        let packet = decode(&self.buffer[4..end]).map_err(gone)?;
        self.buffer.drain(..end);
        Ok(Some(packet))
    }
}
