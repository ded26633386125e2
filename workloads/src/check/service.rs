//! Service: whether the target came back at all, in time, able to read its data, the same way
//! twice, and fit for work.

use super::held::Held;
use super::{Trouble, words};
use crate::{
    Checker, Damage, FailureClass, FindingKind, Guarantee, Observed, Promise, ReadBack, Start,
};

/// What was seen of the service.
#[derive(Default)]
pub(super) struct Service {
    pub(super) troubles: Vec<Trouble>,
    /// Where the damage is real: what the target said about it. Each is a detection, not a
    /// broken promise.
    pub(super) detections: Vec<Detection>,
    /// Where the damage is real: what others than the target noticed of it. No promise is about that,
    /// and it excuses nothing.
    pub(super) noticed: Vec<Trouble>,
}

/// What a target said about damage that is real.
pub(super) struct Detection {
    /// In a few words, with the target's own.
    pub(super) brief: String,
    /// All that it said.
    pub(super) said: String,
}

/// Judges the service.
pub(super) fn service(observed: &Observed, held: &Held) -> Service {
    let mut service = Service::default();
    // No target can serve what was destroyed in the only place where it was.
    let excused = matches!(observed.damage, Damage::SingleCopy { .. })
        && matches!(held.class, FailureClass::Corruption | FailureClass::IoError);
    let durable = || held.first(|g| matches!(g, Guarantee::Durable(_)));
    let mut refusal =
        |kind, promise: Option<&Promise>, said: &str, sentence: String, brief: String| {
            if excused {
                let said = said.to_owned();
                service.detections.push(Detection { brief, said });
            } else {
                service
                    .troubles
                    .push(trouble(kind, promise, sentence, brief));
            }
        };
    if let Start::Refused { message } = &observed.start
        && !observed.went_on
    {
        let kind = FindingKind::WillNotStart;
        let words = words::message(message);
        refusal(
            kind,
            held.broken_by(kind),
            message,
            format!("it does not start again: {words}"),
            format!("refused: {words}"),
        );
    }
    let kind = FindingKind::Unreadable;
    if let Some(Err(error)) = &observed.state {
        let words = words::message(error);
        refusal(
            kind,
            held.broken_by(kind).or_else(durable),
            error,
            format!("it started again and cannot read its data: {words}"),
            format!("could not read its data: {words}"),
        );
    }
    if let Some(Err(check)) = &observed.integrity
        && observed.checker == Checker::Target
    {
        let words = words::message(check);
        refusal(
            kind,
            held.broken_by(kind),
            check,
            format!("its own integrity check fails: {words}"),
            format!("its own integrity check failed: {words}"),
        );
    }
    if let Some(Err(error)) = &observed.log {
        let words = words::message(error);
        refusal(
            kind,
            held.first(|g| g == Guarantee::EventLog)
                .or_else(|| held.broken_by(kind)),
            error,
            format!("it cannot read its event log: {words}"),
            format!("could not read its event log: {words}"),
        );
    }
    if let (Some(Ok(_)), Some(Err(error))) = (&observed.state, &observed.second) {
        let kind = FindingKind::NotRepeatable;
        let words = words::message(error);
        refusal(
            kind,
            held.broken_by(kind),
            error,
            format!("it started once, but not a second time: {words}"),
            format!("refused the second restart: {words}"),
        );
    }
    if let Some(said) = &observed.stays_down {
        let kind = FindingKind::StaysDown;
        let words = words::message(said);
        refusal(
            kind,
            held.broken_by(kind),
            said,
            format!("the trouble is over and it still refuses to work: {words}"),
            format!("stayed down after the trouble was over: {words}"),
        );
    }
    if let Some(noticed) = noticed_by_others(observed, held) {
        match excused {
            true => service.noticed.push(noticed),
            false => service.troubles.push(noticed),
        }
    }
    service.troubles.extend(went_on(observed, held));
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

/// What the check of somebody else than the target says; none where it was the target's.
fn noticed_by_others(observed: &Observed, held: &Held) -> Option<Trouble> {
    let Some(Err(check)) = &observed.integrity else {
        return None;
    };
    let whose = match observed.checker {
        Checker::Target => return None,
        Checker::Driver => "plugpull's own check of its files",
        Checker::User => "the check that was given",
    };
    let kind = FindingKind::Unreadable;
    let said = words::message(check);
    Some(trouble(
        kind,
        held.broken_by(kind),
        format!("{whose} finds damage, of which the target itself says nothing: {said}"),
        format!("{whose} finds: {said}"),
    ))
}

/// A target that has printed that it did not recover, and answers as if it had.
fn went_on(observed: &Observed, held: &Held) -> Option<Trouble> {
    let (Start::Refused { message }, true) = (&observed.start, observed.went_on) else {
        return None;
    };
    let kind = FindingKind::Unreadable;
    let promise = held.broken_by(kind);
    let promise = promise
        .or_else(|| held.broken_by(FindingKind::WillNotStart))
        .or_else(|| held.first(|g| g == Guarantee::Detects));
    let said = words::message(message);
    Some(trouble(
        kind,
        promise,
        format!("it answers as if it had recovered, and has not: {said}"),
        format!("went on without having recovered: {said}"),
    ))
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
        count: 1,
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
    trouble.count = keys.len();
    Some(trouble)
}
