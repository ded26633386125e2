//! How sentences name transactions, acks, values and times.

use std::time::Duration;

use super::facts::{Fact, Fate};
use crate::{FindingPart, ID_REST, PartKind, Stamp};

/// The longest value that is shown whole, in characters; of longer ones, this much.
const VALUE_SHOWN: usize = 24;

/// The longest message of a target that is shown whole, in characters.
const MESSAGE_SHOWN: usize = 300;

/// "transaction t17 of client 0".
pub(super) fn txn(fact: &Fact<'_>) -> String {
    format!("transaction t{} of client {}", fact.txn.id, fact.txn.client)
}

/// The same where the workload is the user's own: the ID in this key.
pub(super) fn id(key: &str) -> String {
    format!("ID {}", key.strip_suffix(ID_REST).unwrap_or(key))
}

/// What stands over a card: "t17 of client 0, acknowledged at 812 ms (before operation 4411)".
pub(super) fn subject(name: &str, fact: &Fact<'_>) -> FindingPart {
    let name = name.strip_prefix("transaction ").unwrap_or(name);
    let fate = match (fact.fate, fact.ack) {
        (Fate::Acked, Some(ack)) => format!(
            "acknowledged at {} ms (before operation {})",
            ack.nanos / 1_000_000,
            ack.seq
        ),
        _ => fate(fact),
    };
    FindingPart::new(PartKind::Subject, format!("{name}, {fate}"))
}

/// That there are more of the kind, where there are.
pub(super) fn in_all(n: usize, many: &str) -> Option<FindingPart> {
    (n > 1).then(|| FindingPart::new(PartKind::InAll, format!("{many}; this is the first")))
}

/// "812 ms into the trial (trace 4411)".
pub(super) fn moment(at: Stamp) -> String {
    format!(
        "{} ms into the trial (trace {})",
        at.nanos / 1_000_000,
        at.seq
    )
}

/// What came of a transaction: "acknowledged 812 ms into the trial (trace 4411)".
pub(super) fn fate(fact: &Fact<'_>) -> String {
    match (fact.fate, fact.ack) {
        (Fate::Acked, Some(ack)) => format!("acknowledged {}", moment(ack)),
        (Fate::Acked | Fate::Open, _) => "whose outcome is unknown".into(),
        (Fate::Aborted, _) => "which was rolled back".into(),
        (Fate::Failed, _) => "which was refused".into(),
    }
}

/// A value on one line, cut short, with its size when it was cut.
pub(super) fn value(text: &str) -> String {
    let short = cut(text, VALUE_SHOWN);
    if short.len() == text.len() && short == text {
        format!("'{text}'")
    } else {
        format!("'{short}' ({} bytes)", text.len())
    }
}

/// What a target said, on one line, without colours and frames. Of several things that it said, those
/// that fit are whole, and the others are counted; one that is too long alone is cut short.
pub(super) fn message(text: &str) -> String {
    let text = plain(text);
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut parts: Vec<&str> = line
        .split(';')
        .map(str::trim)
        .filter(|part| !part.is_empty())
        .collect();
    parts.dedup();
    let Some((first, rest)) = parts.split_first() else {
        return "no message".into();
    };
    let mut shown = cut(first, MESSAGE_SHOWN);
    let mut left = rest.len();
    for part in rest {
        let part = cut(part, MESSAGE_SHOWN);
        if shown.chars().count() + part.chars().count() > MESSAGE_SHOWN {
            break;
        }
        shown = format!("{shown}; {part}");
        left -= 1;
    }
    match left {
        0 => shown,
        left => format!("{shown} (and {left} more)"),
    }
}

/// A text without what only a terminal understands: control sequences, also those that were made
/// visible (`\\u{1b}[2m`, `\\x1b[2m`), and the lines of frames.
fn plain(text: &str) -> String {
    let text = text.replace("\\u{1b}", "\u{1b}").replace("\\x1b", "\u{1b}");
    let mut plain = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\u{1b}' => match chars.next() {
                // Parameters up to a final byte.
                Some('[') => {
                    chars.by_ref().find(|c| ('@'..='~').contains(c));
                }
                // A text up to BEL, or to the ESC of its terminator.
                Some(']') => {
                    chars.by_ref().find(|c| matches!(c, '\u{7}' | '\u{1b}'));
                    chars.next_if_eq(&'\\');
                }
                _ => {}
            },
            // Frames and blocks.
            '\u{2500}'..='\u{259f}' => plain.push(' '),
            c => plain.push(c),
        }
    }
    plain
}

/// The beginning of a text, with control characters made visible.
fn cut(text: &str, most: usize) -> String {
    let mut short = String::new();
    for (i, c) in text.chars().enumerate() {
        if i == most {
            short.push('…');
            break;
        }
        if c.is_control() {
            short.extend(c.escape_default())
        } else {
            short.push(c)
        }
    }
    short
}

/// "850 ms" or "2.50 s".
pub(super) fn time(duration: Duration) -> String {
    if duration < Duration::from_secs(1) {
        format!("{} ms", duration.as_millis())
    } else {
        format!("{:.2} s", duration.as_secs_f64())
    }
}

/// "1 value", "3 values": regular plurals.
pub(super) fn count(n: usize, noun: &str) -> String {
    format!("{n} {noun}{}", if n == 1 { "" } else { "s" })
}

/// One sentence, or that there are several such and this is the first.
pub(super) fn first_of(n: usize, one: String, many: &str) -> String {
    match n {
        1 => one,
        _ => format!("{many}; the first: {one}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_and_odd_texts_stay_on_one_short_line() {
        assert_eq!(value("t1.0.abc"), "'t1.0.abc'");
        assert_eq!(value("a\nb"), "'a\\nb' (3 bytes)");
        assert_eq!(
            value(&"x".repeat(300)),
            format!("'{}…' (300 bytes)", "x".repeat(24))
        );
        assert_eq!(message(" it\n failed "), "it failed");
        assert_eq!(message("\n"), "no message");
        assert_eq!(message(&"x".repeat(301)).chars().count(), 301);
    }

    #[test]
    fn what_only_a_terminal_understands_is_left_out() {
        let framed = "╔══════╗\n║ \u{1b}[1;31mpanic\u{1b}[0m ║\n╚══════╝";
        assert_eq!(message(framed), "panic");
        assert_eq!(message("\u{1b}]0;title\u{7}a \u{1b}]8;;x\u{1b}\\b"), "a b");
        assert_eq!(
            message("it prints \"\\u{1b}[2mno\\u{1b}[0m\""),
            "it prints \"no\""
        );
        assert_eq!(message("\u{1b}"), "no message");
    }

    #[test]
    fn of_several_things_said_none_is_cut_in_the_middle() {
        assert_eq!(message("page 1; ;; page 2;"), "page 1; page 2");
        assert_eq!(message("page 1; page 1; page 2"), "page 1; page 2");
        let long = format!(
            "first {}; second {}; third",
            "x".repeat(200),
            "y".repeat(200)
        );
        let said = message(&long);
        assert!(said.ends_with("x (and 2 more)"), "{said}");
    }

    #[test]
    fn times_and_counts() {
        assert_eq!(time(Duration::from_millis(2500)), "2.50 s");
        assert_eq!(time(Duration::from_micros(900)), "0 ms");
        assert_eq!(count(1, "value"), "1 value");
    }
}
