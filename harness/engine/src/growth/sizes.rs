//! Which sizes are measured, and in which order.

use std::time::Duration;

use plugpull_reports::{LEAST_RANGE, LEAST_REPEATS, LEAST_SIZES};
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

/// The sizes that nobody chose, as multiples of the smallest.
const STEPS: [u64; 5] = [1, 2, 4, 8, 16];
/// What the smallest of them may be, in acknowledged transactions.
const ROUND: [u64; 9] = [500, 200, 100, 50, 20, 10, 5, 2, 1];

/// The sizes that the user chose, sorted; or what is wrong with them.
pub fn chosen(sizes: &[u64]) -> Result<Vec<u64>, String> {
    let mut sorted = sizes.to_vec();
    sorted.sort_unstable();
    sorted.dedup();
    let (Some(least), Some(most)) = (sorted.first(), sorted.last()) else {
        return Err("--sizes names no size".into());
    };
    if *least == 0 {
        return Err("--sizes counts acknowledged transactions: 1 is the least".into());
    }
    if sorted.len() < LEAST_SIZES || *most < least.saturating_mul(LEAST_RANGE) {
        return Err(format!(
            "--sizes wants {LEAST_SIZES} different sizes or more, the largest {LEAST_RANGE} times \
             the smallest or more"
        ));
    }
    Ok(sorted)
}

/// The part of a budget in which the target shows how fast it works: what it does in this time, the
/// rounds that are always made have time for at every size.
pub(super) fn pilot_time(budget: Duration) -> Duration {
    // Half of the budget is for writing, the other half for the restarts.
    let parts = 2 * LEAST_REPEATS as u64 * STEPS.iter().sum::<u64>();
    budget / u32::try_from(parts).unwrap_or(u32::MAX)
}

/// The largest of the smallest sizes: a pilot need not count further.
pub(super) fn pilot_acks() -> u64 {
    ROUND[0]
}

/// Sizes for a target that acknowledged so many transactions in the pilot.
pub fn fitting(acked: u64) -> Vec<u64> {
    let least = ROUND.iter().find(|size| **size <= acked);
    let least = least.copied().unwrap_or(1);
    STEPS.map(|step| step * least).to_vec()
}

/// One measurement of each size, in an order of its own: were it the same each time, a machine that
/// becomes slower would look like growth.
pub struct Round {
    order: Vec<u64>,
}

impl Round {
    /// Round `number` of these sizes; the seed decides the order.
    pub fn new(sizes: &[u64], seed: u64, number: u64) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        // Trials have streams of their own from 1 on.
        rng.set_stream(u64::MAX - number);
        let mut order = sizes.to_vec();
        order.shuffle(&mut rng);
        Self { order }
    }
}

impl IntoIterator for Round {
    type Item = u64;
    type IntoIter = std::vec::IntoIter<u64>;

    fn into_iter(self) -> Self::IntoIter {
        self.order.into_iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_that_can_say_nothing_are_refused() {
        assert_eq!(chosen(&[40, 10, 20, 100, 10]), Ok(vec![10, 20, 40, 100]));
        for wrong in [
            &[][..],
            &[10, 20, 40],
            &[10, 20, 40, 99],
            &[0, 1, 2, 4, 100],
            &[10, 10, 100, 100],
        ] {
            assert!(chosen(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn sizes_that_nobody_chose_fit_the_speed_and_can_say_something() {
        assert_eq!(fitting(5_000), [500, 1_000, 2_000, 4_000, 8_000]);
        assert_eq!(fitting(37), [20, 40, 80, 160, 320]);
        for acked in [0, 1, 3, 77, 100_000] {
            assert_eq!(chosen(&fitting(acked)), Ok(fitting(acked)));
        }
    }

    #[test]
    fn every_round_has_every_size_once_and_a_seed_decides_the_order() {
        let sizes = fitting(500);
        let round = |seed, number| Round::new(&sizes, seed, number).into_iter();
        let mut orders = std::collections::BTreeSet::new();
        for number in 0..10 {
            let order: Vec<u64> = round(1, number).collect();
            let mut sorted = order.clone();
            sorted.sort_unstable();
            assert_eq!(sorted, sizes);
            assert_eq!(order, round(1, number).collect::<Vec<_>>());
            orders.insert(order);
        }
        assert!(orders.len() > 5, "{orders:?}");
    }
}
