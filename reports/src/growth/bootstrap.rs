//! How far a number may be off by luck: it is worked out again from samples drawn with replacement
//! from those that there are, many times, and the spread of the results is its interval.
//!
//! B. Efron, "Bootstrap Methods: Another Look at the Jackknife", Annals of Statistics 7 (1979); the
//! percentile interval. Each size is drawn from by itself, because how often each is measured was
//! decided beforehand and is not luck.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// How often is drawn.
pub(super) const RESAMPLES: usize = 1_000;

/// `RESAMPLES` times as many of each group as it has, drawn with replacement; `number` gets
/// each draw. The same groups and seed give the same.
pub(super) fn resampled<T: Copy, N>(
    groups: &[Vec<T>],
    seed: u64,
    mut number: impl FnMut(&[Vec<T>]) -> N,
) -> Vec<N> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut drawn: Vec<Vec<T>> = groups.to_vec();
    (0..RESAMPLES)
        .map(|_| {
            for (draw, group) in drawn.iter_mut().zip(groups) {
                for one in draw {
                    *one = group[rng.random_range(0..group.len())];
                }
            }
            number(&drawn)
        })
        .collect()
}

/// The middle `share` (0 to 1) of the values, from its lower end to its upper.
pub(super) fn interval(mut values: Vec<f64>, share: f64) -> (f64, f64) {
    values.sort_by(f64::total_cmp);
    let last = values.len().saturating_sub(1);
    let at = |place: f64| {
        let index = (place * last as f64).round() as usize;
        values.get(index.min(last)).copied().unwrap_or(0.0)
    };
    let rest = (1.0 - share) / 2.0;
    (at(rest), at(1.0 - rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_draw_is_of_its_own_group_and_a_seed_decides() {
        let groups = vec![vec![1, 2, 3], vec![10], vec![100, 200]];
        let all = |seed| resampled(&groups, seed, <[Vec<i32>]>::to_vec);
        let draws = all(7);
        assert_eq!(draws.len(), RESAMPLES);
        for draw in &draws {
            for (drawn, group) in draw.iter().zip(&groups) {
                assert_eq!(drawn.len(), group.len());
                assert!(drawn.iter().all(|one| group.contains(one)), "{draw:?}");
            }
        }
        assert_eq!(draws, all(7));
        assert_ne!(draws, all(8));
    }

    #[test]
    fn an_interval_holds_its_share() {
        let values: Vec<f64> = (0..=1000).map(f64::from).collect();
        assert_eq!(interval(values.clone(), 0.99), (5.0, 995.0));
        assert_eq!(interval(values, 0.5), (250.0, 750.0));
        assert_eq!(interval(Vec::new(), 0.5), (0.0, 0.0));
    }
}
