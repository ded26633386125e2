//! One question over HTTP/1.1 and its answer, on a stream that is connected: answered whole or not
//! at all. `hyper` speaks the protocol.

use std::io::{self, ErrorKind};
use std::net::TcpStream;
use std::time::Instant;

use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::Request;
use hyper::body::{Body, Bytes};
use hyper::client::conn::http1;
use hyper::header::{CONNECTION, CONTENT_TYPE, HOST};
use hyper_util::rt::TokioIo;
use thiserror::Error;
use tokio::runtime::Builder;

/// The largest answer that is read, in bytes. The node's are a few hundred.
const LARGEST: usize = 1 << 20;

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Answer {
    /// Its status code.
    pub(super) status: u16,
    /// Its content.
    pub(super) body: Bytes,
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

impl From<hyper::Error> for HttpError {
    fn from(error: hyper::Error) -> Self {
        // A chunk without its length is an error of reading.
        let cause = std::error::Error::source(&error);
        let kind = cause.and_then(|cause| Some(cause.downcast_ref::<io::Error>()?.kind()));
        let misread = matches!(kind, Some(ErrorKind::InvalidInput | ErrorKind::InvalidData));
        if error.is_parse() || misread {
            return Self::Garbage(error.to_string());
        }
        Self::Gone(io::Error::other(error))
    }
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
    stream: TcpStream,
    question: Question<'_>,
    deadline: Instant,
) -> Result<Answer, HttpError> {
    let runtime = stream
        .set_nonblocking(true)
        .and_then(|()| Builder::new_current_thread().enable_all().build())
        .map_err(HttpError::Unconnected)?;
    runtime.block_on(async {
        tokio::time::timeout_at(deadline.into(), answer(stream, question))
            .await
            .unwrap_or_else(|_| Err(HttpError::Gone(ErrorKind::TimedOut.into())))
    })
}

async fn answer(stream: TcpStream, question: Question<'_>) -> Result<Answer, HttpError> {
    let stream = tokio::net::TcpStream::from_std(stream).map_err(HttpError::Unconnected)?;
    let request = Request::builder()
        .method(question.method)
        .uri(question.path)
        .header(HOST, "localhost")
        .header(CONNECTION, "close")
        .header(CONTENT_TYPE, "application/json")
        .body(Full::new(Bytes::from(question.body.to_owned())))
        .map_err(|error| HttpError::Unconnected(io::Error::other(error)))?;
    let (mut sender, connection) = http1::Builder::new()
        .title_case_headers(true)
        .handshake(TokioIo::new(stream))
        .await?;
    // How it ends is shown by the answer.
    tokio::spawn(async move { drop(connection.await) });
    let (head, body) = sender.send_request(request).await?.into_parts();
    if body.size_hint().lower() > LARGEST as u64 {
        let length = body.size_hint().lower();
        return Err(HttpError::Garbage(format!("a content of {length} bytes")));
    }
    let body = Limited::new(body, LARGEST).collect().await;
    Ok(Answer {
        status: head.status.as_u16(),
        body: body.map_err(unfinished)?.to_bytes(),
    })
}

/// Why a content did not come whole.
fn unfinished(error: Box<dyn std::error::Error + Send + Sync>) -> HttpError {
    if error.is::<LengthLimitError>() {
        return HttpError::Garbage("a content without end".into());
    }
    match error.downcast::<hyper::Error>() {
        Ok(error) => (*error).into(),
        Err(error) => HttpError::Gone(io::Error::other(error)),
    }
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
    use std::io::{Read as _, Write as _};
    use std::net::{Ipv4Addr, TcpListener};
    use std::thread;
    use std::time::Duration;

    use super::*;

    const OK: &[u8] = b"HTTP/1.1 202 Accepted\r\nContent-Length: 2\r\nKeep-Alive: x\r\n\r\n{}";

    /// What a question gives that is answered with these bytes, after which the connection is
    /// closed, or is not.
    fn answered(bytes: &[u8], closed: bool, limit: Duration) -> Result<Answer, HttpError> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let address = listener.local_addr().expect("its address");
        let bytes = bytes.to_vec();
        let server = thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("a connection");
            let mut asked = Vec::new();
            while !asked.ends_with(b"\r\n\r\nabc") {
                let mut piece = [0; 100];
                let count = stream.read(&mut piece).expect("a question");
                assert_ne!(count, 0, "{asked:?}");
                asked.extend_from_slice(&piece[..count]);
            }
            // Whoever has read enough does not wait for the rest.
            let _sent = stream.write_all(&bytes);
            if !closed {
                // Until the other end is closed.
                let _closed = stream.read(&mut [0]);
            }
            String::from_utf8(asked).expect("text").to_lowercase()
        });
        let question = Question {
            method: "POST",
            path: "/a/b",
            body: "abc",
        };
        let stream = TcpStream::connect(address).expect("a connection");
        let answer = ask(stream, question, Instant::now() + limit);
        let asked = server.join().expect("a question");
        assert!(asked.starts_with("post /a/b http/1.1\r\n"), "{asked}");
        assert!(asked.contains("\r\ncontent-length: 3\r\n"), "{asked}");
        assert!(asked.contains("\r\nhost: localhost\r\n"), "{asked}");
        answer
    }

    const LONG: Duration = Duration::from_secs(60);

    #[test]
    fn an_answer_is_whole_at_its_length_or_at_the_end() {
        let whole = Answer {
            status: 202,
            body: Bytes::from_static(b"{}"),
        };
        assert_eq!(answered(OK, false, LONG).ok(), Some(whole.clone()));
        let unmeasured = b"HTTP/1.1 202 Accepted\r\n\r\n{}";
        assert_eq!(answered(unmeasured, true, LONG).ok(), Some(whole.clone()));
        let chunked = b"HTTP/1.1 202 A\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n";
        assert_eq!(answered(chunked, false, LONG).ok(), Some(whole));
    }

    #[test]
    fn what_does_not_end_in_time_is_gone() {
        let soon = Duration::from_millis(50);
        let unmeasured = b"HTTP/1.1 202 Accepted\r\n\r\n{}";
        for bytes in [&OK[..0], &OK[..OK.len() - 1], unmeasured] {
            let answer = answered(bytes, false, soon);
            assert!(matches!(answer, Err(HttpError::Gone(_))), "{answer:?}");
        }
    }

    #[test]
    fn what_is_cut_off_is_gone_and_what_is_no_http_is_garbage() {
        let chunked = b"HTTP/1.1 202 A\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n";
        for cut in [&OK[..0], &OK[..5], &OK[..30], &OK[..OK.len() - 1], chunked] {
            let answer = answered(cut, true, LONG);
            assert!(matches!(answer, Err(HttpError::Gone(_))), "{answer:?}");
        }
        let endless = [b"HTTP/1.1 200 OK\r\n\r\n", &[b'x'; LARGEST + 1][..]].concat();
        for garbage in [
            &b"\x00\x01\x02"[..],
            b"SSH-2.0-OpenSSH_9.2\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: -3\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
            &endless,
        ] {
            let answer = answered(garbage, true, LONG);
            assert!(matches!(answer, Err(HttpError::Garbage(_))), "{answer:?}");
        }
    }
}
