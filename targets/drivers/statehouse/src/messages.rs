//! The messages of package `statehouse.v1`, as far as plugpull speaks it. Field numbers and types
//! are the published interface of `statehouse-proto` 0.1.0.

#![expect(
    missing_docs,
    reason = "names and numbers are those of the published interface"
)]

use std::collections::BTreeMap;

use prost::{Message, Oneof};

/// The service, as it stands in the path of a call.
pub const SERVICE: &str = "statehouse.v1.StatehouseService";

/// No fields: what is asked or answered where there is nothing to say.
#[derive(Clone, PartialEq, Message)]
pub struct Empty {}

#[derive(Clone, PartialEq, Message)]
pub struct HealthAnswer {
    #[prost(string, tag = "1")]
    pub status: String,
}

#[derive(Clone, PartialEq, Message)]
pub struct VersionAnswer {
    #[prost(string, tag = "1")]
    pub version: String,
    #[prost(string, tag = "2")]
    pub git_sha: String,
}

#[derive(Clone, PartialEq, Message)]
pub struct Begin {
    #[prost(uint64, optional, tag = "1")]
    pub timeout_ms: Option<u64>,
}

/// The name of a transaction: the answer to `BeginTransaction`, and the question of `Commit` and
/// `Abort`.
#[derive(Clone, PartialEq, Message)]
pub struct TxnName {
    #[prost(string, tag = "1")]
    pub txn_id: String,
}

/// The question of `Write`; of `Delete` without its value.
#[derive(Clone, PartialEq, Message)]
pub struct WriteKey {
    #[prost(string, tag = "1")]
    pub txn_id: String,
    #[prost(string, tag = "2")]
    pub namespace: String,
    #[prost(string, tag = "3")]
    pub agent_id: String,
    #[prost(string, tag = "4")]
    pub key: String,
    #[prost(message, optional, tag = "5")]
    pub value: Option<Struct>,
}

#[derive(Clone, PartialEq, Message)]
pub struct Committed {
    #[prost(uint64, tag = "1")]
    pub commit_ts: u64,
}

/// The question of `GetState`, and of `GetStateAtVersion` with a version.
#[derive(Clone, PartialEq, Message)]
pub struct ReadKey {
    #[prost(string, tag = "1")]
    pub namespace: String,
    #[prost(string, tag = "2")]
    pub agent_id: String,
    #[prost(string, tag = "3")]
    pub key: String,
    #[prost(uint64, tag = "4")]
    pub version: u64,
}

#[derive(Clone, PartialEq, Message)]
pub struct State {
    #[prost(message, optional, tag = "1")]
    pub value: Option<Struct>,
    #[prost(uint64, tag = "2")]
    pub version: u64,
    #[prost(uint64, tag = "3")]
    pub commit_ts: u64,
    #[prost(bool, tag = "4")]
    pub exists: bool,
}

/// The question of `ListKeys`, of `ScanPrefix` (its prefix left empty) and of `Replay` (from the
/// first event to the last).
#[derive(Clone, PartialEq, Message)]
pub struct OfAgent {
    #[prost(string, tag = "1")]
    pub namespace: String,
    #[prost(string, tag = "2")]
    pub agent_id: String,
}

#[derive(Clone, PartialEq, Message)]
pub struct Keys {
    #[prost(string, repeated, tag = "1")]
    pub keys: Vec<String>,
}

#[derive(Clone, PartialEq, Message)]
pub struct Entries {
    #[prost(message, repeated, tag = "1")]
    pub entries: Vec<StateEntry>,
}

#[derive(Clone, PartialEq, Message)]
pub struct StateEntry {
    #[prost(string, tag = "1")]
    pub key: String,
    #[prost(message, optional, tag = "2")]
    pub value: Option<Struct>,
    #[prost(uint64, tag = "3")]
    pub version: u64,
    #[prost(uint64, tag = "4")]
    pub commit_ts: u64,
}

#[derive(Clone, PartialEq, Message)]
pub struct ReplayEvent {
    #[prost(string, tag = "1")]
    pub txn_id: String,
    #[prost(uint64, tag = "2")]
    pub commit_ts: u64,
    #[prost(message, repeated, tag = "3")]
    pub operations: Vec<Operation>,
}

#[derive(Clone, PartialEq, Message)]
pub struct Operation {
    #[prost(string, tag = "1")]
    pub key: String,
    /// None for a delete.
    #[prost(message, optional, tag = "2")]
    pub value: Option<Struct>,
    #[prost(uint64, tag = "3")]
    pub version: u64,
}

/// `google.protobuf.Struct`.
#[derive(Clone, PartialEq, Message)]
pub struct Struct {
    #[prost(btree_map = "string, message", tag = "1")]
    pub fields: BTreeMap<String, Value>,
}

/// `google.protobuf.Value`, without lists, nulls and structs, which plugpull never writes.
#[derive(Clone, PartialEq, Message)]
pub struct Value {
    #[prost(oneof = "Kind", tags = "2, 3, 4")]
    pub kind: Option<Kind>,
}

#[derive(Clone, PartialEq, Oneof)]
pub enum Kind {
    #[prost(double, tag = "2")]
    Number(f64),
    #[prost(string, tag = "3")]
    Text(String),
    #[prost(bool, tag = "4")]
    Truth(bool),
}

/// The field of a Struct that carries a value of the workload.
const FIELD: &str = "v";

/// A value of the workload as a Struct.
pub fn wrapped(text: &str) -> Struct {
    let kind = Some(Kind::Text(text.to_owned()));
    Struct {
        fields: BTreeMap::from([(FIELD.to_owned(), Value { kind })]),
    }
}

/// The value of the workload that a Struct carries. Of any other Struct its form in words, which
/// is the value of no write and so is found to be wrong.
pub fn unwrapped(value: Option<&Struct>) -> String {
    match value {
        None => "(no value)".into(),
        Some(value) => match value.fields.iter().next() {
            Some((
                field,
                Value {
                    kind: Some(Kind::Text(text)),
                },
            )) if field == FIELD && value.fields.len() == 1 => text.clone(),
            _ => format!("(a struct that was never written: {:?})", value.fields),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_goes_there_and_back() {
        let bytes = wrapped("t1.0.x").encode_to_vec();
        let back = Struct::decode(bytes.as_slice()).ok();
        assert_eq!(unwrapped(back.as_ref()), "t1.0.x");
        // As any protobuf writes it: field 1, an entry of key "v" and a Value with its string.
        assert_eq!(bytes, b"\x0a\x0d\x0a\x01v\x12\x08\x1a\x06t1.0.x");
    }

    #[test]
    fn what_was_never_written_is_no_value() {
        assert_eq!(unwrapped(None), "(no value)");
        let mut odd = wrapped("t1.0.x");
        odd.fields.insert("w".into(), Value { kind: None });
        assert!(unwrapped(Some(&odd)).starts_with("(a struct"));
    }
}
