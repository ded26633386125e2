//! Finding a program that others wrote.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// The program of this name, by absolute path: on PATH where it has no slash in it; none where it is
/// not there or cannot be executed.
pub(crate) fn find(name: &str) -> Option<PathBuf> {
    let program = |path: PathBuf| {
        let meta = path.metadata().ok()?;
        let runs = meta.is_file() && meta.permissions().mode() & 0o111 != 0;
        runs.then(|| std::path::absolute(path).ok()).flatten()
    };
    if name.contains('/') {
        return program(Path::new(name).to_owned());
    }
    let folders = std::env::var_os("PATH")?;
    std::env::split_paths(&folders).find_map(|folder| program(folder.join(name)))
}

/// Why [`find`] finds none of this name, in words.
pub(crate) fn missing(name: &str) -> String {
    if name.contains('/') {
        format!("there is no program {name}")
    } else {
        format!("{name} is not on PATH")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_can_be_executed_is_a_program() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("node");
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
