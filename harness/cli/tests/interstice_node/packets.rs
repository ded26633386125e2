//! What the node of these tests speaks and writes. Written from the node's sources, and not from
//! plugpull's client and checker: a misreading would have to be made twice.

use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Value {
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

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Row {
    pub(crate) primary_key: Value,
    pub(crate) entries: Vec<Value>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum IndexKey {
    U8(u8),
    U32(u32),
    U64(u64),
    I32(i32),
    I64(i64),
    Bool(bool),
    String(String),
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum LogOperation {
    Insert {
        primary_key: IndexKey,
        row: Option<Row>,
    },
    Update {
        primary_key: IndexKey,
        row: Option<Row>,
    },
    Delete {
        primary_key: IndexKey,
    },
    Clear,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct TableLogEntry {
    pub(crate) seq: u64,
    pub(crate) timestamp_ms: u64,
    pub(crate) operation: LogOperation,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum TableEvent {
    Insert,
    Update,
    Delete,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct RequestSubscription {
    pub(crate) module_name: String,
    pub(crate) table_name: String,
    pub(crate) event: TableEvent,
}

#[derive(Debug, Serialize, Deserialize)]
#[allow(clippy::enum_variant_names, reason = "the node's own names")]
pub(crate) enum TableEventInstance {
    TableInsertEvent {
        module_name: String,
        table_name: String,
        inserted_row: Row,
    },
    TableUpdateEvent {
        module_name: String,
        table_name: String,
        old_row: Row,
        new_row: Row,
    },
    TableDeleteEvent {
        module_name: String,
        table_name: String,
        deleted_row: Row,
    },
}

/// A schema with no modules.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct NodeSchema {
    pub(crate) name: String,
    pub(crate) address: String,
    pub(crate) modules: Vec<()>,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum NetworkPacket {
    Handshake {
        node_id: String,
        address: String,
        token: String,
    },
    Close,
    ReducerCall {
        module_name: String,
        reducer_name: String,
        input: Value,
    },
    QueryCall {
        request_id: String,
        module_name: String,
        query_name: String,
        input: Value,
    },
    QueryResponse {
        request_id: String,
        result: Value,
    },
    RequestSubscription(RequestSubscription),
    RequestUnsubscription(RequestSubscription),
    RequestTableSync {
        module_name: String,
        table_name: String,
    },
    TableSyncResponse {
        module_name: String,
        table_name: String,
        rows: Vec<Row>,
    },
    TableEvent(TableEventInstance),
    ModuleEvent(()),
    SchemaRequest {
        request_id: String,
        node_name: String,
    },
    SchemaResponse {
        request_id: String,
        schema: NodeSchema,
    },
    Error(String),
}
