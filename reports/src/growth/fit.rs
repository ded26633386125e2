//! From the samples to a statement. The rules, which `docs/growth.md` tells users:
//!
//! - Recovery **grows** when its median at the largest size is [`LEAST_GROWTH`] times that at the
//!   smallest or more, the interval of 99 percent of that factor lies above 1, and that of 95 percent
//!   of the exponent above 0. Otherwise it is constant.
//! - What grows has the **shape** whose curve is closest to the medians of the sizes. Linear is taken
//!   unless another shape is closer in [`CERTAIN`] of all resamples: what cannot be distinguished is
//!   reported as the simplest.
//! - The **exponent** of a power law comes from all samples, by Theil and Sen, and not from the
//!   curve.

use std::collections::BTreeMap;

use super::bootstrap::{interval, resampled};
use super::curve::{Curve, GrowthShape, Point};
use super::theil_sen::{median, slope};
use super::{
    GrowthFit, GrowthSample, LEAST_GROWTH, LEAST_RANGE, LEAST_REPEATS, LEAST_SIZES, SizeUnit,
};

/// The share of the resamples in which another shape than linear must be closer to be believed.
const CERTAIN: f64 = 0.95;
/// The bound is not looked for beyond so many times the largest size.
const HORIZON: f64 = 1_000.0;

/// The samples of each size, smallest first.
pub(super) fn groups(samples: &[GrowthSample]) -> BTreeMap<u64, Vec<&GrowthSample>> {
    let mut groups: BTreeMap<u64, Vec<&GrowthSample>> = BTreeMap::new();
    for sample in samples {
        groups.entry(sample.wanted).or_default().push(sample);
    }
    groups
}

/// What the samples say; none where there are too few.
pub(super) fn fit(
    unit: SizeUnit,
    samples: &[GrowthSample],
    bound_us: Option<u64>,
    seed: u64,
) -> Option<GrowthFit> {
    let groups: Vec<(u64, Vec<Point>)> = groups(samples)
        .into_iter()
        .filter(|(_, group)| group.len() >= LEAST_REPEATS)
        .map(|(wanted, group)| (wanted, group.into_iter().map(point).collect()))
        .collect();
    let (least, most) = (groups.first()?.0, groups.last()?.0);
    if groups.len() < LEAST_SIZES || most < least.saturating_mul(LEAST_RANGE) {
        return None;
    }
    let groups: Vec<Vec<Point>> = groups.into_iter().map(|(_, group)| group).collect();
    let mut closest = Vec::new();
    let again = resampled(&groups, seed, |drawn| {
        let medians = medians(drawn);
        closest.push(errors(unit, &medians));
        (factor(&medians), exponent(drawn))
    });
    let (factors, exponents): (Vec<f64>, Vec<f64>) = again.into_iter().unzip();
    let medians = medians(&groups);
    let (factor, factor_interval) = (factor(&medians), interval(factors, 0.99));
    let exponent_interval = interval(exponents, 0.95);
    let certain = factor_interval.0 > 1.0 && exponent_interval.0 > 0.0;
    let shape = if factor >= LEAST_GROWTH && certain {
        shape(&errors(unit, &medians), &closest)
    } else {
        GrowthShape::Constant
    };
    let curve = Curve::through(shape, unit, &medians);
    let largest = medians.last().map_or(0.0, |point| point.0);
    let reached = bound_us.and_then(|bound| curve.reaches(bound as f64, largest * HORIZON));
    let both = |(low, high)| (rounded(low), rounded(high));
    Some(GrowthFit {
        shape,
        base_us: rounded(curve.base),
        rate_us: rounded(curve.rate),
        factor: rounded(factor),
        factor_interval: both(factor_interval),
        exponent: rounded(exponent(&groups)),
        exponent_interval: both(exponent_interval),
        reaches_bound_at: reached.map(|size| size.round() as u64),
    })
}

/// Size and time of a sample. Neither is 0: both have a logarithm.
fn point(sample: &GrowthSample) -> Point {
    (sample.size.max(1) as f64, sample.recovery_us.max(1) as f64)
}

/// The medians of each group, of sizes and of times.
fn medians(groups: &[Vec<Point>]) -> Vec<Point> {
    let middle = |group: &[Point], of: fn(&Point) -> f64| {
        let mut values: Vec<f64> = group.iter().map(of).collect();
        median(&mut values)
    };
    groups
        .iter()
        .map(|group| (middle(group, |p| p.0), middle(group, |p| p.1)))
        .collect()
}

/// The last time over the first.
fn factor(medians: &[Point]) -> f64 {
    match (medians.first(), medians.last()) {
        (Some(first), Some(last)) => last.1 / first.1,
        _ => 1.0,
    }
}

/// The exponent of the power law: the slope between the logarithms.
fn exponent(groups: &[Vec<Point>]) -> f64 {
    let logs: Vec<Point> = groups
        .iter()
        .flatten()
        .map(|(size, time)| (size.ln(), time.ln()))
        .collect();
    slope(&logs)
}

/// How far the closest curve of each growing shape is from the medians.
fn errors(unit: SizeUnit, medians: &[Point]) -> [f64; GrowthShape::GROWING.len()] {
    GrowthShape::GROWING.map(|shape| Curve::through(shape, unit, medians).error(medians))
}

/// The shape to believe in, by its errors and those of the resamples.
fn shape(
    errors: &[f64; GrowthShape::GROWING.len()],
    again: &[[f64; GrowthShape::GROWING.len()]],
) -> GrowthShape {
    let linear = GrowthShape::GROWING
        .iter()
        .position(|shape| *shape == GrowthShape::Linear)
        .unwrap_or(0);
    let closer = |at: usize| again.iter().filter(|e| e[at] < e[linear]).count();
    let needed = CERTAIN * again.len() as f64;
    (0..errors.len())
        .filter(|at| *at != linear && closer(*at) as f64 >= needed && errors[*at] < errors[linear])
        .min_by(|a, b| errors[*a].total_cmp(&errors[*b]))
        .map_or(GrowthShape::Linear, |at| GrowthShape::GROWING[at])
}

/// Rounded to six digits, so that a report reads back as it was written.
fn rounded(value: f64) -> f64 {
    format!("{value:.5e}").parse().unwrap_or(value)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use proptest::test_runner::RngSeed;
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::*;
    use crate::growth::Growth;

    const WANTED: [u64; 5] = [500, 1_000, 2_000, 4_000, 8_000];

    /// Samples of a curve with the times `noise` (0.1 is a tenth) off, some of them far too long,
    /// as those of a busy machine are.
    fn samples(curve: Curve, noise: f64, stragglers: bool, seed: u64) -> Vec<GrowthSample> {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut trial = 0;
        let mut all = Vec::new();
        for repeat in 0..5 {
            for wanted in WANTED {
                trial += 1;
                let size = wanted * rng.random_range(980..=1020);
                let mut time = curve.at(size as f64) * rng.random_range(1.0 - noise..=1.0 + noise);
                if stragglers && repeat == 2 {
                    time *= rng.random_range(1.0..5.0);
                }
                all.push(GrowthSample {
                    restored_nothing: false,
                    trial,
                    wanted,
                    size,
                    disk_bytes: size,
                    recovery_us: time as u64,
                });
            }
        }
        all
    }

    fn found(curve: Curve, noise: f64, stragglers: bool, seed: u64) -> GrowthFit {
        let all = samples(curve, noise, stragglers, seed);
        let growth = Growth::of(SizeUnit::Bytes, all, Some(2_000_000), seed);
        growth.fit.unwrap_or_else(|| panic!("nothing was found"))
    }

    fn curve(shape: GrowthShape, base: f64, times: f64) -> Curve {
        // From the smallest size to the largest the time grows `times` fold.
        let (first, last) = (500_000.0, 8_000_000.0);
        let unit = SizeUnit::Bytes;
        let (f, g) = (shape.of(first, unit), shape.of(last, unit));
        let rate = base * (times - 1.0) / (g - f);
        Curve {
            shape,
            base: base - rate * f,
            rate,
            unit,
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig {
            cases: 8, rng_seed: RngSeed::Fixed(8), ..ProptestConfig::default()
        })]

        #[test]
        fn what_does_not_grow_is_constant(
            base in 500.0..50_000.0f64, seed: u64, stragglers: bool,
        ) {
            let flat = Curve { shape: GrowthShape::Constant, base, rate: 0.0, unit: SizeUnit::Bytes };
            let fit = found(flat, 0.1, stragglers, seed);
            prop_assert_eq!(fit.shape, GrowthShape::Constant, "{:?}", fit);
            prop_assert!(fit.exponent.abs() < 0.1, "{:?}", fit);
            prop_assert_eq!(fit.rate_us, 0.0);
        }

        #[test]
        fn what_grows_is_never_constant(
            base in 500.0..50_000.0f64, times in 2.0..40.0f64, seed: u64, stragglers: bool, which in 0usize..4,
        ) {
            let truth = curve(GrowthShape::GROWING[which], base, times);
            let fit = found(truth, 0.05, stragglers, seed);
            prop_assert_ne!(fit.shape, GrowthShape::Constant, "{:?}", fit);
            prop_assert!(fit.exponent_interval.0 > 0.0, "{:?}", fit);
            prop_assert!(fit.exponent_interval.0 <= fit.exponent && fit.exponent <= fit.exponent_interval.1);
        }

        #[test]
        fn a_line_is_a_line_and_its_rate_is_found(
            base in 500.0..5_000.0f64, times in 4.0..15.0f64, seed: u64,
        ) {
            let truth = curve(GrowthShape::Linear, base, times);
            let fit = found(truth, 0.02, false, seed);
            prop_assert!(
                matches!(fit.shape, GrowthShape::Linear | GrowthShape::Linearithmic), "{:?}", fit
            );
            if fit.shape == GrowthShape::Linear {
                prop_assert!((fit.rate_us / truth.rate - 1.0).abs() < 0.1, "{:?} {:?}", fit, truth);
                let bound = (2_000_000.0 - truth.base) / truth.rate * 1_048_576.0;
                let reached = fit.reaches_bound_at.map_or(f64::INFINITY, |at| at as f64);
                prop_assert!((reached / bound - 1.0).abs() < 0.1, "{:?} {}", fit, bound);
            }
        }

        #[test]
        fn a_square_is_no_line(base in 500.0..5_000.0f64, times in 20.0..200.0f64, seed: u64) {
            let fit = found(curve(GrowthShape::Quadratic, base, times), 0.05, false, seed);
            prop_assert_eq!(fit.shape, GrowthShape::Quadratic, "{:?}", fit);
        }

        #[test]
        fn a_power_law_has_its_exponent(power in 0.3..2.5f64, seed: u64, stragglers: bool) {
            let mut all = samples(
                Curve { shape: GrowthShape::Constant, base: 1.0, rate: 0.0, unit: SizeUnit::Bytes },
                0.0, false, seed,
            );
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            for one in &mut all {
                let slow = if stragglers && one.trial % 6 == 0 { 3.0 } else { 1.0 };
                let time = 1_000.0 * (one.size as f64 / 500_000.0).powf(power);
                one.recovery_us = (slow * time * rng.random_range(0.97..1.03)) as u64;
            }
            let fit = Growth::of(SizeUnit::Bytes, all, None, seed).fit.unwrap_or_else(|| panic!());
            prop_assert!((fit.exponent - power).abs() < 0.1, "{:?}", fit);
            prop_assert_eq!(fit.reaches_bound_at, None);
        }
    }

    #[test]
    fn without_noise_each_shape_is_known_for_what_it_is() {
        for shape in GrowthShape::GROWING {
            let fit = found(curve(shape, 2_000_000.0, 10.0), 0.0, false, 1);
            assert_eq!(fit.shape, shape, "{fit:?}");
        }
    }

    #[test]
    fn too_few_samples_say_nothing() {
        let all = samples(curve(GrowthShape::Linear, 1_000.0, 10.0), 0.0, false, 1);
        let says = |keep: &dyn Fn(&GrowthSample) -> bool| {
            let some = all.iter().filter(|one| keep(one)).cloned().collect();
            Growth::of(SizeUnit::Bytes, some, None, 1).fit.is_some()
        };
        assert!(says(&|_| true));
        assert!(says(&|one| one.trial > 10), "three repeats are enough");
        assert!(!says(&|one| one.trial > 15), "two are not");
        assert!(says(&|one| one.wanted != 1_000), "four sizes are enough");
        assert!(!says(&|one| one.wanted > 500), "a factor of 8 is not");
        assert!(
            !says(&|one| one.wanted != 1_000 && one.wanted != 2_000),
            "three are not"
        );
        assert!(!says(&|_| false));
    }

    #[test]
    fn the_same_samples_say_the_same() {
        let truth = curve(GrowthShape::Linear, 1_000.0, 10.0);
        let mut all = samples(truth, 0.1, true, 3);
        let one = Growth::of(SizeUnit::Bytes, all.clone(), None, 9);
        all.reverse();
        assert_eq!(one, Growth::of(SizeUnit::Bytes, all, None, 9));
    }
}
