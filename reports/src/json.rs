//! The JSON report as a file: written whole or not at all, and read back. `docs/report.md`
//! describes the form.

use std::fs::{File, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use thiserror::Error;

use crate::{Event, Report, Reporter, SCHEMA};

/// Why a JSON report could not be written or read.
#[derive(Debug, Error)]
pub enum ReportError {
    /// The file could not be written.
    #[error("the report could not be written to {path}: {source}")]
    Write {
        /// Where to.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// The file could not be read.
    #[error("the report {path} could not be read: {source}")]
    Read {
        /// Where from.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// The file is no plugpull report at all.
    #[error("{path} is no plugpull report: {reason}")]
    NotAReport {
        /// Where from.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The file is a report in a form that this plugpull does not know.
    #[error("{path} has the schema {found:?}, this plugpull reads {SCHEMA:?}")]
    OtherSchema {
        /// Where from.
        path: PathBuf,
        /// The schema it names.
        found: String,
    },
    /// The file names our schema and does not keep to it.
    #[error("{path} names the schema {SCHEMA:?} but does not keep to it: {reason}")]
    Malformed {
        /// Where from.
        path: PathBuf,
        /// What is wrong, with line and column.
        reason: String,
    },
}

/// Writes the report to `path`, replacing what is there. A reader finds the old file or the new
/// one, never half of one, and neither a crash nor a power cut afterwards takes it back: it is
/// written to a temporary file in the same folder, synced, renamed, and the folder is synced.
/// What is no regular file (a pipe, `/dev/stdout`) is written to as it stands.
pub fn save(report: &Report, path: &Path) -> Result<(), ReportError> {
    let failed = |source| ReportError::Write {
        path: path.to_path_buf(),
        source,
    };
    let mut text = serde_json::to_vec_pretty(report).map_err(|e| failed(e.into()))?;
    text.push(b'\n');
    // A link stays a link: what it leads to is replaced.
    let path = match std::fs::canonicalize(path) {
        Ok(real) => real,
        Err(error) if error.kind() == io::ErrorKind::NotFound => path.to_path_buf(),
        Err(error) => return Err(failed(error)),
    };
    match std::fs::metadata(&path) {
        Ok(meta) if meta.is_dir() => Err(failed(io::ErrorKind::IsADirectory.into())),
        Ok(meta) if !meta.is_file() => write_through(&path, &text).map_err(failed),
        _ => replace(&path, &text).map_err(failed),
    }
}

fn write_through(path: &Path, text: &[u8]) -> io::Result<()> {
    File::options().write(true).open(path)?.write_all(text)
}

fn replace(path: &Path, text: &[u8]) -> io::Result<()> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let mut file = tempfile::Builder::new()
        .prefix(".plugpull-report-")
        // As any new file; the umask takes its part away.
        .permissions(Permissions::from_mode(0o666))
        .tempfile_in(folder)?;
    file.write_all(text)?;
    file.as_file().sync_all()?;
    file.persist(path).map_err(|e| e.error)?;
    File::open(folder)?.sync_all()
}

/// Reads a report back.
pub fn load(path: &Path) -> Result<Report, ReportError> {
    /// What every version of the form has.
    #[derive(Deserialize)]
    struct Probe {
        schema: Option<String>,
    }
    let text = std::fs::read(path).map_err(|source| ReportError::Read {
        path: path.to_path_buf(),
        source,
    })?;
    let not_a_report = |reason: String| ReportError::NotAReport {
        path: path.to_path_buf(),
        reason,
    };
    let probe: Probe = serde_json::from_slice(&text).map_err(|e| not_a_report(e.to_string()))?;
    match probe.schema {
        None => Err(not_a_report("it names no schema".into())),
        Some(found) if found != SCHEMA => Err(ReportError::OtherSchema {
            path: path.to_path_buf(),
            found,
        }),
        Some(_) => serde_json::from_slice(&text).map_err(|e| ReportError::Malformed {
            path: path.to_path_buf(),
            reason: e.to_string(),
        }),
    }
}

/// Writes the JSON report when the run has ended.
#[derive(Clone, Debug)]
pub struct JsonReporter {
    path: PathBuf,
}

impl JsonReporter {
    /// Will write to this file. Nothing is touched before the run has ended.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }
}

impl Reporter for JsonReporter {
    fn event(&mut self, event: &Event) -> io::Result<()> {
        match event {
            Event::RunFinished(report) => save(report, &self.path).map_err(io::Error::other),
            _ => Ok(()),
        }
    }
}
