//! Our side of a connection.

use std::future::Future;
use std::io;
use std::net::TcpStream;
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use h2::client::{ResponseFuture, SendRequest};
use http::{HeaderMap, Request};
use prost::Message;
use thiserror::Error;
use tokio::runtime::{Builder, Runtime};

use super::{OK, frame};

/// How many bytes of one answer may be under way unread.
const STREAM_WINDOW: u32 = 16 << 20;
/// The same for all answers together: the most that HTTP/2 allows, so that no answer ever waits
/// for another to be read.
const CONNECTION_WINDOW: u32 = (1 << 31) - 1;

/// Why a call gave no good answer.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum CallError {
    /// The server answered with an error. The connection stays usable.
    #[error("{message} (status {code})")]
    Status {
        /// gRPC's status code.
        code: u32,
        /// The server's words.
        message: String,
    },
    /// No answer came, or none that can be read: the connection is of no more use.
    #[error("{0}")]
    Gone(String),
}

/// One connection. It has a runtime of its own that only turns during a call.
pub struct Channel {
    runtime: Runtime,
    sender: SendRequest<Bytes>,
    /// The service, as the first part of each path.
    service: &'static str,
}

impl Channel {
    /// Speaks with `service` over `stream`, which is connected.
    pub fn open(stream: TcpStream, service: &'static str, deadline: Instant) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let sender = runtime.block_on(async {
            let stream = tokio::net::TcpStream::from_std(stream)?;
            let mut builder = h2::client::Builder::new();
            builder
                .initial_window_size(STREAM_WINDOW)
                .initial_connection_window_size(CONNECTION_WINDOW);
            let (sender, connection) =
                tokio::time::timeout_at(deadline.into(), builder.handshake(stream))
                    .await
                    .map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
                    .map_err(io::Error::other)?;
            // How it ends is shown by the calls that it breaks off.
            tokio::spawn(async move { drop(connection.await) });
            Ok::<_, io::Error>(sender)
        })?;
        Ok(Self {
            runtime,
            sender,
            service,
        })
    }

    /// A call with one answer.
    pub fn unary<A: Message + Default>(
        &mut self,
        method: &str,
        question: &impl Message,
        deadline: Instant,
    ) -> Result<A, CallError> {
        one(self.stream(method, question, deadline)?)
    }

    /// A call with any number of answers.
    pub fn stream<A: Message + Default>(
        &mut self,
        method: &str,
        question: &impl Message,
        deadline: Instant,
    ) -> Result<Vec<A>, CallError> {
        let all = self.several(method, std::slice::from_ref(question), deadline)?;
        Ok(all.into_iter().flatten().collect())
    }

    /// The same call with several questions, all under way at once. The answers to each in the
    /// order of the questions; the first error where there is one.
    pub fn several<Q: Message, A: Message + Default>(
        &mut self,
        method: &str,
        questions: &[Q],
        deadline: Instant,
    ) -> Result<Vec<Vec<A>>, CallError> {
        let path = format!("http://localhost/{}/{method}", self.service);
        let sender = &mut self.sender;
        self.runtime.block_on(within(deadline, async move {
            let mut pending = Vec::with_capacity(questions.len());
            for question in questions {
                pending.push(send(sender, &path, question).await?);
            }
            let mut all = Vec::with_capacity(pending.len());
            for answer in pending {
                all.push(receive(answer).await?);
            }
            Ok(all)
        }))
    }
}

/// The only message of an answer.
pub fn one<A>(mut all: Vec<A>) -> Result<A, CallError> {
    match (all.pop(), all.is_empty()) {
        (Some(answer), true) => Ok(answer),
        (None, _) => Err(CallError::Gone("an answer without a message".into())),
        (Some(_), false) => Err(CallError::Gone("more than one message in an answer".into())),
    }
}

async fn within<T>(
    deadline: Instant,
    call: impl Future<Output = Result<T, CallError>>,
) -> Result<T, CallError> {
    tokio::time::timeout_at(deadline.into(), call)
        .await
        .unwrap_or_else(|_| Err(CallError::Gone("the deadline passed".into())))
}

fn gone(error: impl std::fmt::Display) -> CallError {
    CallError::Gone(error.to_string())
}

async fn send(
    sender: &mut SendRequest<Bytes>,
    path: &str,
    question: &impl Message,
) -> Result<ResponseFuture, CallError> {
    let request = Request::post(path)
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(())
        .map_err(gone)?;
    let mut ready = sender.clone().ready().await.map_err(gone)?;
    let (answer, mut body) = ready.send_request(request, false).map_err(gone)?;
    body.send_data(frame::framed(&question.encode_to_vec()), true)
        .map_err(gone)?;
    Ok(answer)
}

async fn receive<A: Message + Default>(answer: ResponseFuture) -> Result<Vec<A>, CallError> {
    let (head, mut body) = answer.await.map_err(gone)?.into_parts();
    if !head.status.is_success() {
        return Err(gone(format!("HTTP status {}", head.status)));
    }
    let mut bytes = BytesMut::new();
    while let Some(data) = body.data().await {
        let data = data.map_err(gone)?;
        body.flow_control()
            .release_capacity(data.len())
            .map_err(gone)?;
        bytes.extend_from_slice(&data);
    }
    // An answer without a body has its status among its headers.
    let trailers = body.trailers().await.map_err(gone)?;
    good(trailers.as_ref().unwrap_or(&head.headers))?;
    frame::messages(bytes).map_err(gone)
}

/// An error unless the headers at the end of an answer say that the call went well.
fn good(headers: &HeaderMap) -> Result<(), CallError> {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    match text("grpc-status") {
        Some(OK) => Ok(()),
        Some(code) => Err(CallError::Status {
            code: code.parse().unwrap_or(u32::MAX),
            message: unescaped(text("grpc-message").unwrap_or_default()),
        }),
        None => Err(gone("the answer ended without a status")),
    }
}

/// `grpc-message` has its odd bytes as `%` and two hexadecimal digits.
fn unescaped(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        let escaped = (byte == b'%')
            .then(|| after.get(..2))
            .flatten()
            .and_then(|digits| u8::from_str_radix(str::from_utf8(digits).ok()?, 16).ok());
        match escaped {
            Some(byte) => {
                bytes.push(byte);
                rest = &after[2..];
            }
            None => {
                bytes.push(byte);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::unescaped;

    #[test]
    fn a_message_is_unescaped() {
        assert_eq!(unescaped("no%20space: caf%C3%A9"), "no space: café");
        assert_eq!(unescaped("100% %zz %4"), "100% %zz %4");
    }
}
