//! plugpull's side of one connection.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::Instant;

use plugpull_workloads::Txn;

use super::protocol::{Answer, Request};
use crate::{Client, ClientError};

/// A connection to a worker. After any error of the connection, a deadline that passed included,
/// it is gone for good: an answer that comes late must never be taken for the next one.
pub struct WireClient {
    stream: Option<TcpStream>,
    buffer: Vec<u8>,
}

impl WireClient {
    /// Speaks over `stream`.
    pub fn new(stream: TcpStream) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        Ok(Self {
            stream: Some(stream),
            buffer: Vec::new(),
        })
    }

    fn call(&mut self, request: &Request, deadline: Instant) -> Result<Answer, ClientError> {
        let Some(mut stream) = self.stream.take() else {
            return Err(ClientError::Gone("the connection was lost before".into()));
        };
        let answer = exchange(&mut stream, &mut self.buffer, request, deadline)
            .map_err(|e| ClientError::Gone(e.to_string()))?;
        self.stream = Some(stream);
        match answer {
            Answer::Fail { text } => Err(ClientError::Fail(text)),
            Answer::Info { text } => Err(ClientError::Info(text)),
            other => Ok(other),
        }
    }

    /// For an answer of a kind that does not belong to the request.
    fn misfit<T>(&mut self) -> Result<T, ClientError> {
        self.stream = None;
        Err(ClientError::Gone(
            "the answer does not fit the request".into(),
        ))
    }
}

fn exchange(
    stream: &mut TcpStream,
    buffer: &mut Vec<u8>,
    request: &Request,
    deadline: Instant,
) -> io::Result<Answer> {
    let mut line = serde_json::to_vec(request)?;
    line.push(b'\n');
    send(stream, &line, deadline)?;
    let answer = receive(stream, buffer, deadline)?;
    Ok(serde_json::from_slice(&answer)?)
}

fn send(stream: &mut TcpStream, mut bytes: &[u8], deadline: Instant) -> io::Result<()> {
    while !bytes.is_empty() {
        stream.set_write_timeout(Some(remaining(deadline)?))?;
        match stream.write(bytes) {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Ok(n) => bytes = &bytes[n..],
            Err(e) => retry_or(e)?,
        }
    }
    Ok(())
}

/// One line, without its end. What follows it in the stream stays in `buffer`.
fn receive(stream: &mut TcpStream, buffer: &mut Vec<u8>, deadline: Instant) -> io::Result<Vec<u8>> {
    let mut chunk = vec![0; 64 << 10];
    let mut searched = 0;
    loop {
        if let Some(at) = buffer[searched..].iter().position(|b| *b == b'\n') {
            let rest = buffer.split_off(searched + at + 1);
            let mut line = std::mem::replace(buffer, rest);
            line.pop();
            return Ok(line);
        }
        searched = buffer.len();
        stream.set_read_timeout(Some(remaining(deadline)?))?;
        match stream.read(&mut chunk) {
            Ok(0) => {
                return Err(io::Error::new(
                    ErrorKind::UnexpectedEof,
                    "the target closed the connection",
                ));
            }
            Ok(n) => buffer.extend_from_slice(&chunk[..n]),
            Err(e) => retry_or(e)?,
        }
    }
}

/// The time that is left; [`ErrorKind::TimedOut`] where none is.
pub(crate) fn remaining(deadline: Instant) -> io::Result<std::time::Duration> {
    let left = deadline.saturating_duration_since(Instant::now());
    if left.is_zero() {
        return Err(io::Error::new(ErrorKind::TimedOut, "the deadline passed"));
    }
    Ok(left)
}

/// A timeout of the socket is answered by looking at the deadline again.
pub(crate) fn retry_or(error: io::Error) -> io::Result<()> {
    match error.kind() {
        ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted => Ok(()),
        _ => Err(error),
    }
}

impl Client for WireClient {
    fn apply(&mut self, txn: &Txn, deadline: Instant) -> Result<(), ClientError> {
        match self.call(
            &Request::Apply {
                txn: Cow::Borrowed(txn),
            },
            deadline,
        )? {
            Answer::Ok => Ok(()),
            _ => self.misfit(),
        }
    }

    fn barrier(&mut self, deadline: Instant) -> Result<(), ClientError> {
        match self.call(&Request::Barrier, deadline)? {
            Answer::Ok => Ok(()),
            _ => self.misfit(),
        }
    }

    fn get(&mut self, key: &str, deadline: Instant) -> Result<Option<String>, ClientError> {
        match self.call(
            &Request::Get {
                key: Cow::Borrowed(key),
            },
            deadline,
        )? {
            Answer::Value { value } => Ok(value),
            _ => self.misfit(),
        }
    }

    fn read_all(&mut self, deadline: Instant) -> Result<BTreeMap<String, String>, ClientError> {
        match self.call(&Request::ReadAll, deadline)? {
            Answer::Values { values } => Ok(values),
            _ => self.misfit(),
        }
    }

    fn check(&mut self, deadline: Instant) -> Result<Option<String>, ClientError> {
        match self.call(&Request::Check, deadline)? {
            Answer::Checked { complaint } => Ok(complaint),
            _ => self.misfit(),
        }
    }
}
