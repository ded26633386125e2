//! The smallest workload that shows a finding: fewer clients, fewer transactions and shorter values are
//! recorded, and the cause is looked for in each recording.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use plugpull_driver::Target;

use super::answers::Answers;
use super::attempt::Workers;
use super::crash::CrashModel;
use super::diagnosis::Attempts;
use super::limits::left;
use super::minimise::{DeltaDebugging, Minimise as _};
use super::oracle::Oracle;
use super::retry::{Minimised, Retry, Symptom, TRIES};
use super::trace::Trace;
use super::verification::{CrashCause, find_again};
use crate::trial::Acked;

/// The part of the time that is left, as one in so many, that one recording may take.
const RECORDING: u32 = 4;
/// Of short values.
const SHORT: u32 = 8;

/// How much is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WorkloadSize {
    /// How many clients write, at least 1.
    pub clients: u32,
    /// How many acknowledged transactions are recorded, at least 1.
    pub txns: u64,
    /// The largest payload of a value, in bytes.
    pub value_size: u32,
}

/// A recording of a smaller workload, with a crash of it that shows a finding.
pub struct SmallerRun {
    /// What was recorded.
    pub size: WorkloadSize,
    /// The recording.
    pub trace: Trace,
    /// The crash, minimised; its model is the first of those that it was looked for under.
    pub minimised: Minimised,
    /// The same size was recorded once more, and showed it again.
    pub again: bool,
}

/// Records smaller workloads and looks for findings in them.
pub struct SmallerRuns<'s, 'a> {
    /// Over the recording that the findings are of.
    pub oracle: &'s Oracle<'a>,
    /// The target.
    pub target: &'s dyn Target,
    /// Who tries states. Nothing else is given to them meanwhile.
    pub workers: &'s dyn Workers,
    /// Records a workload of this size within this time.
    pub record: &'s dyn Fn(WorkloadSize, Duration) -> anyhow::Result<Trace>,
    /// True when the user wants it to end.
    pub stop: &'s AtomicBool,
    /// When it ends with what there is.
    pub until: Option<Instant>,
}

impl SmallerRuns<'_, '_> {
    /// The smallest run found that shows what a crash of a recording of `whole` showed: fewer clients first,
    /// then the fewest transactions, then shorter values. None where nothing smaller does, or where it was the
    /// crash of a recovery.
    pub fn of(&self, found: &Minimised, whole: WorkloadSize) -> Option<SmallerRun> {
        let cause = CrashCause::of(&found.crash, self.oracle)?;
        let model = self.oracle.models[found.crash.model];
        let acked = |point| {
            let marks = self.oracle.trace.log.marks().iter();
            marks.take_while(|mark| mark.seq <= point).count() as u64
        };
        // What is under way at the crash need not come to its ack.
        let most = (acked(found.crash.point) + 1).min(whole.txns);
        let show = |size| self.shows((found, &cause), model, size);
        let (size, (trace, minimised)) = smallest(whole, most, show)?;
        let again = show(size).is_some();
        Some(SmallerRun {
            size,
            trace,
            minimised,
            again,
        })
    }

    /// Records a workload and looks for the cause: the smallest crash that shows it.
    fn shows(
        &self,
        (found, cause): (&Minimised, &CrashCause),
        model: CrashModel,
        size: WorkloadSize,
    ) -> Option<(Trace, Minimised)> {
        let time = left(self.until);
        if time.is_zero() || self.stop.load(std::sync::atomic::Ordering::Relaxed) {
            return None;
        }
        let trace = (self.record)(size, time / RECORDING).ok()?;
        let models = [model];
        let of = self.oracle;
        let indexes = CrashModel::indexes(&models, &trace.log, of.device);
        let oracle = Oracle::new(
            &trace,
            (&models, &indexes),
            of.device,
            of.promises,
            of.recovery_bound,
            Acked::of(&trace.about.history, self.target),
        );
        let answers: Arc<Mutex<Answers>> = Arc::default();
        let mut attempts = Attempts::new(self.workers, &answers, self.stop, self.until);
        attempts.follow_up = found.finding.follow_up;
        let symptom = Symptom {
            kind: found.finding.kind,
            said: None,
            follow_up: found.finding.follow_up,
        };
        let state = find_again(&oracle, cause, symptom.kind, attempts)?;
        let nothing = |_, _: &_| None;
        let mut retry = Retry::new(&oracle, self.workers, &answers, &nothing, self.stop);
        retry.begin(TRIES, self.until);
        let mut minimised = DeltaDebugging.minimise(&state.crash, &symptom, &mut retry)?;
        // With nothing lost it is another one.
        let same = minimised.crash.loss.is_empty() == cause.lost.is_empty();
        retry.name_models(&mut minimised);
        drop(retry);
        drop(oracle);
        drop(indexes);
        same.then_some((trace, minimised))
    }
}

/// The smallest size that `shows` something, and what it shows; none where nothing below `whole` does.
/// No more than `most` transactions are asked for.
fn smallest<T>(
    whole: WorkloadSize,
    most: u64,
    mut shows: impl FnMut(WorkloadSize) -> Option<T>,
) -> Option<(WorkloadSize, T)> {
    let mut clients = vec![1, whole.clients];
    clients.dedup();
    let (mut size, mut best) = clients.into_iter().find_map(|clients| {
        let of = |txns| WorkloadSize {
            clients,
            txns,
            ..whole
        };
        let (txns, found) = fewest(most, |txns| match of(txns) {
            size if size == whole => None,
            size => shows(size),
        })?;
        Some((of(txns), found))
    })?;
    let short = WorkloadSize {
        value_size: SHORT.min(whole.value_size),
        ..size
    };
    if short != size
        && let Some(found) = shows(short)
    {
        (size, best) = (short, found);
    }
    Some((size, best))
}

/// The fewest that show something, as far as more show it too: doubled until they do, then halved between.
fn fewest<T>(most: u64, mut shows: impl FnMut(u64) -> Option<T>) -> Option<(u64, T)> {
    let (mut too_few, mut enough) = (0, 1.min(most));
    let mut best = loop {
        if let Some(found) = shows(enough) {
            break found;
        }
        if enough >= most {
            return None;
        }
        too_few = enough;
        enough = most.min(2 * enough);
    };
    while too_few + 1 < enough {
        let middle = too_few.midpoint(enough);
        match shows(middle) {
            Some(found) => (best, enough) = (found, middle),
            None => too_few = middle,
        }
    }
    Some((enough, best))
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHOLE: WorkloadSize = WorkloadSize {
        clients: 2,
        txns: 40,
        value_size: 200,
    };

    #[test]
    fn the_fewest_are_found_by_doubling_and_halving() {
        for needed in 1..=40 {
            let mut tried = 0;
            let found = fewest(40, |txns| {
                tried += 1;
                (txns >= needed).then_some(txns)
            });
            assert_eq!(found, Some((needed, needed)));
            assert!(tried <= 12, "{needed}: {tried}");
        }
        assert_eq!(fewest(40, |_| None::<()>), None);
        assert_eq!(fewest(0, |_| None::<()>), None);
    }

    #[test]
    fn clients_go_first_and_values_last() {
        let shows = |size: WorkloadSize| (size.txns >= 3).then_some(size);
        let found = smallest(WHOLE, 40, shows);
        let small = WorkloadSize {
            clients: 1,
            txns: 3,
            value_size: SHORT,
        };
        assert_eq!(found, Some((small, small)));
        // Where it takes two clients and long values it is these.
        let shows = |size: WorkloadSize| {
            (size.txns >= 9 && size.clients == 2 && size.value_size == 200).then_some(())
        };
        let (size, ()) = smallest(WHOLE, 40, shows).expect("it shows with 9");
        assert_eq!(size, WorkloadSize { txns: 9, ..WHOLE });
    }

    #[test]
    fn what_is_as_large_as_before_is_not_smaller() {
        let shows = |size: WorkloadSize| (size.txns >= 40 && size.clients == 2).then_some(());
        assert_eq!(smallest(WHOLE, 40, shows), None);
    }
}
