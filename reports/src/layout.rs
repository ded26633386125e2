//! Text on a terminal: colour where it is wanted, and lines that fit.

use std::borrow::Cow;

use console::Style;
use textwrap::{Options, WordSplitter};

use crate::style::Look;

/// Lines that keep to a [`Look`].
pub(crate) struct Page {
    look: Look,
    text: String,
}

impl Page {
    pub(crate) fn new(look: Look) -> Self {
        Self {
            look,
            text: String::new(),
        }
    }

    /// A paragraph: `indent` before its first line, as many spaces before the others, plus
    /// `hang` more. The text must be [`clean`](crate::labels::clean).
    pub(crate) fn paragraph(
        &mut self,
        indent: &str,
        hang: usize,
        text: &str,
        style: Option<Style>,
    ) {
        let next = " ".repeat(textwrap::core::display_width(indent) + hang);
        // Names of faults and files hold hyphens: they stay whole.
        let options = Options::new(self.look.width)
            .word_splitter(WordSplitter::NoHyphenation)
            .initial_indent(indent)
            .subsequent_indent(&next);
        for line in textwrap::wrap(text.trim(), options) {
            self.line(&line, style.as_ref());
        }
    }

    /// A line that already fits.
    pub(crate) fn line(&mut self, line: &str, style: Option<&Style>) {
        let line = &*defused(line);
        match style {
            Some(style) if self.look.colour => {
                self.text
                    .push_str(&style.clone().force_styling(true).apply_to(line).to_string());
            }
            _ => self.text.push_str(line),
        }
        self.text.push('\n');
    }

    /// A line of someone else's text, cut where it does not fit.
    pub(crate) fn quote(&mut self, indent: &str, line: &str) {
        let line = format!("{indent}{line}");
        let line = console::truncate_str(line.trim_end(), self.look.width, "…");
        self.line(&line, Some(&Style::new().dim()));
    }

    /// A shell command, continued with a backslash where it does not fit, so that it can be
    /// copied as it stands. A single word too long for a line is left whole: the terminal breaks
    /// it without harm to a copy, and anything else would.
    pub(crate) fn command(&mut self, indent: &str, command: &str) {
        let next = " ".repeat(textwrap::core::display_width(indent) + 2);
        // Two columns for the backslash and the space before it.
        let room = self.look.width.saturating_sub(2);
        let mut line = indent.to_string();
        let mut empty = true;
        for word in shell_words(command) {
            let width = textwrap::core::display_width;
            if !empty && width(&line) + 1 + width(word) > room {
                line.push_str(" \\");
                self.line(&line, None);
                line.clone_from(&next);
                empty = true;
            }
            if !empty {
                line.push(' ');
            }
            line.push_str(word);
            empty = false;
        }
        self.line(&line, None);
    }

    pub(crate) fn gap(&mut self) {
        self.text.push('\n');
    }

    pub(crate) fn finish(self) -> String {
        self.text
    }
}

/// A line that no pipeline takes for a command of its own: GitHub obeys `::name::` at the beginning of a
/// line, and it and Azure obey `##[name]` and `##vso[name]` anywhere. A backslash goes between; in a shell
/// command it changes nothing.
pub(crate) fn defused(line: &str) -> Cow<'_, str> {
    let text = line.trim_start();
    let starts = text.starts_with("::");
    if !starts && !line.contains("##") {
        return Cow::Borrowed(line);
    }
    let indent = &line[..line.len() - text.len()];
    let text = text.replace("##", "#\\#");
    let text = match text.strip_prefix("::") {
        Some(rest) if starts => format!(":\\:{rest}"),
        _ => text,
    };
    Cow::Owned(format!("{indent}{text}"))
}

/// The words of a shell command, quotes kept: only spaces outside quotes divide it.
fn shell_words(command: &str) -> Vec<&str> {
    let mut words = Vec::new();
    let mut start = 0;
    let mut quote = None;
    let mut escaped = false;
    for (at, c) in command.char_indices() {
        match (quote, c) {
            _ if escaped => escaped = false,
            (None | Some('"'), '\\') => escaped = true,
            (None, '\'' | '"') => quote = Some(c),
            (Some(open), c) if c == open => quote = None,
            (None, ' ') => {
                words.push(&command[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    words.push(&command[start..]);
    words.retain(|word| !word.is_empty());
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_divided_outside_quotes_only() {
        assert_eq!(
            shell_words(r#"a  'b c' "d \" e" f\ g"#),
            ["a", "'b c'", r#""d \" e""#, r"f\ g"]
        );
    }

    #[test]
    fn a_long_command_is_continued_and_can_be_copied() {
        let mut page = Page::new(Look {
            width: 30,
            colour: false,
        });
        page.command(
            "   Repeat   ",
            "plugpull run sqlite --set 'a=b c' --seed 42 --trial 7",
        );
        let text = page.finish();
        assert!(text.lines().all(|line| line.len() <= 30), "{text}");
        assert!(text.lines().count() > 2);
        let copied = text.replace(" \\\n", " ");
        let words = shell_words(copied.trim()).join(" ");
        assert_eq!(
            words,
            "Repeat plugpull run sqlite --set 'a=b c' --seed 42 --trial 7"
        );
    }

    #[test]
    fn colour_is_written_only_where_it_is_wanted() {
        for colour in [true, false] {
            let mut page = Page::new(Look { width: 30, colour });
            page.paragraph("", 0, "red", Some(Style::new().red()));
            page.quote("| ", "dim");
            assert_eq!(page.finish().contains('\u{1b}'), colour);
        }
    }
}
