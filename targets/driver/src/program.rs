//! Finding a program that others wrote.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// Whether a path is a file that can be executed.
pub(crate) fn is_program(path: &Path) -> bool {
    path.metadata()
        .is_ok_and(|about| about.is_file() && about.permissions().mode() & 0o111 != 0)
}

/// The program of this name, by absolute path: on PATH where it has no slash in it; none where it is
/// not there or cannot be executed.
pub fn find(name: &str) -> Option<PathBuf> {
    let program = |path: PathBuf| {
        let runs = is_program(&path);
        runs.then(|| std::path::absolute(path).ok()).flatten()
    };
    if name.contains('/') {
        return program(Path::new(name).to_owned());
    }
    let directorys = std::env::var_os("PATH")?;
    std::env::split_paths(&directorys).find_map(|directory| program(directory.join(name)))
}

/// Why [`find`] finds none of this name.
pub fn missing(name: &str) -> String {
    if name.contains('/') {
        format!("there is no program {name}")
    } else {
        format!("{name} is not on PATH")
    }
}

/// A program that comes with plugpull, by absolute path: beside the running one, or on PATH.
pub fn sibling(name: impl AsRef<Path>) -> Option<PathBuf> {
    let name = name.as_ref();
    let own = std::env::current_exe().ok()?;
    let directory = own.parent()?;
    // Tests run one directory deeper than the programs that they test.
    let beside = match directory.file_name() {
        Some(last) if last == "deps" => directory.parent(),
        _ => None,
    };
    let path = std::env::var_os("PATH").unwrap_or_default();
    [Some(directory), beside]
        .into_iter()
        .flatten()
        .map(Path::to_owned)
        .chain(std::env::split_paths(&path))
        .map(|directory| directory.join(name))
        .find(|path| is_program(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_can_be_executed_is_a_program() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("node");
        std::fs::write(&path, "#!/bin/sh\n").expect("a file");
        let name = path.to_str().expect("a name");
        assert_eq!(find(name), None);
        assert_eq!(missing(name), format!("there is no program {name}"));
        let mode = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(&path, mode).expect("a mode");
        assert_eq!(find(name), Some(path));
        assert!(find("sh").is_some_and(|path| path.is_absolute()));
        assert_eq!(find("no-such-program-anywhere"), None);
    }
}
