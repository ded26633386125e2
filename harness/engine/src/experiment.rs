//! The experiment loop: one trial after the other, whatever makes them.
//!
//! A way of making trials (live faults, sizes of a log, rounds at a running service) says what comes
//! next and makes it: prepare, act, crash, recover, observe, judge. The loop is the same for all of
//! them, and so is the border that a failure of plugpull does not cross: it costs its own trial.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use plugpull_reports::{GrowthSample, Trial};
use plugpull_workloads::FailureClass;

use crate::outcome::{HarnessFailed, guard};
use crate::trial::not_measured;

/// A trial that comes next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NextTrial {
    /// Its number in the run, from 1.
    pub number: u64,
    /// What it tries, as an index into what the run was to try.
    pub slot: usize,
    /// The name of what is injected.
    pub fault: String,
    /// The same with its moment, as far as that is known before.
    pub spec: String,
    /// The seed of everything random in it.
    pub seed: u64,
    /// The class of failure whose promises are judged.
    pub class: FailureClass,
}

impl NextTrial {
    /// Its record, as long as nothing is known of it.
    pub fn begun(&self) -> Trial {
        let spec = self.spec.clone();
        Trial::begun(self.number, &self.fault, spec, self.seed, self.class)
    }
}

/// A trial that was made.
#[derive(Clone, Debug)]
pub struct Made {
    /// Its record.
    pub trial: Trial,
    /// Why what was tried is not measured by it, where the trial is about something else: what, and why.
    pub not_measured: Option<(String, String)>,
    /// The measurement that it was for; none where that is not what it was for, or nothing was timed.
    pub sample: Option<GrowthSample>,
}

impl From<Trial> for Made {
    fn from(trial: Trial) -> Self {
        Self {
            trial,
            not_measured: None,
            sample: None,
        }
    }
}

/// A way of making trials.
pub trait Experiment {
    /// What comes next, when the run has taken so long; none when all was tried that there is time for.
    fn next(&mut self, elapsed: Duration) -> Option<NextTrial>;

    /// Makes it; none where the end of the run cut it short, so that it says nothing.
    fn make(&mut self, next: &NextTrial) -> Option<Made>;

    /// Adds to these findings of the trial that was just made, by index, what is known of the crash
    /// behind them.
    fn explain(&mut self, trial: &mut Trial, findings: &[usize]) {
        let _ = (trial, findings);
    }
}

/// Takes what happens in a run, as it happens.
pub trait TrialSink {
    /// How long the run has taken.
    fn elapsed(&self) -> Duration;
    /// A trial begins.
    fn started(&mut self, next: &NextTrial);
    /// Which findings of a trial, by index, are the first of their entry in the report.
    fn firsts(&self, trial: &Trial) -> Vec<usize>;
    /// A trial has ended.
    fn finished(&mut self, next: &NextTrial, made: Made);
}

/// Makes trials until there are no more, or until `stop` is raised. Returns whether it was.
pub fn conduct(
    experiment: &mut dyn Experiment,
    stop: &AtomicBool,
    sink: &mut dyn TrialSink,
) -> bool {
    while !stop.load(Ordering::Relaxed) {
        let Some(next) = experiment.next(sink.elapsed()) else {
            return false;
        };
        sink.started(&next);
        let made = guard(|| Ok(experiment.make(&next)))
            .unwrap_or_else(|failed| Some(failed_trial(&next, &failed).into()));
        let Some(mut made) = made else {
            return true;
        };
        assert_eq!(
            made.trial.number, next.number,
            "a trial has the number that it was announced with"
        );
        let firsts = sink.firsts(&made.trial);
        let explained = guard(|| {
            experiment.explain(&mut made.trial, &firsts);
            Ok(())
        });
        if let Err(failed) = explained {
            // The finding stands; what led to it could not be shown.
            made.trial.why = format!("the crash could not be described: {failed}");
        }
        sink.finished(&next, made);
    }
    true
}

fn failed_trial(next: &NextTrial, failed: &HarnessFailed) -> Trial {
    let mut trial = next.begun();
    not_measured(&mut trial, failed);
    trial
}

#[cfg(test)]
mod tests {
    use plugpull_workloads::Verdict;

    use super::*;

    /// So many trials, of which the second panics.
    struct Three(u64);

    impl Experiment for Three {
        fn next(&mut self, _elapsed: Duration) -> Option<NextTrial> {
            self.0 += 1;
            (self.0 <= 3).then(|| NextTrial {
                number: self.0,
                slot: 0,
                fault: "kill".into(),
                spec: "kill@ack=3".into(),
                seed: 7,
                class: FailureClass::ProcessCrash,
            })
        }

        fn make(&mut self, next: &NextTrial) -> Option<Made> {
            assert_ne!(next.number, 2, "the second one fails");
            let mut trial = next.begun();
            trial.verdict = Verdict::Pass;
            Some(trial.into())
        }
    }

    #[derive(Default)]
    struct Kept {
        trials: Vec<Trial>,
    }

    impl TrialSink for Kept {
        fn elapsed(&self) -> Duration {
            Duration::ZERO
        }

        fn started(&mut self, _next: &NextTrial) {}

        fn firsts(&self, _trial: &Trial) -> Vec<usize> {
            Vec::new()
        }

        fn finished(&mut self, _next: &NextTrial, made: Made) {
            self.trials.push(made.trial);
        }
    }

    fn verdicts(kept: &Kept) -> Vec<Verdict> {
        kept.trials.iter().map(|trial| trial.verdict).collect()
    }

    #[test]
    fn a_trial_that_panics_costs_nothing_else() {
        let (mut kept, stop) = (Kept::default(), AtomicBool::new(false));
        assert!(!conduct(&mut Three(0), &stop, &mut kept));
        assert_eq!(
            verdicts(&kept),
            [Verdict::Pass, Verdict::HarnessError, Verdict::Pass]
        );
        let why = &kept.trials[1].why;
        assert!(why.contains("the second one fails"), "{why}");
        assert!(why.contains("experiment.rs:"), "{why}");
    }

    #[test]
    fn a_run_that_is_stopped_begins_no_other_trial() {
        let (mut kept, stop) = (Kept::default(), AtomicBool::new(true));
        assert!(conduct(&mut Three(0), &stop, &mut kept));
        assert!(kept.trials.is_empty());
    }
}
