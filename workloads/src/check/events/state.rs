//! Whether the log comes to the state that is served, and whether versions count on.

use std::collections::{BTreeMap, HashMap};

use super::summed;
use crate::check::{Trouble, labels};
use crate::{Event, EventLog, EventOp, FindingKind, LoggedKey};

/// What the log comes to, read from the beginning.
fn fold(log: &EventLog) -> BTreeMap<&str, (&EventOp, &Event)> {
    let mut state = BTreeMap::new();
    for event in log.streams.iter().flatten() {
        for op in &event.ops {
            state.insert(op.key.as_str(), (op, event));
        }
    }
    state
}

/// The state must be what the log comes to: the same keys, values and positions.
pub(super) fn replayed(log: &EventLog) -> Option<Trouble> {
    let mut expected = fold(log);
    let mut wrong = Vec::new();
    for served in &log.state {
        let found = served.value.as_deref().unwrap_or_default();
        let Some((op, event)) = expected.remove(served.key.as_str()) else {
            wrong.push((
                &served.key,
                format!(
                    "key {} holds {}, and no event of the event log wrote it",
                    served.key,
                    labels::value(found)
                ),
            ));
            continue;
        };
        let what = match &op.value {
            None => "deleted it".to_owned(),
            Some(value) if value != found => format!("put {} there", labels::value(value)),
            Some(_) if served.position != event.position => {
                format!("put that there at position {}", event.position)
            }
            Some(_) => continue,
        };
        wrong.push((
            &served.key,
            format!(
                "key {} holds {} of position {}, and the last event of the event log that wrote \
                 to it, {}, {what}",
                served.key,
                labels::value(found),
                served.position,
                event.name
            ),
        ));
    }
    for (op, event) in expected.into_values() {
        if let Some(value) = &op.value {
            wrong.push((
                &op.key,
                format!(
                    "key {} is not there, and the last event of the event log that wrote to it, \
                     {}, put {} there",
                    op.key,
                    event.name,
                    labels::value(value)
                ),
            ));
        }
    }
    let n = wrong.len();
    let (key, first) = wrong.into_iter().next()?;
    Some(Trouble {
        key: Some(key.clone()),
        ..Trouble::new(
            FindingKind::StateNotReplayed,
            None,
            summed(first, n),
            format!(
                "{} that the event log does not come to",
                labels::count(n, "key")
            ),
        )
    })
}

/// The versions of a key are 1, 2, 3, ... in the log; the state has the last, and each of them is
/// what the log says when it is asked for.
pub(super) fn versions(log: &EventLog) -> Option<Trouble> {
    let mut wrong: Vec<(&str, String)> = Vec::new();
    let mut last: HashMap<&str, u64> = HashMap::new();
    let mut logged: HashMap<(&str, u64), (&EventOp, u64)> = HashMap::new();
    for event in log.streams.iter().flatten() {
        for op in &event.ops {
            let before = last.insert(&op.key, op.version).unwrap_or_default();
            if op.version != before + 1 {
                wrong.push((
                    &op.key,
                    format!(
                        "event {} of the event log makes version {} of key {}, whose last version \
                         was {before}",
                        event.name, op.version, op.key
                    ),
                ));
            }
            logged.insert((&op.key, op.version), (op, event.position));
        }
    }
    for LoggedKey { key, version, .. } in &log.state {
        let expected = last.get(key.as_str()).copied().unwrap_or_default();
        if *version != expected {
            wrong.push((
                key,
                format!(
                    "key {key} has version {version}, and its last version in the event log is \
                     {expected}"
                ),
            ));
        }
    }
    for old in &log.past {
        let Some((op, position)) = logged.get(&(old.key.as_str(), old.version)) else {
            continue;
        };
        let same = op.value == old.value && (old.value.is_none() || old.position == *position);
        if !same {
            let shown = |value: &Option<String>| match value {
                Some(value) => labels::value(value),
                None => "nothing".to_owned(),
            };
            wrong.push((
                &old.key,
                format!(
                    "version {} of key {} reads as {}, and the event log says {}",
                    old.version,
                    old.key,
                    shown(&old.value),
                    shown(&op.value)
                ),
            ));
        }
    }
    let n = wrong.len();
    let (key, first) = wrong.into_iter().next()?;
    Some(Trouble {
        key: Some(key.to_owned()),
        ..Trouble::new(
            FindingKind::VersionGap,
            None,
            summed(first, n),
            format!("{} of keys", labels::count(n, "wrong version")),
        )
    })
}
