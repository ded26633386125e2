//! Which fault is tried next: all in turn until the budget is spent, and then some more of those
//! that have not bitten yet.

use std::time::{Duration, Instant};

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
    began: Instant,
    /// Of each fault: whether it has bitten, and its last chances used.
    faults: Vec<(bool, u32)>,
    round: u64,
    next: usize,
}

impl Schedule {
    /// A schedule for so many faults, beginning now.
    pub(crate) fn new(faults: usize, until: Until) -> Self {
        Self {
            until,
            began: Instant::now(),
            faults: vec![(false, 0); faults],
            round: 0,
            next: 0,
        }
    }

    /// The fault to try next; none when the run is over.
    pub(crate) fn next(&mut self) -> Option<usize> {
        if self.next == self.faults.len() {
            self.round += 1;
            self.next = 0;
        }
        let over = match self.until {
            Until::Budget(budget) => self.round > 0 && self.began.elapsed() >= budget,
            Until::Rounds(rounds) => self.round >= rounds,
        };
        if !over {
            let index = self.next;
            self.next += 1;
            return (index < self.faults.len()).then_some(index);
        }
        if let Until::Rounds(_) = self.until {
            return None;
        }
        let late = self
            .faults
            .iter()
            .position(|(bit, used)| !bit && *used < LAST_CHANCES)?;
        self.faults[late].1 += 1;
        Some(late)
    }

    /// Notes whether a trial's fault bit.
    pub(crate) fn tried(&mut self, index: usize, bit: bool) {
        self.faults[index].0 |= bit;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounds_go_through_all_faults_in_turn() {
        let mut schedule = Schedule::new(2, Until::Rounds(2));
        let order: Vec<usize> = std::iter::from_fn(|| schedule.next()).collect();
        assert_eq!(order, [0, 1, 0, 1]);
        assert_eq!(Schedule::new(0, Until::Rounds(2)).next(), None);
    }

    #[test]
    fn a_spent_budget_leaves_last_chances_to_what_never_bit() {
        let mut schedule = Schedule::new(3, Until::Budget(Duration::ZERO));
        let mut order = Vec::new();
        while let Some(index) = schedule.next() {
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
        assert_eq!(Schedule::new(0, Until::Budget(Duration::ZERO)).next(), None);
    }
}
