//! Our side of a connection.

use std::future::Future;
use std::io;
use std::net::TcpStream;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Instant;

use http::uri::PathAndQuery;
use http::{HeaderMap, Request, Response, Uri};
use http_body_util::BodyExt;
use hyper::client::conn::http2::{Builder as Http2, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};
use prost::Message;
use thiserror::Error;
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinSet;
use tonic::Status;
use tonic::body::Body;
use tonic::client::Grpc;
use tonic_prost::ProstCodec;
use tower_service::Service;

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
        code: i32,
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
    sender: SendRequest<Body>,
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
            let stream = TokioIo::new(tokio::net::TcpStream::from_std(stream)?);
            let mut http = Http2::new(TokioExecutor::new());
            http.initial_stream_window_size(STREAM_WINDOW)
                .initial_connection_window_size(CONNECTION_WINDOW);
            let (sender, connection) =
                tokio::time::timeout_at(deadline.into(), http.handshake(stream))
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
    pub fn unary<A: Message + Default + 'static>(
        &mut self,
        method: &str,
        question: &(impl Message + Clone + 'static),
        deadline: Instant,
    ) -> Result<A, CallError> {
        one(self.stream(method, question, deadline)?)
    }

    /// A call with any number of answers.
    pub fn stream<A: Message + Default + 'static>(
        &mut self,
        method: &str,
        question: &(impl Message + Clone + 'static),
        deadline: Instant,
    ) -> Result<Vec<A>, CallError> {
        let all = self.several(method, std::slice::from_ref(question), deadline)?;
        Ok(all.into_iter().flatten().collect())
    }

    /// The same call with several questions, all under way at once. The answers to each in the
    /// order of the questions; the first error where there is one.
    pub fn several<Q: Message + Clone + 'static, A: Message + Default + 'static>(
        &mut self,
        method: &str,
        questions: &[Q],
        deadline: Instant,
    ) -> Result<Vec<Vec<A>>, CallError> {
        let path: PathAndQuery = format!("/{}/{method}", self.service)
            .parse()
            .map_err(gone)?;
        let sender = &self.sender;
        let all = self.runtime.block_on(async {
            let mut calls = JoinSet::new();
            for (place, question) in questions.iter().enumerate() {
                let call = ask(sender.clone(), path.clone(), question.clone());
                calls.spawn(async move { (place, call.await) });
            }
            let answers = async {
                let mut all = Vec::with_capacity(questions.len());
                while let Some(answer) = calls.join_next().await {
                    all.push(answer.map_err(gone)?);
                }
                Ok(all)
            };
            tokio::time::timeout_at(deadline.into(), answers)
                .await
                .unwrap_or_else(|_| Err(gone("the deadline passed")))
        });
        let mut all = all?;
        all.sort_unstable_by_key(|(place, _)| *place);
        all.into_iter().map(|(_, answers)| answers).collect()
    }
}

/// The only message of an answer.
pub fn one<A>(mut all: Vec<A>) -> Result<A, CallError> {
    match (all.pop(), all.is_empty()) {
        (Some(answer), true) => Ok(answer),
        (None, _) => Err(gone("an answer without a message")),
        (Some(_), false) => Err(gone("more than one message in an answer")),
    }
}

fn gone(error: impl std::fmt::Display) -> CallError {
    CallError::Gone(error.to_string())
}

/// Asks one question. Only a status that the server sent itself is its word: tonic gives one to a
/// broken connection and to an answer that cannot be read too.
async fn ask<Q: Message + 'static, A: Message + Default + 'static>(
    sender: SendRequest<Body>,
    path: PathAndQuery,
    question: Q,
) -> Result<Vec<A>, CallError> {
    let status_sent = Arc::new(AtomicBool::new(false));
    let connection = Connection {
        sender,
        status_sent: Arc::clone(&status_sent),
    };
    messages(connection, path, question)
        .await
        .map_err(|status| match status_sent.load(Ordering::Relaxed) {
            true => CallError::Status {
                code: status.code().into(),
                message: status.message().to_owned(),
            },
            false => gone(status.message()),
        })
}

/// Every message of the answer to one question.
async fn messages<Q: Message + 'static, A: Message + Default + 'static>(
    connection: Connection,
    path: PathAndQuery,
    question: Q,
) -> Result<Vec<A>, Status> {
    let origin = Uri::from_static("http://localhost");
    let mut grpc = Grpc::with_origin(connection, origin).max_decoding_message_size(usize::MAX);
    grpc.ready()
        .await
        .map_err(|error| Status::from_error(error.into()))?;
    let codec = ProstCodec::<Q, A>::default();
    let question = tonic::Request::new(question);
    let mut stream = grpc
        .server_streaming(question, path, codec)
        .await?
        .into_inner();
    let mut all = Vec::new();
    while let Some(message) = stream.message().await? {
        all.push(message);
    }
    Ok(all)
}

/// The connection as one call sees it.
struct Connection {
    sender: SendRequest<Body>,
    /// The server has said how the call ended.
    status_sent: Arc<AtomicBool>,
}

impl Service<Request<Body>> for Connection {
    type Response = Response<Body>;
    type Error = hyper::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.sender.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let answer = self.sender.send_request(request);
        let status_sent = Arc::clone(&self.status_sent);
        let look = move |headers: &HeaderMap| {
            if headers.contains_key(Status::GRPC_STATUS) {
                status_sent.store(true, Ordering::Relaxed);
            }
        };
        Box::pin(async move {
            let answer = answer.await?;
            // An answer without a body has its status among its headers.
            look(answer.headers());
            Ok(answer.map(|body| {
                Body::new(body.map_frame(move |frame| {
                    frame.trailers_ref().into_iter().for_each(&look);
                    frame
                }))
            }))
        })
    }
}
