//! How far an exploration goes, and whether one more state still fits into the time that is left.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// The part of a budget, as one in so many, that may pass beyond it until what is under way has ended
/// and everything is reported.
const BEYOND: u32 = 20;
/// The part of a budget, as one in so many, that minimising may take.
const MINIMISING: u32 = 3;
/// And the part of that which one finding may take.
const ONE_FINDING: u32 = 4;

/// The part of a budget, as one in so many, that diagnosing what was found may take.
const DIAGNOSING: u32 = 5;
/// For more findings than this there is no more time.
const MOST_FINDINGS: usize = 3;
/// And what recording smaller workloads for it may take.
const SMALLER: u32 = 12;
/// The part that auditing the syncs may take, where that was asked for.
const AUDITING: u32 = 2;
/// The part of the time, as one in so many, at whose end states are not followed up any more.
const LAST_PART: u32 = 8;

/// The part of the memory, as one in so many, that is left for the states under way and for the report.
const SPARE: u64 = 8;

/// How far an exploration goes.
#[derive(Clone, Copy)]
pub struct Limits<'a> {
    /// No state is tried that would probably be answered later; none for no end.
    pub until: Option<Instant>,
    /// What is under way then is abandoned.
    pub end: Option<Instant>,
    /// How long minimising may take, all findings together.
    pub minimising: Option<Duration>,
    /// No state is tried after so many different ones; those of other shards count.
    pub states: Option<u64>,
    /// Crash points are decided by what is read, after the sample of states; that has half of the time.
    pub decide: bool,
    /// Findings that come from unsynced data are diagnosed once no more states are tried.
    pub diagnose: bool,
    /// The syncs of the recorded run are audited at the end, in half of the time.
    pub audit: bool,
    /// How long diagnosing may take, where there is something to diagnose.
    pub diagnosing: Option<Duration>,
    /// How long smaller workloads may be recorded, where something was found; none where they are not.
    pub smaller: Option<Duration>,
    /// Of so many states that were decided so one is tried all the same.
    pub check_one_in: u64,
    /// How many recoveries deep crashes go; 0 for the recorded run alone.
    pub depth: u32,
    /// How many bytes of memory plugpull may take; none for no limit.
    pub memory: Option<u64>,
    /// True when the user wants it to end.
    pub stop: &'a AtomicBool,
}

impl<'a> Limits<'a> {
    /// One in a hundred.
    pub const CHECK_ONE_IN: u64 = 100;

    /// Limits within a budget that begins now.
    pub fn within(budget: Duration, depth: u32, stop: &'a AtomicBool) -> Self {
        let now = Instant::now();
        let beyond = budget.checked_add(budget / BEYOND);
        Self {
            until: now.checked_add(budget),
            end: beyond.and_then(|beyond| now.checked_add(beyond)),
            minimising: Some(budget / MINIMISING),
            states: None,
            decide: false,
            diagnose: true,
            audit: false,
            diagnosing: Some(budget / DIAGNOSING),
            smaller: None,
            check_one_in: Self::CHECK_ONE_IN,
            depth,
            memory: None,
            stop,
        }
    }

    /// Without any.
    pub fn none(depth: u32, stop: &'a AtomicBool) -> Self {
        Self {
            until: None,
            end: None,
            minimising: None,
            states: None,
            decide: false,
            diagnose: false,
            audit: false,
            diagnosing: None,
            smaller: None,
            check_one_in: Self::CHECK_ONE_IN,
            depth,
            memory: None,
            stop,
        }
    }

    /// The part of a budget that recording smaller workloads may take.
    pub fn for_smaller(budget: Duration) -> Duration {
        budget / SMALLER
    }

    /// How much time is left for trying states.
    pub fn left(&self) -> Duration {
        left(self.until)
    }

    /// The same before what comes when no more states are tried.
    pub(super) fn left_to_explore(&self, findings: usize) -> Duration {
        self.left().saturating_sub(self.after_exploring(findings))
    }

    /// How long that takes: diagnosing and smaller workloads, where something was found, and the audit. Each
    /// finding behind the first has half of a share more, up to two shares: the fix of what was found is worth
    /// more than some more states. An audit leaves no time for that.
    fn after_exploring(&self, findings: usize) -> Duration {
        let most = if self.audit { 1 } else { MOST_FINDINGS };
        let halves = match findings.min(most) as u32 {
            0 => 0,
            findings => findings + 1,
        };
        let diagnosing = self.diagnosing.filter(|_| self.diagnose);
        let diagnosing = diagnosing.unwrap_or_default() / 2 * halves;
        let smaller = self.smaller.filter(|_| findings > 0).unwrap_or_default();
        diagnosing + smaller + self.auditing()
    }

    /// How long the audit may take.
    fn auditing(&self) -> Duration {
        match (self.audit, self.diagnosing) {
            (true, Some(share)) => share * DIAGNOSING / AUDITING,
            _ => Duration::ZERO,
        }
    }

    /// When the audit begins, or smaller workloads are recorded, at the latest.
    pub(super) fn until_auditing(&self) -> Option<Instant> {
        let share = self.auditing() + self.smaller.unwrap_or_default();
        self.until
            .map(|until| until.checked_sub(share).unwrap_or(until))
    }

    /// When nothing is minimised any more, so that there is time for diagnosing.
    pub(super) fn until_diagnosing(&self) -> Option<Instant> {
        let share = self
            .diagnosing
            .filter(|_| self.diagnose)
            .unwrap_or_default();
        let until = self.until_auditing();
        until.map(|until| until.checked_sub(share).unwrap_or(until))
    }

    /// When half of that is over.
    pub(super) fn half_way(&self) -> Option<Instant> {
        self.until.map(|until| until - self.left() / 2)
    }

    /// When only the last part of that is left, in which states are started and checked alone.
    pub(super) fn last_part(&self) -> Option<Instant> {
        self.until.map(|until| until - self.left() / LAST_PART)
    }

    /// True when so much of the memory is taken that one more state might be too much.
    pub fn memory_is_short(&self) -> bool {
        let taken = || resident().unwrap_or_default();
        self.memory
            .is_some_and(|most| taken() > most - most / SPARE)
    }

    /// How long one finding may be minimised.
    pub(super) fn one_finding(&self) -> Option<Duration> {
        self.minimising.map(|all| all / ONE_FINDING)
    }

    /// True when the user wants it to end.
    pub fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }
}

/// How many bytes of memory this process has; none where the kernel does not say so.
fn resident() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    // In kB, which are KiB (proc(5)).
    let kibs: u64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kibs << 10)
}

/// How much time is left until then.
pub(super) fn left(until: Option<Instant>) -> Duration {
    until.map_or(Duration::MAX, |until| {
        until.saturating_duration_since(Instant::now())
    })
}

/// How fast states are answered. It has no clock of its own.
pub(super) struct Pace {
    /// How many states are tried side by side.
    workers: usize,
    answered: u32,
    together: Duration,
    /// How many were handed out and not answered.
    out: usize,
}

impl Pace {
    /// Nothing is known yet.
    pub(super) fn new(workers: usize) -> Self {
        Self {
            workers: workers.max(1),
            answered: 0,
            together: Duration::ZERO,
            out: 0,
        }
    }

    /// A state was handed out.
    pub(super) fn given(&mut self) {
        self.out += 1;
    }

    /// One was answered, after it had been worked on for so long.
    pub(super) fn answered(&mut self, took: Duration) {
        self.out = self.out.saturating_sub(1);
        self.answered += 1;
        self.together += took;
    }

    /// One was not answered: plugpull failed in it.
    pub(super) fn failed(&mut self) {
        self.out = self.out.saturating_sub(1);
    }

    /// True when one more state will probably be answered within `left`. As long as nothing is known,
    /// one for each worker does.
    pub(super) fn fits(&self, left: Duration) -> bool {
        if self.answered == 0 {
            return left > Duration::ZERO && self.out < self.workers;
        }
        // Those before it are worked on side by side.
        let before = u32::try_from(self.out / self.workers).unwrap_or(u32::MAX);
        self.mean().saturating_mul(before.saturating_add(1)) <= left
    }

    /// True when everything was answered.
    pub(super) fn idle(&self) -> bool {
        self.out == 0
    }

    /// True when a state that is tried alone will probably be answered within `left`.
    pub(super) fn fits_alone(&self, left: Duration) -> bool {
        self.mean() <= left && left > Duration::ZERO
    }

    /// True when every worker has one to try, and one that waits for it.
    pub(super) fn is_full(&self) -> bool {
        self.out >= 2 * self.workers
    }

    fn mean(&self) -> Duration {
        self.together.checked_div(self.answered).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn memory_is_short_before_it_is_at_its_end() {
        let stop = AtomicBool::new(false);
        let with = |memory| Limits {
            memory,
            ..Limits::none(0, &stop)
        };
        let taken = resident().expect("a number");
        assert!(taken > 0 && !with(None).memory_is_short());
        assert!(with(Some(taken / 2)).memory_is_short());
        assert!(!with(Some(taken * 100)).memory_is_short());
    }

    #[test]
    fn more_findings_have_more_time_to_be_diagnosed() {
        let stop = AtomicBool::new(false);
        let limits = Limits::within(60 * SECOND, 0, &stop);
        let shares = [0, 1, 2, 3, 9].map(|findings| limits.after_exploring(findings));
        assert_eq!(shares, [0, 12, 18, 24, 24].map(|seconds| seconds * SECOND));
        let audit = Limits {
            audit: true,
            ..limits
        };
        assert_eq!(audit.after_exploring(1), audit.after_exploring(3));
    }

    #[test]
    fn nothing_is_handed_out_that_would_be_answered_too_late() {
        let mut pace = Pace::new(2);
        assert!(pace.fits(SECOND) && !pace.fits(Duration::ZERO));
        pace.given();
        pace.given();
        // Nobody knows how long they take.
        assert!(!pace.fits(100 * SECOND));
        pace.answered(3 * SECOND);
        // One is under way, and one worker is free.
        assert!(pace.fits(3 * SECOND) && !pace.fits(2 * SECOND));
        assert!(pace.fits_alone(3 * SECOND) && !pace.fits_alone(2 * SECOND));
        for _ in 0..3 {
            pace.given();
        }
        // Four are under way: it is the third in a row.
        assert!(pace.fits(9 * SECOND) && !pace.fits(8 * SECOND));
        pace.answered(SECOND);
        assert!(pace.fits(4 * SECOND) && !pace.fits(3 * SECOND));
    }

    #[test]
    fn a_state_in_which_plugpull_failed_is_no_longer_under_way() {
        let mut pace = Pace::new(1);
        pace.given();
        assert!(!pace.idle());
        pace.failed();
        assert!(pace.idle() && pace.fits(SECOND));
    }
}
