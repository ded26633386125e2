//! Pairs of files that use each other. A module and its parent do not count.

use std::collections::{BTreeMap, BTreeSet};

use crate::source::File;
use crate::{Rule, Violation};

/// The path of a file's module, from the crate's root: `a/b.rs` and `a/b/mod.rs` are `a::b`.
fn module(file: &File) -> Vec<String> {
    let path = file.within.trim_end_matches(".rs");
    let mut parts: Vec<String> = path.split('/').map(str::to_owned).collect();
    if matches!(
        parts.last().map(String::as_str),
        Some("mod" | "lib" | "main")
    ) {
        parts.pop();
    }
    parts
}

/// The paths that a line names: `crate::a::b`, `super::c`, each group of a list by itself.
fn paths(text: &str) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    for root in ["crate::", "super::", "self::"] {
        for (at, _) in text.match_indices(root) {
            let before = text[..at].chars().next_back();
            if before.is_none_or(|c| !c.is_ascii_alphanumeric() && c != '_' && c != ':' && c != '$')
            {
                expand(&text[at..], &mut Vec::new(), &mut found);
            }
        }
    }
    found
}

/// Reads one path, with the lists in braces that end it; returns how much was read.
fn expand(text: &str, before: &mut Vec<String>, found: &mut Vec<Vec<String>>) -> usize {
    let depth = before.len();
    let mut at = 0;
    loop {
        let rest = &text[at..];
        let word = rest
            .find(|c: char| !c.is_ascii_alphanumeric() && c != '_')
            .unwrap_or(rest.len());
        if word > 0 {
            before.push(rest[..word].to_owned());
            at += word;
            if text[at..].starts_with("::") {
                at += 2;
                continue;
            }
        } else if rest.starts_with('{') {
            at += 1;
            loop {
                let skip = text[at..]
                    .find(|c: char| !c.is_whitespace() && c != ',')
                    .unwrap_or(text.len() - at);
                at += skip;
                if at >= text.len() || text[at..].starts_with('}') {
                    at = (at + 1).min(text.len());
                    break;
                }
                let read = expand(&text[at..], before, found);
                if read == 0 {
                    break;
                }
                at += read;
                // "as Name" ends an entry of the list.
                at += text[at..].find([',', '}']).unwrap_or(text.len() - at);
            }
            before.truncate(depth);
            return at;
        }
        found.push(before.clone());
        before.truncate(depth);
        return at;
    }
}

/// For each file, the files that it uses. Indices into `files`.
fn uses(files: &[File]) -> BTreeMap<usize, BTreeSet<usize>> {
    let modules: BTreeMap<Vec<String>, usize> = files
        .iter()
        .enumerate()
        .filter(|(_, file)| file.is_rust() && file.in_src && !file.is_test())
        .map(|(at, file)| (module(file), at))
        .collect();
    let mut uses: BTreeMap<usize, BTreeSet<usize>> = BTreeMap::new();
    for (home, from) in &modules {
        let code: Vec<&str> = files[*from]
            .lines_without_tests()
            .map(|(_, line)| line)
            .filter(|line| !line.trim_start().starts_with("//"))
            .collect();
        for path in paths(&code.join("\n")) {
            let Some(full) = resolve(home, &path) else {
                continue;
            };
            // The longest beginning that is a file.
            let to = (1..=full.len())
                .rev()
                .find_map(|end| modules.get(&full[..end]));
            if let Some(to) = to
                && to != from
            {
                uses.entry(*from).or_default().insert(*to);
            }
        }
    }
    uses
}

/// A path from the crate's root.
fn resolve(home: &[String], path: &[String]) -> Option<Vec<String>> {
    let mut full: Vec<String> = match path.first()?.as_str() {
        "crate" => Vec::new(),
        _ => home.to_vec(),
    };
    for word in path {
        match word.as_str() {
            "crate" | "self" => {}
            "super" => {
                full.pop()?;
            }
            word => full.push(word.to_owned()),
        }
    }
    Some(full)
}

/// The pairs of files of a crate that use each other.
#[must_use]
pub fn pairs(files: &[File]) -> Vec<Violation> {
    let uses = uses(files);
    let mut found = Vec::new();
    for (from, all) in &uses {
        for to in all.range(from + 1..) {
            let back = uses.get(to).is_some_and(|others| others.contains(from));
            let (a, b) = (module(&files[*from]), module(&files[*to]));
            let family = a.starts_with(&b) && a.len() == b.len() + 1
                || b.starts_with(&a) && b.len() == a.len() + 1;
            if back && !family {
                found.push(Violation {
                    rule: Rule::Circles,
                    file: files[*from].path.clone(),
                    line: 0,
                    what: format!("it and {} use each other", files[*to].path),
                });
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(within: &str, text: &str) -> File {
        File {
            path: format!("src/{within}"),
            within: within.to_owned(),
            in_src: true,
            text: text.to_owned(),
        }
    }

    #[test]
    fn two_files_that_use_each_other_are_found() {
        let a = file("a/one.rs", "use super::two::{Thing, other as o};\n");
        let b = file("a/two.rs", "use crate::{b::{self, X}, a::one};\n");
        let found = pairs(&[a.clone(), b]);
        assert_eq!(found.len(), 1, "{found:?}");
        let silent = file("a/two.rs", "use crate::b;\n// use crate::a::one;\n");
        assert!(pairs(&[a, silent]).is_empty());
    }

    #[test]
    fn a_parent_and_its_child_are_no_circle_nor_are_tests() {
        let parent = file("a/mod.rs", "mod one;\nuse self::one::X;\n");
        let child = file("a/one.rs", "use super::Y;\n");
        assert!(pairs(&[parent, child]).is_empty());
        let a = file("one.rs", "use crate::two::X;\n");
        let text = "#[cfg(test)]\nmod tests {\n    use crate::one::Y;\n}\n";
        assert!(pairs(&[a, file("two.rs", text)]).is_empty());
    }

    #[test]
    fn a_list_in_a_list_is_read() {
        let mut paths = paths("use crate::{a::{b, c::{d, e as f}}, g};");
        paths.sort();
        let joined: Vec<String> = paths.iter().map(|path| path.join("::")).collect();
        assert_eq!(
            joined,
            [
                "crate::a::b",
                "crate::a::c::d",
                "crate::a::c::e",
                "crate::g"
            ]
        );
    }
}
