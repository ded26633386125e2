//! Both sides of a connection, over a real socket.

#![allow(
    clippy::unwrap_used,
    reason = "a test fails by panicking, in its helpers too"
)]

use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use prost::Message;

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
    fn call(&self, method: &str, question: &[u8]) -> Result<Vec<Vec<u8>>, Status> {
        let asked = Text::decode(question).map_err(|e| Status {
            code: INVALID_ARGUMENT,
            message: e.to_string(),
        })?;
        match method {
            "Once" => Ok(vec![question.to_vec()]),
            "Never" => Ok(Vec::new()),
            "Twice" => Ok(vec![question.to_vec(), question.to_vec()]),
            "Large" => Ok(vec![text(&asked.text.repeat(9 << 20)).encode_to_vec(); 3]),
            "Fail" => Err(Status {
                code: INTERNAL,
                message: format!("no space: {}\n100 %", asked.text),
            }),
            "Hang" => loop {
                thread::park();
            },
            other => Err(Status {
                code: UNIMPLEMENTED,
                message: other.into(),
            }),
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
    thread::spawn(move || {
        let service: Arc<dyn Service> = Arc::new(Echo);
        serve(&listener, &service)
    });
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
            code: INTERNAL,
            message: "no space: größe\n100 %".into(),
        })
    );
    let answer: Result<Text, CallError> = channel.unary("Other", &text(""), soon());
    assert!(matches!(
        answer,
        Err(CallError::Status {
            code: UNIMPLEMENTED,
            ..
        })
    ));
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
fn a_server_that_goes_away_is_told() {
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
