//! Names: those that are banned, and type names that mean two things within a crate.

use std::collections::BTreeMap;

use crate::source::File;
use crate::{Rule, Violation};

/// Banned as the name of a type, a function, a module or a file, in any case of letters.
pub const BANNED: [&str; 14] = [
    "order", "step", "choice", "turn", "case", "words", "close", "held", "said", "asked",
    "station", "gang", "court", "scene",
];

/// What declares a name.
const DECLARES: [&str; 6] = ["struct", "enum", "trait", "type", "fn", "mod"];

/// A declaration in a line: its keyword and its name.
fn declared(line: &str) -> Option<(&str, &str)> {
    let mut words = line
        .split(|c: char| c.is_whitespace() || c == '<')
        .filter(|w| !w.is_empty());
    let mut word = words.next()?;
    while matches!(word, "pub" | "async" | "const" | "unsafe" | "default")
        || word.starts_with("pub(")
    {
        word = words.next()?;
    }
    if !DECLARES.contains(&word) {
        return None;
    }
    let name = words.next()?;
    let end = name
        .find(|c: char| !c.is_ascii_alphanumeric() && c != '_')
        .unwrap_or(name.len());
    Some((word, &name[..end]))
}

/// The banned names in these files.
#[must_use]
pub fn banned(files: &[File]) -> Vec<Violation> {
    let mut found = Vec::new();
    let mut add = |file: &File, line, what: String| {
        found.push(Violation {
            rule: Rule::Names,
            file: file.path.clone(),
            line,
            what: format!("{what} is banned: name it in the word of the field"),
        });
    };
    for file in files.iter().filter(|file| file.is_rust()) {
        if BANNED.contains(&file.stem()) {
            add(file, 0, format!("a file named '{}'", file.stem()));
        }
        for (at, line) in file.text.lines().enumerate() {
            if let Some((keyword, name)) = declared(line.trim_start())
                && BANNED.contains(&name.to_ascii_lowercase().as_str())
                && !line.contains("tidy: name because")
            {
                add(file, at + 1, format!("the name of `{keyword} {name}`"));
            }
        }
    }
    found
}

/// Types that are declared more than once in a crate, tests aside.
#[must_use]
pub fn twice(files: &[File]) -> Vec<Violation> {
    let mut places: BTreeMap<&str, Vec<(&File, usize)>> = BTreeMap::new();
    for file in files.iter().filter(|file| file.is_rust() && file.in_src) {
        for (at, line) in file.lines_without_tests() {
            // Only what stands at the left margin: not the types of a trait, nor of a function.
            if let Some(("struct" | "enum" | "trait" | "type", name)) = declared(line)
                && !line.starts_with(char::is_whitespace)
            {
                places.entry(name).or_default().push((file, at));
            }
        }
    }
    places
        .into_iter()
        .filter(|(_, places)| places.len() > 1)
        .map(|(name, places)| {
            let others: Vec<String> = places[1..]
                .iter()
                .map(|(file, line)| format!("{}:{line}", file.path))
                .collect();
            Violation {
                rule: Rule::Types,
                file: places[0].0.path.clone(),
                line: places[0].1,
                what: format!(
                    "the type name {name} is declared again in {}",
                    others.join(", ")
                ),
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str, text: &str) -> File {
        File {
            path: path.to_owned(),
            within: path.to_owned(),
            in_src: true,
            text: text.to_owned(),
        }
    }

    #[test]
    fn banned_names_are_found_where_they_are_declared() {
        let text = "pub(crate) struct Order<T> {}\nfn said() {}\nlet order = 1;\nfn ordered() {}\n";
        let found = banned(&[file("a.rs", text)]);
        let lines: Vec<usize> = found.iter().map(|one| one.line).collect();
        assert_eq!(lines, [1, 2]);
        assert_eq!(banned(&[file("words.rs", "")]).len(), 1);
        assert!(banned(&[file("wordings.rs", "fn reorder() {}")]).is_empty());
    }

    #[test]
    fn a_type_name_that_is_declared_twice_is_found() {
        let one = file(
            "a.rs",
            "struct Update;\n#[cfg(test)]\nmod tests {\nstruct Only;\n}\n",
        );
        let other = file("b.rs", "pub enum Update {}\nstruct Only;\n");
        let found = twice(&[one.clone(), other]);
        assert_eq!(found.len(), 1);
        assert!(found[0].what.contains("Update"));
        assert!(twice(&[one]).is_empty());
    }
}
