//! What the source must look like, checked by a test: words, names, circles of files, small files.
//!
//! The idea is that of TigerBeetle's `src/tidy.zig`. `tests/tidy.rs` holds the workspace to the rules,
//! but for the crates that `exempt.txt` lists; the program `plugpull-size` prints the numbers of any
//! clone.

pub mod circles;
pub mod names;
pub mod places;
pub mod source;
pub mod trust;
pub mod vocabulary;

use std::fmt;

use source::{Crate, File};

/// A rule. Its name is what `exempt.txt` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rule {
    /// A word that is banned everywhere.
    Words,
    /// A name that is banned for a type, a function, a module or a file.
    Names,
    /// A type name that is declared twice within a crate.
    Types,
    /// Two files that use each other.
    Circles,
    /// A file under [`SMALL`] lines without a reason.
    Small,
    /// A `#[test]` that the compiler drops in silence.
    Dropped,
    /// What `docs/trust.md` names and is no test that runs.
    Trust,
    /// A file, directory or crate that a document names and that is not there.
    Places,
}

impl Rule {
    /// Every rule.
    pub const ALL: [Self; 8] = [
        Self::Words,
        Self::Names,
        Self::Types,
        Self::Circles,
        Self::Small,
        Self::Dropped,
        Self::Trust,
        Self::Places,
    ];

    /// Its name in `exempt.txt`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Words => "words",
            Self::Names => "names",
            Self::Types => "types",
            Self::Circles => "circles",
            Self::Small => "small",
            Self::Dropped => "dropped",
            Self::Trust => "trust",
            Self::Places => "places",
        }
    }
}

/// A place that breaks a rule.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Violation {
    /// The rule.
    pub rule: Rule,
    /// The file, relative to the workspace.
    pub file: String,
    /// Its line, from 1; 0 for the whole file.
    pub line: usize,
    /// What is wrong there.
    pub what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            rule,
            file,
            line,
            what,
        } = self;
        match line {
            0 => write!(f, "{file}: {what} [{}]", rule.name()),
            line => write!(f, "{file}:{line}: {what} [{}]", rule.name()),
        }
    }
}

/// A file under this many lines wants a reason: `// tidy: small because ...`.
pub const SMALL: usize = 60;

/// Small files without a reason. `lib.rs`, `main.rs` and `mod.rs` may be small.
#[must_use]
pub fn small(files: &[File]) -> Vec<Violation> {
    let root = |file: &File| matches!(file.name(), "lib.rs" | "main.rs" | "mod.rs" | "build.rs");
    files
        .iter()
        .filter(|file| file.in_src && !root(file) && !file.is_binary_root())
        .filter(|file| file.text.lines().count() < SMALL)
        .filter(|file| !file.text.contains("tidy: small because"))
        .map(|file| Violation {
            rule: Rule::Small,
            file: file.path.clone(),
            line: 0,
            what: format!(
                "{} lines are fewer than {SMALL}: merge it, or say why with `// tidy: small because ...`",
                file.text.lines().count()
            ),
        })
        .collect()
}

/// Test functions that the compiler drops: a program with `harness = false` has no `#[test]` but that
/// of `plugpull_testing`, which each of its files must import.
#[must_use]
pub fn dropped(files: &[File]) -> Vec<Violation> {
    let mains: Vec<&str> = files
        .iter()
        .filter(|file| file.text.contains("plugpull_testing::main"))
        .filter(|file| file.name() == "main.rs")
        .filter_map(|file| file.path.strip_suffix("main.rs"))
        .collect();
    let imported = |file: &File| {
        file.text
            .lines()
            .any(|line| line.starts_with("use plugpull_testing::") && line.contains("test"))
    };
    let has_test = |file: &File| {
        let mut lines = file.text.lines();
        lines.any(|line| line.trim_start().starts_with("#[test"))
    };
    files
        .iter()
        .filter(|file| {
            mains
                .iter()
                .any(|directory| file.path.starts_with(directory))
        })
        .filter(|file| has_test(file) && !imported(file) && !file.text.contains("macro_rules!"))
        .map(|file| Violation {
            rule: Rule::Dropped,
            file: file.path.clone(),
            line: 0,
            what: "without `use plugpull_testing::test` its tests are dropped in silence"
                .to_owned(),
        })
        .collect()
}

/// Files whose subject is the banned words themselves.
const ABOUT_WORDS: [&str; 4] = [
    "harness/tidy/src/vocabulary.rs",
    "harness/tidy/src/names.rs",
    "harness/tidy/exempt.txt",
    "CHANGELOG.md",
];

/// Everything that breaks a rule in one crate.
#[must_use]
pub fn check(one: &Crate) -> Vec<Violation> {
    let files = &one.files;
    let mut all = vocabulary::banned(files);
    all.extend(names::banned(files));
    all.extend(names::twice(files));
    all.extend(circles::circles(files));
    all.extend(small(files));
    all.extend(dropped(files));
    all.retain(|violation| !ABOUT_WORDS.contains(&violation.file.as_str()));
    all.sort();
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str, in_src: bool, text: &str) -> File {
        File {
            path: path.to_owned(),
            within: path.to_owned(),
            in_src,
            text: text.to_owned(),
        }
    }

    #[test]
    fn a_small_file_wants_a_reason() {
        assert_eq!(small(&[file("a.rs", true, "fn a() {}\n")]).len(), 1);
        let reason = "// tidy: small because a fault is a file\n";
        assert!(small(&[file("a.rs", true, reason)]).is_empty());
        assert!(small(&[file("mod.rs", true, "")]).is_empty());
        assert!(small(&[file("a.rs", true, &"\n".repeat(SMALL))]).is_empty());
    }

    #[test]
    fn a_test_that_is_dropped_is_found() {
        let main = file("tests/cli/main.rs", false, "plugpull_testing::main(probe)");
        let bare = file("tests/cli/a.rs", false, "#[test]\nfn a() {}\n");
        let elsewhere = file("tests/b.rs", false, "#[test]\nfn b() {}\n");
        assert_eq!(dropped(&[main.clone(), bare, elsewhere]).len(), 1);
        let text = "use plugpull_testing::test;\n#[test]\nfn a() {}\n";
        assert!(dropped(&[main, file("tests/cli/a.rs", false, text)]).is_empty());
    }
}
