//! The simulated plotter: it logs each stroke before it draws it, so that the paper is known.

// tidy: small because the plotter is outside of the program that is imitated.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use super::files;
use plugpull_driver_vfab::paper::{PAPER, strokes};

/// The plotter.
pub(super) struct Plotter {
    log: PathBuf,
}

impl Plotter {
    /// The plotter beside the workspace in `directory`.
    pub(super) fn open(directory: &Path) -> io::Result<Self> {
        let log = directory.join(PAPER);
        if let Some(place) = log.parent() {
            fs::create_dir_all(place)?;
        }
        let plotter = Self { log };
        if !plotter.log.exists() {
            files::make(&plotter.log, b"", true)?;
        }
        plotter.log.parent().map_or(Ok(()), files::sync_directory)?;
        files::sync_directory(directory)?;
        Ok(plotter)
    }

    /// The strokes of a job that are on the paper. A line that was not finished was not drawn, and
    /// is cut off.
    pub(super) fn drawn(&self, job: &str) -> io::Result<Vec<u64>> {
        let bytes = match fs::read(&self.log) {
            Err(e) if e.kind() == ErrorKind::NotFound => Vec::new(),
            other => other?,
        };
        let whole = bytes
            .iter()
            .rposition(|byte| *byte == b'\n')
            .map_or(0, |end| end + 1);
        if whole < bytes.len() {
            files::cut(&self.log, whole as u64)?;
        }
        Ok(strokes(&bytes).remove(job).unwrap_or_default())
    }

    /// Draws one stroke.
    pub(super) fn draw(&self, job: &str, stroke: u64) -> io::Result<()> {
        files::append(&self.log, format!("{job} {stroke}\n").as_bytes(), true)
    }
}
