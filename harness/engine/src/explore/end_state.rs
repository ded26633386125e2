//! Whether a recovery ends in one state, however it is crashed: what is read back is compared with what the same
//! recovery served when nothing interrupted it.

use std::collections::BTreeMap;

use plugpull_workloads::{
    Difference, Finding, FindingKind, FindingPart, Judgement, Observation, Observed, PartKind,
    Verdict, judge,
};

use super::follow_up::Basis;

/// What was judged of a read-back with its difference from `served`, which the recovery showed without the last
/// crash in it. `over` says whether a crash behind all of the recovery leaves the same disk: then it had served
/// it, and its loss breaks a promise that holds between two restarts. Else it is an observation.
pub fn end_state(
    served: &BTreeMap<String, String>,
    observed: Observed,
    over: impl FnOnce() -> bool,
    by: Basis<'_>,
    mut judged: Judgement,
) -> Judgement {
    let Some(Ok(state)) = observed.state.clone() else {
        return judged;
    };
    let Some(difference) = Difference::between(served, &state, observed.ids) else {
        return judged;
    };
    let over = over();
    let Difference {
        name,
        count,
        before,
        after,
        ..
    } = &difference;
    let what = match over {
        true => "a completed recovery had served what is otherwise after the next crash",
        false => "a recovery that was crashed in turn ends in another state than one that was not",
    };
    let plural = if *count == 1 { "" } else { "s" };
    let what = format!("{what} ({count} difference{plural})");
    let differs = format!("{name} was {before} and is {after}");
    let sentence = format!("{what}: {differs}");
    let kind = FindingKind::NotRepeatable;
    // As two restarts with no writes in between.
    let both = Observed {
        state: Some(Ok(served.clone())),
        second: Some(Ok(state)),
        recovery: None,
        ..observed
    };
    let seen = || {
        judge(
            by.history,
            &both,
            by.promises,
            by.class,
            Some(by.crash),
            None,
        )
    };
    let broken = over.then(|| seen().findings.into_iter().find(|one| one.kind == kind));
    if let Some(finding) = broken.flatten() {
        return Judgement {
            verdict: Verdict::Broken,
            why: String::new(),
            findings: vec![Finding {
                sentence,
                parts: vec![
                    FindingPart::new(PartKind::Subject, what),
                    FindingPart::new(PartKind::ReadBack, differs),
                ],
                ..finding
            }],
            observed: Vec::new(),
        };
    }
    judged.observed.push(Observation {
        kind,
        sentence,
        count: *count as u64,
    });
    judged
}

#[cfg(test)]
mod tests {
    use plugpull_workloads::{FailureClass, Guarantee, History, Promise, Stamp, Start};

    use super::*;

    fn state(keys: &[&str]) -> BTreeMap<String, String> {
        let pairs = keys.iter().map(|key| ((*key).to_owned(), "v".to_owned()));
        pairs.collect()
    }

    fn judged(now: &[&str], over: bool, promises: &[Promise]) -> Judgement {
        let observed = Observed {
            start: Start::Started,
            state: Some(Ok(state(now))),
            ..Observed::default()
        };
        let by = Basis {
            promises,
            class: FailureClass::PowerLoss,
            history: &History::default(),
            crash: Stamp::default(),
        };
        let passed = Judgement {
            verdict: Verdict::Pass,
            why: String::new(),
            findings: Vec::new(),
            observed: Vec::new(),
        };
        end_state(&state(&["a", "b"]), observed, || over, by, passed)
    }

    fn consistent() -> Promise {
        Promise {
            classes: vec![FailureClass::PowerLoss],
            guarantee: Guarantee::Consistent,
            words: String::new(),
            source: String::new(),
            demanded: false,
        }
    }

    #[test]
    fn the_same_state_is_nothing() {
        assert_eq!(
            judged(&["a", "b"], true, &[consistent()]).verdict,
            Verdict::Pass
        );
        assert!(
            judged(&["a", "b"], false, &[consistent()])
                .observed
                .is_empty()
        );
    }

    #[test]
    fn what_was_served_must_be_there_and_what_was_not_need_not() {
        let gone = judged(&["a"], true, &[consistent()]);
        assert_eq!(gone.verdict, Verdict::Broken);
        assert_eq!(gone.findings[0].kind, FindingKind::NotRepeatable);
        assert!(
            gone.findings[0]
                .sentence
                .contains("key b was 'v' and is not there"),
            "{gone:?}"
        );
        let interrupted = judged(&["a"], false, &[consistent()]);
        assert_eq!(interrupted.verdict, Verdict::Pass);
        assert_eq!(interrupted.observed.len(), 1);
        // Where nothing is promised it is an observation too.
        let unpromised = judged(&["a"], true, &[]);
        assert_eq!(unpromised.verdict, Verdict::Pass);
        assert_eq!(unpromised.observed[0].count, 1);
    }
}
