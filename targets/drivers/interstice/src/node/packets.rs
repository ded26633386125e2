//! The packets of the node: `NetworkPacket` of interstice-core 0.5.0, `src/network/protocol.rs`, in
//! postcard's encoding (`interstice-abi`, `src/codec.rs`).
//!
//! Only the order of the variants and of their fields is on the wire, so both are the node's. What is
//! sent and what is received are types of their own: received values are as flat as the tables of the
//! test module, and no answer, however damaged, can make the decoder go deep.

use serde::{Deserialize, Serialize};

/// A value that is sent: `IntersticeValue`. Kinds that are not sent stand only for their number.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(test, derive(Deserialize))]
#[allow(dead_code, reason = "a variant's number is that of its place")]
pub(super) enum Value {
    Void,
    U8(u8),
    U32(u32),
    U64(u64),
    I32(i32),
    I64(i64),
    F32(f32),
    F64(f64),
    Bool(bool),
    String(String),
    Vec(Vec<Value>),
    Option(Option<Box<Value>>),
    Tuple(Vec<Value>),
}

/// A value that is received: those of an `IntersticeValue` that hold no other values.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[cfg_attr(test, derive(Serialize))]
pub(super) enum Cell {
    Void,
    U8(u8),
    U32(u32),
    U64(u64),
    I32(i32),
    I64(i64),
    F32(f32),
    F64(f64),
    Bool(bool),
    String(String),
}

/// A row: its key, and its other fields.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[cfg_attr(test, derive(Serialize))]
pub(super) struct Row {
    pub(super) key: Cell,
    pub(super) fields: Vec<Cell>,
}

/// Which events of a table are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[cfg_attr(test, derive(Deserialize))]
#[allow(dead_code, reason = "a variant's number is that of its place")]
pub(super) enum Kind {
    Insert,
    Update,
    Delete,
}

/// The events that a connection wants.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(test, derive(Deserialize))]
pub(super) struct Subscription {
    pub(super) module: String,
    pub(super) table: String,
    pub(super) event: Kind,
}

/// What plugpull says. Kinds that it does not say stand only for their number.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(test, derive(Deserialize))]
#[allow(dead_code, reason = "a variant's number is that of its place")]
pub(super) enum Sent {
    Handshake {
        node_id: String,
        address: String,
        token: String,
    },
    Close,
    ReducerCall {
        module: String,
        reducer: String,
        input: Value,
    },
    QueryCall {
        request_id: String,
        module: String,
        query: String,
        input: Value,
    },
    QueryResponse,
    RequestSubscription(Subscription),
    RequestUnsubscription(Subscription),
    RequestTableSync {
        module: String,
        table: String,
    },
    TableSyncResponse,
    TableEvent,
    ModuleEvent,
    SchemaRequest {
        request_id: String,
        node_name: String,
    },
}

/// What a subscription brings.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[cfg_attr(test, derive(Serialize))]
pub(super) enum Event {
    Insert {
        module: String,
        table: String,
        row: Row,
    },
    Update {
        module: String,
        table: String,
        old: Row,
        new: Row,
    },
    Delete {
        module: String,
        table: String,
        row: Row,
    },
}

/// What the node says. Of kinds that are of no use here, nothing but the number is read.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[cfg_attr(test, derive(Serialize))]
pub(super) enum Received {
    Handshake {
        node_id: String,
        address: String,
        token: String,
    },
    Close,
    ReducerCall,
    QueryCall,
    QueryResponse {
        request_id: String,
        result: Cell,
    },
    RequestSubscription,
    RequestUnsubscription,
    RequestTableSync,
    TableSyncResponse {
        module: String,
        table: String,
        rows: Vec<Row>,
    },
    TableEvent(Event),
    ModuleEvent,
    SchemaRequest,
    /// The schema of every module follows, and is not read.
    SchemaResponse {
        request_id: String,
    },
    Error(String),
}

impl Received {
    /// Whether all of a packet of this kind is read.
    fn whole(&self) -> bool {
        use Received::{Close, Error, Handshake, QueryResponse, TableEvent, TableSyncResponse};
        matches!(
            self,
            Handshake { .. }
                | Close
                | QueryResponse { .. }
                | TableSyncResponse { .. }
                | TableEvent(_)
                | Error(_)
        )
    }
}

/// The bytes of a packet, its length in four bytes before it, the highest first.
pub(super) fn encode(packet: &Sent) -> Result<Vec<u8>, String> {
    let failed = |error: postcard::Error| format!("the packet cannot be encoded: {error}");
    let bytes = postcard::to_stdvec(packet).map_err(failed)?;
    let length = u32::try_from(bytes.len())
        .map_err(|_| format!("a packet of {} bytes is too long", bytes.len()))?;
    Ok([&length.to_be_bytes()[..], &bytes].concat())
}

/// The packet of these bytes, without its length.
pub(super) fn decode(bytes: &[u8]) -> Result<Received, String> {
    let (packet, rest) = postcard::take_from_bytes::<Received>(bytes).map_err(|error| {
        format!(
            "a packet of {} bytes cannot be read: {error}: {}",
            bytes.len(),
            begin(bytes)
        )
    })?;
    if packet.whole() && !rest.is_empty() {
        return Err(format!(
            "a packet of {} bytes has {} too many: {}",
            bytes.len(),
            rest.len(),
            begin(bytes)
        ));
    }
    Ok(packet)
}

/// The first bytes, for an error's words.
fn begin(bytes: &[u8]) -> String {
    let words: Vec<String> = bytes.iter().take(16).map(|b| format!("{b:02x}")).collect();
    words.join(" ")
}
