//! `docs/trust.md` names a test for each wrong verdict: the test must be there, and run.

use std::collections::BTreeMap;

use crate::source::{Crate, File};
use crate::{Rule, Violation};

/// The document: a table whose last column names tests, in code spans.
const DOCUMENT: &str = "docs/trust.md";

/// What the last column of its rows names and is no test, and rows that name none.
///
/// A test is `[crate] module::test`, the crate inside or before the span. A span in parentheses names a
/// function that the test before it calls, and one with `/` a file.
#[must_use]
pub fn missing(crates: &[Crate]) -> Vec<Violation> {
    let workspace = Tests::new(crates);
    let files = crates.iter().flat_map(|one| &one.files);
    let Some(document) = files.into_iter().find(|file| file.path == DOCUMENT) else {
        return Vec::new();
    };
    let rows = document.text.lines().enumerate();
    rows.filter(|(_, line)| line.starts_with("| ") && !line.contains("| --- |"))
        .skip(1)
        .flat_map(|(at, line)| {
            let cell = line.trim_end_matches(['|', ' ']).rsplit(" | ").next();
            let what = workspace.wrong_in(cell.unwrap_or(""));
            what.into_iter().map(move |what| Violation {
                rule: Rule::Trust,
                file: DOCUMENT.to_owned(),
                line: at + 1,
                what,
            })
        })
        .collect()
}

/// Where a test is.
struct Place<'a> {
    file: &'a File,
    /// The directory of its crate.
    directory: &'a str,
    /// The modules that its file has inside.
    inline: Vec<&'a str>,
}

struct Tests<'a> {
    crates: &'a [Crate],
    tests: BTreeMap<&'a str, Vec<Place<'a>>>,
}

impl<'a> Tests<'a> {
    fn new(crates: &'a [Crate]) -> Self {
        let mut found: BTreeMap<&str, Vec<Place<'_>>> = BTreeMap::new();
        for one in crates {
            for file in one.files.iter().filter(|file| file.is_rust()) {
                for name in tests(&file.text) {
                    found.entry(name).or_default().push(Place {
                        file,
                        directory: &one.directory,
                        inline: declared(&file.text, "mod ").collect(),
                    });
                }
            }
        }
        Self {
            crates,
            tests: found,
        }
    }

    /// What is wrong with the last cell of a row.
    fn wrong_in(&self, cell: &str) -> Vec<String> {
        let parts: Vec<&str> = cell.split('`').collect();
        let mut wrong = Vec::new();
        let mut last: Option<&Place<'_>> = None;
        let mut any = false;
        for at in (1..parts.len()).step_by(2) {
            let (before, span) = (parts[at - 1], parts[at]);
            if span.contains('/') {
                if !self.has_file(span) {
                    wrong.push(format!("there is no file `{span}`"));
                }
            } else if before.rfind('(') > before.rfind(')') {
                if !last.is_some_and(|place| self.calls(place, span)) {
                    wrong.push(format!("the crate of the test before it has no `{span}`"));
                }
            } else {
                any = true;
                last = self.find(before, span);
                if last.is_none() {
                    wrong.push(format!("there is no test `{span}`, or it is ignored"));
                }
            }
        }
        if !any {
            wrong.push("no test is named".to_owned());
        }
        wrong
    }

    /// The test that a span names, with what stands before the span.
    fn find(&self, before: &str, span: &str) -> Option<&Place<'a>> {
        let short = |one: &'a Crate| one.directory.rsplit('/').next();
        let known = |word: &str| self.crates.iter().any(|one| short(one) == Some(word));
        let (inside, path) = match span.split_once(' ') {
            Some((word, path)) => (Some(word.trim_end_matches(':')), path),
            None => (None, span),
        };
        let outside = before.split_whitespace().last().filter(|word| known(word));
        let mut modules: Vec<&str> = path.split("::").collect();
        let test = modules.pop()?;
        let places = self.tests.get(test)?;
        places.iter().find(|place| {
            let mut home = place.directory.rsplit('/').next().into_iter();
            let is_home = inside
                .or(outside)
                .is_none_or(|name| home.any(|one| one == name));
            is_home && place.is_in(&modules)
        })
    }

    /// Whether the crate of a test has a function.
    fn calls(&self, place: &Place<'_>, function: &str) -> bool {
        let mut homes = self.crates.iter();
        homes
            .find(|one| one.directory == place.directory)
            .is_some_and(|one| {
                let mut files = one.files.iter().filter(|file| file.is_rust());
                files.any(|file| declared(&file.text, "fn ").any(|name| name == function))
            })
    }

    fn has_file(&self, path: &str) -> bool {
        let mut files = self.crates.iter().flat_map(|one| &one.files);
        files.any(|file| file.path == path)
    }
}

impl Place<'_> {
    /// Whether these modules are those of the test, from anywhere on: the last one is its file or a
    /// module inside of it, the others follow each other in its path.
    fn is_in(&self, modules: &[&str]) -> bool {
        let path = self
            .file
            .path
            .trim_end_matches(".rs")
            .trim_end_matches("/mod");
        let directories: Vec<&str> = path.split('/').collect();
        let (outer, inner) = match modules.iter().position(|name| self.inline.contains(name)) {
            Some(at) => modules.split_at(at),
            None => (modules, &[][..]),
        };
        directories.ends_with(outer) && inner.iter().all(|name| self.inline.contains(name))
    }
}

/// The tests of a file that are not ignored: functions with the attribute, and those in the list of a
/// program of tests.
fn tests(text: &str) -> impl Iterator<Item = &str> {
    let lines: Vec<&str> = text.lines().map(str::trim_start).collect();
    let is_program = text.contains("libtest_mimic");
    (0..lines.len()).filter_map(move |at| {
        if is_program && let Some(listed) = lines[at].strip_prefix("(\"") {
            return listed.split_once("\", ").map(|(name, _)| name);
        }
        let name = declaration(lines[at], "fn ")?;
        // The attributes and comments in front of it, and what they have on lines of their own.
        let mut before = lines[..at].iter().rev();
        let end = |line: &&&str| line.is_empty() || line.ends_with(['}', ';', '{']);
        let attribute = before
            .by_ref()
            .take_while(|line| !end(line))
            .any(|line| line.starts_with("#[test]") || line.starts_with("#[test("));
        let ignored = lines[..at]
            .iter()
            .rev()
            .take_while(|line| !end(line))
            .any(|line| line.contains("ignore"));
        (attribute && !ignored).then_some(name)
    })
}

/// What a file declares with a keyword.
fn declared<'a>(text: &'a str, keyword: &str) -> impl Iterator<Item = &'a str> {
    let lines = text.lines().map(str::trim_start);
    lines.filter_map(move |line| declaration(line, keyword))
}

/// The name that a line declares with a keyword.
fn declaration<'a>(line: &'a str, keyword: &str) -> Option<&'a str> {
    let mut line = line;
    for word in ["pub ", "pub(crate) ", "pub(super) ", "const ", "async "] {
        line = line.strip_prefix(word).unwrap_or(line);
    }
    let rest = line.strip_prefix(keyword)?;
    rest.split(|c: char| !(c.is_alphanumeric() || c == '_'))
        .next()
        .filter(|name| !name.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    const CODE: &str = "/// What it shows.\n#[test(\n    needs = \"fuse\",\n)]\nfn a_run_ends() {}\n\n\
                        #[test]\n#[ignore = \"slow\"]\nfn nobody_runs_it() {}\n\n\
                        fn helper() {}\n\nmod tests {\n    #[test]\n    fn inside() {}\n}\n";

    fn workspace(table: &str) -> Vec<Crate> {
        let file = |path: &str, text: &str| File {
            path: path.to_owned(),
            within: path.to_owned(),
            in_src: path.contains("src"),
            text: text.to_owned(),
        };
        let text = format!("| verdict | cause | test |\n| --- | --- | --- |\n{table}\n");
        let one = |directory: &str, files| Crate {
            directory: directory.to_owned(),
            files,
        };
        let listed = "use libtest_mimic::Trial;\n    (\"listed_by_its_program\", run),\n";
        vec![
            one(".", vec![file(DOCUMENT, &text), file("ci/tests.sh", "")]),
            one(
                "a/engine",
                vec![
                    file("a/engine/tests/cli/signals.rs", CODE),
                    file("a/engine/tests/program.rs", listed),
                ],
            ),
            one("a/disk", Vec::new()),
        ]
    }

    fn found(cell: &str) -> usize {
        missing(&workspace(&format!("| x | y | {cell} |"))).len()
    }

    #[test]
    fn what_is_no_test_is_found() {
        for right in [
            "`engine signals::a_run_ends`",
            "engine `a_run_ends` (its `helper`), `ci/tests.sh` too",
            "`cli::signals::tests::inside`; `program::listed_by_its_program`",
        ] {
            assert_eq!(found(right), 0, "{right}");
        }
        for wrong in [
            "by hand",
            "`ci/tests.sh`",
            // A file, a module and a function are no tests.
            "`signals`",
            "`signals::tests`",
            "`signals::helper`",
            "`signals::nobody_runs_it`",
            "`signals::a_run_goes_on`",
            // A test of another file, of another crate, and one that calls nothing of the kind.
            "`hangs::a_run_ends`",
            "`signals::hangs::a_run_ends`",
            "`disk signals::a_run_ends`",
            "disk `signals::a_run_ends`",
            "`a_run_ends` (`helped`)",
            "`a_run_ends`, `ci/test.sh`",
        ] {
            assert_eq!(found(wrong), 1, "{wrong}");
        }
    }
}
