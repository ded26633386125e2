//! A trial whose fault did nothing is made elsewhere: with another seed that follows from its own, and
//! so at another moment where nobody named one.

use std::time::{Duration, Instant};

use plugpull_workloads::Verdict;

use super::{Setup, TrialResult, TrialSpec, attempt, micros};
use crate::seed;

/// How often a trial is made elsewhere.
const ELSEWHERE: u64 = 4;
/// So many tries must agree that a fault has nothing to hit in a target.
const AGREE: usize = 2;
/// How much earlier a moment is chosen each time that one did not come.
const EARLIER: u64 = 4;

/// Whether a trial whose fault did nothing is made elsewhere.
#[derive(Clone, Copy, Debug)]
pub enum Elsewhere {
    /// This one trial is asked for.
    Never,
    /// A few times.
    Always,
    /// A few times, while it would probably have ended by then.
    Until(Instant),
}

impl Elsewhere {
    /// Whether there is time for another try that takes as long as the last.
    fn has_time(self, took: Duration) -> bool {
        match self {
            Self::Never => false,
            Self::Always => true,
            Self::Until(end) => Instant::now() + took <= end,
        }
    }
}

/// What became of the fault of one try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Came {
    /// It had an effect, something was found all the same, or plugpull failed.
    Measured,
    /// It did nothing.
    Nothing,
    /// It has nothing to hit in this target.
    NotApplicable,
    /// Its moment never came.
    NeverReached,
}

/// Makes one trial, and makes it elsewhere while its fault does nothing. The record is that of the try
/// that counts, with the seed that repeats it.
pub fn run(setup: &Setup, plan: &TrialSpec) -> TrialResult {
    let began = Instant::now();
    let mut earlier = 1;
    let once = |seed, earlier| {
        let chosen = plan.chosen.clone();
        let plan = TrialSpec {
            seed,
            chosen,
            ..*plan
        };
        attempt(setup, &plan, earlier)
    };
    let mut result = repeated(plan, began, |seed, came| {
        if came == Some(Came::NeverReached) {
            earlier *= EARLIER;
        }
        once(seed, earlier)
    });
    result.trial.took_us = micros(began.elapsed());
    result
}

/// Tries until one counts. `once` makes a try from its seed, and learns what became of the last.
fn repeated(
    plan: &TrialSpec,
    began: Instant,
    mut once: impl FnMut(u64, Option<Came>) -> (TrialResult, Came),
) -> TrialResult {
    let mut before: Vec<Came> = Vec::new();
    let mut why_not = None;
    loop {
        let tries = before.len() as u64;
        let seed = match tries {
            0 => plan.seed,
            n => seed::of_trial(plan.seed, n),
        };
        let (mut result, came) = once(seed, before.last().copied());
        before.push(came);
        if came == Came::Measured {
            return result;
        }
        // A moment that never came says nothing for or against.
        let count = |what| before.iter().filter(|came| **came == what).count();
        let agreed = count(Came::NotApplicable) >= AGREE && count(Came::Nothing) == 0;
        let took = began.elapsed() / u32::try_from(before.len()).unwrap_or(u32::MAX);
        if agreed || tries == ELSEWHERE || !plan.elsewhere.has_time(took) {
            let trial = &mut result.trial;
            if !agreed {
                trial.verdict = Verdict::NotMeasured;
                // Why one could have hit and did not is what matters.
                if came == Came::NotApplicable
                    && let Some(why) = why_not
                {
                    trial.why = why;
                }
            }
            if before.len() > 1 {
                let tries = before.len();
                trial.why = format!(
                    "{} (the last of {tries} tries at different moments)",
                    trial.why
                );
            }
            return result;
        }
        if came != Came::NotApplicable {
            why_not = Some(result.trial.why);
        }
    }
}

#[cfg(test)]
mod tests {
    use plugpull_faults::fault;
    use plugpull_reports::Trial;
    use plugpull_workloads::FailureClass;

    use super::*;

    /// The record of a trial whose tries come to this, and the seeds of all of them.
    fn tried(elsewhere: Elsewhere, comes: &[Came]) -> (Trial, Vec<u64>) {
        let plan = TrialSpec {
            number: 1,
            chosen: fault("power-loss").expect("known").into(),
            seed: 7,
            elsewhere,
        };
        let mut seeds = Vec::new();
        let result = repeated(&plan, Instant::now(), |seed, _| {
            let came = comes[seeds.len()];
            seeds.push(seed);
            let class = FailureClass::PowerLoss;
            let mut trial = Trial::begun(1, "power-loss", "power-loss".into(), seed, class);
            trial.why = format!("{came:?}");
            trial.verdict = match came {
                Came::Measured => Verdict::Pass,
                Came::NotApplicable => Verdict::NotApplicable,
                Came::Nothing | Came::NeverReached => Verdict::NotMeasured,
            };
            (
                TrialResult {
                    trial,
                    crashed: None,
                    later: false,
                },
                came,
            )
        });
        (result.trial, seeds)
    }

    #[test]
    fn a_fault_that_did_nothing_is_tried_elsewhere_a_few_times() {
        use Came::{Measured, NeverReached, Nothing};
        let (trial, seeds) = tried(Elsewhere::Always, &[Nothing, NeverReached, Measured]);
        assert_eq!(trial.verdict, Verdict::Pass);
        // The seed is that of the try that counts.
        assert_eq!((trial.seed, seeds.len()), (seeds[2], 3));
        assert_eq!(seeds[0], 7);
        let (trial, seeds) = tried(Elsewhere::Always, &[Nothing; 6]);
        assert_eq!((trial.verdict, seeds.len()), (Verdict::NotMeasured, 5));
        assert!(trial.why.contains("5 tries"), "{}", trial.why);
        let (_, again) = tried(Elsewhere::Always, &[Nothing; 6]);
        assert_eq!(seeds, again);
        assert_eq!(tried(Elsewhere::Always, &[Measured]).1, [7]);
    }

    #[test]
    fn one_trial_that_is_asked_for_is_made_once_and_none_goes_on_behind_the_end() {
        for elsewhere in [Elsewhere::Never, Elsewhere::Until(Instant::now())] {
            let (trial, seeds) = tried(elsewhere, &[Came::Nothing, Came::Measured]);
            assert_eq!((trial.verdict, seeds), (Verdict::NotMeasured, vec![7]));
        }
    }

    #[test]
    fn not_applicable_is_what_two_tries_agree_on() {
        use Came::{Measured, NeverReached, NotApplicable, Nothing};
        let (trial, seeds) = tried(Elsewhere::Always, &[NotApplicable, NotApplicable]);
        assert_eq!((trial.verdict, seeds.len()), (Verdict::NotApplicable, 2));
        let late = [NeverReached, NotApplicable, NeverReached, NotApplicable];
        let (trial, seeds) = tried(Elsewhere::Always, &late);
        assert_eq!((trial.verdict, seeds.len()), (Verdict::NotApplicable, 4));
        let (trial, _) = tried(Elsewhere::Always, &[NotApplicable, Measured]);
        assert_eq!(trial.verdict, Verdict::Pass);
        // One that could have hit and did not makes it not measured.
        let mixed = [
            Nothing,
            NotApplicable,
            NotApplicable,
            NotApplicable,
            NotApplicable,
        ];
        let (trial, _) = tried(Elsewhere::Always, &mixed);
        assert_eq!(trial.verdict, Verdict::NotMeasured);
        assert!(trial.why.starts_with("Nothing"), "{}", trial.why);
        let (trial, _) = tried(Elsewhere::Never, &[NotApplicable]);
        assert_eq!(trial.verdict, Verdict::NotMeasured);
    }
}
