//! The JSON report as a file: written whole or not at all, and read back. `docs/report.md`
//! describes the form.

use std::io;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use thiserror::Error;

use crate::{Report, SCHEMA, file};

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

/// The report as JSON, with a line end at its end.
pub fn json(report: &Report) -> io::Result<String> {
    let mut text = serde_json::to_string_pretty(report)?;
    text.push('\n');
    Ok(text)
}

/// Writes the report to `path`, replacing what is there: whole or not at all.
pub fn save(report: &Report, path: &Path) -> Result<(), ReportError> {
    let failed = |source| ReportError::Write {
        path: path.to_path_buf(),
        source,
    };
    let text = json(report).map_err(failed)?;
    file::write(path, text.as_bytes()).map_err(failed)
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
