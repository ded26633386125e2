//! The protocol against stores and peers that misbehave.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use plugpull_targets::wire::{Session, Store, StoreError, WireClient, serve_on};
use plugpull_targets::{Client, ClientError};
use plugpull_workloads::Txn;

fn later() -> Instant {
    Instant::now() + Duration::from_secs(60)
}

fn txn(id: u64) -> Txn {
    Txn {
        id,
        client: 0,
        ops: Vec::new(),
        abort: false,
    }
}

/// Fails transaction 1, does not know about 2, and can open no first session.
struct Moody(AtomicUsize);
struct MoodySession;

impl Store for Moody {
    fn session(&self) -> Result<Box<dyn Session>, StoreError> {
        match self.0.fetch_add(1, Ordering::SeqCst) {
            0 => Err(StoreError::Fail("not now".into())),
            _ => Ok(Box::new(MoodySession)),
        }
    }
}

impl Session for MoodySession {
    fn apply(&mut self, txn: &Txn) -> Result<(), StoreError> {
        match txn.id {
            1 => Err(StoreError::Fail("one".into())),
            2 => Err(StoreError::Info("two".into())),
            _ => Ok(()),
        }
    }
    fn barrier(&mut self) -> Result<(), StoreError> {
        Ok(())
    }
    fn get(&mut self, key: &str) -> Result<Option<String>, StoreError> {
        Ok(Some(key.repeat(100_000)))
    }
    fn read_all(&mut self) -> Result<BTreeMap<String, String>, StoreError> {
        Err(StoreError::Fail("unreadable".into()))
    }
    fn check(&mut self) -> Result<Option<String>, StoreError> {
        Ok(Some("row 1 is missing".into()))
    }
}

fn moody() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || serve_on(&listener, Arc::new(Moody(AtomicUsize::new(0)))));
    port
}

fn connect(port: u16) -> WireClient {
    WireClient::new(TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap()).unwrap()
}

#[test]
fn errors_are_told_apart_and_leave_the_connection_usable() {
    let mut client = connect(moody());
    assert_eq!(
        client.apply(&txn(3), later()),
        Err(ClientError::Fail("not now".into()))
    );
    assert_eq!(
        client.apply(&txn(1), later()),
        Err(ClientError::Fail("one".into()))
    );
    assert_eq!(
        client.apply(&txn(2), later()),
        Err(ClientError::Info("two".into()))
    );
    assert_eq!(client.apply(&txn(3), later()), Ok(()));
    assert_eq!(client.barrier(later()), Ok(()));
    assert_eq!(client.get("ab", later()).unwrap().unwrap().len(), 200_000);
    assert_eq!(
        client.read_all(later()),
        Err(ClientError::Fail("unreadable".into()))
    );
    assert_eq!(client.check(later()), Ok(Some("row 1 is missing".into())));
}

#[test]
fn a_line_that_is_no_request_is_refused() {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, moody())).unwrap();
    stream.write_all(b"{\"call\":\"explode\"}\n\xff\n").unwrap();
    let mut reader = BufReader::new(stream);
    for _ in 0..2 {
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        assert!(
            line.starts_with("{\"answer\":\"fail\",\"text\":\"not a request"),
            "{line}"
        );
    }
}

/// A peer that takes one connection and hands it to `act`.
fn peer(act: impl FnOnce(TcpStream) + Send + 'static) -> WireClient {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let client = connect(listener.local_addr().unwrap().port());
    thread::spawn(move || act(listener.accept().unwrap().0));
    client
}

fn is_gone<T>(result: Result<T, ClientError>) -> bool {
    matches!(result, Err(ClientError::Gone(_)))
}

#[test]
fn an_answer_that_does_not_come_leaves_the_client_gone_for_good() {
    let mut client = peer(|stream| {
        // Answers nothing until the client has left.
        for _ in BufReader::new(stream).lines().map_while(Result::ok) {}
    });
    assert!(is_gone(
        client.apply(&txn(3), Instant::now() + Duration::from_millis(20))
    ));
    assert!(is_gone(client.barrier(later())));
}

#[test]
fn a_deadline_that_has_passed_sends_nothing() {
    let mut client = connect(moody());
    assert!(is_gone(client.apply(&txn(3), Instant::now())));
}

#[test]
fn a_peer_that_leaves_or_talks_nonsense_is_gone() {
    let answered = |answer: &'static [u8]| {
        peer(move |mut stream| {
            let mut line = String::new();
            BufReader::new(stream.try_clone().unwrap())
                .read_line(&mut line)
                .unwrap();
            stream.write_all(answer).unwrap();
        })
    };
    for answer in [
        &b""[..],
        b"{\"answer\":\"o",
        b"nonsense\n",
        b"{\"answer\":\"values\",\"values\":{}}\n",
    ] {
        let mut client = answered(answer);
        assert!(
            is_gone(client.barrier(later())),
            "{:?}",
            String::from_utf8_lossy(answer)
        );
        assert!(is_gone(client.barrier(later())));
    }
    assert_eq!(answered(b"{\"answer\":\"ok\"}\n").barrier(later()), Ok(()));
}
