//! Reports that are files: written when the run has ended, whole or not at all.

use std::fs::{File, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use crate::{Event, Report, Reporter};

/// A form that a report can be written in: makes the whole text of the file.
pub type Form = fn(&Report) -> io::Result<String>;

/// Writes the report in some form when the run has ended.
#[derive(Clone, Debug)]
pub struct FileReporter {
    path: PathBuf,
    form: Form,
}

impl FileReporter {
    /// Will write to this file. Nothing is touched before the run has ended.
    pub fn new(path: impl Into<PathBuf>, form: Form) -> Self {
        Self {
            path: path.into(),
            form,
        }
    }
}

impl Reporter for FileReporter {
    fn event(&mut self, event: &Event) -> io::Result<()> {
        let Event::RunFinished(report) = event else {
            return Ok(());
        };
        let written = (self.form)(report).and_then(|text| write(&self.path, text.as_bytes()));
        written.map_err(|error| {
            io::Error::new(error.kind(), format!("{}: {error}", self.path.display()))
        })
    }
}

/// Writes a file, replacing what is there. A reader finds the old file or the new one, never half
/// of one, and neither a crash nor a power cut afterwards takes it back: it is written to a
/// temporary file in the same folder, synced, renamed, and the folder is synced. What is no
/// regular file (a pipe, `/dev/stdout`) is written to as it stands.
pub(crate) fn write(path: &Path, text: &[u8]) -> io::Result<()> {
    // A link stays a link: what it leads to is replaced.
    let path = match std::fs::canonicalize(path) {
        Ok(real) => real,
        Err(error) if error.kind() == io::ErrorKind::NotFound => path.to_path_buf(),
        Err(error) => return Err(error),
    };
    match std::fs::metadata(&path) {
        Ok(meta) if meta.is_dir() => Err(io::ErrorKind::IsADirectory.into()),
        Ok(meta) if !meta.is_file() => File::options().write(true).open(path)?.write_all(text),
        _ => replace(&path, text),
    }
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
