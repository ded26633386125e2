//! Service: whether the target came back at all, in time, able to read its data, the same way
//! twice, and fit for work.

use std::collections::BTreeMap;

use super::promised::Promised;
use super::{Trouble, labels};
use crate::{
    Checker, Damage, FailureClass, FindingKind, FindingPart, Guarantee, Observed, PartKind,
    Promise, Start,
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

/// What the target itself says is wrong: its message, if there is one; what it breaks; and what goes
/// before the message in a finding and in a summary.
type Complaint<'a> = (
    Option<&'a String>,
    FindingKind,
    Option<&'a Promise>,
    &'static str,
    &'static str,
);

fn complaints<'a>(observed: &'a Observed, promised: &'a Promised) -> [Complaint<'a>; 6] {
    let refused = match &observed.start {
        Start::Refused { message } if !observed.went_on => Some(message),
        _ => None,
    };
    let own = observed.checker == Checker::Target;
    let by_check = observed.integrity.as_ref().filter(|_| own);
    let first_start = matches!(observed.state, Some(Ok(_)));
    let second_start = observed.second.as_ref().filter(|_| first_start);
    let state = observed.state.as_ref().and_then(|read| read.as_ref().err());
    let log = observed.log.as_ref().and_then(|read| read.as_ref().err());
    let broken = |kind| promised.broken_by(kind);
    let durable = || promised.first(|g| matches!(g, Guarantee::Durable(_)));
    let event_log = promised.first(|g| g == Guarantee::EventLog);
    use FindingKind::{NotRepeatable, StaysDown, Unreadable, WillNotStart};
    [
        (
            refused,
            WillNotStart,
            broken(WillNotStart),
            "it does not start again",
            "refused",
        ),
        (
            state,
            Unreadable,
            broken(Unreadable).or_else(durable),
            "it started again and cannot read its data",
            "could not read its data",
        ),
        (
            by_check.and_then(|check| check.as_ref().err()),
            Unreadable,
            broken(Unreadable),
            "its own integrity check fails",
            "its own integrity check failed",
        ),
        (
            log,
            Unreadable,
            event_log.or_else(|| broken(Unreadable)),
            "it cannot read its event log",
            "could not read its event log",
        ),
        (
            second_start.and_then(|read| read.as_ref().err()),
            NotRepeatable,
            broken(NotRepeatable),
            "it started once, but not a second time",
            "refused the second restart",
        ),
        (
            observed.stays_down.as_ref(),
            StaysDown,
            broken(StaysDown),
            "the trouble is over and it still refuses to work",
            "stayed down after the trouble was over",
        ),
    ]
}

/// Judges the service.
pub(super) fn service(observed: &Observed, promised: &Promised) -> Service {
    let mut service = Service::default();
    // No target can serve what was destroyed in the only place where it was.
    let at_rest = [FailureClass::Corruption, FailureClass::IoError].contains(&promised.class);
    let excused = at_rest && matches!(observed.damage, Damage::SingleCopy { .. });
    for (said, kind, promise, sentence, brief) in complaints(observed, promised) {
        let Some(said) = said else { continue };
        let message = labels::message(said);
        let brief = format!("{brief}: {message}");
        if excused {
            let said = said.clone();
            service.detections.push(Detection { brief, said });
        } else {
            let parts = [
                FindingPart::new(PartKind::Subject, sentence),
                FindingPart::new(PartKind::ReadBack, message.clone()),
            ];
            let sentence = format!("{sentence}: {message}");
            let complaint = Trouble::new(kind, promise, sentence, brief);
            service.troubles.push(complaint.with(parts));
        }
    }
    match excused {
        true => &mut service.noticed,
        false => &mut service.troubles,
    }
    .extend(noticed_by_others(observed, promised));
    service.troubles.extend(went_on(observed, promised));
    if let Start::Hung { waited } = observed.start {
        let kind = FindingKind::Hung;
        let waited = labels::time(waited);
        service.troubles.push(Trouble::new(
            kind,
            promised.broken_by(kind),
            format!("it hangs: after {waited} it neither takes calls nor has it ended"),
            format!("hung for {waited}"),
        ));
    }
    service.troubles.extend(too_slow(observed, promised));
    service.troubles.extend(not_repeatable(observed, promised));
    service
}

/// What the check of somebody else than the target says; none where it was the target's.
fn noticed_by_others(observed: &Observed, promised: &Promised) -> Option<Trouble> {
    let Some(Err(check)) = &observed.integrity else {
        return None;
    };
    let whose = match observed.checker {
        Checker::Target => return None,
        Checker::Driver => "plugpull's own check of its files",
        Checker::User => "the check that was given",
    };
    let kind = FindingKind::Unreadable;
    let said = labels::message(check);
    Some(Trouble::new(
        kind,
        promised.broken_by(kind),
        format!("{whose} finds damage, of which the target itself says nothing: {said}"),
        format!("{whose} finds: {said}"),
    ))
    .map(|trouble| {
        trouble.with([
            FindingPart::new(
                PartKind::Subject,
                format!("{whose} finds damage, of which the target itself says nothing"),
            ),
            FindingPart::new(PartKind::Check, said),
        ])
    })
}

/// A target that has printed that it did not recover, and answers as if it had.
fn went_on(observed: &Observed, promised: &Promised) -> Option<Trouble> {
    let (Start::Refused { message }, true) = (&observed.start, observed.went_on) else {
        return None;
    };
    let kind = FindingKind::Unreadable;
    let promise = promised.broken_by(kind);
    let promise = promise
        .or_else(|| promised.broken_by(FindingKind::WillNotStart))
        .or_else(|| promised.first(|g| g == Guarantee::Detects));
    let said = labels::message(message);
    Some(Trouble::new(
        kind,
        promise,
        format!("it answers as if it had recovered, and has not: {said}"),
        format!("went on without having recovered: {said}"),
    ))
    .map(|trouble| {
        trouble.with([
            FindingPart::new(
                PartKind::Subject,
                "it answers as if it had recovered, and has not",
            ),
            FindingPart::new(PartKind::ReadBack, said),
        ])
    })
}

fn too_slow(observed: &Observed, promised: &Promised) -> Option<Trouble> {
    let took = observed.recovery?;
    let (promise, bound) = promised.promises.iter().find_map(|p| match p.guarantee {
        Guarantee::RecoversWithinMs(ms) => {
            let bound = std::time::Duration::from_millis(ms);
            (took > bound).then_some((p, bound))
        }
        _ => None,
    })?;
    let (took, bound) = (labels::time(took), labels::time(bound));
    Some(Trouble::new(
        FindingKind::TooSlow,
        Some(promise),
        format!("its first correct answer came {took} after its start; the bound is {bound}"),
        format!("took {took} to come back"),
    ))
}

fn not_repeatable(observed: &Observed, promised: &Promised) -> Option<Trouble> {
    let (Some(Ok(first)), Some(Ok(second))) = (&observed.state, &observed.second) else {
        return None;
    };
    let Difference {
        key,
        name,
        count,
        before,
        after,
    } = Difference::between(first, second, observed.ids)?;
    let kind = FindingKind::NotRepeatable;
    let what = format!(
        "a second restart, with no writes in between, shows other data ({})",
        labels::count(count, "difference")
    );
    let differs = format!("{name} was {before} after the first and is {after} after the second");
    let trouble = Trouble::new(
        kind,
        promised.broken_by(kind),
        format!("{what}: {differs}"),
        "the second restart showed other data".into(),
    );
    let mut trouble = trouble.with([
        FindingPart::new(PartKind::Subject, what),
        FindingPart::new(PartKind::ReadBack, differs),
    ]);
    trouble.key = Some(key);
    trouble.count = count;
    Some(trouble)
}

/// How two read-backs differ that should not.
pub struct Difference {
    /// The first key that differs.
    pub key: String,
    /// What people call it.
    pub name: String,
    /// How many do.
    pub count: usize,
    /// What was there first, in words.
    pub before: String,
    /// And then.
    pub after: String,
}

impl Difference {
    /// None where there is none. With `ids` as in [`Observed::ids`].
    pub fn between(
        first: &BTreeMap<String, String>,
        second: &BTreeMap<String, String>,
        ids: bool,
    ) -> Option<Self> {
        let differs = |key: &&String| first.get(*key) != second.get(*key);
        let keys: Vec<&String> = first
            .keys()
            .filter(differs)
            .chain(second.keys().filter(|key| !first.contains_key(*key)))
            .collect();
        let key = *keys.first()?;
        let shown = |state: &BTreeMap<String, String>| match state.get(key) {
            None => "not there".to_owned(),
            Some(_) if ids => "there".to_owned(),
            Some(value) => labels::value(value),
        };
        Some(Self {
            name: match ids {
                true => labels::id(key),
                false => format!("key {key}"),
            },
            count: keys.len(),
            before: shown(first),
            after: shown(second),
            key: key.clone(),
        })
    }
}
