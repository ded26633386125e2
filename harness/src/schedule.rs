//! Which fault is tried next: all in turn until the budget is spent, and then some more of those
//! that have not bitten yet. Of several shards, each makes the trials whose numbers are its own.

use std::time::{Duration, Instant};

use crate::shard::Shard;

/// How many more trials a fault gets that has not bitten when the budget is spent.
const LAST_CHANCES: u32 = 5;

/// When a run is over.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Until {
    /// After this time; each fault is tried once in any case.
    Budget(Duration),
    /// After so many trials of each fault.
    Rounds(u64),
}

/// Hands out faults by their index in the plan.
pub(crate) struct Schedule {
    until: Until,
    shard: Option<Shard>,
    began: Instant,
    /// Of each fault: whether it has bitten, and its last chances used.
    faults: Vec<(bool, u32)>,
    /// The number of the last trial, of all shards.
    last: u64,
}

impl Schedule {
    /// A schedule for so many faults, beginning now; of all trials or of those of a shard.
    pub(crate) fn new(faults: usize, until: Until, shard: Option<Shard>) -> Self {
        Self {
            until,
            shard,
            began: Instant::now(),
            faults: vec![(false, 0); faults],
            last: 0,
        }
    }

    /// The trial to make next: its number, from 1, and its fault; none when the run is over.
    pub(crate) fn next(&mut self) -> Option<(u64, usize)> {
        let count = self.faults.len() as u64;
        let number = self.next_number();
        let over = match self.until {
            Until::Budget(budget) => number > count && self.began.elapsed() >= budget,
            Until::Rounds(rounds) => number > rounds.saturating_mul(count),
        };
        let index = if !over {
            usize::try_from((number - 1).checked_rem(count)?).ok()?
        } else {
            if let Until::Rounds(_) = self.until {
                return None;
            }
            let late = (0..self.faults.len()).find(|index| {
                let (bit, used) = self.faults[*index];
                !bit && used < LAST_CHANCES && self.plans(*index)
            })?;
            self.faults[late].1 += 1;
            late
        };
        self.last = number;
        Some((number, index))
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
    pub(crate) fn plans(&self, index: usize) -> bool {
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

    /// Notes whether a trial's fault bit.
    pub(crate) fn tried(&mut self, index: usize, bit: bool) {
        self.faults[index].0 |= bit;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(schedule: &mut Schedule) -> Vec<(u64, usize)> {
        std::iter::from_fn(|| schedule.next()).collect()
    }

    #[test]
    fn rounds_go_through_all_faults_in_turn() {
        let mut schedule = Schedule::new(2, Until::Rounds(2), None);
        assert_eq!(all(&mut schedule), [(1, 0), (2, 1), (3, 0), (4, 1)]);
        assert_eq!(Schedule::new(0, Until::Rounds(2), None).next(), None);
    }

    #[test]
    fn a_spent_budget_leaves_last_chances_to_what_never_bit() {
        let mut schedule = Schedule::new(3, Until::Budget(Duration::ZERO), None);
        let mut order = Vec::new();
        while let Some((_, index)) = schedule.next() {
            order.push(index);
            // The second bites at once, the third at its second last chance, the first never.
            let bites = match index {
                1 => true,
                2 => order.iter().filter(|tried| **tried == 2).count() == 3,
                _ => false,
            };
            schedule.tried(index, bites);
        }
        assert_eq!(order, [0, 1, 2, 0, 0, 0, 0, 0, 2, 2]);
        let nothing = Until::Budget(Duration::ZERO);
        assert_eq!(Schedule::new(0, nothing, None).next(), None);
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
    fn the_last_chances_of_a_shard_have_numbers_of_its_own() {
        let shard = Shard { number: 2, of: 3 };
        let mut schedule = Schedule::new(4, Until::Budget(Duration::ZERO), Some(shard));
        let numbers = [2, 5, 8, 11, 14, 17].map(|number| (number, 1));
        assert_eq!(all(&mut schedule), numbers);
    }
}
