//! The crates of a workspace and their files.

use std::path::{Path, PathBuf};
use std::{fs, io};

/// A file of a crate.
#[derive(Clone, Debug)]
pub struct File {
    /// Its path relative to the workspace, with `/`.
    pub path: String,
    /// Its path relative to the crate's `src`, or to the crate for what lies beside it.
    pub within: String,
    /// Whether it lies under `src`.
    pub in_src: bool,
    /// Its text.
    pub text: String,
}

impl File {
    /// The last part of its path.
    #[must_use]
    pub fn name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or(&self.path)
    }

    /// Its name without its ending.
    #[must_use]
    pub fn stem(&self) -> &str {
        let name = self.name();
        name.split_once('.').map_or(name, |(stem, _)| stem)
    }

    /// Whether it is Rust.
    #[must_use]
    pub fn is_rust(&self) -> bool {
        self.path.ends_with(".rs")
    }

    /// Whether it is a program of its own, in `src/bin`.
    #[must_use]
    pub fn is_binary_root(&self) -> bool {
        self.in_src && self.within.starts_with("bin/")
    }

    /// Whether it is compiled for tests alone, by its name.
    #[must_use]
    pub fn is_test(&self) -> bool {
        let stem = self.stem();
        !self.in_src
            || stem.ends_with("_test")
            || stem.ends_with("_tests")
            || matches!(stem, "tests" | "test" | "testing")
            || self.within.split('/').any(|part| part == "tests")
    }

    /// Its lines without the modules that are compiled for tests alone.
    pub fn lines_without_tests(&self) -> impl Iterator<Item = (usize, &str)> {
        let lines: Vec<&str> = self.text.lines().collect();
        let inline = |at: usize| {
            lines[at].trim_start().starts_with("#[cfg(test)]")
                && lines[at..].iter().take(5).any(|line| {
                    let line = line.trim_start();
                    line.starts_with("mod ") && line.ends_with('{')
                })
        };
        let end = (0..lines.len())
            .find(|at| inline(*at))
            .unwrap_or(lines.len());
        let end = if self.is_test() { 0 } else { end };
        lines
            .into_iter()
            .take(end)
            .enumerate()
            .map(|(at, line)| (at + 1, line))
    }
}

/// A crate, or a directory of documents.
#[derive(Clone, Debug)]
pub struct Crate {
    /// Its directory, relative to the workspace.
    pub directory: String,
    /// Its files, by path.
    pub files: Vec<File>,
}

/// What a rule looks at, by the ending of its name.
const ENDINGS: [&str; 6] = ["rs", "md", "sh", "py", "toml", "yaml"];

/// Reads the crates below a workspace, each without those that lie inside it, and what lies outside
/// of any crate as one with the directory `.`.
///
/// # Errors
/// A file or directory cannot be read.
pub fn read(workspace: &Path) -> io::Result<Vec<Crate>> {
    let mut paths = Vec::new();
    find(workspace, &mut paths)?;
    paths.sort();
    let relative = |path: &Path| -> String {
        let path = path.strip_prefix(workspace).unwrap_or(path);
        path.to_string_lossy().into_owned()
    };
    let mut directories: Vec<String> = paths
        .iter()
        .filter(|path| path.file_name().is_some_and(|name| name == "Cargo.toml"))
        .filter_map(|path| path.parent().map(&relative))
        .map(|directory| {
            if directory.is_empty() {
                ".".to_owned()
            } else {
                directory
            }
        })
        .collect();
    // The innermost crate comes first.
    directories.sort_by_key(|directory| std::cmp::Reverse(directory.len()));
    let mut crates: Vec<Crate> = directories
        .into_iter()
        .map(|directory| Crate {
            directory,
            files: Vec::new(),
        })
        .collect();
    for path in &paths {
        let shown = relative(path);
        let home = crates
            .iter_mut()
            .find(|one| one.directory == "." || shown.starts_with(&format!("{}/", one.directory)));
        let (Some(home), Ok(text)) = (home, fs::read_to_string(path)) else {
            continue;
        };
        let inside = shown
            .strip_prefix(&format!("{}/", home.directory))
            .unwrap_or(&shown);
        let within = inside.strip_prefix("src/").unwrap_or(inside).to_owned();
        let in_src = inside.starts_with("src/");
        home.files.push(File {
            path: shown,
            within,
            in_src,
            text,
        });
    }
    crates.sort_by(|a, b| a.directory.cmp(&b.directory));
    Ok(crates)
}

/// All files below a directory that a rule looks at.
fn find(directory: &Path, found: &mut Vec<PathBuf>) -> io::Result<()> {
    let mut waiting = vec![directory.to_owned()];
    while let Some(directory) = waiting.pop() {
        for entry in fs::read_dir(&directory)? {
            let entry = entry?;
            let name = entry.file_name();
            let name = name.to_string_lossy();
            let kind = entry.file_type()?;
            if kind.is_dir() {
                if !matches!(
                    &*name,
                    "target" | ".git" | "golden" | "snapshots" | "node_modules"
                ) {
                    waiting.push(entry.path());
                }
            } else if kind.is_file() {
                let ending = name.rsplit('.').next().unwrap_or("");
                if ENDINGS.contains(&ending) || name == "run" {
                    found.push(entry.path());
                }
            }
        }
    }
    Ok(())
}
