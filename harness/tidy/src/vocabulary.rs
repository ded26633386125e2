//! Words that are banned everywhere: in names, comments, messages, documents.

use crate::source::File;
use crate::{Rule, Violation};

/// The word, and what the field calls it.
pub const BANNED: [(&str, &str); 13] = [
    ("folder", "directory"),
    ("folders", "directories"),
    ("betrayed", "lost, violated"),
    ("betrays", "loses"),
    ("anew", "again"),
    ("owed", "required"),
    ("told", "described, rendered"),
    ("strikes", "fires"),
    ("stand-in", "fake"),
    ("stand_in", "fake"),
    ("stand-ins", "fakes"),
    ("planted", "seeded"),
    ("keeper", "sidecar"),
];

/// What stays accepted: option values and environment variables of 0.1.
const ACCEPTED: [&str; 2] = ["{folder}", "PLUGPULL_FOLDER"];

/// A line with this mark may have a banned word, and says why.
const REASON: &str = "tidy: word because";

/// The banned words in these files.
#[must_use]
pub fn banned(files: &[File]) -> Vec<Violation> {
    let mut found = Vec::new();
    for file in files {
        for (at, line) in file.text.lines().enumerate() {
            if line.contains(REASON) {
                continue;
            }
            let mut line = line.to_owned();
            for accepted in ACCEPTED {
                line = line.replace(accepted, "");
            }
            for (word, better) in BANNED {
                if has_word(&line, word) {
                    found.push(Violation {
                        rule: Rule::Words,
                        file: file.path.clone(),
                        line: at + 1,
                        what: format!("'{word}' is banned: {better}"),
                    });
                }
            }
        }
    }
    found
}

/// Whether a line has a word: alone, or as a part of `snake_case` or `CamelCase`.
#[must_use]
pub fn has_word(line: &str, word: &str) -> bool {
    let lower = line.to_ascii_lowercase();
    lower.match_indices(word).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        let first = line[at..].chars().next();
        let after = line[at + word.len()..].chars().next();
        let starts = before.is_none_or(|c| !c.is_ascii_alphabetic())
            || first.is_some_and(|c| c.is_ascii_uppercase())
                && before.is_some_and(|c| c.is_ascii_lowercase());
        starts && after.is_none_or(|c| !c.is_ascii_lowercase())
    })
}

#[cfg(test)]
mod tests {
    use super::has_word;

    #[test]
    fn a_word_is_found_in_every_form_and_not_inside_another() {
        for line in [
            "the folder",
            "open_folder()",
            "DataFolder",
            "FOLDER_NAME",
            "(folder)",
        ] {
            assert!(has_word(line, "folder"), "{line}");
        }
        assert!(has_word("a stand-in for it", "stand-in"));
        for line in ["scaffolder", "folders", "unfoldered"] {
            assert!(!has_word(line, "folder"), "{line}");
        }
        assert!(!has_word("renewed, allowed", "owed"));
    }
}
