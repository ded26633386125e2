//! One connection to the state store.

use std::collections::BTreeMap;
use std::time::Instant;

use plugpull_workloads::{EventLog, Txn, Write};

use super::messages::{
    Begin, Committed, Empty, Entries, Keys, OfAgent, ReadKey, ReplayEvent, State, TxnName,
    WriteKey, unwrapped, wrapped,
};
use super::place::{self, Clients, NAMESPACE};
use crate::grpc::{CallError, Channel, one};
use plugpull_driver::{Client, ClientError};

/// One connection.
pub(super) struct StatehouseClient {
    channel: Channel,
    clients: Clients,
    /// An error is the end of a commit (see the setting `commit_errors`).
    commit_errors_final: bool,
    /// Read the version history too.
    versions: bool,
}

impl StatehouseClient {
    pub(super) fn new(
        channel: Channel,
        clients: Clients,
        commit_errors_final: bool,
        versions: bool,
    ) -> Self {
        Self {
            channel,
            clients,
            commit_errors_final,
            versions,
        }
    }

    /// Every agent that may hold something, as a question.
    fn agents(&mut self, deadline: Instant) -> Result<Vec<OfAgent>, CallError> {
        let channel = &mut self.channel;
        let agents = self.clients.agents(|range| {
            let some: Vec<OfAgent> = range.map(place::of_client).map(of_agent).collect();
            let events = channel.several::<_, ReplayEvent>("Replay", &some, deadline)?;
            if events.iter().any(|events| !events.is_empty()) {
                return Ok(true);
            }
            let listed = channel.several::<_, Keys>("ListKeys", &some, deadline)?;
            Ok(listed.iter().flatten().any(|keys| !keys.keys.is_empty()))
        })?;
        Ok(agents.into_iter().map(of_agent).collect())
    }

    /// Stages all writes of a transaction. Whatever becomes of this, nothing has happened yet.
    fn stage(&mut self, txn_id: &str, txn: &Txn, deadline: Instant) -> Result<(), CallError> {
        for op in &txn.ops {
            let mut question = WriteKey {
                txn_id: txn_id.to_owned(),
                namespace: NAMESPACE.into(),
                agent_id: place::agent(&op.key).to_owned(),
                key: op.key.clone(),
                value: None,
            };
            let method = match &op.write {
                Write::Put(value) => {
                    question.value = Some(wrapped(&value.text()));
                    "Write"
                }
                Write::Delete => "Delete",
            };
            self.channel.unary::<Empty>(method, &question, deadline)?;
        }
        Ok(())
    }

    /// What it lists and what it scans must be the same keys; what is wrong, if they are not.
    fn listed_as_scanned(&mut self, deadline: Instant) -> Result<Option<String>, CallError> {
        let agents = self.agents(deadline)?;
        let listed = self
            .channel
            .several::<_, Keys>("ListKeys", &agents, deadline)?;
        let scanned = self
            .channel
            .several::<_, Entries>("ScanPrefix", &agents, deadline)?;
        for ((agent, listed), scanned) in agents.iter().zip(listed).zip(scanned) {
            let mut listed = one(listed)?.keys;
            let mut scanned: Vec<String> =
                one(scanned)?.entries.into_iter().map(|e| e.key).collect();
            listed.sort_unstable();
            scanned.sort_unstable();
            if listed != scanned {
                return Ok(Some(format!(
                    "ListKeys of agent {} names {} keys, ScanPrefix {}",
                    agent.agent_id,
                    listed.len(),
                    scanned.len()
                )));
            }
        }
        Ok(None)
    }
}

fn of_agent(agent_id: String) -> OfAgent {
    OfAgent {
        namespace: NAMESPACE.into(),
        agent_id,
    }
}

/// An error of a call that changes nothing, or nothing yet.
pub(super) fn harmless(error: CallError) -> ClientError {
    match error {
        CallError::Status { .. } => ClientError::Fail(error.to_string()),
        CallError::Gone(text) => ClientError::Gone(text),
    }
}

impl Client for StatehouseClient {
    fn apply(&mut self, txn: &Txn, deadline: Instant) -> Result<(), ClientError> {
        self.clients.writes(txn.client);
        let question = Begin { timeout_ms: None };
        let name: TxnName = self
            .channel
            .unary("BeginTransaction", &question, deadline)
            .map_err(harmless)?;
        if let Err(error) = self.stage(&name.txn_id, txn, deadline) {
            if matches!(error, CallError::Status { .. }) {
                #[expect(
                    clippy::let_underscore_must_use,
                    reason = "it is not committed either way; given up, it need not wait for its timeout"
                )]
                let _ = self.channel.unary::<Empty>("Abort", &name, deadline);
            }
            return Err(harmless(error));
        }
        if txn.abort {
            return match self.channel.unary::<Empty>("Abort", &name, deadline) {
                Ok(_) => Ok(()),
                Err(error) => Err(harmless(error)),
            };
        }
        // Never asked twice: the first may have happened.
        match self.channel.unary::<Committed>("Commit", &name, deadline) {
            Ok(_) => Ok(()),
            Err(error @ CallError::Status { .. }) if self.commit_errors_final => {
                Err(ClientError::Fail(error.to_string()))
            }
            Err(error @ CallError::Status { .. }) => Err(ClientError::Info(error.to_string())),
            Err(CallError::Gone(text)) => Err(ClientError::Gone(text)),
        }
    }

    fn barrier(&mut self, _deadline: Instant) -> Result<(), ClientError> {
        // A commit is durable at its answer, and there is no such call.
        Ok(())
    }

    fn get(&mut self, key: &str, deadline: Instant) -> Result<Option<String>, ClientError> {
        let question = ReadKey {
            namespace: NAMESPACE.into(),
            agent_id: place::agent(key).to_owned(),
            key: key.to_owned(),
            version: 0,
        };
        let state: State = self
            .channel
            .unary("GetState", &question, deadline)
            .map_err(harmless)?;
        Ok(state.exists.then(|| unwrapped(state.value.as_ref())))
    }

    fn read_all(&mut self, deadline: Instant) -> Result<BTreeMap<String, String>, ClientError> {
        let agents = self.agents(deadline).map_err(harmless)?;
        let all = self
            .channel
            .several::<_, Entries>("ScanPrefix", &agents, deadline)
            .map_err(harmless)?;
        let mut state = BTreeMap::new();
        for entries in all {
            for entry in one(entries).map_err(harmless)?.entries {
                state.insert(entry.key, unwrapped(entry.value.as_ref()));
            }
        }
        Ok(state)
    }

    fn check(&mut self, deadline: Instant) -> Result<Option<String>, ClientError> {
        self.listed_as_scanned(deadline).map_err(harmless)
    }

    fn event_log(&mut self, deadline: Instant) -> Result<Option<EventLog>, ClientError> {
        let agents = self.agents(deadline).map_err(harmless)?;
        super::replay::event_log(&mut self.channel, &agents, self.versions, deadline)
            .map(Some)
            .map_err(harmless)
    }
}
