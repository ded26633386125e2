//! `docs/trust.md` names a test for each wrong verdict: the test must exist.

use std::collections::BTreeSet;

use crate::source::{Crate, File};
use crate::{Rule, Violation};

/// The document: a table whose last column names tests, in code spans.
const DOCUMENT: &str = "docs/trust.md";

/// What its last column names and no file, module or function is called, and rows that name nothing.
#[must_use]
pub fn missing(crates: &[Crate]) -> Vec<Violation> {
    let known = names(crates);
    let files = crates.iter().flat_map(|one| &one.files);
    let Some(document) = files.into_iter().find(|file| file.path == DOCUMENT) else {
        return Vec::new();
    };
    let rows = document.text.lines().enumerate();
    rows.filter(|(_, line)| line.starts_with("| ") && !line.contains("| --- |"))
        .skip(1)
        .flat_map(|(at, line)| {
            let cell = line.trim_end_matches(['|', ' ']).rsplit(" | ").next();
            let tests: Vec<&str> = cell.into_iter().flat_map(tests).collect();
            let nothing = tests.is_empty().then(|| "no test is named".to_owned());
            let unknown = tests
                .into_iter()
                .filter(|test| !known.contains(test))
                .map(|test| format!("there is no test, module or file `{test}`"));
            let what: Vec<String> = nothing.into_iter().chain(unknown).collect();
            what.into_iter().map(move |what| Violation {
                rule: Rule::Trust,
                file: DOCUMENT.to_owned(),
                line: at + 1,
                what,
            })
        })
        .collect()
}

/// The names in the code spans of a cell: of `cli kernel_calls::a_test` these are `kernel_calls` and
/// `a_test`. Files are named by their paths.
fn tests(cell: &str) -> impl Iterator<Item = &str> {
    let spans = cell.split('`').skip(1).step_by(2);
    spans
        .filter_map(|span| span.split_whitespace().last())
        .flat_map(|test| test.split("::"))
        .filter(|name| *name != "tests")
}

/// What a test can be named by: functions, modules, files and directories.
fn names(crates: &[Crate]) -> BTreeSet<&str> {
    let files = || crates.iter().flat_map(|one| &one.files);
    let declared = files().filter(|file| file.is_rust()).flat_map(|file| {
        let lines = file.text.lines().map(str::trim_start);
        lines.filter_map(declaration)
    });
    let places = files().flat_map(|file: &File| {
        let directories = file.path.match_indices('/').map(|(at, _)| &file.path[..at]);
        directories
            .flat_map(|directory| [directory, directory.rsplit('/').next().unwrap_or(directory)])
            .chain([file.path.as_str(), file.name(), file.stem()])
    });
    declared.chain(places).collect()
}

/// The name that a line declares: of a function, of a module, of a test in a list of its program.
fn declaration(line: &str) -> Option<&str> {
    if let Some(listed) = line.strip_prefix("(\"") {
        return listed.split_once("\", ").map(|(name, _)| name);
    }
    let line = line.strip_prefix("pub ").unwrap_or(line);
    let rest = line
        .strip_prefix("fn ")
        .or_else(|| line.strip_prefix("mod "))?;
    rest.split(|c: char| !(c.is_alphanumeric() || c == '_'))
        .next()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn workspace(table: &str) -> Vec<Crate> {
        let file = |path: &str, text: &str| File {
            path: path.to_owned(),
            within: path.to_owned(),
            in_src: path.contains("src"),
            text: text.to_owned(),
        };
        let text = format!("| verdict | cause | test |\n| --- | --- | --- |\n{table}\n");
        let files = vec![
            file(DOCUMENT, &text),
            file(
                "a/tests/cli/signals.rs",
                "fn a_run_ends() {}\n    (\"listed_by_its_program\", run),\n",
            ),
        ];
        let directory = ".".to_owned();
        vec![Crate { directory, files }]
    }

    #[test]
    fn a_test_that_does_not_exist_is_found() {
        let found = |table: &str| missing(&workspace(table)).len();
        assert_eq!(found("| x | y | `cli signals::a_run_ends`, `signals` |"), 0);
        assert_eq!(found("| x | y | `a/tests/cli/signals.rs` |"), 0);
        assert_eq!(found("| x | y | `listed_by_its_program` |"), 0);
        assert_eq!(found("| x | y | `signals::a_run_goes_on` |"), 1);
        assert_eq!(found("| x | y | `hangs::a_run_ends` |"), 1);
        assert_eq!(found("| x | y | by hand |"), 1);
    }
}
