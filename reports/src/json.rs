//! The JSON report as a file: written whole or not at all, and read back. `docs/report.md`
//! describes the form.

use std::fmt;
use std::fs::File;
use std::io::{self, BufReader};
use std::path::{Path, PathBuf};

use plugpull_workloads::read_file;
use serde::Deserialize;
use serde::de::{DeserializeOwned, Deserializer, MapAccess, Visitor};
use thiserror::Error;

use crate::counts::CountLimit;
use crate::file::replace_file;
use crate::report::{Report, SCHEMA};
use crate::run_file::reader::{Lines, Parsed, Source};
use crate::run_file::record::{Header, RUN_SCHEMA, Record};
use crate::run_file::recorded::RecordedRun;

/// The longest JSON report that is read, in bytes. Nesting is limited to 128 levels by serde_json.
const LONGEST_REPORT: u64 = 512 << 20;

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
    #[error("{path} has the schema {found:?}, this plugpull reads {SCHEMA:?} and {RUN_SCHEMA:?}")]
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

/// The report as JSON, with a line end at its end. Trials that are in a run file are read and
/// written one by one.
pub fn json(report: &Report, to: &mut dyn io::Write) -> io::Result<()> {
    serde_json::to_writer_pretty(&mut *to, report)?;
    to.write_all(b"\n")
}

/// Writes the report to `path`, replacing what is there: whole or not at all.
pub fn save(report: &Report, path: &Path) -> Result<(), ReportError> {
    replace_file(path, |file| json(report, file)).map_err(|source| ReportError::Write {
        path: path.to_path_buf(),
        source,
    })
}

/// Reads a report back: a JSON report, or a run file, of which it is the report as far as the run
/// came.
pub fn load(path: &Path) -> Result<Report, ReportError> {
    match load_run(path)? {
        Some(run) => Ok(run.report()),
        None => load_json(path),
    }
}

/// The header of a run file; none when the file is none.
pub fn load_header(path: &Path) -> Result<Option<Header>, ReportError> {
    let failed = |source| ReportError::Read {
        path: path.to_path_buf(),
        source,
    };
    let opened = File::open(path).map_err(failed)?;
    // A pipe can be read once only, and holds no run file.
    if !opened.metadata().map_err(failed)?.is_file() {
        return Ok(None);
    }
    let first = Lines::new(BufReader::new(opened)).next();
    let Some(Parsed::Line(line)) = first.transpose().map_err(failed)? else {
        return Ok(None);
    };
    match line.record {
        Record::Header(header) if header.schema == RUN_SCHEMA => Ok(Some(*header)),
        Record::Header(header) => Err(ReportError::OtherSchema {
            path: path.to_path_buf(),
            found: header.schema,
        }),
        _ => Ok(None),
    }
}

/// Reads a run file; none when the file is none.
pub fn load_run(path: &Path) -> Result<Option<RecordedRun>, ReportError> {
    if load_header(path)?.is_none() {
        return Ok(None);
    }
    let read = Source::open(path).and_then(RecordedRun::read);
    read.map_err(|source| ReportError::Read {
        path: path.to_path_buf(),
        source,
    })
}

/// What every version of the form has. All numbers of the file are looked at on the way.
struct Probe {
    schema: Option<String>,
}

impl<'de> Deserialize<'de> for Probe {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Fields;
        impl<'de> Visitor<'de> for Fields {
            type Value = Probe;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a report")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Probe, A::Error> {
                let mut probe = Probe { schema: None };
                while let Some(name) = map.next_key::<String>()? {
                    match name.as_str() {
                        "schema" => probe.schema = map.next_value()?,
                        name => map.next_value_seed(CountLimit::of(name))?,
                    }
                }
                Ok(probe)
            }
        }
        from.deserialize_map(Fields)
    }
}

fn load_json(path: &Path) -> Result<Report, ReportError> {
    let failed = |source: io::Error| ReportError::Read {
        path: path.to_path_buf(),
        source,
    };
    // What can be read once only, a pipe, is read into memory; trials of a file never are all at once.
    let meta = std::fs::metadata(path).map_err(failed)?;
    let text = match meta.is_file() && meta.len() <= LONGEST_REPORT {
        true => None,
        false => Some(read_file(path, LONGEST_REPORT).map_err(failed)?),
    };
    let probe: Probe = match parsed(path, text.as_deref()).map_err(failed)? {
        Ok(probe) => probe,
        Err(error) if error.is_io() => return Err(failed(error.into())),
        Err(error) => {
            return Err(ReportError::NotAReport {
                path: path.to_path_buf(),
                reason: error.to_string(),
            });
        }
    };
    match probe.schema {
        None => Err(ReportError::NotAReport {
            path: path.to_path_buf(),
            reason: "it names no schema".into(),
        }),
        Some(found) if found != SCHEMA => Err(ReportError::OtherSchema {
            path: path.to_path_buf(),
            found,
        }),
        Some(_) => {
            let report = parsed(path, text.as_deref()).map_err(failed)?;
            report.map_err(|error: serde_json::Error| match error.is_io() {
                true => failed(error.into()),
                false => ReportError::Malformed {
                    path: path.to_path_buf(),
                    reason: error.to_string(),
                },
            })
        }
    }
}

/// What this text says, or where there is none what the file does, which is read bit by bit.
fn parsed<T: DeserializeOwned>(
    path: &Path,
    text: Option<&[u8]>,
) -> io::Result<Result<T, serde_json::Error>> {
    Ok(match text {
        Some(text) => serde_json::from_slice(text),
        None => serde_json::from_reader(BufReader::new(File::open(path)?)),
    })
}
