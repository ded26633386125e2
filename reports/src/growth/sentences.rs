//! Growth in words.

use super::{Growth, GrowthFit, GrowthShape, LEAST_RANGE, LEAST_REPEATS, LEAST_SIZES, SizeUnit};
use crate::labels::{count, count_grouped, duration_words};

/// A size in words: `5.1 MiB`, `1,600 transactions`.
pub(crate) fn size_words(unit: SizeUnit, size: u64) -> String {
    match unit {
        SizeUnit::Bytes => bytes_words(size),
        SizeUnit::Transactions => count_grouped(size, "transaction"),
    }
}

/// Bytes with a unit that a person would choose: `870 B`, `12.5 KiB`, `160 MiB`.
pub(crate) fn bytes_words(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    if bytes < 1_024 {
        return format!("{bytes} B");
    }
    let mut value = bytes as f64 / 1_024.0;
    let mut at = 0;
    while value >= 1_023.5 && at + 1 < UNITS.len() {
        value /= 1_024.0;
        at += 1;
    }
    let digits = usize::from(value < 99.95);
    format!("{value:.digits$} {}", UNITS[at])
}

/// What a linear rate is per.
pub(crate) fn per_word(unit: SizeUnit) -> &'static str {
    match unit {
        SizeUnit::Bytes => "MiB",
        SizeUnit::Transactions => "1,000 transactions",
    }
}

/// What was found, in a sentence, and how certain that is, in another.
pub(crate) fn sentences(growth: &Growth) -> Vec<String> {
    let Some(fit) = &growth.fit else {
        let repeats = growth
            .sizes
            .iter()
            .filter(|s| s.count >= LEAST_REPEATS as u64);
        return vec![format!(
            "Growth was not measured: it takes {LEAST_SIZES} sizes or more, a factor of \
             {LEAST_RANGE} between their ends and {LEAST_REPEATS} measurements of each; there were \
             {} with so many.",
            count(repeats.count() as u64, "size")
        )];
    };
    if growth.restores_nothing() {
        return vec![format!(
            "Recovery was not measured: in {} of {} restarts nothing that had been acknowledged was there \
             afterwards, so their times say nothing about the log.",
            growth.nothing_restored(),
            growth.samples.len()
        )];
    }
    let (low, high) = fit.exponent_interval;
    let (least, most) = fit.factor_interval;
    vec![
        format!("{}; {}.", finding(growth, fit), bound(growth, fit)),
        format!(
            "As a power law the exponent is {:.2} (95% interval {low:.2} to {high:.2}); the largest \
             size takes {:.2} times as long as the smallest (99% interval {least:.2} to {most:.2}).",
            fit.exponent, fit.factor
        ),
    ]
}

fn finding(growth: &Growth, fit: &GrowthFit) -> String {
    let from_to = || match (growth.sizes.first(), growth.sizes.last()) {
        (Some(first), Some(last)) => format!(
            "{} at {}, {} at {}",
            duration_words(first.p50_us),
            size_words(growth.unit, first.size),
            duration_words(last.p50_us),
            size_words(growth.unit, last.size)
        ),
        _ => String::new(),
    };
    match fit.shape {
        GrowthShape::Constant => format!("Recovery does not grow with the log: {}", from_to()),
        GrowthShape::Logarithmic => format!(
            "Recovery grows more slowly than the log, like its logarithm: {}",
            from_to()
        ),
        GrowthShape::Linear => format!(
            "Recovery grows linearly with the log: {} per {} on top of {}",
            rate_words(fit.rate_us),
            per_word(growth.unit),
            duration_words(fit.base_us.max(0.0) as u64)
        ),
        GrowthShape::Linearithmic => format!(
            "Recovery grows a little faster than the log (n log n): {}",
            from_to()
        ),
        GrowthShape::Quadratic => {
            format!("Recovery grows with the square of the log: {}", from_to())
        }
    }
}

/// A rate below a microsecond is no time that anybody waits for, and still a rate.
fn rate_words(us: f64) -> String {
    match us {
        us if us < 10.0 => format!("{us:.2} µs"),
        us => duration_words(us.round() as u64),
    }
}

fn bound(growth: &Growth, fit: &GrowthFit) -> String {
    let Some(bound) = growth.bound_us else {
        return "no bound is promised, and none was given (--recovery-bound)".into();
    };
    let words = duration_words(bound);
    let largest = growth.sizes.last().map_or(0, |size| size.size);
    let late = growth.sizes.iter().find(|size| size.p50_us > bound);
    match (late, fit.reaches_bound_at) {
        (Some(late), _) => format!(
            "it is over the bound of {words} at {}",
            size_words(growth.unit, late.size)
        ),
        (None, Some(at)) => {
            let times = at as f64 / largest.max(1) as f64;
            let how_far = match times {
                times if times < 1.1 => "the largest that was measured".into(),
                times if times < 9.95 => format!("{times:.1} times the largest measured"),
                times => format!("{times:.0} times the largest measured"),
            };
            format!(
                "it would reach the bound of {words} at about {}, {how_far}",
                size_words(growth.unit, at)
            )
        }
        (None, None) if fit.shape == GrowthShape::Constant => {
            format!("that is within the bound of {words}")
        }
        (None, None) => format!(
            "the bound of {words} is further off than a thousand times the largest size measured"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::growth::GrowthSample;

    /// Three repeats of five sizes with these times, in milliseconds.
    fn growth(times: [u64; 5], bound_us: Option<u64>) -> Growth {
        let samples = (0..15).map(|trial| GrowthSample {
            trial: trial + 1,
            wanted: 100 << (trial % 5),
            size: (1 << 20) << (trial % 5),
            disk_bytes: 4096,
            recovery_us: times[trial as usize % 5] * 1_000,
            restored_nothing: false,
        });
        Growth::of(SizeUnit::Bytes, samples.collect(), bound_us, 1)
    }

    #[test]
    fn one_sentence_says_what_was_found() {
        let bound = Some(2_000_000);
        let first = |times, bound| sentences(&growth(times, bound)).remove(0);
        assert_eq!(
            first([15, 27, 51, 99, 195], bound),
            "Recovery grows linearly with the log: 12.0 ms per MiB on top of 3.0 ms; it would reach \
             the bound of 2.0 s at about 166 MiB, 10 times the largest measured."
        );
        assert_eq!(
            first([3, 3, 3, 3, 3], bound),
            "Recovery does not grow with the log: 3.0 ms at 1.0 MiB, 3.0 ms at 16.0 MiB; that is \
             within the bound of 2.0 s."
        );
        assert_eq!(
            first([10, 40, 160, 640, 2560], bound),
            "Recovery grows with the square of the log: 10.0 ms at 1.0 MiB, 2.6 s at 16.0 MiB; it \
             is over the bound of 2.0 s at 16.0 MiB."
        );
        assert!(first([3, 3, 3, 3, 3], None).ends_with("none was given (--recovery-bound)."));
    }

    #[test]
    fn a_target_that_restores_nothing_has_no_recovery_that_could_grow() {
        let mut growth = growth([3, 3, 3, 3, 3], None);
        for sample in growth.samples.iter_mut().take(8) {
            sample.restored_nothing = true;
        }
        let said = sentences(&growth);
        assert_eq!(
            said,
            [
                "Recovery was not measured: in 8 of 15 restarts nothing that had been acknowledged was \
                 there afterwards, so their times say nothing about the log."
            ]
        );
        growth.samples[0].restored_nothing = false;
        assert!(sentences(&growth)[0].starts_with("Recovery does not grow with the log"));
    }

    #[test]
    fn what_was_not_measured_is_said() {
        let nothing = Growth::of(SizeUnit::Bytes, Vec::new(), None, 1);
        let said = sentences(&nothing);
        assert!(
            said[0].contains("not measured") && said[0].contains("0 sizes"),
            "{said:?}"
        );
    }

    #[test]
    fn sizes_have_the_unit_that_a_person_would_choose() {
        for (bytes, words) in [
            (0, "0 B"),
            (1_023, "1023 B"),
            (1_024, "1.0 KiB"),
            (1_048_575, "1.0 MiB"),
            (160 << 20, "160 MiB"),
            (3 << 30, "3.0 GiB"),
        ] {
            assert_eq!(size_words(SizeUnit::Bytes, bytes), words);
        }
        assert_eq!(size_words(SizeUnit::Transactions, 1), "1 transaction");
        assert_eq!(
            size_words(SizeUnit::Transactions, 1_600),
            "1,600 transactions"
        );
    }
}
