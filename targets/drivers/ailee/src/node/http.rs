//! A client for HTTP/1.1 (RFC 9112) over a stream that a host has opened: one question a
//! connection, answered whole or not at all.

use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use thiserror::Error;

/// The largest answer that is read, in bytes. The node's are a few hundred.
const LARGEST: usize = 1 << 20;
/// The most header lines of an answer.
const MOST_HEADERS: usize = 64;

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Answer {
    /// Its status code.
    pub(super) status: u16,
    /// Its content.
    pub(super) body: Vec<u8>,
}

/// Why there is no answer.
#[derive(Debug, Error)]
pub(super) enum HttpError {
    /// There is no connection: the question was certainly not asked.
    #[error("no connection: {0}")]
    Unconnected(io::Error),
    /// The connection failed or the time was over before the answer was whole.
    #[error("no answer: {0}")]
    Gone(io::Error),
    /// What came is no answer in HTTP.
    #[error("an answer that is no HTTP: {0}")]
    Garbage(String),
}

/// What is asked.
#[derive(Clone, Copy, Debug)]
pub(super) struct Question<'a> {
    pub(super) method: &'a str,
    pub(super) path: &'a str,
    /// Sent as JSON.
    pub(super) body: &'a str,
}

/// Asks over `stream`, and waits for the answer until `deadline`.
pub(super) fn ask(
    mut stream: TcpStream,
    question: Question<'_>,
    deadline: Instant,
) -> Result<Answer, HttpError> {
    let Question { method, path, body } = question;
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    stream
        .set_write_timeout(Some(left(deadline).map_err(HttpError::Unconnected)?))
        .and_then(|()| stream.write_all(head.as_bytes()))
        .map_err(HttpError::Gone)?;
    let mut read = Vec::new();
    let mut closed = false;
    loop {
        if let Some(answer) = parse(&read, closed)? {
            return Ok(answer);
        }
        let mut piece = [0; 4096];
        let count = left(deadline)
            .and_then(|left| stream.set_read_timeout(Some(left)))
            .and_then(|()| stream.read(&mut piece))
            .map_err(HttpError::Gone)?;
        closed = count == 0;
        read.extend_from_slice(&piece[..count]);
    }
}

/// The time left; an error when there is none.
fn left(deadline: Instant) -> io::Result<Duration> {
    match deadline.saturating_duration_since(Instant::now()) {
        Duration::ZERO => Err(ErrorKind::TimedOut.into()),
        left => Ok(left),
    }
}

/// The answer that these bytes are; none where more must be read first.
fn parse(bytes: &[u8], closed: bool) -> Result<Option<Answer>, HttpError> {
    let cut = || HttpError::Gone(ErrorKind::UnexpectedEof.into());
    let mut headers = [httparse::EMPTY_HEADER; MOST_HEADERS];
    let mut response = httparse::Response::new(&mut headers);
    let parsed = response
        .parse(bytes)
        .map_err(|error| HttpError::Garbage(format!("{error} in {}", beginning(bytes))))?;
    let httparse::Status::Complete(head) = parsed else {
        return if closed {
            Err(cut())
        } else if bytes.len() > LARGEST {
            Err(HttpError::Garbage("a head without end".into()))
        } else {
            Ok(None)
        };
    };
    let header = |name: &str| {
        response
            .headers
            .iter()
            .find(|header| header.name.eq_ignore_ascii_case(name))
            .map(|header| String::from_utf8_lossy(header.value).trim().to_owned())
    };
    if let Some(coding) = header("transfer-encoding") {
        return Err(HttpError::Garbage(format!(
            "its content comes in the coding {coding:?}, which is not understood here"
        )));
    }
    let wanted = match header("content-length") {
        None => None,
        Some(text) => match text.parse::<usize>() {
            Ok(length) if length <= LARGEST => Some(length),
            _ => return Err(HttpError::Garbage(format!("a content of {text:?} bytes"))),
        },
    };
    let body = &bytes[head..];
    let whole = match wanted {
        Some(length) => body.len() >= length,
        None => closed,
    };
    if !whole {
        return match (closed, body.len() > LARGEST) {
            (true, _) => Err(cut()),
            (_, true) => Err(HttpError::Garbage("a content without end".into())),
            _ => Ok(None),
        };
    }
    Ok(Some(Answer {
        status: response.code.unwrap_or_default(),
        body: body[..wanted.unwrap_or(body.len())].to_vec(),
    }))
}

/// The beginning of what came, for people.
pub(super) fn beginning(bytes: &[u8]) -> String {
    const SHOWN: usize = 60;
    format!(
        "{:?}",
        String::from_utf8_lossy(&bytes[..bytes.len().min(SHOWN)])
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const OK: &[u8] = b"HTTP/1.1 202 Accepted\r\nContent-Length: 2\r\nKeep-Alive: x\r\n\r\n{}";

    #[test]
    fn an_answer_is_whole_at_its_length_or_at_the_end() {
        let answer = |bytes: &[u8], closed| parse(bytes, closed).expect("an answer");
        for cut in 0..OK.len() {
            assert_eq!(answer(&OK[..cut], false), None, "{cut}");
        }
        let whole = Answer {
            status: 202,
            body: b"{}".to_vec(),
        };
        assert_eq!(answer(OK, false), Some(whole.clone()));
        let unmeasured = b"HTTP/1.1 202 Accepted\r\n\r\n{}";
        assert_eq!(answer(unmeasured, false), None);
        assert_eq!(answer(unmeasured, true), Some(whole));
    }

    #[test]
    fn what_is_cut_off_is_gone_and_what_is_no_http_is_garbage() {
        let error = |bytes: &[u8]| parse(bytes, true).expect_err("no answer");
        for cut in [0, 5, 30, OK.len() - 1] {
            assert!(matches!(error(&OK[..cut]), HttpError::Gone(_)), "{cut}");
        }
        for garbage in [
            &b"\x00\x01\x02"[..],
            b"SSH-2.0-OpenSSH_9.2\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: -3\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        ] {
            assert!(matches!(error(garbage), HttpError::Garbage(_)));
        }
    }
}
