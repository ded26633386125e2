//! The calls of `statehouse.v1.StatehouseService`, answered from the [`StatehouseEngine`].

use std::time::Duration;

use parking_lot::Mutex;
use prost::Message;

use super::engine::StatehouseEngine;
use super::snapshot::{KeyState, Name};
use plugpull_driver_statehouse::grpc::{Answer, Call, Service, Status};
use plugpull_driver_statehouse::messages::{
    Begin, Committed, Empty, Entries, HealthAnswer, Keys, OfAgent, Operation, ReadKey, ReplayEvent,
    State, StateEntry, Struct, TxnName, VersionAnswer, WriteKey,
};

/// How long a transaction may stay open when it does not say.
const TIMEOUT_MS: u64 = 30_000;

/// The service.
pub(super) struct StateService {
    engine: Mutex<StatehouseEngine>,
}

impl StateService {
    pub(super) fn new(engine: StatehouseEngine) -> Self {
        Self {
            engine: Mutex::new(engine),
        }
    }
}

/// A Struct as the log holds it.
fn to_text(value: &Struct) -> String {
    let bytes = value.encode_to_vec();
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
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
    engine: &'a StatehouseEngine,
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

fn replay(engine: &StatehouseEngine, question: &OfAgent) -> Vec<ReplayEvent> {
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
            events.push(ReplayEvent {
                txn_id: record.txn.clone(),
                commit_ts: record.ts,
                operations,
            });
        }
    }
    events
}

impl StateService {
    /// Begins a transaction.
    fn begin(&self, question: &Begin) -> TxnName {
        let timeout = question.timeout_ms.unwrap_or(TIMEOUT_MS);
        TxnName {
            txn_id: self.engine.lock().begin(Duration::from_millis(timeout)),
        }
    }

    /// Stages a value, or with none a delete.
    fn stage(&self, question: WriteKey, value: Option<String>) -> Result<Empty, Status> {
        let name = (question.namespace, question.agent_id, question.key);
        let mut engine = self.engine.lock();
        engine
            .stage(&question.txn_id, (name, value))
            .map_err(Status::internal)?;
        Ok(Empty {})
    }

    fn commit(&self, name: &TxnName) -> Result<Committed, Status> {
        let committed = self.engine.lock().commit(&name.txn_id);
        let commit_ts = committed.map_err(Status::internal)?;
        Ok(Committed { commit_ts })
    }

    fn abort(&self, name: &TxnName) -> Result<Empty, Status> {
        let aborted = self.engine.lock().abort(&name.txn_id);
        aborted.map_err(Status::internal)?;
        Ok(Empty {})
    }

    /// A key as it is.
    fn get(&self, question: ReadKey) -> State {
        let engine = self.engine.lock();
        let name = (question.namespace, question.agent_id, question.key);
        engine
            .state
            .get(&name)
            .map_or_else(State::default, |found| State {
                value: found.value.as_deref().map(to_struct),
                version: found.version,
                commit_ts: found.ts,
                exists: found.value.is_some(),
            })
    }

    /// A key as it was.
    fn get_at_version(&self, question: ReadKey) -> State {
        let engine = self.engine.lock();
        let version = question.version;
        let name = (question.namespace, question.agent_id, question.key);
        engine
            .at_version(&name, version)
            .map_or_else(State::default, |(write, ts)| State {
                value: write.value.as_deref().map(to_struct),
                version,
                commit_ts: ts,
                exists: write.value.is_some(),
            })
    }

    fn list(&self, question: &OfAgent) -> Keys {
        let engine = self.engine.lock();
        let keys = of_agent(&engine, question).map(|(found, _)| found.name.2.clone());
        Keys {
            keys: keys.collect(),
        }
    }

    fn scan(&self, question: &OfAgent) -> Entries {
        let engine = self.engine.lock();
        let entries = of_agent(&engine, question).map(|(found, value)| StateEntry {
            key: found.name.2.clone(),
            value: Some(to_struct(value)),
            version: found.version,
            commit_ts: found.ts,
        });
        Entries {
            entries: entries.collect(),
        }
    }
}

impl Service for StateService {
    async fn call(&self, call: Call) -> Answer {
        match call.method() {
            // Never touches the store, as with the real one.
            "Health" => {
                call.one(|_: Empty| {
                    Ok(HealthAnswer {
                        status: "ok".into(),
                    })
                })
                .await
            }
            "Version" => {
                call.one(|_: Empty| {
                    Ok(VersionAnswer {
                        version: env!("CARGO_PKG_VERSION").into(),
                        git_sha: String::new(),
                    })
                })
                .await
            }
            "BeginTransaction" => call.one(|question| Ok(self.begin(&question))).await,
            "Write" => {
                call.one(|mut question: WriteKey| {
                    let value = to_text(&question.value.take().unwrap_or_default());
                    self.stage(question, Some(value))
                })
                .await
            }
            "Delete" => call.one(|question| self.stage(question, None)).await,
            "Commit" => call.one(|name| self.commit(&name)).await,
            "Abort" => call.one(|name| self.abort(&name)).await,
            "GetState" => call.one(|question| Ok(self.get(question))).await,
            "GetStateAtVersion" => call.one(|question| Ok(self.get_at_version(question))).await,
            "ListKeys" => call.one(|question| Ok(self.list(&question))).await,
            "ScanPrefix" => call.one(|question| Ok(self.scan(&question))).await,
            "Replay" => {
                call.several(|question| Ok(replay(&self.engine.lock(), &question)))
                    .await
            }
            other => {
                let why = format!("there is no method {other}");
                call.one(|_: Empty| Err::<Empty, _>(Status::unimplemented(&why)))
                    .await
            }
        }
    }
}
