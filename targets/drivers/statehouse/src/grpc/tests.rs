//! Both sides of a connection, over a real socket.

#![allow(
    clippy::unwrap_used,
    reason = "a test fails by panicking, in its helpers too"
)]

use std::convert::Infallible;
use std::io;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use http::{HeaderName, HeaderValue};
use http_body_util::StreamBody;
use hyper::body::{Bytes, Frame};
use hyper::server::conn::http2::Builder as Http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use prost::Message;
use tokio::runtime::Builder;

use super::*;

#[derive(Clone, PartialEq, Message)]
struct Text {
    #[prost(string, tag = "1")]
    text: String,
}

fn text(text: &str) -> Text {
    Text { text: text.into() }
}

/// Says things back, in several ways.
struct Echo;

impl Service for Echo {
    async fn call(&self, call: Call) -> Answer {
        match call.method() {
            "Once" => call.one(|question: Text| Ok(question)).await,
            "Never" => call.several(|_: Text| Ok(Vec::<Text>::new())).await,
            "Twice" => call.several(|question: Text| Ok(vec![question; 2])).await,
            "Large" => {
                call.several(|question: Text| Ok(vec![text(&question.text.repeat(9 << 20)); 3]))
                    .await
            }
            "Fail" => {
                call.one(|question: Text| {
                    let why = format!("no space: {}\n100 %", question.text);
                    Err::<Text, _>(Status::internal(why))
                })
                .await
            }
            "Hang" => loop {
                thread::park();
            },
            _ => {
                call.one(|_: Text| Err::<Text, _>(Status::unimplemented("what?")))
                    .await
            }
        }
    }
}

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(60)
}

/// A connection to a server of its own.
fn channel() -> Channel {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || serve(&listener, &Arc::new(Echo)));
    Channel::open(TcpStream::connect(address).unwrap(), "test.Echo", soon()).unwrap()
}

#[test]
fn answers_come_back() {
    let mut channel = channel();
    for word in ["one", "", "zwei"] {
        assert_eq!(channel.unary("Once", &text(word), soon()), Ok(text(word)));
    }
    let twice: Vec<Text> = channel.stream("Twice", &text("x"), soon()).unwrap();
    assert_eq!(twice, [text("x"), text("x")]);
    let never: Vec<Text> = channel.stream("Never", &text("x"), soon()).unwrap();
    assert_eq!(never, []);
    for method in ["Twice", "Never"] {
        let answer: Result<Text, CallError> = channel.unary(method, &text("x"), soon());
        assert!(matches!(answer, Err(CallError::Gone(_))), "{answer:?}");
    }
}

#[test]
fn an_error_has_its_words_and_the_connection_goes_on() {
    let mut channel = channel();
    let answer: Result<Text, CallError> = channel.unary("Fail", &text("größe"), soon());
    assert_eq!(
        answer,
        Err(CallError::Status {
            code: 13,
            message: "no space: größe\n100 %".into(),
        })
    );
    let answer: Result<Text, CallError> = channel.unary("Other", &text(""), soon());
    assert!(matches!(answer, Err(CallError::Status { code: 12, .. })));
    assert_eq!(channel.unary("Once", &text("on"), soon()), Ok(text("on")));
}

#[test]
fn many_large_answers_at_once() {
    let mut channel = channel();
    let questions = [text("a"), text("b"), text("c")];
    let all: Vec<Vec<Text>> = channel.several("Large", &questions, soon()).unwrap();
    for (question, answers) in questions.iter().zip(&all) {
        assert_eq!(answers.len(), 3);
        for answer in answers {
            assert_eq!(answer.text.len(), 9 << 20);
            assert!(answer.text.starts_with(&question.text));
        }
    }
}

#[test]
fn a_deadline_ends_a_call() {
    let mut channel = channel();
    let deadline = Instant::now() + Duration::from_millis(50);
    let answer: Result<Text, CallError> = channel.unary("Hang", &text("x"), deadline);
    assert_eq!(answer, Err(CallError::Gone("the deadline passed".into())));
}

#[test]
fn a_server_that_goes_away_is_an_error() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    let gone = thread::spawn(move || drop(listener.accept()));
    let stream = TcpStream::connect(address).unwrap();
    gone.join().unwrap();
    let answer = Channel::open(stream, "test.Echo", soon()).map(|mut channel| {
        let answer: Result<Text, CallError> = channel.unary("Once", &text("x"), soon());
        answer
    });
    assert!(
        matches!(answer, Err(_) | Ok(Err(CallError::Gone(_)))),
        "{answer:?}"
    );
}

/// What one call gives whose answer is these bytes, after which the server sends these trailers, or
/// breaks off.
fn answered(
    body: &'static [u8],
    trailers: Option<&'static [(&str, &str)]>,
) -> Result<Text, CallError> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        let (stream, _) = listener.accept().unwrap();
        stream.set_nonblocking(true).unwrap();
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let stream = TokioIo::new(tokio::net::TcpStream::from_std(stream).unwrap());
            let calls = service_fn(|_| async move {
                let data = Ok::<_, io::Error>(Frame::data(Bytes::from_static(body)));
                let end = match trailers {
                    Some(trailers) => {
                        let all = trailers.iter().map(|(name, value)| {
                            (
                                HeaderName::from_static(name),
                                HeaderValue::from_static(value),
                            )
                        });
                        Ok(Frame::trailers(all.collect()))
                    }
                    None => Err(io::Error::other("broken off")),
                };
                let body = StreamBody::new(tokio_stream::iter([data, end]));
                Ok::<_, Infallible>(http::Response::new(body))
            });
            let http = Http2::new(TokioExecutor::new());
            drop(http.serve_connection(stream, calls).await);
        });
    });
    Channel::open(TcpStream::connect(address).unwrap(), "test.Echo", soon())
        .unwrap()
        .unary("Once", &text("x"), soon())
}

/// `Text` with "x", framed.
const WHOLE: &[u8] = b"\0\0\0\0\x03\x0a\x01x";

#[test]
fn only_the_servers_own_status_ends_a_call() {
    let good: &[(&str, &str)] = &[("grpc-status", "0")];
    assert_eq!(answered(WHOLE, Some(good)), Ok(text("x")));
    let bad: &[(&str, &str)] = &[("grpc-status", "13"), ("grpc-message", "no%20space")];
    assert_eq!(
        answered(WHOLE, Some(bad)),
        Err(CallError::Status {
            code: 13,
            message: "no space".into()
        })
    );
    // None of these is an answer, nor an error that the server reported: a commit that ends so is
    // neither acknowledged nor refused.
    let compressed = b"\x01\0\0\0\x03\x0a\x01x";
    let unreadable = b"\0\0\0\0\x03\x0a\x09x";
    for (body, trailers) in [
        (WHOLE, Some(&[][..])),
        (WHOLE, Some(&[("something", "else")][..])),
        (WHOLE, None),
        (&WHOLE[..7], Some(&[][..])),
        (&WHOLE[..7], None),
        (&compressed[..], Some(good)),
        (&unreadable[..], Some(good)),
    ] {
        let answer = answered(body, trailers);
        assert!(
            matches!(answer, Err(CallError::Gone(_))),
            "{body:?} {trailers:?} {answer:?}"
        );
    }
}
