//! Every trial ends with a SIGKILL. A finding that this kill alone brings is one of `kill`, whatever
//! was injected before: the same trial without the fault, made as a control, tells.

use std::collections::{BTreeMap, BTreeSet};

use plugpull_reports::Trial;
use plugpull_workloads::{FailureClass, FindingKind};

/// How often the control is made before a finding counts as the fault's own.
pub(super) const CONTROLS: usize = 3;

/// What is known of the findings of a run's faults.
#[derive(Default)]
pub(super) struct Controls {
    /// By fault: the kinds of findings that the kill alone did not bring.
    own: BTreeMap<String, BTreeSet<FindingKind>>,
    /// The kinds that a kill alone was seen to bring.
    of_kill: BTreeSet<FindingKind>,
}

/// What a trial's findings are.
pub(super) enum Whose<T> {
    /// Those of the fault that was injected.
    Fault,
    /// The kill at the end of the trial brings them alone, as this control shows.
    Kill(T),
}

/// True for a fault that is no more than a kill of the process while it works.
pub(super) fn is_kill(fault: &str) -> bool {
    matches!(fault, "kill" | "kill-op")
}

fn kinds(trial: &Trial) -> BTreeSet<FindingKind> {
    trial.findings.iter().map(|one| one.finding.kind).collect()
}

impl Controls {
    /// Whose the findings of a trial are; `later` where they came after the fault's own recovery was
    /// well. `control` makes the same trial without the fault, and gives none where there is no time.
    pub(super) fn whose<T>(
        &mut self,
        trial: &Trial,
        later: bool,
        mut control: impl FnMut() -> Option<T>,
        of: impl Fn(&T) -> &Trial,
    ) -> Whose<T> {
        let found = kinds(trial);
        if is_kill(&trial.fault) {
            self.of_kill.extend(found);
            return Whose::Fault;
        }
        // A clean stop ends with no kill, and what it loses it loses by itself.
        let stopped = trial.class == FailureClass::CleanStop && !later;
        let known = self.own.entry(trial.fault.clone()).or_default();
        if found.is_empty() || stopped || found.iter().any(|kind| known.contains(kind)) {
            return Whose::Fault;
        }
        for _ in 0..CONTROLS {
            let Some(made) = control() else {
                return Whose::Fault;
            };
            let brought = kinds(of(&made));
            self.of_kill.extend(brought.iter().copied());
            if found.is_subset(&brought) {
                return Whose::Kill(made);
            }
        }
        known.extend(found);
        Whose::Fault
    }
}

#[cfg(test)]
mod tests {
    use plugpull_reports::ReportedFinding;
    use plugpull_workloads::{Finding, Guarantee, Promise};

    use super::*;

    fn trial(fault: &str, class: FailureClass, kinds: &[FindingKind]) -> Trial {
        let mut trial = Trial::begun(1, fault, fault.into(), 7, class);
        for kind in kinds {
            let promise = Promise {
                classes: vec![class],
                guarantee: Guarantee::Consistent,
                words: String::new(),
                source: String::new(),
                demanded: false,
            };
            trial.findings.push(ReportedFinding {
                finding: Finding {
                    kind: *kind,
                    sentence: String::new(),
                    promise,
                    fault: String::new(),
                    txn: None,
                    key: None,
                    ack: None,
                    follow_up: None,
                    parts: Vec::new(),
                },
                trial: 1,
                count: 1,
                repeat: String::new(),
                output: Vec::new(),
                evidence: None,
            });
        }
        trial
    }

    /// Whether the findings are the fault's own, and how many controls were made.
    fn is_the_faults_own(
        controls: &mut Controls,
        found: &Trial,
        later: bool,
        shows: &[&[FindingKind]],
    ) -> (bool, usize) {
        let mut made = 0;
        let control = || {
            let kinds = shows.get(made).copied().unwrap_or_default();
            made += 1;
            Some(trial("kill", FailureClass::ProcessCrash, kinds))
        };
        let whose = controls.whose(found, later, control, |trial| trial);
        (matches!(whose, Whose::Fault), made)
    }

    #[test]
    fn what_the_kill_alone_brings_is_of_the_kill() {
        use FindingKind::{LostAck, WillNotStart};
        let mut controls = Controls::default();
        let hang = trial("hang", FailureClass::Stall, &[WillNotStart]);
        // Seen at the second control.
        let shows: [&[FindingKind]; 2] = [&[], &[WillNotStart]];
        assert_eq!(
            is_the_faults_own(&mut controls, &hang, false, &shows),
            (false, 2)
        );
        // Another kind is another finding.
        let loss = trial("power-loss", FailureClass::PowerLoss, &[LostAck]);
        let shows: [&[FindingKind]; 3] = [&[WillNotStart], &[], &[]];
        assert_eq!(
            is_the_faults_own(&mut controls, &loss, false, &shows),
            (true, 3)
        );
        // That is known then.
        assert_eq!(
            is_the_faults_own(&mut controls, &loss, false, &[]),
            (true, 0)
        );
    }

    #[test]
    fn a_kill_and_a_clean_stop_need_no_control() {
        use FindingKind::LostAck;
        let mut controls = Controls::default();
        let kill = trial("kill", FailureClass::ProcessCrash, &[LostAck]);
        assert_eq!(
            is_the_faults_own(&mut controls, &kill, false, &[]),
            (true, 0)
        );
        let term = trial("term", FailureClass::CleanStop, &[LostAck]);
        assert_eq!(
            is_the_faults_own(&mut controls, &term, false, &[]),
            (true, 0)
        );
        // Lost by the kill after it was started again and written to.
        let shows: [&[FindingKind]; 1] = [&[LostAck]];
        assert_eq!(
            is_the_faults_own(&mut controls, &term, true, &shows),
            (false, 1)
        );
    }
}
