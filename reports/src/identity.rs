//! When two findings of different runs are the same bug.

// tidy: small because when two findings are one bug is a subject of its own

use std::collections::BTreeSet;

use crate::cause::known_by;
use crate::facts::Facts;
use crate::trial::ReportedFinding;

/// What a bug is known by, written out: two findings with the same text are the same bug.
///
/// Of an exploration, the kind, the cause (what was missing, without numbers) and the follow-up that shows
/// it. Of a live run,
/// where nobody knows the cause, the kind, the promise, and what `place` says: the class of
/// failure or the fault.
fn identity(finding: &ReportedFinding, place: &str) -> String {
    let kind = finding.finding.kind;
    let cause = cause(finding);
    if cause.is_empty() {
        let promise = &finding.finding.promise;
        format!(
            "{kind:?} / {:?} {:?} {} / {place}",
            promise.guarantee, promise.classes, promise.demanded
        )
    } else {
        let after = finding.finding.follow_up;
        let after = after.map_or(String::new(), |after| format!(" / {after:?}"));
        format!("{kind:?} / {:?}{after}", known_by(&cause))
    }
}

/// What was missing and where, without numbers; empty where nobody knows.
pub(crate) fn cause(finding: &ReportedFinding) -> BTreeSet<String> {
    let evidence = finding.evidence.iter();
    evidence
        .flat_map(|evidence| evidence.cause.iter().cloned())
        .collect()
}

/// The identity by which two runs are compared: a bug that shows under another fault of the same
/// class is no new bug, because the faults are chosen by the seed and the moment.
pub(crate) fn of_bug(facts: &Facts, finding: &ReportedFinding) -> String {
    let class = facts.class_of(finding, fault_name(finding));
    let class = class.map(|class| format!("{class:?}"));
    identity(finding, &class.unwrap_or_default())
}

/// The identity by which a report groups its findings.
pub(crate) fn of_entry(finding: &ReportedFinding) -> String {
    identity(finding, fault_name(finding))
}

/// The fault's name in a finding's `fault`, which also says when it fired.
pub(crate) fn fault_name(finding: &ReportedFinding) -> &str {
    let spec = &finding.finding.fault;
    spec.split_once('@').map_or(spec, |(name, _)| name)
}
