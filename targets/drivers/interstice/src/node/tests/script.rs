//! A node whose answers a test makes up.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use super::super::client::NodeClient;
use super::super::directory::client_id;
use super::super::module::{ACKS, MODULE};
use super::super::packets::{Cell, Event, Received, Row, Sent, Value};
use plugpull_driver::ClientError;

/// Long enough for any machine; nothing that goes well waits for it.
pub(super) fn later() -> Instant {
    Instant::now() + Duration::from_secs(60)
}

/// What a node does about a packet.
pub(super) enum Does {
    /// Says these, in order.
    Says(Vec<Received>),
    /// Sends these bytes.
    Sends(Vec<u8>),
    /// Ends the connection.
    Closes,
}

pub(super) fn frame(bytes: &[u8]) -> Vec<u8> {
    let length = u32::try_from(bytes.len()).unwrap().to_be_bytes();
    [&length[..], bytes].concat()
}

fn next(stream: &mut TcpStream) -> Option<Sent> {
    let mut length = [0; 4];
    stream.read_exact(&mut length).ok()?;
    let mut bytes = vec![0; u32::from_be_bytes(length) as usize];
    stream.read_exact(&mut bytes).ok()?;
    Some(postcard::from_bytes(&bytes).unwrap())
}

/// A connection to a node that answers as `does` says. It shakes hands and knows its schema, unless
/// `does` has something else to say.
pub(super) fn open(
    mut does: impl FnMut(&Sent) -> Option<Does> + Send + 'static,
) -> Result<NodeClient, ClientError> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    let stream = TcpStream::connect(address).unwrap();
    let (mut node, _) = listener.accept().unwrap();
    thread::spawn(move || {
        while let Some(said) = next(&mut node) {
            let bytes = match does(&said).or_else(|| polite(&said)) {
                None => continue,
                Some(Does::Closes) => return,
                Some(Does::Sends(bytes)) => bytes,
                Some(Does::Says(all)) => all
                    .iter()
                    .flat_map(|heard| frame(&postcard::to_stdvec(heard).unwrap()))
                    .collect(),
            };
            if node.write_all(&bytes).is_err() {
                return;
            }
        }
    });
    NodeClient::open(stream, ".".into(), client_id(7), later())
}

fn polite(said: &Sent) -> Option<Does> {
    let heard = match said {
        Sent::Handshake { .. } => Received::Handshake {
            node_id: "n".into(),
            address: "a".into(),
            token: "t".into(),
        },
        Sent::SchemaRequest { request_id, .. } => {
            let response = Received::SchemaResponse {
                request_id: request_id.clone(),
            };
            // The schema itself, which is not read.
            let bytes = [postcard::to_stdvec(&response).unwrap(), vec![0xff; 300]].concat();
            return Some(Does::Sends(frame(&bytes)));
        }
        _ => return None,
    };
    Some(Does::Says(vec![heard]))
}

/// The caller and the number of a call, and whether it writes.
pub(super) fn call(said: &Sent) -> Option<(String, u64, bool)> {
    let Sent::ReducerCall {
        input: Value::Vec(input),
        ..
    } = said
    else {
        return None;
    };
    match input.as_slice() {
        [
            Value::String(caller),
            Value::U64(number),
            Value::Bool(_),
            Value::Vec(writes),
        ] => Some((caller.clone(), *number, !writes.is_empty())),
        _ => None,
    }
}

pub(super) fn row(key: &str, value: Cell) -> Row {
    Row {
        key: Cell::String(key.into()),
        fields: vec![value],
    }
}

/// The event of a caller's row in the table of acks.
pub(super) fn event(caller: &str, number: u64, before: Option<u64>) -> Received {
    let (module, table) = (MODULE.to_owned(), ACKS.to_owned());
    let new = row(caller, Cell::U64(number));
    Received::TableEvent(match before {
        None => Event::Insert {
            module,
            table,
            row: new,
        },
        Some(before) => Event::Update {
            module,
            table,
            old: row(caller, Cell::U64(before)),
            new,
        },
    })
}
