//! When two findings of different runs are the same bug.

use std::collections::BTreeSet;

use crate::cases::fault_name;
use crate::{Report, ReportedFinding};

/// What a bug is known by, written out: two findings with the same text are the same bug.
///
/// Of an exploration, the kind and the cause (what was missing, without numbers). Of a live run,
/// where nobody knows the cause, the kind, the promise, and what `place` says: the class of
/// failure or the fault.
fn identity(finding: &ReportedFinding, place: &str) -> String {
    let kind = finding.finding.kind;
    let cause: BTreeSet<&str> = finding
        .evidence
        .iter()
        .flat_map(|evidence| evidence.cause.iter().map(String::as_str))
        .collect();
    if cause.is_empty() {
        let promise = &finding.finding.promise;
        format!(
            "{kind:?} / {:?} {:?} {} / {place}",
            promise.guarantee, promise.classes, promise.demanded
        )
    } else {
        format!("{kind:?} / {cause:?}")
    }
}

/// The identity by which two runs are compared: a bug that shows under another fault of the same
/// class is no new bug, because the faults are chosen by the seed and the moment.
pub(crate) fn of_bug(report: &Report, finding: &ReportedFinding) -> String {
    let class = report
        .trial_log
        .iter()
        .find(|trial| trial.number == finding.trial)
        .or_else(|| {
            let name = fault_name(finding);
            report.trial_log.iter().find(|trial| trial.fault == name)
        })
        .map(|trial| format!("{:?}", trial.class));
    identity(finding, &class.unwrap_or_default())
}

/// The identity by which a report groups its findings.
pub(crate) fn of_entry(finding: &ReportedFinding) -> String {
    identity(finding, fault_name(finding))
}
