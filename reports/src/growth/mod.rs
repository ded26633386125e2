//! How recovery time grows with what was written before the crash: the measurements, and what is
//! made of them.

mod bootstrap;
mod curve;
mod fit;
pub(crate) mod sentences;
mod theil_sen;

use serde::{Deserialize, Serialize};

pub use curve::GrowthShape;

/// How many times as long the median must be at least to count as grown.
pub const LEAST_GROWTH: f64 = 1.25;
/// A statement about growth takes this many sizes at least.
pub const LEAST_SIZES: usize = 4;
/// And this many measurements of each.
pub const LEAST_REPEATS: usize = 3;
/// And this factor between the smallest size and the largest.
pub const LEAST_RANGE: u64 = 10;

/// What a size counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum SizeUnit {
    /// Bytes of keys and values in acknowledged transactions.
    #[default]
    Bytes,
    /// Acknowledged transactions, where nobody knows their bytes.
    Transactions,
}

impl SizeUnit {
    /// The size that a curve's rate is per: a MiB, or 1,000 transactions.
    pub(crate) fn per(self) -> f64 {
        match self {
            SizeUnit::Bytes => 1_048_576.0,
            SizeUnit::Transactions => 1_000.0,
        }
    }
}

/// One crash after so much was written, and the recovery from it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct GrowthSample {
    /// The trial that measured it.
    pub trial: u64,
    /// How many acknowledged transactions were wanted before the crash. Samples of the same number
    /// are repeats of one size.
    pub wanted: u64,
    /// What was written before the crash, in the unit of the whole.
    pub size: u64,
    /// Bytes of the files in the data directory at the crash.
    pub disk_bytes: u64,
    /// Microseconds from spawn to the first correct answer: the median over restarts from the same
    /// disk.
    pub recovery_us: u64,
    /// True when nothing that had been acknowledged could be read afterwards: such a recovery says
    /// nothing about the log.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub restored_nothing: bool,
}

/// All samples of one size. Medians are the lower of the two in the middle.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct GrowthSize {
    /// How many acknowledged transactions were wanted before the crash.
    pub wanted: u64,
    /// How many samples there are.
    pub count: u64,
    /// The median of what was written.
    pub size: u64,
    /// The median of the data directory's bytes at the crash.
    pub disk_bytes: u64,
    /// The smallest recovery time, in microseconds.
    pub min_us: u64,
    /// The median.
    pub p50_us: u64,
    /// The largest.
    pub max_us: u64,
}

/// What was made of the samples. Numbers are rounded to six digits.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct GrowthFit {
    /// How recovery time depends on the size.
    pub shape: GrowthShape,
    /// The part of it that does not depend on the size, in microseconds.
    pub base_us: f64,
    /// What comes on top, in microseconds for each MiB or each 1,000 transactions (or what the
    /// shape makes of them).
    pub rate_us: f64,
    /// The median at the largest size over that at the smallest.
    pub factor: f64,
    /// The ends of its interval of 99 percent.
    pub factor_interval: (f64, f64),
    /// The exponent of a power law through the samples: 0 does not grow, 1 grows like the size.
    pub exponent: f64,
    /// The ends of its interval of 95 percent.
    pub exponent_interval: (f64, f64),
    /// The size at which the curve reaches the bound on recovery, in the unit of the whole. Left
    /// out where there is no bound, and where it is not reached at a thousand times the largest
    /// size.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reaches_bound_at: Option<u64>,
}

/// How recovery time grows with what was written before the crash.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Growth {
    /// What sizes count.
    pub unit: SizeUnit,
    /// The bound that recovery is held to, in microseconds: promised or named by the user. Left out
    /// when there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bound_us: Option<u64>,
    /// Every measurement, by trial.
    pub samples: Vec<GrowthSample>,
    /// The same for each size, smallest first.
    pub sizes: Vec<GrowthSize>,
    /// What was made of them. Left out when there were too few: fewer than [`LEAST_SIZES`] sizes
    /// with [`LEAST_REPEATS`] samples each, or less than a factor of [`LEAST_RANGE`] between them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fit: Option<GrowthFit>,
}

impl Growth {
    /// What these samples say. `bound_us` is in microseconds; `seed` decides the resampling that
    /// the intervals come from, so that the same samples say the same.
    pub fn of(
        unit: SizeUnit,
        mut samples: Vec<GrowthSample>,
        bound_us: Option<u64>,
        seed: u64,
    ) -> Self {
        samples.sort_by_key(|sample| sample.trial);
        let fit = fit::fit(unit, &samples, bound_us, seed);
        Self {
            unit,
            bound_us,
            sizes: sizes(&samples),
            samples,
            fit,
        }
    }
}

impl Growth {
    /// True when most recoveries restored nothing that had been acknowledged, so that their times do not
    /// say how recovery grows.
    pub fn restores_nothing(&self) -> bool {
        2 * self.nothing_restored() > self.samples.len()
    }

    /// How many recoveries restored nothing.
    pub(crate) fn nothing_restored(&self) -> usize {
        let samples = self.samples.iter();
        samples.filter(|sample| sample.restored_nothing).count()
    }

    /// The curve that was found, with the digits that the report has of it.
    pub(crate) fn curve(&self) -> Option<curve::Curve> {
        self.fit.as_ref().map(|fit| curve::Curve {
            shape: fit.shape,
            base: fit.base_us,
            rate: fit.rate_us,
            unit: self.unit,
        })
    }
}

/// The samples by size, smallest first.
fn sizes(samples: &[GrowthSample]) -> Vec<GrowthSize> {
    let groups = fit::groups(samples).into_iter();
    groups
        .map(|(wanted, group)| {
            let sorted = |of: fn(&GrowthSample) -> u64| {
                let mut all: Vec<u64> = group.iter().map(|sample| of(sample)).collect();
                all.sort_unstable();
                all
            };
            let times = sorted(|sample| sample.recovery_us);
            GrowthSize {
                wanted,
                count: group.len() as u64,
                size: middle(&sorted(|sample| sample.size)),
                disk_bytes: middle(&sorted(|sample| sample.disk_bytes)),
                min_us: times.first().copied().unwrap_or(0),
                p50_us: middle(&times),
                max_us: times.last().copied().unwrap_or(0),
            }
        })
        .collect()
}

/// The median of sorted numbers, the lower of two; 0 for none.
fn middle(sorted: &[u64]) -> u64 {
    let at = sorted.len().saturating_sub(1) / 2;
    sorted.get(at).copied().unwrap_or(0)
}
