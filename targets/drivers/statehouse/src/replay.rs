//! What the state store says of its own past, in the checker's words.

use std::time::Instant;

use plugpull_workloads::{Event, EventLog, EventOp, LoggedKey};

use super::messages::{Entries, OfAgent, ReadKey, ReplayEvent, State, unwrapped};
use super::place;
use crate::grpc::{CallError, Channel, one};

/// Reads the replay of each agent, the state as it is, and with `versions` every version that the
/// replay names again.
pub(super) fn event_log(
    channel: &mut Channel,
    agents: &[OfAgent],
    versions: bool,
    deadline: Instant,
) -> Result<EventLog, CallError> {
    let replays = channel.several::<_, ReplayEvent>("Replay", agents, deadline)?;
    let replays: Vec<Vec<ReplayEvent>> = agents
        .iter()
        .zip(replays)
        .map(|(agent, replay)| own(&agent.agent_id, replay))
        .collect();
    let scans = channel.several::<_, Entries>("ScanPrefix", agents, deadline)?;
    let mut log = EventLog::default();
    for scan in scans {
        log.state
            .extend(one(scan)?.entries.into_iter().map(|entry| LoggedKey {
                value: Some(unwrapped(entry.value.as_ref())),
                key: entry.key,
                version: entry.version,
                position: entry.commit_ts,
            }));
    }
    if versions {
        for (agent, replay) in agents.iter().zip(&replays) {
            log.past.extend(past(channel, agent, replay, deadline)?);
        }
    }
    log.streams = replays
        .into_iter()
        .map(|replay| replay.into_iter().map(event).collect())
        .collect();
    Ok(log)
}

/// The part of a replay that is the agent's own. The event of a transaction on keys of several
/// agents is given to each of them whole by release 0.1.0, and each operation would count twice.
fn own(agent: &str, replay: Vec<ReplayEvent>) -> Vec<ReplayEvent> {
    let mut own = Vec::with_capacity(replay.len());
    for mut event in replay {
        let empty = event.operations.is_empty();
        event.operations.retain(|op| place::agent(&op.key) == agent);
        // An event that tells of nothing at all is the checker's to judge.
        if empty || !event.operations.is_empty() {
            own.push(event);
        }
    }
    own
}

fn event(event: ReplayEvent) -> Event {
    let ops = event.operations.into_iter().map(|op| EventOp {
        value: op.value.as_ref().map(|value| unwrapped(Some(value))),
        key: op.key,
        version: op.version,
    });
    Event {
        ops: ops.collect(),
        name: event.txn_id,
        position: event.commit_ts,
    }
}

/// Every version that a replay names, as `GetStateAtVersion` gives it.
fn past(
    channel: &mut Channel,
    agent: &OfAgent,
    replay: &[ReplayEvent],
    deadline: Instant,
) -> Result<Vec<LoggedKey>, CallError> {
    let questions: Vec<ReadKey> = replay
        .iter()
        .flat_map(|event| &event.operations)
        .map(|op| ReadKey {
            namespace: agent.namespace.clone(),
            agent_id: agent.agent_id.clone(),
            key: op.key.clone(),
            version: op.version,
        })
        .collect();
    let answers = channel.several::<_, State>("GetStateAtVersion", &questions, deadline)?;
    questions
        .into_iter()
        .zip(answers)
        .map(|(question, answer)| {
            let state = one(answer)?;
            Ok(LoggedKey {
                key: question.key,
                version: question.version,
                position: state.commit_ts,
                value: state.exists.then(|| unwrapped(state.value.as_ref())),
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::messages::Operation;
    use super::*;

    fn replayed(keys: &[&str]) -> ReplayEvent {
        let operations = keys.iter().map(|key| Operation {
            key: (*key).into(),
            value: None,
            version: 1,
        });
        ReplayEvent {
            txn_id: "x".into(),
            commit_ts: 1,
            operations: operations.collect(),
        }
    }

    #[test]
    fn an_agent_gets_its_own() {
        let replay = || {
            vec![
                replayed(&["c0.head", "k1"]),
                replayed(&["k2"]),
                replayed(&[]),
            ]
        };
        let empty = replayed(&[]);
        assert_eq!(own("c0", replay()), [replayed(&["c0.head"]), empty.clone()]);
        assert_eq!(
            own("shared", replay()),
            [replayed(&["k1"]), replayed(&["k2"]), empty]
        );
    }
}
