//! The TOML file of a command target, as it is written.

use std::collections::BTreeMap;
use std::fmt;

use plugpull_catalog::PromiseTable;
use serde::Deserialize;
use serde::de::{self, Deserializer, SeqAccess, Visitor};

/// The whole file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct File {
    /// The target's name; the file's without `.toml` when none.
    pub(super) name: Option<String>,
    /// A command whose first line of output is the version.
    pub(super) version: Option<CommandLine>,
    /// More files that the commands need: their contents are part of the version.
    #[serde(default)]
    pub(super) files: Vec<String>,
    /// Variables of every command; `--set` gives them other values.
    #[serde(default)]
    pub(super) env: BTreeMap<String, String>,
    pub(super) recover: Option<Recover>,
    pub(super) start: Option<Start>,
    pub(super) workload: Workload,
    pub(super) check: Check,
    #[serde(default, rename = "promise")]
    pub(super) promises: Vec<PromiseTable>,
}

/// `[recover]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Recover {
    pub(super) command: CommandLine,
}

/// `[start]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Start {
    pub(super) command: CommandLine,
    pub(super) ready: ReadyTable,
    /// How long it may take to be ready before it counts as hung, in milliseconds.
    pub(super) timeout_ms: Option<u64>,
}

/// `[start] ready`: exactly one of them.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ReadyTable {
    /// A text that a line of standard output contains.
    pub(super) line: Option<String>,
    /// A TCP port of the loopback that takes connections.
    pub(super) port: Option<u16>,
    /// A command that ends with exit code 0.
    pub(super) command: Option<CommandLine>,
}

/// `[workload]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Workload {
    pub(super) command: CommandLine,
    /// Have its output written line by line, by `stdbuf`, where it would wait in a buffer of the C
    /// library.
    #[serde(default)]
    pub(super) unbuffer: bool,
}

/// `[check]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Check {
    pub(super) command: CommandLine,
    /// How long it may take before it counts as hung, in milliseconds.
    pub(super) timeout_ms: Option<u64>,
}

/// A command: a text for the shell, or a program and its arguments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum CommandLine {
    /// For `/bin/sh -c`.
    Shell(String),
    /// The program first.
    Words(Vec<String>),
}

impl<'de> Deserialize<'de> for CommandLine {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = CommandLine;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(
                    "a command: a text for the shell, or a list of a program and its arguments",
                )
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<CommandLine, E> {
                if text.trim().is_empty() {
                    return Err(E::custom("the command is empty"));
                }
                Ok(CommandLine::Shell(text.to_owned()))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<CommandLine, A::Error> {
                let mut words = Vec::new();
                while let Some(word) = list.next_element::<String>()? {
                    words.push(word);
                }
                if words.first().is_none_or(String::is_empty) {
                    return Err(de::Error::custom("the command is empty"));
                }
                Ok(CommandLine::Words(words))
            }
        }
        from.deserialize_any(Reader)
    }
}

impl File {
    /// Reads the text of a file. The error is one line and names the key where there is one.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        if let Some(line) = nested_too_deeply(text) {
            return Err(format!(
                "line {line}: more than {NESTED_MAX} brackets are open at once"
            ));
        }
        toml::from_str(text).map_err(|error| {
            let message = error.message().replace('\n', " ");
            match error.span() {
                Some(span) => {
                    let before = text.get(..span.start).unwrap_or_default();
                    format!("line {}: {message}", before.matches('\n').count() + 1)
                }
                None => message,
            }
        })
    }
}

/// The most brackets that are open at once: the parser goes a call deeper for each, whatever it says of
/// the file, and a stack has room for a thousand or two.
const NESTED_MAX: usize = 256;

/// The line where too many brackets are open; those in texts and comments count as well.
fn nested_too_deeply(text: &str) -> Option<usize> {
    let mut open = 0_usize;
    let at = text.bytes().position(|byte| {
        match byte {
            b'[' | b'{' => open += 1,
            b']' | b'}' => open = open.saturating_sub(1),
            _ => {}
        }
        open > NESTED_MAX
    })?;
    Some(
        text.as_bytes()[..at]
            .iter()
            .filter(|byte| **byte == b'\n')
            .count()
            + 1,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEAST: &str = "workload.command = ['work']\ncheck.command = 'test -e x'\n";

    #[test]
    fn a_file_needs_a_workload_and_a_check() {
        let file = File::parse(LEAST).expect("a file");
        assert_eq!(
            file.workload.command,
            CommandLine::Words(vec!["work".into()])
        );
        assert_eq!(file.check.command, CommandLine::Shell("test -e x".into()));
        let error = File::parse("workload.command = 'x'").expect_err("no check");
        assert!(error.contains("`check`"), "{error}");
    }

    #[test]
    fn a_file_cannot_use_up_the_stack() {
        for open in ["[", "{ A ", "[[x]]\nx = { A "] {
            let text = format!("{LEAST}x = {}", open.repeat(100_000));
            let error = File::parse(&text).expect_err("never closed");
            assert!(error.contains("brackets are open"), "{error}");
        }
        let text = format!(
            "{LEAST}{}",
            "[[promise]]\nkeeps = 'durable'\nsource = ''\n".repeat(999)
        );
        File::parse(&text).expect("brackets that are closed");
    }

    #[test]
    fn an_unknown_key_is_named_with_its_line() {
        for (more, key, line) in [
            ("chek = 1", "`chek`", "line 3"),
            ("[recover]\ncommand = 'x'\nmode = 1", "`mode`", "line 5"),
            (
                "[[promise]]\nkeeps = 'durable'\nsource = ''\nif = 1",
                "`if`",
                "line 6",
            ),
            (
                "[[promise]]\nkeeps = 'durable'\nsource = ''\nafter = ['flood']",
                "`flood`",
                "line 6",
            ),
            ("[start]\ncommand = []\nready.port = 1", "empty", "line 4"),
            ("[start]\ncommand = 7\nready.port = 1", "command", "line 4"),
        ] {
            let error = File::parse(&format!("{LEAST}{more}")).expect_err(more);
            assert!(
                error.contains(key) && error.contains(line),
                "{more}: {error}"
            );
            assert!(!error.contains('\n'), "{error}");
        }
    }
}
