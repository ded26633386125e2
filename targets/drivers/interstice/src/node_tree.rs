//! Where the published node's files are.

use std::fs;
use std::path::{Path, PathBuf};

use plugpull_inspect::InspectError;

/// How deep a module's directories can lie under the data directory.
const DEPTH: usize = 8;

/// The files that were found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Files {
    /// Logs and snapshots of the same table, one of which may be missing.
    pub(super) tables: Vec<(Option<PathBuf>, Option<PathBuf>)>,
    /// Files of single rows.
    pub(super) rows: Vec<PathBuf>,
    /// What an interrupted snapshot left.
    pub(super) leftovers: Vec<PathBuf>,
}

fn ends(path: &Path, with: &str) -> bool {
    path.file_name()
        .is_some_and(|name| name.to_string_lossy().ends_with(with))
}

fn in_directory(path: &Path, name: &str) -> bool {
    path.parent()
        .is_some_and(|directory| directory.ends_with(name))
}

/// Whether this is the published node's and not the guide's log.
pub(super) fn is_nodes(path: &Path) -> bool {
    path.is_dir()
        || ends(path, ".snap")
        || ends(path, ".row")
        || (in_directory(path, "logs") && ends(path, ".log"))
}

/// Finds the files at or under a path, in order. Links are not followed.
pub(super) fn find(path: &Path) -> Result<Files, InspectError> {
    let mut files = Files::default();
    if path.is_dir() {
        walk(path, 0, &mut files)?;
    } else {
        sort_in(path, &mut files);
    }
    Ok(files)
}

fn walk(directory: &Path, depth: usize, files: &mut Files) -> Result<(), InspectError> {
    let unreadable = |error| InspectError::Unreadable {
        path: directory.to_owned(),
        error,
    };
    let mut paths = Vec::new();
    for entry in fs::read_dir(directory).map_err(unreadable)? {
        let entry = entry.map_err(unreadable)?;
        paths.push((entry.path(), entry.file_type().map_err(unreadable)?));
    }
    paths.sort_by(|a, b| a.0.cmp(&b.0));
    for (path, kind) in paths {
        if kind.is_dir() && depth < DEPTH {
            walk(&path, depth + 1, files)?;
        } else if kind.is_file() {
            sort_in(&path, files);
        }
    }
    Ok(())
}

fn sort_in(path: &Path, files: &mut Files) {
    let partner = |directory: &str, extension: &str| {
        let module = path.parent()?.parent()?;
        let other = module.join(directory).join(path.file_name()?);
        Some(other.with_extension(extension)).filter(|other| other.is_file())
    };
    if ends(path, ".log.tmp") || ends(path, ".snap.tmp") {
        files.leftovers.push(path.to_owned());
    } else if ends(path, ".row") {
        files.rows.push(path.to_owned());
    } else if in_directory(path, "logs") && ends(path, ".log") {
        let snapshot = partner("snapshots", "snap");
        files.tables.push((Some(path.to_owned()), snapshot));
    } else if ends(path, ".snap") && partner("logs", "log").is_none() {
        files.tables.push((None, Some(path.to_owned())));
    } else if ends(path, ".snap") {
        // Its log brings it along, where both are looked at.
        let known = files
            .tables
            .iter()
            .any(|(_, known)| known.as_deref() == Some(path));
        if !known {
            files
                .tables
                .push((partner("logs", "log"), Some(path.to_owned())));
        }
    }
}
