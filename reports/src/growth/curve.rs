//! The curves that recovery times are held against: a part that does not depend on the size, and
//! one that grows with it.

use serde::{Deserialize, Serialize};

use super::SizeUnit;

/// How recovery time depends on the size n: a base, and on top of it a rate times a function of n.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum GrowthShape {
    /// Not at all.
    Constant,
    /// With log n.
    Logarithmic,
    /// With n.
    Linear,
    /// With n log n.
    Linearithmic,
    /// With n squared.
    Quadratic,
}

impl GrowthShape {
    /// Those that grow, slowest first.
    pub(crate) const GROWING: [Self; 4] = [
        Self::Logarithmic,
        Self::Linear,
        Self::Linearithmic,
        Self::Quadratic,
    ];

    /// The function of a size, in units of `unit.per()`. The logarithm is that of the size itself,
    /// to base 2, and of 1 at least.
    pub(crate) fn of(self, size: f64, unit: SizeUnit) -> f64 {
        let n = size / unit.per();
        let log = size.max(1.0).log2();
        match self {
            Self::Constant => 0.0,
            Self::Logarithmic => log,
            Self::Linear => n,
            Self::Linearithmic => n * log,
            Self::Quadratic => n * n,
        }
    }
}

/// A shape with its numbers, in microseconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Curve {
    pub(crate) shape: GrowthShape,
    pub(crate) base: f64,
    pub(crate) rate: f64,
    pub(crate) unit: SizeUnit,
}

/// A size and the time that belongs to it, both above 0.
pub(crate) type Point = (f64, f64);

impl Curve {
    /// The time for a size.
    pub(crate) fn at(&self, size: f64) -> f64 {
        self.base + self.rate * self.shape.of(size, self.unit)
    }

    /// The curve of this shape closest to the points: least squares of the relative errors, with
    /// neither base nor rate below 0. (The base of [`GrowthShape::Logarithmic`] may be: it is the
    /// time at size 1, where nobody measured.)
    pub(crate) fn through(shape: GrowthShape, unit: SizeUnit, points: &[Point]) -> Self {
        let curve = |base: f64, rate: f64| Self {
            shape,
            base,
            rate,
            unit,
        };
        // Sums weighted by 1 / time squared: a tenth off weighs the same for short and long times.
        let (mut w, mut wf, mut wff, mut wt, mut wft) = (0.0, 0.0, 0.0, 0.0, 0.0);
        for (size, time) in points {
            let (weight, f) = (1.0 / (time * time), shape.of(*size, unit));
            w += weight;
            wf += weight * f;
            wff += weight * f * f;
            wt += weight * time;
            wft += weight * f * time;
        }
        let mean = if w > 0.0 { wt / w } else { 0.0 };
        let det = w * wff - wf * wf;
        if shape == GrowthShape::Constant || det <= f64::EPSILON * w * wff {
            return curve(mean, 0.0);
        }
        let (base, rate) = ((wff * wt - wf * wft) / det, (w * wft - wf * wt) / det);
        if rate < 0.0 {
            curve(mean, 0.0)
        } else if base < 0.0 && shape != GrowthShape::Logarithmic {
            curve(0.0, wft / wff)
        } else {
            curve(base, rate)
        }
    }

    /// The sum of the squared relative errors.
    pub(crate) fn error(&self, points: &[Point]) -> f64 {
        points
            .iter()
            .map(|(size, time)| ((time - self.at(*size)) / time).powi(2))
            .sum()
    }

    /// The smallest size, up to `most`, whose time is `time`; none when it is beyond.
    pub(crate) fn reaches(&self, time: f64, most: f64) -> Option<f64> {
        if self.at(most) < time {
            return None;
        }
        // It never falls with the size, so halving finds the place.
        let (mut low, mut high) = (0.0, most);
        for _ in 0..200 {
            let middle = (low + high) / 2.0;
            if self.at(middle) < time {
                low = middle;
            } else {
                high = middle;
            }
        }
        Some(high)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const UNIT: SizeUnit = SizeUnit::Transactions;

    fn points(curve: Curve) -> Vec<Point> {
        [100.0, 200.0, 400.0, 800.0, 1600.0]
            .map(|size| (size, curve.at(size)))
            .to_vec()
    }

    #[test]
    fn a_curve_is_found_again() {
        for shape in GrowthShape::GROWING {
            let curve = Curve {
                shape,
                base: 2_000.0,
                rate: 900.0,
                unit: UNIT,
            };
            let found = Curve::through(shape, UNIT, &points(curve));
            assert!(
                (found.base - curve.base).abs() < 0.01,
                "{shape:?}: {found:?}"
            );
            assert!(
                (found.rate - curve.rate).abs() < 0.01,
                "{shape:?}: {found:?}"
            );
            assert!(found.error(&points(curve)) < 1e-12);
        }
    }

    #[test]
    fn neither_number_is_below_zero() {
        let falling = [(100.0, 50.0), (200.0, 40.0), (400.0, 30.0)];
        let found = Curve::through(GrowthShape::Linear, UNIT, &falling);
        assert_eq!(found.rate, 0.0);
        let steep = [(100.0, 1.0), (200.0, 30.0), (400.0, 900.0)];
        let found = Curve::through(GrowthShape::Linear, UNIT, &steep);
        assert_eq!(found.base, 0.0);
        assert!(found.rate > 0.0);
    }

    #[test]
    fn the_place_of_a_time_is_found_and_what_is_too_far_is_not() {
        let curve = Curve {
            shape: GrowthShape::Linear,
            base: 10.0,
            rate: 1.0,
            unit: UNIT,
        };
        let at = curve.reaches(20.0, 1e6).unwrap_or(0.0);
        assert!((at - 10_000.0).abs() < 0.1, "{at}");
        assert_eq!(curve.reaches(5.0, 1e6).map(f64::round), Some(0.0));
        assert_eq!(curve.reaches(1e6, 1e6), None);
    }
}
