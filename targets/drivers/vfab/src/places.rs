//! Where vfab's files are.

use std::fs;
use std::path::{Path, PathBuf};

use plugpull_inspect::InspectError;

/// What was found at or under a path.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Places {
    /// The directories of jobs, in order.
    pub(super) jobs: Vec<PathBuf>,
    /// The statistics database.
    pub(super) database: Option<PathBuf>,
}

/// Finds jobs and database. The path may be a job's directory, a workspace (with `jobs/`), or the
/// directory in which vfab was run with `HOME` set to it: the database is then in `workspace/`, the
/// jobs there or under `.local/share`.
pub(super) fn find(path: &Path) -> Result<Places, InspectError> {
    if !path.is_dir() {
        let error = match fs::metadata(path) {
            Ok(_) => std::io::ErrorKind::NotADirectory.into(),
            Err(error) => error,
        };
        return Err(InspectError::Unreadable {
            path: path.to_owned(),
            error,
        });
    }
    if path.join("job.json").exists() || path.join("journal.jsonl").exists() {
        return Ok(Places {
            jobs: vec![path.to_owned()],
            database: None,
        });
    }
    let workspaces = [
        path.to_owned(),
        path.join("workspace"),
        path.join("vfab/workspace"),
        path.join(".local/share/vfab/workspace"),
    ];
    let mut places = Places::default();
    let mut known = false;
    for workspace in &workspaces {
        let jobs = workspace.join("jobs");
        if jobs.is_dir() {
            known = true;
            places.jobs.extend(directories(&jobs)?);
        }
        let database = workspace.join("vfab.db");
        if places.database.is_none() && database.is_file() {
            known = true;
            places.database = Some(database);
        }
    }
    if !known {
        return Err(InspectError::NotThis {
            path: path.to_owned(),
            why: "there is no job.json, jobs/ or vfab.db in it".into(),
        });
    }
    Ok(places)
}

fn directories(path: &Path) -> Result<Vec<PathBuf>, InspectError> {
    let unreadable = |error| InspectError::Unreadable {
        path: path.to_owned(),
        error,
    };
    let mut all = Vec::new();
    for entry in fs::read_dir(path).map_err(unreadable)? {
        let entry = entry.map_err(unreadable)?;
        if entry.file_type().map_err(unreadable)?.is_dir() {
            all.push(entry.path());
        }
    }
    all.sort();
    Ok(all)
}
