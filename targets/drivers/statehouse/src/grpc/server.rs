//! The server's side: takes connections and answers calls from a [`Service`].

use std::io;
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;

use bytes::{Bytes, BytesMut};
use h2::RecvStream;
use h2::server::SendResponse;
use http::{HeaderMap, HeaderValue, Request, Response};
use tokio::runtime::Builder;

use super::{INVALID_ARGUMENT, OK, frame};

/// A call that went wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// gRPC's status code.
    pub code: u32,
    /// What is wrong.
    pub message: String,
}

/// What answers calls. It may block: a connection has a thread to itself.
pub trait Service: Send + Sync {
    /// Answers a call of `method` (the last part of the path) with any number of messages.
    fn call(&self, method: &str, question: &[u8]) -> Result<Vec<Vec<u8>>, Status>;
}

/// Serves for as long as connections can be taken. Returns why they no longer can.
pub fn serve(listener: &TcpListener, service: &Arc<dyn Service>) -> io::Error {
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
            .spawn(move || {
                // A connection that breaks is the client's to notice.
                let _ = converse(stream, &service);
            });
        if let Err(e) = spawned {
            return e;
        }
    }
}

fn converse(stream: TcpStream, service: &Arc<dyn Service>) -> io::Result<()> {
    stream.set_nodelay(true)?;
    stream.set_nonblocking(true)?;
    let runtime = Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let stream = tokio::net::TcpStream::from_std(stream)?;
        let mut connection = h2::server::handshake(stream)
            .await
            .map_err(io::Error::other)?;
        while let Some(call) = connection.accept().await {
            let (request, respond) = call.map_err(io::Error::other)?;
            // A body only arrives while the connection is looked after, so a call is a task.
            tokio::spawn(answer(request, respond, Arc::clone(service)));
        }
        Ok(())
    })
}

async fn answer(
    request: Request<RecvStream>,
    mut respond: SendResponse<Bytes>,
    service: Arc<dyn Service>,
) -> Result<(), h2::Error> {
    let (head, mut body) = request.into_parts();
    let mut bytes = BytesMut::new();
    while let Some(data) = body.data().await {
        let data = data?;
        body.flow_control().release_capacity(data.len())?;
        bytes.extend_from_slice(&data);
    }
    let method = head.uri.path().rsplit('/').next().unwrap_or_default();
    let result = match frame::cut(&mut bytes) {
        Ok(Some(question)) => service.call(method, &question),
        _ => Err(Status {
            code: INVALID_ARGUMENT,
            message: "the call has no whole message".into(),
        }),
    };
    let mut response = Response::new(());
    let kind = HeaderValue::from_static("application/grpc");
    response.headers_mut().insert("content-type", kind);
    let mut stream = respond.send_response(response, false)?;
    let status = match result {
        Ok(messages) => {
            for message in messages {
                stream.send_data(frame::framed(&message), false)?;
            }
            None
        }
        Err(status) => Some(status),
    };
    stream.send_trailers(trailers(status.as_ref()))
}

fn trailers(status: Option<&Status>) -> HeaderMap {
    let mut trailers = HeaderMap::new();
    let code = status.map_or(OK.into(), |status| status.code.to_string());
    let mut add = |name: &'static str, text: &str| {
        if let Ok(value) = HeaderValue::from_str(text) {
            trailers.insert(name, value);
        }
    };
    add("grpc-status", &code);
    if let Some(status) = status {
        add("grpc-message", &escaped(&status.message));
    }
    trailers
}

/// Every byte but printable ASCII as `%` and two hexadecimal digits.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b' '..=b'~' if byte != b'%' => escaped.push(char::from(byte)),
            _ => escaped.push_str(&format!("%{byte:02X}")),
        }
    }
    escaped
}
