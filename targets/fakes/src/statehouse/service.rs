//! The calls of `statehouse.v1.StatehouseService`, answered from the [`Engine`].

use std::time::Duration;

use parking_lot::Mutex;
use prost::Message;

use super::engine::{Engine, KeyState, Name};
use plugpull_driver_statehouse::grpc::{
    INTERNAL, INVALID_ARGUMENT, Service, Status, UNIMPLEMENTED,
};
use plugpull_driver_statehouse::messages::{
    Begin, Committed, Empty, Entries, HealthAnswer, Keys, OfAgent, Operation, ReadKey, ReplayEvent,
    State, StateEntry, Struct, TxnName, VersionAnswer, WriteKey,
};

/// How long a transaction may stay open when it does not say.
const TIMEOUT_MS: u64 = 30_000;

/// The service.
pub(super) struct StateService {
    engine: Mutex<Engine>,
}

impl StateService {
    pub(super) fn new(engine: Engine) -> Self {
        Self {
            engine: Mutex::new(engine),
        }
    }
}

fn read<M: Message + Default>(question: &[u8]) -> Result<M, Status> {
    M::decode(question).map_err(|e| Status {
        code: INVALID_ARGUMENT,
        message: e.to_string(),
    })
}

fn one(answer: &impl Message) -> Vec<Vec<u8>> {
    vec![answer.encode_to_vec()]
}

fn internal(message: String) -> Status {
    Status {
        code: INTERNAL,
        message,
    }
}

/// A Struct as the log holds it.
fn to_text(value: &Struct) -> String {
    use std::fmt::Write;
    value
        .encode_to_vec()
        .iter()
        .fold(String::new(), |mut text, byte| {
            // Writing to a String cannot fail.
            let _ = write!(text, "{byte:02x}");
            text
        })
}

/// The Struct that the log holds; an empty one where it cannot be read.
fn to_struct(text: &str) -> Struct {
    let digits = text.as_bytes().chunks(2).map(|pair| {
        let pair = str::from_utf8(pair).unwrap_or_default();
        u8::from_str_radix(pair, 16).unwrap_or_default()
    });
    let bytes: Vec<u8> = digits.collect();
    Struct::decode(bytes.as_slice()).unwrap_or_default()
}

/// The keys of an agent that are there.
fn of_agent<'a>(
    engine: &'a Engine,
    question: &'a OfAgent,
) -> impl Iterator<Item = (&'a KeyState, &'a str)> {
    let first: Name = (
        question.namespace.clone(),
        question.agent_id.clone(),
        String::new(),
    );
    engine
        .state
        .range(first..)
        .take_while(|((namespace, agent, _), _)| {
            *namespace == question.namespace && *agent == question.agent_id
        })
        .filter_map(|(_, found)| Some((found, found.value.as_deref()?)))
}

fn replay(engine: &Engine, question: &OfAgent) -> Vec<Vec<u8>> {
    let mut events = Vec::new();
    for record in &engine.events {
        let operations: Vec<Operation> = record
            .writes
            .iter()
            .filter(|write| {
                write.namespace == question.namespace && write.agent == question.agent_id
            })
            .map(|write| Operation {
                key: write.key.clone(),
                value: write.value.as_deref().map(to_struct),
                version: write.version,
            })
            .collect();
        if !operations.is_empty() {
            let event = ReplayEvent {
                txn_id: record.txn.clone(),
                commit_ts: record.ts,
                operations,
            };
            events.push(event.encode_to_vec());
        }
    }
    events
}

impl Service for StateService {
    fn call(&self, method: &str, question: &[u8]) -> Result<Vec<Vec<u8>>, Status> {
        if method == "Health" {
            // Never touches the store, as with the real one.
            let status = "ok".into();
            return Ok(one(&HealthAnswer { status }));
        }
        let mut engine = self.engine.lock();
        Ok(match method {
            "Version" => one(&VersionAnswer {
                version: env!("CARGO_PKG_VERSION").into(),
                git_sha: String::new(),
            }),
            "BeginTransaction" => {
                let timeout = read::<Begin>(question)?.timeout_ms.unwrap_or(TIMEOUT_MS);
                let txn_id = engine.begin(Duration::from_millis(timeout));
                one(&TxnName { txn_id })
            }
            "Write" | "Delete" => {
                let WriteKey {
                    txn_id,
                    namespace,
                    agent_id,
                    key,
                    value,
                } = read(question)?;
                let value = match (method, value) {
                    ("Write", value) => Some(to_text(&value.unwrap_or_default())),
                    _ => None,
                };
                let staged = ((namespace, agent_id, key), value);
                engine.stage(&txn_id, staged).map_err(internal)?;
                one(&Empty {})
            }
            "Commit" => {
                let name: TxnName = read(question)?;
                let commit_ts = engine.commit(&name.txn_id).map_err(internal)?;
                one(&Committed { commit_ts })
            }
            "Abort" => {
                let name: TxnName = read(question)?;
                engine.abort(&name.txn_id).map_err(internal)?;
                one(&Empty {})
            }
            "GetState" => {
                let ReadKey {
                    namespace,
                    agent_id,
                    key,
                    ..
                } = read(question)?;
                let found = engine.state.get(&(namespace, agent_id, key));
                one(&found.map_or_else(State::default, |found| State {
                    value: found.value.as_deref().map(to_struct),
                    version: found.version,
                    commit_ts: found.ts,
                    exists: found.value.is_some(),
                }))
            }
            "GetStateAtVersion" => {
                let ReadKey {
                    namespace,
                    agent_id,
                    key,
                    version,
                } = read(question)?;
                let found = engine.at_version(&(namespace, agent_id, key), version);
                one(&found.map_or_else(State::default, |(write, ts)| State {
                    value: write.value.as_deref().map(to_struct),
                    version,
                    commit_ts: ts,
                    exists: write.value.is_some(),
                }))
            }
            "ListKeys" => {
                let question: OfAgent = read(question)?;
                let keys = of_agent(&engine, &question).map(|(found, _)| found.name.2.clone());
                one(&Keys {
                    keys: keys.collect(),
                })
            }
            "ScanPrefix" => {
                let question: OfAgent = read(question)?;
                let entries = of_agent(&engine, &question).map(|(found, value)| StateEntry {
                    key: found.name.2.clone(),
                    value: Some(to_struct(value)),
                    version: found.version,
                    commit_ts: found.ts,
                });
                one(&Entries {
                    entries: entries.collect(),
                })
            }
            "Replay" => replay(&engine, &read(question)?),
            other => {
                return Err(Status {
                    code: UNIMPLEMENTED,
                    message: format!("there is no method {other}"),
                });
            }
        })
    }
}
