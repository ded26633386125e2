//! Recovery times: a multiset of whole microseconds.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Recovery times, in microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Recovery {
    /// How many restarts were timed.
    pub count: u64,
    /// Median.
    pub p50_us: u64,
    /// 99th percentile (the largest when fewer than 100).
    pub p99_us: u64,
    /// Largest.
    pub max_us: u64,
}

/// Times in microseconds, each with how often it was seen. Its size is the number of different
/// times, however many trials there are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Times {
    counts: BTreeMap<u64, u64>,
    total: u64,
}

impl Times {
    pub(crate) fn add(&mut self, us: u64) {
        self.add_many(us, 1);
    }

    fn add_many(&mut self, us: u64, count: u64) {
        *self.counts.entry(us).or_insert(0) += count;
        self.total += count;
    }

    pub(crate) fn add_all(&mut self, other: &Times) {
        for (us, count) in &other.counts {
            self.add_many(*us, *count);
        }
    }

    /// How many times there are.
    pub(crate) fn total(&self) -> u64 {
        self.total
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.total == 0
    }

    /// The different times, smallest first, with how often each was seen.
    pub(crate) fn counts(&self) -> impl Iterator<Item = (u64, u64)> {
        self.counts.iter().map(|(us, count)| (*us, *count))
    }

    pub(crate) fn least(&self) -> Option<u64> {
        self.counts.first_key_value().map(|(us, _)| *us)
    }

    pub(crate) fn largest(&self) -> Option<u64> {
        self.counts.last_key_value().map(|(us, _)| *us)
    }

    /// The time at this place among all in order, from 1; 0 where there is none.
    pub(crate) fn at_rank(&self, rank: u64) -> u64 {
        let mut before = 0;
        for (us, count) in &self.counts {
            before += count;
            if before >= rank.max(1) {
                return *us;
            }
        }
        0
    }

    /// The smallest time that at least p percent of all times do not exceed; 0 for no times.
    pub(crate) fn percentile(&self, percent: u64) -> u64 {
        let rank = u128::from(self.total) * u128::from(percent);
        self.at_rank(u64::try_from(rank.div_ceil(100)).unwrap_or(u64::MAX))
    }

    /// The lower of the two in the middle; 0 for no times.
    pub(crate) fn median(&self) -> u64 {
        self.at_rank(self.total.div_ceil(2))
    }

    pub(crate) fn recovery(&self) -> Recovery {
        Recovery {
            count: self.total,
            p50_us: self.percentile(50),
            p99_us: self.percentile(99),
            max_us: self.largest().unwrap_or(0),
        }
    }
}

impl FromIterator<u64> for Times {
    fn from_iter<I: IntoIterator<Item = u64>>(times: I) -> Self {
        let mut all = Self::default();
        for us in times {
            all.add(us);
        }
        all
    }
}

impl Recovery {
    /// The distribution of these times, in microseconds. Percentiles are by nearest rank: the
    /// smallest time that at least p percent of all times do not exceed. All zero for no times.
    pub fn of(times: impl IntoIterator<Item = u64>) -> Recovery {
        times.into_iter().collect::<Times>().recovery()
    }
}
