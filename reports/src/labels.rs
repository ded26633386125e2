//! How reports speak: verdicts, kinds of findings, guarantees and times in plain English.

use plugpull_workloads::{Durability, FindingKind, Guarantee, Verdict};

use crate::coverage::ModelCoverage;

/// How many findings a report for people shows in full. The JSON report has all of them.
pub const SHOWN_FINDINGS: usize = 10;

/// A verdict, as the table shows it.
pub fn verdict_words(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::NotApplicable => "not applicable",
        Verdict::Pass => "pass",
        Verdict::Detected => "detected",
        Verdict::NoPromise => "no promise",
        Verdict::NotMeasured => "not measured",
        Verdict::HarnessError => "harness error",
        Verdict::Broken => "broken",
    }
}

/// A kind of finding, as the headline of a finding says it.
pub fn kind_words(kind: FindingKind) -> &'static str {
    match kind {
        FindingKind::LostAck => "lost ack",
        FindingKind::TornTransaction => "torn transaction",
        FindingKind::Resurrected => "resurrected delete",
        FindingKind::Phantom => "data that should not exist",
        FindingKind::WrongValue => "silent corruption",
        FindingKind::PrefixHole => "hole in the history",
        FindingKind::Inconsistent => "inconsistent data",
        FindingKind::MissingEvent => "ack without an event",
        FindingKind::StrayEvent => "event that should not exist",
        FindingKind::EventOrder => "events out of order",
        FindingKind::StateNotReplayed => "state and event log disagree",
        FindingKind::VersionGap => "wrong version",
        FindingKind::Unreadable => "unreadable store",
        FindingKind::WillNotStart => "will not start",
        FindingKind::Hung => "hung",
        FindingKind::TooSlow => "too slow",
        FindingKind::NotRepeatable => "second restart differs",
        FindingKind::StaysDown => "stays down",
    }
}

/// What a kind of finding means, as a sentence.
pub(crate) fn kind_sentence(kind: FindingKind) -> &'static str {
    match kind {
        FindingKind::LostAck => "An acknowledged transaction is gone.",
        FindingKind::TornTransaction => "Part of a transaction is there and part is not.",
        FindingKind::Resurrected => "A key whose deletion was acknowledged is back.",
        FindingKind::Phantom => {
            "There is data of a transaction that was aborted or certainly failed, or of none."
        }
        FindingKind::WrongValue => "A value was read that nobody wrote.",
        FindingKind::PrefixHole => {
            "A later transaction is there, and an earlier one that was acknowledged is not."
        }
        FindingKind::Inconsistent => {
            "What was read cannot come from any order of the transactions."
        }
        FindingKind::MissingEvent => {
            "An acknowledged transaction is not in the log of events that the target keeps."
        }
        FindingKind::StrayEvent => {
            "The log of events has one of a transaction that was aborted or certainly failed, or of none."
        }
        FindingKind::EventOrder => {
            "The log of events is not in the order of commits, or gives two of them the same place."
        }
        FindingKind::StateNotReplayed => {
            "The state is not what its log of events gives when it is read from the beginning."
        }
        FindingKind::VersionGap => {
            "The versions of a key have a gap, or one of them does not read as it was written."
        }
        FindingKind::Unreadable => {
            "The target's own integrity check fails, or it cannot read its own data."
        }
        FindingKind::WillNotStart => "The target does not start again.",
        FindingKind::Hung => "The target neither starts nor stops, nor makes progress.",
        FindingKind::TooSlow => "The target came back, but later than its bound.",
        FindingKind::NotRepeatable => "A second restart shows other data than the first.",
        FindingKind::StaysDown => "After the fault was over the target still refuses to work.",
    }
}

/// What is guaranteed, in words that finish "it promises to be ...".
pub fn guarantee_words(guarantee: Guarantee) -> String {
    match guarantee {
        Guarantee::Durable(Durability::AtAck) => "durable from the ack on".into(),
        Guarantee::Durable(Durability::AllButLast(1)) => {
            "durable from the ack on, but for the last transaction".into()
        }
        Guarantee::Durable(Durability::AllButLast(n)) => {
            format!("durable from the ack on, but for the last {n} transactions")
        }
        Guarantee::Durable(Durability::AtBarrier) => "durable from the next barrier on".into(),
        Guarantee::Durable(Durability::WithinMs(ms)) => {
            format!(
                "durable {} after the ack",
                duration_words(ms.saturating_mul(1000))
            )
        }
        Guarantee::Atomic => "atomic: a transaction whole or not at all".into(),
        Guarantee::Prefix => "prefix-consistent: nothing missing before what is there".into(),
        Guarantee::Consistent => {
            "consistent: opens, checks clean, serves only what was written".into()
        }
        Guarantee::EventLog => {
            "logged: its events tell of each commit, in order, and come to its state".into()
        }
        Guarantee::Versions => "versioned: 1, 2, 3, ... for each key, each to be read again".into(),
        Guarantee::Detects => "safe from damage: harmless or refused, never served as data".into(),
        Guarantee::RecoversWithinMs(ms) => {
            format!("back within {}", duration_words(ms.saturating_mul(1000)))
        }
    }
}

/// A time in microseconds with a unit that a person would choose: `870 µs`, `3.2 ms`, `324 ms`,
/// `1.4 s`, `2 min 5 s`. Never longer than eleven columns below a hundred minutes.
pub fn duration_words(us: u64) -> String {
    // Limits lie half a last digit below the round number, so that 999.6 ms is "1.0 s" and
    // never "1000 ms".
    match us {
        0..1_000 => format!("{us} µs"),
        1_000..99_950 => format!("{:.1} ms", us as f64 / 1e3),
        99_950..999_500 => format!("{:.0} ms", us as f64 / 1e3),
        999_500..59_950_000 => format!("{:.1} s", us as f64 / 1e6),
        _ => {
            let seconds = us.saturating_add(500_000) / 1_000_000;
            match (seconds / 60, seconds % 60) {
                (minutes, 0) => format!("{minutes} min"),
                (minutes, seconds) => format!("{minutes} min {seconds} s"),
            }
        }
    }
}

/// A number and its noun: `1 trial`, `2 trials`. The plural is the noun with an `s`.
pub(crate) fn count(number: u64, noun: &str) -> String {
    if number == 1 {
        format!("1 {noun}")
    } else {
        format!("{number} {noun}s")
    }
}

/// The same with the number's thousands set apart: `12,345 states`.
pub(crate) fn count_grouped(n: u64, noun: &str) -> String {
    let plural = if n == 1 { "" } else { "s" };
    format!("{} {noun}{plural}", number(n))
}

/// How many of something came in a second: `51`, and below ten with a digit behind the point, `0.3`.
/// What is less than that rounds to is said so: nothing that happened reads as `0`.
pub(crate) fn rate_words(rate: f64) -> String {
    match rate {
        rate if rate >= 9.95 => number(rate.round() as u64),
        rate if rate >= 0.05 => format!("{rate:.1}"),
        rate if rate > 0.0 => "fewer than 0.1".into(),
        _ => "0".into(),
    }
}

/// A number with its thousands set apart: `12,345`.
pub(crate) fn number(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// How many states a model allows, as a table shows it.
pub(crate) fn possible(model: &ModelCoverage) -> String {
    let least = if model.at_least { "≥ " } else { "" };
    match model.possible {
        None => "–".into(),
        Some(n) => format!("{least}{}", large(n)),
    }
}

/// A number that may be large: beyond a million millions the digits say nothing to a person.
pub(crate) fn large(n: u64) -> String {
    match n {
        0..1_000_000_000_000 => number(n),
        n => format!("10^{}", n.ilog10()),
    }
}

/// Words in a row: `a`, `a and b`, `a, b and c`.
pub(crate) fn list(words: &[&str]) -> String {
    match words {
        [] => String::new(),
        [one] => (*one).to_string(),
        [rest @ .., last] => format!("{} and {last}", rest.join(", ")),
    }
}

/// The first letter in upper case.
pub(crate) fn capital(words: &str) -> String {
    let mut chars = words.chars();
    chars.next().map_or_else(String::new, |first| {
        first.to_uppercase().chain(chars).collect()
    })
}

/// Text from outside (a target's output, an error of the kernel) on one line and without anything
/// that moves a cursor, changes a colour or turns the direction of writing.
pub(crate) fn clean(text: &str) -> String {
    console::strip_ansi_codes(text)
        .chars()
        .filter_map(|c| match c {
            // Marks that turn the direction, or make the character before them wider than it was.
            '\u{200E}'
            | '\u{200F}'
            | '\u{202A}'..='\u{202E}'
            | '\u{2066}'..='\u{2069}'
            | '\u{FE0E}'
            | '\u{FE0F}'
            | '\u{FEFF}'
            | '\r' => None,
            '\n' | '\t' | '\u{2028}' | '\u{2029}' => Some(' '),
            c if c.is_control() => Some('\u{FFFD}'),
            c => Some(c),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use proptest::test_runner::RngSeed;

    use super::*;

    #[test]
    fn times_have_the_unit_that_a_person_would_choose() {
        for (us, words) in [
            (0, "0 µs"),
            (870, "870 µs"),
            (999, "999 µs"),
            (1_000, "1.0 ms"),
            (3_240, "3.2 ms"),
            (99_949, "99.9 ms"),
            (99_950, "100 ms"),
            (324_000, "324 ms"),
            (999_499, "999 ms"),
            (999_500, "1.0 s"),
            (1_400_000, "1.4 s"),
            (59_949_999, "59.9 s"),
            (59_950_000, "1 min"),
            (125_000_000, "2 min 5 s"),
        ] {
            assert_eq!(duration_words(us), words, "{us} µs");
        }
    }

    #[test]
    fn a_rate_above_nothing_never_reads_as_nothing() {
        for (rate, words) in [
            (0.0, "0"),
            (0.01, "fewer than 0.1"),
            (0.06, "0.1"),
            (0.34, "0.3"),
            (9.94, "9.9"),
            (9.96, "10"),
            (1234.4, "1,234"),
        ] {
            assert_eq!(rate_words(rate), words);
        }
        assert_eq!(count_grouped(1, "state"), "1 state");
        assert_eq!(count_grouped(12_345, "state"), "12,345 states");
    }

    #[test]
    fn thousands_are_set_apart() {
        assert_eq!(
            [0, 999, 1000, 1_234_567].map(number),
            ["0", "999", "1,000", "1,234,567"]
        );
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 256, rng_seed: RngSeed::Fixed(1), ..ProptestConfig::default() })]

        #[test]
        fn a_time_in_words_is_short_and_never_reads_1000(us in 0u64..5_999_000_000) {
            let words = duration_words(us);
            prop_assert!(words.chars().count() <= 11, "{}", words);
            prop_assert!(!words.starts_with("1000"), "{}", words);
        }

        #[test]
        fn cleaned_text_holds_no_control_characters(text in "\\PC*|(\\x1b\\[[0-9;]*[mKHJ]|.|\\n)*") {
            prop_assert!(!clean(&text).chars().any(char::is_control));
        }
    }

    #[test]
    fn text_of_a_target_cannot_paint_or_move() {
        assert_eq!(
            clean("\u{1b}[31mpanic\u{1b}[0m\tat 1\r\nnext\u{7}"),
            "panic at 1 next\u{FFFD}"
        );
        assert_eq!(clean("abc\u{202E}def"), "abcdef");
    }

    #[test]
    fn lists_and_counts_read_as_english() {
        assert_eq!(list(&["a"]), "a");
        assert_eq!(list(&["a", "b"]), "a and b");
        assert_eq!(list(&["a", "b", "c"]), "a, b and c");
        assert_eq!(count(1, "trial"), "1 trial");
        assert_eq!(count(0, "trial"), "0 trials");
        assert_eq!(capital("hung"), "Hung");
        assert_eq!(capital(""), "");
    }
}
