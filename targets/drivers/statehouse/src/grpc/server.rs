//! The server's side: takes connections and answers calls from a [`Service`].

use std::convert::Infallible;
use std::future::{Future, Ready, ready};
use std::io;
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::http2::Builder as Http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use prost::Message;
use tokio::runtime::Builder;
use tonic::Status;
use tonic::body::Body;
use tonic::server::{Grpc, ServerStreamingService};
use tonic_prost::ProstCodec;

/// What goes back to whoever called.
pub type Answer = Response<Body>;

/// What answers calls. It may block: a connection has a thread to itself.
pub trait Service: Send + Sync + 'static {
    /// Answers one call.
    fn call(&self, call: Call) -> impl Future<Output = Answer> + Send;
}

/// A call that is to be answered.
pub struct Call(Request<Incoming>);

impl Call {
    /// The last part of the path.
    #[must_use]
    pub fn method(&self) -> &str {
        self.0.uri().path().rsplit('/').next().unwrap_or_default()
    }

    /// Answers with one message.
    pub async fn one<Q: Message + Default + 'static, A: Message + 'static>(
        self,
        mut answer: impl FnMut(Q) -> Result<A, Status>,
    ) -> Answer {
        self.several(|question| Ok(vec![answer(question)?])).await
    }

    /// Answers with any number of messages.
    pub async fn several<Q: Message + Default + 'static, A: Message + 'static>(
        self,
        answer: impl FnMut(Q) -> Result<Vec<A>, Status>,
    ) -> Answer {
        Grpc::new(ProstCodec::<A, Q>::default())
            .max_decoding_message_size(usize::MAX)
            .server_streaming(Answering(answer), self.0)
            .await
    }
}

/// What answers one call, as tonic wants it.
struct Answering<F>(F);

impl<Q, A, F: FnMut(Q) -> Result<Vec<A>, Status>> ServerStreamingService<Q> for Answering<F> {
    type Response = A;
    type ResponseStream = tokio_stream::Iter<std::vec::IntoIter<Result<A, Status>>>;
    type Future = Ready<Result<tonic::Response<Self::ResponseStream>, Status>>;

    fn call(&mut self, question: tonic::Request<Q>) -> Self::Future {
        ready((self.0)(question.into_inner()).map(|messages| {
            let messages: Vec<_> = messages.into_iter().map(Ok).collect();
            tonic::Response::new(tokio_stream::iter(messages))
        }))
    }
}

/// Serves for as long as connections can be taken. Returns why they no longer can.
pub fn serve(listener: &TcpListener, service: &Arc<impl Service>) -> io::Error {
    loop {
        let stream = match listener.accept() {
            Ok((stream, _)) => stream,
            // The client was gone before it was taken: nobody's loss.
            Err(e)
                if matches!(
                    e.kind(),
                    io::ErrorKind::ConnectionAborted | io::ErrorKind::Interrupted
                ) =>
            {
                continue;
            }
            Err(e) => return e,
        };
        let service = Arc::clone(service);
        let spawned = thread::Builder::new()
            .name("connection".into())
            // A connection that breaks is the client's to notice.
            .spawn(move || drop(converse(stream, &service)));
        if let Err(e) = spawned {
            return e;
        }
    }
}

fn converse(stream: TcpStream, service: &Arc<impl Service>) -> io::Result<()> {
    stream.set_nodelay(true)?;
    stream.set_nonblocking(true)?;
    let runtime = Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let stream = TokioIo::new(tokio::net::TcpStream::from_std(stream)?);
        let calls = service_fn(|request| {
            let service = Arc::clone(service);
            async move { Ok::<_, Infallible>(service.call(Call(request)).await) }
        });
        Http2::new(TokioExecutor::new())
            .serve_connection(stream, calls)
            .await
            .map_err(io::Error::other)
    })
}
