//! Service: whether the target came back at all, in time, able to read its data, the same way
//! twice, and fit for work.

use super::held::Held;
use super::{Trouble, words};
use crate::{Damage, FailureClass, FindingKind, Guarantee, Observed, Promise, ReadBack, Start};

/// What was seen of the service.
#[derive(Default)]
pub(super) struct Service {
    pub(super) troubles: Vec<Trouble>,
    /// Where the damage is real: what the target said about it. Each is a detection, not a
    /// broken promise.
    pub(super) detections: Vec<String>,
}

/// Judges the service.
pub(super) fn service(observed: &Observed, held: &Held) -> Service {
    let mut service = Service::default();
    // No target can serve what was destroyed in the only place where it was.
    let excused = matches!(observed.damage, Damage::SingleCopy { .. })
        && matches!(held.class, FailureClass::Corruption | FailureClass::IoError);
    let durable = || held.first(|g| matches!(g, Guarantee::Durable(_)));
    let mut refusal = |kind, promise: Option<&Promise>, sentence: String, brief: String| {
        if excused {
            service.detections.push(brief);
        } else {
            service
                .troubles
                .push(trouble(kind, promise, sentence, brief));
        }
    };
    if let Start::Refused { message } = &observed.start {
        let kind = FindingKind::WillNotStart;
        let message = words::message(message);
        refusal(
            kind,
            held.broken_by(kind),
            format!("it does not start again: {message}"),
            format!("refused: {message}"),
        );
    }
    let kind = FindingKind::Unreadable;
    if let Some(Err(error)) = &observed.state {
        let error = words::message(error);
        refusal(
            kind,
            held.broken_by(kind).or_else(durable),
            format!("it started again and cannot read its data: {error}"),
            format!("could not read its data: {error}"),
        );
    }
    if let Some(Err(check)) = &observed.integrity {
        let check = words::message(check);
        refusal(
            kind,
            held.broken_by(kind),
            format!("its own integrity check fails: {check}"),
            format!("its own integrity check failed: {check}"),
        );
    }
    if let Some(Err(error)) = &observed.log {
        let error = words::message(error);
        refusal(
            kind,
            held.first(|g| g == Guarantee::EventLog)
                .or_else(|| held.broken_by(kind)),
            format!("it cannot read its event log: {error}"),
            format!("could not read its event log: {error}"),
        );
    }
    if let (Some(Ok(_)), Some(Err(error))) = (&observed.state, &observed.second) {
        let kind = FindingKind::NotRepeatable;
        let error = words::message(error);
        refusal(
            kind,
            held.broken_by(kind),
            format!("it started once, but not a second time: {error}"),
            format!("refused the second restart: {error}"),
        );
    }
    if let Some(words) = &observed.stays_down {
        let kind = FindingKind::StaysDown;
        let words = words::message(words);
        refusal(
            kind,
            held.broken_by(kind),
            format!("the trouble is over and it still refuses to work: {words}"),
            format!("stayed down after the trouble was over: {words}"),
        );
    }
    if let Start::Hung { waited } = observed.start {
        let kind = FindingKind::Hung;
        let waited = words::time(waited);
        service.troubles.push(trouble(
            kind,
            held.broken_by(kind),
            format!("it hangs: after {waited} it neither takes calls nor has it ended"),
            format!("hung for {waited}"),
        ));
    }
    service.troubles.extend(too_slow(observed, held));
    service.troubles.extend(not_repeatable(observed, held));
    service
}

fn trouble(
    kind: FindingKind,
    promise: Option<&Promise>,
    sentence: String,
    brief: String,
) -> Trouble {
    Trouble {
        kind,
        promise: promise.cloned(),
        sentence,
        brief,
        txn: None,
        key: None,
        ack: None,
    }
}

fn too_slow(observed: &Observed, held: &Held) -> Option<Trouble> {
    let took = observed.recovery?;
    let (promise, bound) = held.promises.iter().find_map(|p| match p.guarantee {
        Guarantee::RecoversWithinMs(ms) => {
            let bound = std::time::Duration::from_millis(ms);
            (took > bound).then_some((p, bound))
        }
        _ => None,
    })?;
    let (took, bound) = (words::time(took), words::time(bound));
    Some(trouble(
        FindingKind::TooSlow,
        Some(promise),
        format!("its first correct answer came {took} after its start; the bound is {bound}"),
        format!("took {took} to come back"),
    ))
}

fn not_repeatable(observed: &Observed, held: &Held) -> Option<Trouble> {
    let (Some(Ok(first)), Some(Ok(second))) = (&observed.state, &observed.second) else {
        return None;
    };
    let differs = |key: &&String| first.get(*key) != second.get(*key);
    let keys: Vec<&String> = first
        .keys()
        .filter(differs)
        .chain(second.keys().filter(|key| !first.contains_key(*key)))
        .collect();
    let key = *keys.first()?;
    let told = |state: &ReadBack| {
        let value = state.as_ref().ok().and_then(|state| state.get(key));
        value.map_or("not there".to_owned(), |value| words::value(value))
    };
    let before = observed.state.as_ref().map(told).unwrap_or_default();
    let after = observed.second.as_ref().map(told).unwrap_or_default();
    let kind = FindingKind::NotRepeatable;
    let mut trouble = trouble(
        kind,
        held.broken_by(kind),
        format!(
            "a second restart, with no writes in between, shows other data ({}): key {key} was \
             {before} after the first and is {after} after the second",
            words::count(keys.len(), "difference")
        ),
        "the second restart showed other data".into(),
    );
    trouble.key = Some(key.clone());
    Some(trouble)
}
