//! What of a program's output says why it ended.

use std::iter::once;

/// How many lines are quoted.
const QUOTED: usize = 4;
/// Of lines that do not say why, those behind the first are quoted that fit into so many characters.
const SHOWN: usize = 200;
/// What Rust says below a panic, which says nothing of it.
const ADVICE: &str = "note: run with `RUST_BACKTRACE";
/// Where Rust and Go tell of a panic.
const PANIC: &[&str] = &["panicked at ", "panic: "];

/// The lines of a program's output that say why it ended, joined by "; ": a panic from its place on; or
/// else the last line that names an error, and the last lines of all. What comes first in an output is
/// mostly a banner, or a log of what went well.
pub fn last_words(output: &str) -> String {
    let lines: Vec<&str> = output
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with(ADVICE))
        .collect();
    let lower: Vec<String> = lines.iter().map(|line| line.to_lowercase()).collect();
    let last = |marks: &[&str]| {
        let names = |line: &String| marks.iter().any(|mark| line.contains(mark));
        lower.iter().rposition(names)
    };
    let shown = if let Some(place) = last(PANIC) {
        // A backtrace may follow, or a long assertion.
        lines.iter().skip(place).take(1 + QUOTED).copied().collect()
    } else if let Some(error) = last(&["fatal"]).or_else(|| last(&["error"])) {
        let rest = (error + 1).max(lines.len().saturating_sub(QUOTED - 1));
        let rest = lines.iter().skip(rest).copied();
        once(lines[error]).chain(rest).collect()
    } else {
        ending(&lines)
    };
    shown.join("; ")
}

/// The last line, and those before it that are quoted with it.
fn ending<'l>(lines: &[&'l str]) -> Vec<&'l str> {
    let mut shown: Vec<&str> = Vec::new();
    let mut long = 0;
    for line in lines.iter().rev().take(QUOTED) {
        long += line.chars().count();
        if long > SHOWN && !shown.is_empty() {
            break;
        }
        shown.push(line);
    }
    shown.reverse();
    shown
}

#[cfg(test)]
mod tests {
    use super::last_words;

    #[test]
    fn a_banner_does_not_hide_the_last_line() {
        let banner = "oO0OoO0OoO0Oo Redis is starting oO0OoO0OoO0Oo\n".repeat(9);
        let why = "Bad file format reading the append only file one.aof: make a backup, then use the checker";
        let output = format!("{banner}{}\n\n  {why}\n", "Server initialized ".repeat(9));
        assert_eq!(last_words(&output), why);
        assert_eq!(last_words("opening\ncannot open\n"), "opening; cannot open");
        assert_eq!(last_words(" \n"), "");
    }

    #[test]
    fn a_line_that_names_an_error_is_first() {
        let output =
            "ready soon\nFATAL: no such checkpoint\nhint: 1\nhint: 2\nhint: 3\nshut down\n";
        let shown = "FATAL: no such checkpoint; hint: 2; hint: 3; shut down";
        assert_eq!(last_words(output), shown);
        let output = "log opened\nIOError: short read\n";
        assert_eq!(last_words(output), "IOError: short read");
    }

    #[test]
    fn a_panic_is_quoted_from_its_place_on() {
        let go = "{\"level\":\"info\"}\npanic: no database\n\ngoroutine 1 [running]:\nmain.go:7\nmain.go:8\n\
                  main.go:9\nmain.go:10\n";
        assert_eq!(
            last_words(go),
            "panic: no database; goroutine 1 [running]:; main.go:7; main.go:8; main.go:9"
        );
        let rust = "error: ignored\nthread 'main' panicked at src/page.rs:31:9:\nassertion failed\nnote: \
                    run with `RUST_BACKTRACE=1` environment variable to display a backtrace\n";
        assert_eq!(
            last_words(rust),
            "thread 'main' panicked at src/page.rs:31:9:; assertion failed"
        );
    }
}
