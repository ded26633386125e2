//! Is one sample larger than another, or is it luck? The test of Mann and Whitney.
//!
//! Mann and Whitney, "On a Test of Whether one of Two Random Variables is Stochastically Larger
//! than the Other", Annals of Mathematical Statistics 18 (1947). It looks at ranks only, so that
//! it needs no assumption on how recovery times are spread, and single stragglers weigh little.

use std::collections::BTreeMap;

use crate::times::Times;

/// The chance that, if both samples came from the same distribution, ranks would speak at least as
/// much for `later` being larger than `earlier` as they do here (one-sided). 1 for an empty sample.
///
/// By the normal approximation with the corrections for ties and for continuity (as in SciPy's
/// `mannwhitneyu(method="asymptotic", alternative="greater")`), which is close from about eight
/// values a sample on.
pub(crate) fn larger(later: &Times, earlier: &Times) -> f64 {
    let (n, m) = (later.total() as f64, earlier.total() as f64);
    if later.is_empty() || earlier.is_empty() {
        return 1.0;
    }
    // For each value how often it is in the later sample, and in both.
    let mut all: BTreeMap<u64, (u64, u64)> = BTreeMap::new();
    for (value, count) in later.counts() {
        all.insert(value, (count, count));
    }
    for (value, count) in earlier.counts() {
        all.entry(value).or_default().1 += count;
    }
    let mut rank_sum = 0.0;
    let mut ties = 0.0;
    let mut before = 0;
    for (of_later, same) in all.into_values() {
        // Equal values share the middle of their ranks, which count from 1.
        let rank = before as f64 + (same as f64 + 1.0) / 2.0;
        rank_sum += rank * of_later as f64;
        ties += (same as f64).powi(3) - same as f64;
        before += same;
    }
    let u = rank_sum - n * (n + 1.0) / 2.0;
    let total = n + m;
    let variance = n * m / 12.0 * (total + 1.0 - ties / (total * (total - 1.0)));
    if variance <= 0.0 {
        // All values are equal.
        return 1.0;
    }
    above((u - n * m / 2.0 - 0.5) / variance.sqrt())
}

/// The share of the normal distribution above `z`: half of the complementary error function, by
/// formula 7.1.26 of Abramowitz and Stegun, "Handbook of Mathematical Functions" (1964), whose
/// error is below 1.5e-7.
fn above(z: f64) -> f64 {
    let x = z.abs() / std::f64::consts::SQRT_2;
    let t = 1.0 / (1.0 + 0.327_591_1 * x);
    let polynomial = t
        * (0.254_829_592
            + t * (-0.284_496_736
                + t * (1.421_413_741 + t * (-1.453_152_027 + t * 1.061_405_429))));
    let tail = polynomial * (-x * x).exp() / 2.0;
    if z >= 0.0 { tail } else { 1.0 - tail }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn larger(later: &[u64], earlier: &[u64]) -> f64 {
        let times = |all: &[u64]| all.iter().copied().collect::<Times>();
        super::larger(&times(later), &times(earlier))
    }

    fn near(a: f64, b: f64) {
        assert!((a - b).abs() < 1e-5, "{a} and {b}");
    }

    /// The values are SciPy's.
    #[test]
    fn it_agrees_with_scipy() {
        near(
            larger(&[9, 10, 11, 12, 13, 14, 15, 16], &[1, 2, 3, 4, 5, 6, 7, 8]),
            0.000_469_553,
        );
        near(
            larger(
                &[3300, 3150, 3500, 3200, 3420, 3600, 3380, 3290, 3700, 3190],
                &[3200, 3100, 3300, 3150, 3250, 3400, 3200, 3350, 3290, 3180],
            ),
            0.055_732_263,
        );
        near(
            larger(
                &[5, 6, 6, 7, 8, 8, 9, 9, 9, 10, 11],
                &[5, 5, 5, 6, 6, 7, 7, 8, 8, 9],
            ),
            0.040_022_475,
        );
    }

    #[test]
    fn equal_samples_and_empty_ones_say_nothing() {
        assert!(larger(&[5; 20], &[5; 20]) > 0.99);
        assert!(larger(&[], &[1]) > 0.99);
        assert!(larger(&[1], &[]) > 0.99);
    }

    #[test]
    fn what_is_smaller_is_not_larger() {
        assert!(larger(&[1, 2, 3, 4, 5, 6, 7, 8], &[9, 10, 11, 12, 13, 14, 15, 16]) > 0.99);
    }
}
