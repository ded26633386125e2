//! How a report may look: how wide, and whether in colour.

use std::ffi::{OsStr, OsString};
use std::io::IsTerminal;

use console::Term;

/// How wide a report may be, in columns, and whether it may use colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Look {
    /// No line is longer than this.
    pub width: usize,
    /// Whether control codes for colour are written.
    pub colour: bool,
}

impl Look {
    /// For pipes and files, and for terminals that do not tell their width.
    pub const PLAIN: Look = Look {
        width: 80,
        colour: false,
    };

    /// Lines longer than this are hard to read, however wide the terminal.
    pub const WIDEST: usize = 100;

    /// The look of what is written to standard output.
    pub fn of_stdout() -> Look {
        Look::of(&Term::stdout(), std::io::stdout().is_terminal())
    }

    /// The look of what is written to standard error.
    pub fn of_stderr() -> Look {
        Look::of(&Term::stderr(), std::io::stderr().is_terminal())
    }

    fn of(term: &Term, is_terminal: bool) -> Look {
        let columns = term.size_checked().map(|(_, columns)| columns);
        let variable = |name| std::env::var_os(name);
        Look::decide(is_terminal, columns, variable("NO_COLOR"), variable("TERM"))
    }

    /// Colour only on a terminal that is not `dumb`, and not when `NO_COLOR` is set to anything
    /// but nothing (<https://no-color.org>).
    fn decide(
        is_terminal: bool,
        columns: Option<u16>,
        no_color: Option<OsString>,
        term: Option<OsString>,
    ) -> Look {
        if !is_terminal {
            return Look::PLAIN;
        }
        let width = match columns {
            // Serial lines and some pseudo-terminals say 0 for "not known".
            None | Some(0) => Look::PLAIN.width,
            Some(columns) => usize::from(columns).min(Look::WIDEST),
        };
        let refused = no_color.is_some_and(|value| !value.is_empty());
        let dumb = term.is_none_or(|term| term == OsStr::new("dumb"));
        Look {
            width,
            colour: !refused && !dumb,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decide(is_terminal: bool, columns: u16, no_color: Option<&str>, term: &str) -> Look {
        Look::decide(
            is_terminal,
            Some(columns),
            no_color.map(Into::into),
            Some(term.into()),
        )
    }

    #[test]
    fn colour_needs_a_terminal_and_no_refusal() {
        assert!(decide(true, 80, None, "xterm").colour);
        assert!(decide(true, 80, Some(""), "xterm").colour);
        assert!(!decide(true, 80, Some("1"), "xterm").colour);
        assert!(!decide(true, 80, None, "dumb").colour);
        assert!(!decide(false, 80, None, "xterm").colour);
    }

    #[test]
    fn the_width_is_the_terminals_where_it_is_known() {
        assert_eq!(decide(true, 60, None, "xterm").width, 60);
        assert_eq!(decide(true, 0, None, "xterm").width, 80);
        assert_eq!(decide(true, 300, None, "xterm").width, Look::WIDEST);
        assert_eq!(decide(false, 60, None, "xterm").width, 80);
    }
}
