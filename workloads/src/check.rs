//! The checker: from what was acknowledged and what was read back to the promises that were
//! broken.
//!
//! [`judge`] looks at the service (did it start, in time, twice the same) and at the data. What it
//! finds is a broken promise only where a promise of the trial's class of failure forbids it:
//!
//! | finding | breaks |
//! | --- | --- |
//! | lost ack, resurrected | durable; under damage also detects, where nothing says what may be lost |
//! | torn transaction | atomic |
//! | prefix hole | prefix |
//! | phantom, wrong value | consistent or detects |
//! | inconsistent | consistent, or else what makes the order impossible |
//! | missing, stray or disordered event, state not replayed | event log |
//! | version gap | versions |
//! | unreadable, not repeatable, stays down | consistent |
//! | will not start | consistent, durable, or a recovery bound |
//! | hung | a recovery bound, consistent or durable |
//! | too slow | a recovery bound |
//!
//! A demanded promise is cited only where the target kept its own.

mod constraints;
mod events;
mod facts;
mod labels;
mod losses;
mod promised;
mod puzzle;
mod search;
mod served;
mod service;

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{
    Call, FailureClass, Finding, FindingKind, FindingPart, Guarantee, History, Observed, Outcome,
    PartKind, Promise, Stamp, Start, TxnId, Verdict,
};
use facts::Facts;
use promised::Promised;
use puzzle::Puzzle;
use search::Legality;
use service::Detection;
pub use service::Difference;

/// What a trial says about the target's promises.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Judgement {
    /// The verdict: any but [`Verdict::HarnessError`].
    pub verdict: Verdict,
    /// What stands behind a verdict other than broken: how the damage was detected, what was
    /// seen where nothing is promised, why nothing was measured, which losses the promises allow.
    /// Empty where there is nothing to say.
    pub why: String,
    /// One per cause, in the order: service, strange values, losses. Only with
    /// [`Verdict::Broken`]. The fault is left empty.
    pub findings: Vec<Finding>,
    /// What was seen that a perfect store would not have shown, and that no promise forbids. Not with
    /// [`Verdict::Broken`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub observed: Vec<Observation>,
}

/// Something that was seen and that no promise forbids.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Observation {
    /// What kind.
    pub kind: FindingKind,
    /// In plain words, a sentence without full stop.
    pub sentence: String,
    /// How many transactions, keys or values it is about.
    pub count: u64,
}

/// Something that was seen and should not be; a finding where a promise forbids it.
struct Trouble {
    kind: FindingKind,
    /// The promise it breaks.
    promise: Option<Promise>,
    /// For a finding: a whole sentence without full stop.
    sentence: String,
    /// The same in parts; where there are none, the sentence is the subject.
    parts: Vec<FindingPart>,
    /// For a summary: what was seen, in a few words.
    brief: String,
    txn: Option<TxnId>,
    key: Option<String>,
    ack: Option<Stamp>,
    /// How many transactions, keys or values it is about.
    count: usize,
}

impl Trouble {
    fn new(kind: FindingKind, promise: Option<&Promise>, sentence: String, brief: String) -> Self {
        Self {
            kind,
            promise: promise.cloned(),
            sentence,
            parts: Vec::new(),
            brief,
            txn: None,
            key: None,
            ack: None,
            count: 1,
        }
    }

    /// Where nothing was said of its parts, the whole sentence is its subject.
    fn in_parts(&mut self) {
        if self.parts.is_empty() {
            self.parts
                .push(FindingPart::new(PartKind::Subject, self.sentence.clone()));
        }
    }

    /// The same with these parts of its sentence.
    fn with(self, parts: impl IntoIterator<Item = FindingPart>) -> Self {
        Self {
            parts: parts.into_iter().collect(),
            ..self
        }
    }
}

impl Observation {
    fn of(trouble: &Trouble) -> Self {
        Self {
            kind: trouble.kind,
            sentence: trouble.sentence.clone(),
            count: trouble.count as u64,
        }
    }
}

/// All that one look at a trial gives.
struct Examination {
    troubles: Vec<Trouble>,
    /// What the target said about damage that is real.
    detections: Vec<Detection>,
    /// True when the search for an order was given up.
    undecided: bool,
}

/// Judges a trial.
///
/// `promises` are the target's own and the demanded ones; those for other classes of failure than
/// `class` are passed over. `crash` is the moment of the failure, from which durability within a
/// time or but for the last acks is counted; the end of the history when none.
/// `recovery_bound` is demanded on top, whatever is promised for `class`.
///
/// Acknowledged transactions must be there as far as a durability promise says: see
/// [`crate::Durability`]. Those with no outcome, or an [`Outcome::Info`], may be there or not, and
/// may take effect at any time after they were invoked. Failed and aborted ones must not be.
///
/// What damage took without a word was not refused, as far as it was durable: by a promise for
/// `class`, or else by the one for [`FailureClass::ProcessCrash`], which is why `promises` are all.
pub fn judge(
    history: &History,
    observed: &Observed,
    promises: &[Promise],
    class: FailureClass,
    crash: Option<Stamp>,
    recovery_bound: Option<Duration>,
) -> Judgement {
    let promised = Promised::new(promises, class, recovery_bound);
    let seen = examine(history, observed, &promised, crash);
    let findings: Vec<Finding> = (seen.troubles.into_iter())
        .filter_map(|trouble| finding(trouble, &observed.said))
        .collect();
    if !findings.is_empty() {
        return Judgement {
            verdict: Verdict::Broken,
            why: String::new(),
            findings,
            observed: Vec::new(),
        };
    }
    let without_findings = |verdict, why: String| Judgement {
        verdict,
        why,
        findings: Vec::new(),
        observed: Vec::new(),
    };
    // There was nothing to lose. But a target that does not even start again has broken its word
    // whatever it had acknowledged: that was found above.
    if !anything_acknowledged(history) {
        return without_findings(Verdict::NotMeasured, "nothing was acknowledged".into());
    }
    // What a perfect store would not have shown is reported even where nothing forbids it.
    let perfect = examine(history, observed, &Promised::everything(class), crash);
    let detected = seen.detections.iter().map(|one| one.brief.clone());
    let allowed = perfect.troubles.iter().map(|one| one.brief.clone());
    let allowed = detected.chain(allowed).collect::<Vec<_>>().join(", ");
    let observed_by = |judgement: Judgement| Judgement {
        observed: perfect.troubles.iter().map(Observation::of).collect(),
        ..judgement
    };
    let without_findings = |verdict, why| observed_by(without_findings(verdict, why));
    if !promises.iter().any(|p| p.classes.contains(&class)) {
        let allowed = if allowed.is_empty() {
            "nothing wrong".into()
        } else {
            allowed
        };
        let why = format!("nothing is promised for {}; seen: {allowed}", class.label());
        return without_findings(Verdict::NoPromise, why);
    }
    if !seen.detections.is_empty() {
        return without_findings(Verdict::Detected, allowed);
    }
    match (&observed.start, &observed.state) {
        (Start::Started, None) => {
            without_findings(Verdict::NotMeasured, "nothing was read back".into())
        }
        (Start::Started, Some(Ok(_))) if seen.undecided => without_findings(
            Verdict::NotMeasured,
            "too many deletes were under way at once to tell whether the state is legal".into(),
        ),
        (Start::Started, Some(Ok(_))) if allowed.is_empty() => {
            without_findings(Verdict::Pass, String::new())
        }
        (Start::Started, Some(Ok(_))) => without_findings(
            Verdict::Pass,
            format!("no promise forbids what was seen: {allowed}"),
        ),
        // There was no data to hold to the promises, and none of them is about that.
        _ => {
            let why = format!("no promise for {} is about this: {allowed}", class.label());
            without_findings(Verdict::NoPromise, why)
        }
    }
}

/// Whether a transaction was acknowledged that leaves something behind.
fn anything_acknowledged(history: &History) -> bool {
    history.entries.iter().any(|e| {
        matches!(&e.call, Call::Txn(txn) if !txn.abort) && matches!(e.done, Some((_, Outcome::Ok)))
    })
}

/// Looks at a trial with these promises in mind.
fn examine(
    history: &History,
    observed: &Observed,
    promised: &Promised,
    crash: Option<Stamp>,
) -> Examination {
    let service = service::service(observed, promised);
    let mut seen = Examination {
        troubles: service.troubles,
        detections: service.detections,
        undecided: false,
    };
    // What others noticed is said where a perfect store is asked for, and no promise is about it.
    if promised.is_everything {
        seen.troubles.extend(service.noticed);
    }
    let Some(Ok(state)) = &observed.state else {
        return seen;
    };
    let mut facts = Facts::new(history, state, observed.ids);
    // A detection excuses what it names, and nothing else.
    let mut named = HashSet::new();
    for detection in &seen.detections {
        named.extend(facts.named_in(&detection.said));
    }
    facts.put_aside(&named);
    let strange = served::strange_values(&facts, promised);
    let mut required = promised.required(&facts, history, crash, &observed.damage);
    for (fact, required) in facts.txns.iter().zip(&mut required) {
        if fact.keys.iter().all(|key| named.contains(key)) {
            *required = None;
        }
    }
    let atomic = promised.first(|g| g == Guarantee::Atomic).is_some();
    let prefix = promised.first(|g| g == Guarantee::Prefix).is_some();
    let puzzle = Puzzle::new(&facts, atomic, prefix, |txn| required[txn].is_some());
    let mut losses = losses::losses(&puzzle, promised, &required, &named);
    if losses.is_empty() && !strange.iter().any(|trouble| trouble.promise.is_some()) {
        match puzzle.solve() {
            Legality::Legal => {}
            Legality::Undecided => seen.undecided = true,
            Legality::Illegal(why) => {
                let promise = promised.broken_by(FindingKind::Inconsistent).cloned();
                losses.push(losses::contradiction(&puzzle, promise, &why));
            }
        }
    }
    let lost = losses.iter().any(|trouble| trouble.promise.is_some());
    if let Some(Ok(log)) = &observed.log {
        losses.extend(events::events(log, &facts, promised, &required, lost));
    }
    if let Some(detection) = seen.detections.first() {
        let but = format!(
            "what it says of the damage does not name this: {}",
            detection.brief
        );
        for loss in &mut losses {
            loss.in_parts();
            loss.sentence += &format!("; {but}");
            loss.parts
                .push(FindingPart::new(PartKind::Note, but.clone()));
        }
    }
    seen.troubles.extend(strange);
    seen.troubles.extend(losses);
    seen
}

/// The finding that a trouble is, where a promise forbids it; with what the target's own check
/// `said` of its key.
fn finding(trouble: Trouble, said: &BTreeMap<String, String>) -> Option<Finding> {
    let mut trouble = trouble;
    trouble.in_parts();
    let promise = trouble.promise?;
    let (mut sentence, mut parts) = (trouble.sentence, trouble.parts);
    if let Some(words) = trouble.key.as_ref().and_then(|key| said.get(key)) {
        let words = labels::message(words);
        sentence += &format!("; its check says: {words}");
        parts.push(FindingPart::new(PartKind::Check, words));
    }
    if promise.demanded {
        sentence += "; the target never promised this, ";
        sentence += &promise.source;
        sentence += " demanded it";
    }
    Some(Finding {
        kind: trouble.kind,
        sentence,
        promise,
        fault: String::new(),
        txn: trouble.txn,
        key: trouble.key,
        ack: trouble.ack,
        follow_up: None,
        parts,
    })
}
