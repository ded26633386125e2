//! Which fault is tried next: all in turn until the budget is spent, at its end those that have not
//! bitten yet. Of several shards, each makes the trials whose numbers are its own.
//!
//! It has no clock of its own: it learns how long the run has taken, and how long each trial took,
//! and hands out no trial that would probably end later than the budget.

use std::time::Duration;

use crate::shard::Shard;

/// How many more trials a fault gets that has not bitten when the budget is nearly spent.
const LAST_CHANCES: u32 = 5;
/// The part of the budget that is kept for them, as one in so many.
const LAST_PART: u32 = 10;

/// When a run is over.
#[derive(Clone, Copy, Debug)]
pub enum Until {
    /// After this time.
    Budget(Duration),
    /// After so many trials of each fault.
    Rounds(u64),
}

/// What is known of a fault.
#[derive(Clone, Copy, Debug, Default)]
struct PastTrials {
    bit: bool,
    trials: u32,
    /// How many of them were last chances.
    late: u32,
    /// The longest one.
    longest: Duration,
}

/// Hands out faults by their index in the plan.
pub struct Schedule {
    until: Until,
    shard: Option<Shard>,
    faults: Vec<PastTrials>,
    /// How many trials there were, and how long they took together.
    past: (u32, Duration),
    /// The number of the last trial, of all shards.
    last: u64,
}

impl Schedule {
    /// A schedule for so many faults; of all trials or of those of a shard.
    pub fn new(faults: usize, until: Until, shard: Option<Shard>) -> Self {
        Self {
            until,
            shard,
            faults: vec![PastTrials::default(); faults],
            past: (0, Duration::ZERO),
            last: 0,
        }
    }

    /// How long the run may take; none where that does not end it.
    pub fn budget(&self) -> Option<Duration> {
        match self.until {
            Until::Budget(budget) => Some(budget),
            Until::Rounds(_) => None,
        }
    }

    /// The trial to make next, when the run has taken so long: its number, from 1, and its fault;
    /// none when the run is over.
    pub fn next(&mut self, elapsed: Duration) -> Option<(u64, usize)> {
        let count = self.faults.len() as u64;
        let number = self.next_number();
        let turn = usize::try_from((number - 1).checked_rem(count)?).ok()?;
        let index = match self.until {
            Until::Rounds(rounds) => (number <= rounds.saturating_mul(count)).then_some(turn),
            // One is always made: it tells how long they take.
            Until::Budget(_) if self.past.0 == 0 => Some(turn),
            Until::Budget(budget) => self.within(budget, elapsed, turn),
        }?;
        self.last = number;
        Some((number, index))
    }

    /// The fault that is tried next within a budget: the one whose turn it is, unless the end is
    /// near or it takes too long.
    fn within(&mut self, budget: Duration, elapsed: Duration, turn: usize) -> Option<usize> {
        let fits = |index: usize| elapsed + self.expected(index) <= budget;
        let mut fitting = (0..self.faults.len())
            .filter(|index| fits(*index) && self.plans(*index))
            .collect::<Vec<_>>();
        // What was never tried comes before another try of anything else.
        fitting.sort_by_key(|index| (self.faults[*index].trials, *index != turn));
        let first = fitting.first().copied();
        if first.is_some_and(|index| self.faults[index].trials == 0) {
            return first;
        }
        if elapsed >= budget - budget / LAST_PART {
            let late = fitting.iter().find(|index| {
                let known = self.faults[**index];
                !known.bit && known.late < LAST_CHANCES
            });
            if let Some(late) = late {
                self.faults[*late].late += 1;
                return Some(*late);
            }
        }
        if fits(turn) { Some(turn) } else { first }
    }

    /// How long a trial of a fault will probably take: as long as its longest, or where it had none
    /// as long as trials do.
    fn expected(&self, index: usize) -> Duration {
        let known = self.faults[index];
        match (known.trials, self.past) {
            (0, (0, _)) => Duration::ZERO,
            (0, (trials, time)) => time / trials,
            _ => known.longest,
        }
    }

    /// How many faults never had their turn, and how long one round of all of them takes: none when
    /// all had it.
    pub fn left_out(&self) -> Option<(usize, Duration)> {
        let own = || (0..self.faults.len()).filter(|index| self.plans(*index));
        let left_out = own()
            .filter(|index| self.faults[*index].trials == 0)
            .count();
        let round = own().map(|index| self.expected(index)).sum();
        (left_out > 0).then_some((left_out, round))
    }

    /// The number of the next trial that is ours.
    fn next_number(&self) -> u64 {
        let next = self.last + 1;
        let Some(shard) = self.shard else { return next };
        // One of as many numbers as there are shards is ours.
        let own = (next..).find(|number| shard.has_trial(*number));
        own.unwrap_or(next)
    }

    /// True when the fault with this index is tried for certain: in the first round, or in one of
    /// those that were asked for.
    pub fn plans(&self, index: usize) -> bool {
        let count = self.faults.len() as u64;
        let rounds = match self.until {
            Until::Budget(_) => 1,
            Until::Rounds(rounds) => rounds,
        };
        let Some(shard) = self.shard else {
            return true;
        };
        // After as many rounds as there are shards the same faults come again.
        (0..rounds.min(shard.of)).any(|round| shard.has_trial(round * count + index as u64 + 1))
    }

    /// Takes a trial that was made before the run was interrupted. A fault that is not among ours is
    /// none of the run's.
    pub fn resume(&mut self, number: u64, index: usize, hit: bool, took: Duration) {
        if index < self.faults.len() {
            self.last = self.last.max(number);
            self.tried(index, hit, took);
        }
    }

    /// Notes whether a trial's fault bit, and how long the trial took.
    pub fn tried(&mut self, index: usize, bit: bool, took: Duration) {
        let known = &mut self.faults[index];
        known.bit |= bit;
        known.trials += 1;
        known.longest = known.longest.max(took);
        self.past.0 += 1;
        self.past.1 += took;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn all(schedule: &mut Schedule) -> Vec<(u64, usize)> {
        std::iter::from_fn(|| schedule.next(Duration::ZERO)).collect()
    }

    /// Plays a run on a clock of its own; trial N of fault I takes `took(I, N)`. The faults in the
    /// order in which they were tried, and how long it took.
    fn played(
        schedule: &mut Schedule,
        took: impl Fn(usize, usize) -> Duration,
        bites: impl Fn(usize, usize) -> bool,
    ) -> (Vec<usize>, Duration) {
        let (mut order, mut clock) = (Vec::new(), Duration::ZERO);
        while let Some((_, index)) = schedule.next(clock) {
            order.push(index);
            let times = order.iter().filter(|tried| **tried == index).count();
            clock += took(index, times);
            schedule.tried(index, bites(index, times), took(index, times));
        }
        (order, clock)
    }

    #[test]
    fn rounds_go_through_all_faults_in_turn() {
        let mut schedule = Schedule::new(2, Until::Rounds(2), None);
        assert_eq!(all(&mut schedule), [(1, 0), (2, 1), (3, 0), (4, 1)]);
        assert_eq!(Schedule::new(0, Until::Rounds(2), None).next(SECOND), None);
    }

    #[test]
    fn the_end_of_a_budget_is_for_what_never_bit() {
        let mut schedule = Schedule::new(3, Until::Budget(30 * SECOND), None);
        // The second bites at once, the third at its eleventh trial, the first never.
        let bites = |index, times| index == 1 || (index == 2 && times == 11);
        let (order, clock) = played(&mut schedule, |_, _| SECOND, bites);
        assert_eq!(order.len(), 30);
        assert_eq!(order[..6], [0, 1, 2, 0, 1, 2]);
        assert!(!order[27..].contains(&1), "{order:?}");
        assert_eq!(clock, 30 * SECOND);
        assert_eq!(schedule.left_out(), None);
        let nothing = Until::Budget(Duration::ZERO);
        assert_eq!(Schedule::new(0, nothing, None).next(SECOND), None);
    }

    #[test]
    fn a_long_trial_does_not_begin_shortly_before_the_end() {
        let took = |index, _| if index == 2 { 9 * SECOND } else { SECOND };
        for budget in 12..60 {
            let budget = budget * SECOND;
            let mut schedule = Schedule::new(3, Until::Budget(budget), None);
            let (order, clock) = played(&mut schedule, took, |_, _| true);
            assert!(order.contains(&2), "{order:?}");
            // To the second: short ones fill the rest.
            assert_eq!(clock, budget, "{order:?}");
        }
    }

    #[test]
    fn what_has_no_turn_within_the_budget_is_counted() {
        let mut schedule = Schedule::new(16, Until::Budget(30 * SECOND), None);
        let (order, clock) = played(&mut schedule, |_, _| 8 * SECOND, |_, _| true);
        assert_eq!((order, clock), (vec![0, 1, 2], 24 * SECOND));
        assert_eq!(schedule.left_out(), Some((13, 16 * 8 * SECOND)));
        // One trial there is in any case.
        let mut schedule = Schedule::new(16, Until::Budget(SECOND), None);
        let (order, clock) = played(&mut schedule, |_, _| 8 * SECOND, |_, _| true);
        assert_eq!((order, clock), (vec![0], 8 * SECOND));
    }

    #[test]
    fn shards_share_the_trials_out_and_plan_what_they_try() {
        for (faults, rounds, of) in [(5, 3, 4), (6, 2, 4), (4, 1, 4), (3, 7, 2), (1, 1, 3)] {
            let until = Until::Rounds(rounds);
            let whole = all(&mut Schedule::new(faults, until, None));
            let mut together = Vec::new();
            for number in 1..=of {
                let mut schedule = Schedule::new(faults, until, Some(Shard { number, of }));
                let planned: Vec<usize> = (0..faults).filter(|i| schedule.plans(*i)).collect();
                let own = all(&mut schedule);
                let mut tried: Vec<usize> = own.iter().map(|(_, index)| *index).collect();
                tried.sort_unstable();
                tried.dedup();
                assert_eq!(planned, tried, "{number} of {of}");
                together.extend(own);
            }
            together.sort_unstable();
            assert_eq!(together, whole, "{of} shards");
        }
    }

    #[test]
    fn a_shard_within_a_budget_has_numbers_and_faults_of_its_own() {
        let shard = Shard { number: 2, of: 3 };
        let mut schedule = Schedule::new(4, Until::Budget(5 * SECOND), Some(shard));
        let mut numbers = Vec::new();
        let mut clock = Duration::ZERO;
        while let Some((number, index)) = schedule.next(clock) {
            numbers.push((number, index));
            schedule.tried(index, true, SECOND);
            clock += SECOND;
        }
        // Where its own fault has had its turn, the others get more tries.
        assert_eq!(numbers, [(2, 1), (5, 0), (8, 3), (11, 2), (14, 1)]);
    }
}
