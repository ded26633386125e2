//! Files that use each other, two or more in a circle. A module and its parent do not count.
//!
//! A file uses what it names, and the file in which that is declared: what a parent or the root of the
//! crate hands on with `use` or `pub use` is looked up.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

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

/// A path that a text names, and by which name it is known from there on.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Named {
    path: Vec<String>,
    name: String,
}

/// The name of all that is in a module.
const ALL: &str = "*";

/// The paths that a text names: `crate::a::b`, `super::c`, each entry of a list by itself.
fn paths(text: &str) -> Vec<Named> {
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

/// The paths that the declarations with `use` of a file bring in, at its left margin.
fn brought_in(text: &str) -> Vec<Named> {
    let mut found = Vec::new();
    for (at, _) in text.match_indices("use ") {
        let line = text[..at].rfind('\n').map_or(0, |end| end + 1);
        let before = text[line..at].trim_end();
        if before.is_empty() && line == at || before == "pub" || before.starts_with("pub(") {
            expand(&text[at + 4..], &mut Vec::new(), &mut found);
        }
    }
    found
}

/// Reads one path, with the lists in braces that end it; returns how much was read.
fn expand(text: &str, before: &mut Vec<String>, found: &mut Vec<Named>) -> usize {
    let depth = before.len();
    let mut at = 0;
    loop {
        let rest = &text[at..];
        let word = word_at(rest);
        if !word.is_empty() {
            before.push(word.to_owned());
            at += word.len();
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
        let name = if rest.starts_with('*') {
            at += 1;
            ALL
        } else if let Some(renamed) = text[at..].trim_start().strip_prefix("as ") {
            word_at(renamed)
        } else {
            let last = before.iter().rev().find(|word| *word != "self");
            last.map_or("", String::as_str)
        };
        found.push(Named {
            path: before.clone(),
            name: name.to_owned(),
        });
        before.truncate(depth);
        return at;
    }
}

/// The word at the beginning of a text.
fn word_at(text: &str) -> &str {
    let end = text.find(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    &text[..end.unwrap_or(text.len())]
}

/// A file as a module.
struct Module<'a> {
    /// Its place in the list of files.
    file: usize,
    /// Its text without tests and comments.
    code: String,
    /// What it declares.
    declares: BTreeSet<&'a str>,
}

/// The modules of a crate.
struct Modules<'a> {
    all: BTreeMap<Vec<String>, Module<'a>>,
    /// For each module the names that it brings in, each with the path of what it is.
    handed_on: BTreeMap<Vec<String>, Vec<Named>>,
}

impl<'a> Modules<'a> {
    fn new(files: &'a [File]) -> Self {
        let mut all = BTreeMap::new();
        for (at, file) in files.iter().enumerate() {
            if !file.is_rust() || !file.in_src || file.is_test() {
                continue;
            }
            let lines: Vec<&str> = file
                .lines_without_tests()
                .map(|(_, line)| line)
                .filter(|line| !line.trim_start().starts_with("//"))
                .collect();
            let one = Module {
                file: at,
                declares: lines.iter().filter_map(|line| declared(line)).collect(),
                code: lines.join("\n"),
            };
            all.insert(module(file), one);
        }
        let handed_on = all
            .iter()
            .map(|(home, one)| {
                let names = brought_in(&one.code).into_iter().filter_map(|named| {
                    let path = absolute(home, &named.path, |child| all.contains_key(child))?;
                    let name = named.name;
                    Some(Named { path, name })
                });
                (home.clone(), names.collect())
            })
            .collect();
        Self { all, handed_on }
    }

    /// The files that a path from the crate's root names: the longest beginning that is a file, and
    /// the file of what that one hands on under the next word.
    fn files(
        &self,
        path: &[String],
        found: &mut BTreeSet<usize>,
        seen: &mut BTreeSet<Vec<String>>,
    ) {
        if !seen.insert(path.to_owned()) {
            return;
        }
        let Some((end, one)) = (0..=path.len())
            .rev()
            .find_map(|end| Some((end, self.all.get(&path[..end])?)))
        else {
            return;
        };
        if end > 0 {
            found.insert(one.file);
        }
        let Some(word) = path.get(end) else {
            return;
        };
        if one.declares.contains(word.as_str()) {
            return;
        }
        for named in &self.handed_on[&path[..end]] {
            let mut next = named.path.clone();
            if named.name == ALL {
                let inside = self.all.get(&next);
                if !inside.is_some_and(|inside| inside.declares.contains(word.as_str())) {
                    continue;
                }
                next.push(word.clone());
            } else if named.name != *word {
                continue;
            }
            next.extend_from_slice(&path[end + 1..]);
            self.files(&next, found, seen);
        }
    }

    /// For each file, the files that it uses. Indices into the list of files.
    fn uses(&self) -> BTreeMap<usize, BTreeSet<usize>> {
        let mut uses = BTreeMap::new();
        for (home, from) in &self.all {
            let mut found = BTreeSet::new();
            for named in paths(&from.code) {
                if let Some(path) = resolve(home, &named.path) {
                    self.files(&path, &mut found, &mut BTreeSet::new());
                }
            }
            found.remove(&from.file);
            uses.insert(from.file, found);
        }
        uses
    }
}

/// What a line at the left margin declares, other than a module.
fn declared(line: &str) -> Option<&str> {
    let mut line = line;
    if let Some(rest) = line.strip_prefix("pub") {
        line = match rest.strip_prefix('(') {
            Some(rest) => rest.split_once(") ")?.1,
            None => rest.trim_start(),
        };
    }
    for word in [
        "const fn ",
        "unsafe ",
        "async ",
        "fn ",
        "struct ",
        "enum ",
        "trait ",
        "type ",
    ] {
        if let Some(rest) = line.strip_prefix(word) {
            line = rest;
            if !matches!(word, "unsafe " | "async ") {
                return Some(word_at(line));
            }
        }
    }
    let rest = line
        .strip_prefix("const ")
        .or_else(|| line.strip_prefix("static "))?;
    Some(word_at(rest))
}

/// The path from the crate's root of what is declared with `use`, where it is of this crate: a
/// path may begin with a module beside it, and `is_module` says which there are.
fn absolute(
    home: &[String],
    path: &[String],
    is_module: impl Fn(&[String]) -> bool,
) -> Option<Vec<String>> {
    let first = path.first()?;
    let mut child = home.to_vec();
    child.push(first.clone());
    let is_here = matches!(first.as_str(), "crate" | "self" | "super") || is_module(&child);
    is_here.then(|| resolve(home, path)).flatten()
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

/// The circles of files of a crate: two that use each other, or more of which each uses the next. Each
/// circle once, at its first file.
#[must_use]
pub fn circles(files: &[File]) -> Vec<Violation> {
    let mut uses = Modules::new(files).uses();
    let modules: Vec<Vec<String>> = files.iter().map(module).collect();
    let family = |a: &[String], b: &[String]| {
        a.starts_with(b) && a.len() == b.len() + 1 || b.starts_with(a) && b.len() == a.len() + 1
    };
    for (from, all) in &mut uses {
        all.retain(|to| !family(&modules[*from], &modules[*to]));
    }
    let mut found = Vec::new();
    let mut seen = BTreeSet::new();
    for from in uses.keys() {
        let Some(circle) = shortest(*from, &uses) else {
            continue;
        };
        let mut name = circle.clone();
        name.sort_unstable();
        // A longer circle through files of a known one is seen once that is gone.
        if name.iter().any(|file| seen.contains(file)) {
            continue;
        }
        seen.extend(name);
        let others: Vec<&str> = circle[1..].iter().map(|to| &*files[*to].path).collect();
        let others = others.join(", ");
        found.push(Violation {
            rule: Rule::Circles,
            file: files[*from].path.clone(),
            line: 0,
            what: match circle.len() {
                2 => format!("it and {others} use each other"),
                _ => format!("it uses {others}, each the next and the last of them this one"),
            },
        });
    }
    found
}

/// The shortest way from a file back to it, beginning with it.
fn shortest(from: usize, uses: &BTreeMap<usize, BTreeSet<usize>>) -> Option<Vec<usize>> {
    let mut came_from: BTreeMap<usize, usize> = BTreeMap::new();
    let mut open = VecDeque::from([from]);
    while let Some(at) = open.pop_front() {
        for to in uses.get(&at).into_iter().flatten() {
            if *to == from {
                let mut way = vec![at];
                while let Some(before) = way.last().and_then(|last| came_from.get(last)) {
                    way.push(*before);
                }
                way.reverse();
                return Some(way);
            }
            if !came_from.contains_key(to) {
                came_from.insert(*to, at);
                open.push_back(*to);
            }
        }
    }
    None
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
        let found = circles(&[a.clone(), b]);
        assert_eq!(found.len(), 1, "{found:?}");
        let silent = file("a/two.rs", "use crate::b;\n// use crate::a::one;\n");
        assert!(circles(&[a, silent]).is_empty());
    }

    #[test]
    fn three_files_of_which_each_uses_the_next_are_found_once() {
        let of = |name: &str, uses: &str| {
            let text = format!("use crate::{uses}::In{uses};\npub struct In{name};\n");
            file(&format!("{name}.rs"), &text)
        };
        let all = |last: &str| circles(&[of("a", "b"), of("b", "c"), of("c", last)]);
        let found = all("a");
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(
            found[0].what.starts_with("it uses src/b.rs, src/c.rs,"),
            "{found:?}"
        );
        assert!(all("d").is_empty());
    }

    #[test]
    fn a_parent_and_its_child_are_no_circle_nor_are_tests() {
        let parent = file("a/mod.rs", "mod one;\nuse self::one::X;\n");
        let child = file("a/one.rs", "use super::Y;\n");
        assert!(circles(&[parent, child]).is_empty());
        let a = file("one.rs", "use crate::two::X;\n");
        let text = "#[cfg(test)]\nmod tests {\n    use crate::one::Y;\n}\n";
        assert!(circles(&[a, file("two.rs", text)]).is_empty());
    }

    #[test]
    fn what_a_parent_hands_on_is_of_the_file_that_declares_it() {
        let user = file("two.rs", "use crate::one::X;\nstruct Y;\n");
        let through = |root: &str, name: &str| {
            let one = format!("use crate::{name};\npub struct X;\n");
            let root = file("lib.rs", root);
            circles(&[root, file("one.rs", &one), user.clone()]).len()
        };
        assert_eq!(through("pub use two::Y;\n", "Y"), 1);
        assert_eq!(through("pub(crate) use crate::two::{Z, Y};\n", "{W, Y}"), 1);
        assert_eq!(through("use two::Y as Other;\n", "Other"), 1);
        assert_eq!(through("pub use self::two::*;\n", "Y"), 1);
        assert_eq!(through("pub use two as three;\n", "three::Y"), 1);
        // Another name, a name of another crate, and one that the root declares itself.
        assert_eq!(through("pub use two::Y;\n", "X"), 0);
        assert_eq!(through("pub use others::Y;\n", "Y"), 0);
        assert_eq!(through("pub use two::*;\npub struct Y;\n", "Y"), 0);
        assert_eq!(through("pub use two::*;\n", "Z"), 0);
    }

    #[test]
    fn names_that_hand_each_other_on_end() {
        let one = file("one.rs", "pub use crate::two::X;\n");
        let two = file("two.rs", "pub use crate::one::X;\n");
        assert_eq!(circles(&[one, two]).len(), 1);
    }

    #[test]
    fn a_list_in_a_list_is_read() {
        let mut paths = paths("use crate::{a::{b, c::{d, e as f}}, g};");
        paths.sort();
        let joined: Vec<String> = paths.iter().map(|one| one.path.join("::")).collect();
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
