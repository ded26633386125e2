//! The workspace keeps the rules, but for what `exempt.txt` lists; and that list only shrinks.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use plugpull_tidy::{Rule, Violation, check, places, source, trust};

/// Directories, each with the rules that it does not keep yet.
fn exempt() -> BTreeMap<String, BTreeSet<String>> {
    let list = include_str!("../exempt.txt");
    list.lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .filter_map(|line| line.split_once(':'))
        .map(|(directory, rules)| {
            let rules = rules.split_whitespace().map(str::to_owned).collect();
            (directory.to_owned(), rules)
        })
        .collect()
}

#[test]
fn the_workspace_is_tidy() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let crates = source::read(&root).expect("the workspace can be read");
    assert!(crates.iter().any(|one| one.directory == "harness/tidy"));
    let exempt = exempt();
    let mut found: Vec<Violation> = trust::missing(&crates);
    found.extend(places::missing(&crates, &|path| root.join(path).exists()));
    let mut stale: Vec<String> = Vec::new();
    for one in &crates {
        let allowed = exempt.get(&one.directory);
        let is_allowed = |rule: Rule| allowed.is_some_and(|rules| rules.contains(rule.name()));
        let broken = check(one);
        for rule in Rule::ALL {
            if is_allowed(rule) && broken.iter().all(|violation| violation.rule != rule) {
                stale.push(format!("{}: {}", one.directory, rule.name()));
            }
        }
        found.extend(
            broken
                .into_iter()
                .filter(|violation| !is_allowed(violation.rule)),
        );
    }
    for directory in exempt.keys() {
        if crates.iter().all(|one| one.directory != *directory) {
            stale.push(format!("{directory}: there is no such crate"));
        }
    }
    let shown: Vec<String> = found.iter().map(Violation::to_string).collect();
    assert!(
        found.is_empty(),
        "{} places:\n{}",
        shown.len(),
        shown.join("\n")
    );
    assert!(
        stale.is_empty(),
        "take these out of harness/tidy/exempt.txt, they are clean now:\n{}",
        stale.join("\n")
    );
}
