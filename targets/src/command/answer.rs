//! What a check says by its exit code and its output.

use std::collections::{BTreeMap, HashSet};

use plugpull_workloads::last_words;

use crate::{Checked, Missing};

/// Reads what a check wrote to standard output (`lines`) and how it ended (`code`: its exit code,
/// or 128 + signal). `output` is all that it wrote, for the words of a refusal.
///
/// The error says what makes no sense: an ID that was never acknowledged, a line without an ID.
pub(super) fn read(
    lines: &[String],
    code: i32,
    output: &str,
    acked: &[String],
) -> Result<Checked, String> {
    let known: HashSet<&str> = acked.iter().map(String::as_str).collect();
    let mut missing = Missing::default();
    for line in lines {
        let (word, rest) = split(line);
        let named = |into: &mut BTreeMap<String, String>| {
            let (id, why) = split(rest);
            if !known.contains(id) {
                return Err(format!(
                    "the check printed {line:?}, and {id:?} is none of the acknowledged IDs"
                ));
            }
            into.insert(id.to_owned(), why.to_owned());
            Ok(())
        };
        match word {
            "lost" => named(&mut missing.lost)?,
            "torn" => named(&mut missing.torn)?,
            "corrupt" => missing.corrupt.push(rest.to_owned()),
            _ => {}
        }
    }
    missing.torn.retain(|id, _| !missing.lost.contains_key(id));
    Ok(match code {
        0 => Checked::Opened(missing),
        1 if !missing.is_empty() => Checked::Opened(missing),
        code => Checked::Refused(refusal(code, output)),
    })
}

/// The first word, and the rest.
fn split(text: &str) -> (&str, &str) {
    let text = text.trim();
    match text.split_once(char::is_whitespace) {
        Some((word, rest)) => (word, rest.trim()),
        None => (text, ""),
    }
}

fn refusal(code: i32, output: &str) -> String {
    let how = match code {
        1 => "the check ended with exit code 1 and named nothing lost, torn or corrupt".into(),
        129..=192 => format!("signal {} ended the check", code - 128),
        code => format!("the check ended with exit code {code}"),
    };
    match last_words(output).as_str() {
        "" => how,
        words => format!("{how}: {words}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(text: &str, code: i32) -> Result<Checked, String> {
        let lines: Vec<String> = text.lines().map(str::to_owned).collect();
        read(&lines, code, text, &["1".into(), "two".into()])
    }

    fn missing(text: &str, code: i32) -> Missing {
        match answer(text, code) {
            Ok(Checked::Opened(missing)) => missing,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn zero_and_silence_is_all_there() {
        assert!(missing("", 0).is_empty());
        assert!(missing("checking 2 IDs\n", 0).is_empty());
    }

    #[test]
    fn lines_count_with_either_code() {
        for code in [0, 1] {
            let found = missing("lost 1 no such row\ntorn two\ncorrupt page 7\n", code);
            assert_eq!(found.lost["1"], "no such row");
            assert_eq!(found.torn["two"], "");
            assert_eq!(found.corrupt, ["page 7"]);
        }
        let both = missing("lost 1\ntorn 1 half\n", 1);
        assert!(both.torn.is_empty(), "what is lost is not torn as well");
    }

    #[test]
    fn other_codes_and_an_empty_one_are_refusals() {
        for (code, words) in [
            (1, "named nothing"),
            (3, "exit code 3: cannot open"),
            (128 + 11, "signal 11"),
        ] {
            match answer("cannot open\n", code) {
                Ok(Checked::Refused(why)) => assert!(why.contains(words), "{why}"),
                other => panic!("{other:?}"),
            }
        }
        assert!(matches!(answer("lost 1\n", 2), Ok(Checked::Refused(_))));
    }

    #[test]
    fn a_panic_keeps_its_place() {
        let text = "thread 'main' panicked at src/page.rs:31:9:\nassertion `left == right` failed: \
                    a page\n  of two lines\n  left: 1\n right: 2\nnote: run with \
                    `RUST_BACKTRACE=1` environment variable to display a backtrace\n";
        match answer(text, 101) {
            Ok(Checked::Refused(why)) => {
                assert!(why.contains("panicked at src/page.rs:31:9"), "{why}");
                assert!(
                    why.contains("right: 2") && !why.contains("BACKTRACE"),
                    "{why}"
                );
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn an_id_that_nobody_acknowledged_is_the_checks_own_error() {
        for text in ["lost 3", "torn", "lost"] {
            assert!(answer(text, 1).is_err(), "{text}");
        }
    }
}
