//! Files that appear whole or not at all.

// tidy: small because replacing a file is a subject of its own

use std::fs::{File, Permissions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

/// Writes a file, replacing what is there. A reader finds the old file or the new one, never half
/// of one, and neither a crash nor a power cut afterwards takes it back: it is written to a
/// temporary file in the same directory, synced, renamed, and the directory is synced. What is no
/// regular file (a pipe, `/dev/stdout`) is written to as it stands.
pub(crate) fn replace_file(
    path: &Path,
    fill: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> io::Result<()> {
    // A link stays a link: what it leads to is replaced.
    let path = match std::fs::canonicalize(path) {
        Ok(real) => real,
        Err(error) if error.kind() == io::ErrorKind::NotFound => path.to_path_buf(),
        Err(error) => return Err(error),
    };
    match std::fs::metadata(&path) {
        Ok(meta) if meta.is_dir() => Err(io::ErrorKind::IsADirectory.into()),
        Ok(meta) if !meta.is_file() => {
            let mut file = BufWriter::new(File::options().write(true).open(path)?);
            fill(&mut file)?;
            file.flush()
        }
        _ => through_a_temporary_file(&path, fill),
    }
}

fn through_a_temporary_file(
    path: &Path,
    fill: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> io::Result<()> {
    let directory = match path.parent() {
        Some(directory) if !directory.as_os_str().is_empty() => directory,
        _ => Path::new("."),
    };
    let mut file = tempfile::Builder::new()
        .prefix(".plugpull-report-")
        // As any new file; the umask takes its part away.
        .permissions(Permissions::from_mode(0o666))
        .tempfile_in(directory)?;
    let mut buffered = BufWriter::new(&mut file);
    fill(&mut buffered)?;
    buffered.flush()?;
    drop(buffered);
    file.as_file().sync_all()?;
    file.persist(path).map_err(|e| e.error)?;
    File::open(directory)?.sync_all()
}
