//! Documents name files, directories and crates in code spans: each must be there.

use std::collections::{BTreeMap, BTreeSet};

use crate::source::{Crate, File};
use crate::{Rule, Violation};

/// The document that names places as `crate/module`, and within a row of its table as `src/module`.
const HOUSE: &str = "docs/architecture.md";

/// The documents that quote those of targets.
const TARGETS: &str = "docs/targets/";

/// A document that speaks of other states of the source than this one.
const HISTORY: &str = "CHANGELOG.md";

/// What the workspace has, to look places up in.
struct Workspace<'a> {
    /// All files.
    files: Vec<&'a File>,
    /// The directories at its root.
    roots: BTreeSet<&'a str>,
    /// The directory of each crate, by its last part and by the name of its package.
    crates: BTreeMap<String, &'a str>,
    /// Whether a path from the workspace is that of a file or a directory.
    exists: &'a dyn Fn(&str) -> bool,
}

/// The places that documents name and that are not there. `exists` says of a path from the workspace
/// whether there is such a file or directory.
#[must_use]
pub fn missing(crates: &[Crate], exists: &dyn Fn(&str) -> bool) -> Vec<Violation> {
    let workspace = Workspace::new(crates, exists);
    let files = crates.iter().flat_map(|one| &one.files);
    files
        .filter(|file| file.path.ends_with(".md") && file.path != HISTORY)
        .flat_map(|file| workspace.missing_of(file))
        .collect()
}

impl<'a> Workspace<'a> {
    fn new(crates: &'a [Crate], exists: &'a dyn Fn(&str) -> bool) -> Self {
        let files: Vec<&File> = crates.iter().flat_map(|one| &one.files).collect();
        let roots = files
            .iter()
            .filter_map(|file| file.path.split_once('/'))
            .map(|(root, _)| root)
            .collect();
        let mut names = BTreeMap::new();
        for one in crates.iter().filter(|one| one.directory != ".") {
            let short = one.directory.rsplit('/').next().unwrap_or("");
            names.insert(short.to_owned(), one.directory.as_str());
            names.extend(package(one).map(|name| (name, one.directory.as_str())));
        }
        Self {
            files,
            roots,
            crates: names,
            exists,
        }
    }

    fn missing_of(&self, file: &File) -> Vec<Violation> {
        let mut found = Vec::new();
        // The directory of the module that was named last, and where its span ends.
        let mut beside: Option<(String, usize)> = None;
        for span in spans(&file.text) {
            let word = span.text.trim_end_matches('/');
            let house = file.path == HOUSE;
            if house
                && let Some(row) = span.row
                && is_list(word)
                && !self.has_list(row, word)
            {
                found.push(Violation {
                    rule: Rule::Places,
                    file: file.path.clone(),
                    line: span.line,
                    what: format!("there is no list `{word}` in {row}"),
                });
            }
            let sibling = beside
                .take()
                .filter(|(_, end)| house && file.text.get(*end..span.start).is_some_and(is_comma));
            let candidates = if !is_path(word) {
                continue;
            } else if let Some((directory, _)) = sibling.filter(|_| !word.contains('/')) {
                modules(&format!("{directory}/{word}"))
            } else if let (true, Some(row), Some(rest)) =
                (house, &span.row, word.strip_prefix("src/"))
            {
                modules(&format!("{row}/src/{rest}"))
            } else {
                self.candidates(word, &file.path)
            };
            if candidates.is_empty() {
                continue;
            }
            match candidates.iter().find(|path| (self.exists)(path)) {
                Some(path) => {
                    let directory = path.rsplit_once('/').map(|(directory, _)| directory);
                    let directory = directory.filter(|directory| directory.contains("/src"));
                    beside = directory.map(|directory| (directory.to_owned(), span.end));
                }
                None => found.push(Violation {
                    rule: Rule::Places,
                    file: file.path.clone(),
                    line: span.line,
                    what: format!("there is no `{word}`: looked for {}", candidates.join(", ")),
                }),
            }
        }
        found
    }

    /// Whether a constant of this name is declared below a directory.
    fn has_list(&self, directory: &str, name: &str) -> bool {
        let below = format!("{}/", directory.trim_end_matches("/*"));
        let declared = format!("const {name}:");
        let mut files = self.files.iter();
        files.any(|file| {
            file.is_rust() && file.path.starts_with(&below) && file.text.contains(&declared)
        })
    }

    /// Where a word of a document may be, from the workspace; nothing if it is no place.
    fn candidates(&self, word: &str, document: &str) -> Vec<String> {
        // `targets/drivers/*` is as good as the directory.
        let word = word.trim_end_matches("/*");
        let (first, rest) = word.split_once('/').unwrap_or((word, ""));
        let mut all = Vec::new();
        // What a target documents is quoted by its own path.
        let theirs = document.starts_with(TARGETS) && first == "docs";
        if self.roots.contains(first) && !theirs {
            all.push(word.to_owned());
        }
        if document != HOUSE {
            return all;
        }
        match self.crates.get(first) {
            Some(directory) if rest.is_empty() => all.push((*directory).to_owned()),
            Some(directory) => all.extend(modules(&format!("{directory}/src/{rest}"))),
            None if first.starts_with("plugpull-") && rest.is_empty() => all.push(word.to_owned()),
            None => {}
        }
        all
    }
}

/// The files of a module, or what is named by its whole name.
fn modules(path: &str) -> Vec<String> {
    match path.rsplit('/').next() {
        Some(name) if name.contains('.') => vec![path.to_owned()],
        _ => vec![format!("{path}.rs"), path.to_owned()],
    }
}

/// The name of a crate's package.
fn package(one: &Crate) -> Option<String> {
    let manifest = format!("{}/Cargo.toml", one.directory);
    let file = one.files.iter().find(|file| file.path == manifest)?;
    let line = file
        .text
        .lines()
        .find_map(|line| line.strip_prefix("name = \""))?;
    line.split('"').next().map(str::to_owned)
}

/// Whether a span is one word of which paths are made.
fn is_path(word: &str) -> bool {
    !word.is_empty()
        && word
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "_-./*".contains(c))
}

/// Whether a span is the name of a constant: a list to which something is added.
fn is_list(word: &str) -> bool {
    word.len() > 2 && word.chars().all(|c| c.is_ascii_uppercase() || c == '_')
}

/// Whether a text is what lies between two words of a list.
fn is_comma(text: &str) -> bool {
    text.trim_start().starts_with(',') && text.trim_start()[1..].trim().is_empty()
}

/// A code span of a document.
struct Span<'a> {
    text: &'a str,
    /// Where its text begins, without the mark, and where the mark behind it ends.
    start: usize,
    end: usize,
    /// Its line, from 1.
    line: usize,
    /// In a row of a table: the first span of its first cell.
    row: Option<&'a str>,
}

/// The code spans of a document. One may go over the end of a line, but not over that of a paragraph.
fn spans(text: &str) -> Vec<Span<'_>> {
    let mut found = Vec::new();
    let mut open: Option<(usize, usize)> = None;
    let mut fenced = false;
    let mut start = 0;
    for (at, line) in text.split_inclusive('\n').enumerate() {
        let begin = start;
        start += line.len();
        let trimmed = line.trim();
        if trimmed.starts_with("```") {
            fenced = !fenced;
        }
        let is_row = trimmed.starts_with('|');
        if fenced || trimmed.starts_with("```") || trimmed.is_empty() || is_row {
            open = None;
        }
        if fenced || trimmed.starts_with("```") {
            continue;
        }
        let first = trimmed
            .strip_prefix("| `")
            .and_then(|rest| rest.split('`').next());
        for (mark, _) in line.match_indices('`') {
            let mark = begin + mark;
            match open.take() {
                None => open = Some((mark + 1, at + 1)),
                Some((from, line)) => found.push(Span {
                    text: &text[from..mark],
                    start: from - 1,
                    end: mark + 1,
                    line,
                    row: first.filter(|_| is_row),
                }),
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(document: &str) -> Vec<String> {
        let file = |path: &str, text: &str| File {
            path: path.to_owned(),
            within: path.to_owned(),
            in_src: false,
            text: text.to_owned(),
        };
        let crates = [
            Crate {
                directory: ".".to_owned(),
                files: vec![file(HOUSE, document), file("ci/size.sh", "")],
            },
            Crate {
                directory: "faults/disk".to_owned(),
                files: vec![
                    file("faults/disk/Cargo.toml", "name = \"plugpull-disk\"\n"),
                    file(
                        "faults/disk/src/lib.rs",
                        "pub const MODELS: [u8; 0] = [];\n",
                    ),
                ],
            },
        ];
        let there = [
            "ci/size.sh",
            "faults",
            "faults/disk",
            "faults/disk/src/persist",
            "faults/disk/src/persist/window.rs",
            "faults/disk/src/persist/apply.rs",
        ];
        let all = missing(&crates, &|path| there.contains(&path));
        all.iter().map(Violation::to_string).collect()
    }

    #[test]
    fn a_place_that_is_not_there_is_found() {
        let silent = "`disk/persist/window`, `apply`, `ci/size.sh`, `faults/disk/src/persist/`\n\
                      `plugpull-disk`, `faults/*`, `kill`, `a/b`, `disk and more`, `--keep`";
        assert_eq!(found(silent), [""; 0]);
        for wrong in [
            "`disk/persist/index`",
            "`disk/persist/window`, `index`",
            "`faults/disk/src/index.rs`",
            "`plugpull-disc`",
            "`ci/sizes.sh`",
            "a span `over the end\nof a line`, and `disk/index`",
        ] {
            assert_eq!(found(wrong).len(), 1, "{wrong}");
        }
    }

    #[test]
    fn a_row_of_the_house_names_files_of_its_crate() {
        assert!(
            found("| `faults/disk` | a file in `src/persist`, a line in `MODELS` |").is_empty()
        );
        assert!(found("| `faults/*` | a line in `MODELS` |").is_empty());
        assert_eq!(found("| `faults/disk` | a line in `FAULTS` |").len(), 1);
        let wrong = found("\n| `faults/disk` | a file in `src/models` |");
        assert_eq!(wrong.len(), 1);
        assert!(wrong[0].starts_with("docs/architecture.md:2: there is no `src/models`"));
    }

    #[test]
    fn what_stands_in_a_block_is_no_span() {
        assert!(found("```text\n`disk/index`\n```\n").is_empty());
    }
}
