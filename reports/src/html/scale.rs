//! A logarithmic scale of times.

/// From one power of ten to a later one, in microseconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct LogScale {
    low: f64,
    high: f64,
}

impl LogScale {
    /// A scale on which both lie, with at least a whole decade.
    pub(super) fn over(least: u64, most: u64) -> Self {
        let low = (least.max(1) as f64).log10().floor();
        let high = (most.max(1) as f64).log10().ceil();
        Self {
            low,
            high: high.max(low + 1.0),
        }
    }

    /// The share of the scale that lies before this time.
    pub(super) fn share(&self, us: u64) -> f64 {
        ((us.max(1) as f64).log10() - self.low) / (self.high - self.low)
    }

    /// The powers of ten on it, in microseconds.
    pub(super) fn ticks(&self) -> Vec<u64> {
        (self.low as u32..=self.high as u32)
            .map(|power| 10u64.saturating_pow(power))
            .collect()
    }
}

/// A round time in as few letters as possible: `1 ms`, `10 s`.
pub(super) fn tick_words(us: u64) -> String {
    match us {
        0..1_000 => format!("{us} µs"),
        1_000..1_000_000 => format!("{} ms", us / 1_000),
        _ => format!("{} s", us / 1_000_000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scale_holds_both_ends_and_its_ticks_are_decades() {
        let scale = LogScale::over(3_200, 2_000_000);
        assert_eq!(
            scale.ticks(),
            [1_000, 10_000, 100_000, 1_000_000, 10_000_000]
        );
        assert_eq!(scale.share(1_000), 0.0);
        assert_eq!(scale.share(10_000_000), 1.0);
        assert!(scale.share(3_200) < scale.share(2_000_000));
    }

    #[test]
    fn one_time_alone_has_a_scale_too() {
        for us in [0, 1, 1000] {
            let scale = LogScale::over(us, us);
            assert!(scale.share(us).is_finite() && scale.ticks().len() >= 2);
        }
    }

    #[test]
    fn ticks_read_as_times() {
        assert_eq!(
            [1, 1_000, 100_000, 10_000_000].map(tick_words),
            ["1 µs", "1 ms", "100 ms", "10 s"]
        );
    }
}
