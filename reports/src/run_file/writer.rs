//! Writing a run file: each record is in the kernel's hands before the next thing happens, so that
//! nothing is lost when plugpull dies.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::reader::{Piece, Source};
use super::record::Line;

/// A run file that is written. Where it cannot be written the records go to a file without a name,
/// and where that is not possible either to memory: a run never ends for want of space.
#[derive(Debug)]
pub struct RunFile {
    path: Option<PathBuf>,
    parts: Vec<Piece>,
    /// Why the file of this name ends early; given out once.
    warning: Option<String>,
    /// True when a file without a name was taken for what follows.
    spilled: bool,
}

impl RunFile {
    /// Records that nobody is to keep.
    pub fn unnamed() -> Self {
        let mut file = Self {
            path: None,
            parts: Vec::new(),
            warning: None,
            spilled: false,
        };
        file.spill();
        file
    }

    /// A new run file; nothing may be there.
    pub fn create(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .open(path)?;
        Ok(Self::of(path, file, 0))
    }

    /// A run file, replacing what is there.
    pub fn replace(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .open(path)?;
        Ok(Self::of(path, file, 0))
    }

    /// Goes on with a run file, behind its last whole line.
    pub fn append(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new().read(true).write(true).open(path)?;
        let end = last_line_end(&file)?;
        file.set_len(end)?;
        Ok(Self::of(path, file, end))
    }

    fn of(path: &Path, file: File, len: u64) -> Self {
        let file = Arc::new(file);
        Self {
            path: Some(path.to_path_buf()),
            parts: vec![Piece::File { file, len }],
            warning: None,
            spilled: false,
        }
    }

    /// Where it is; none where it has no name.
    pub fn path(&self) -> Option<&Path> {
        self.path.as_deref()
    }

    /// Writes a record. Where the file takes no more, the rest goes elsewhere, and [`Self::warning`]
    /// says so.
    pub fn write(&mut self, line: &Line) {
        let mut bytes = match serde_json::to_vec(line) {
            Ok(bytes) => bytes,
            Err(error) => {
                self.warn(&error);
                return;
            }
        };
        bytes.push(b'\n');
        while let Err(error) = self.put(&bytes) {
            self.warn(&error);
            self.spill();
        }
    }

    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self.parts.last_mut() {
            Some(Piece::File { file, len }) => {
                if let Err(error) = file.write_all_at(bytes, *len) {
                    // No half of a line stays where that can be helped; a reader ignores it too.
                    drop(file.set_len(*len));
                    return Err(error);
                }
                *len += bytes.len() as u64;
            }
            Some(Piece::Memory(all)) => Arc::make_mut(all).extend_from_slice(bytes),
            None => self.parts.push(Piece::Memory(Arc::new(bytes.to_vec()))),
        }
        Ok(())
    }

    /// What comes from now on goes to a file without a name, or to memory.
    fn spill(&mut self) {
        let part = match tempfile::tempfile() {
            Ok(file) if !self.spilled => Piece::File {
                file: Arc::new(file),
                len: 0,
            },
            _ => Piece::Memory(Arc::default()),
        };
        self.spilled = true;
        self.parts.push(part);
    }

    fn warn(&mut self, error: &dyn std::fmt::Display) {
        if let (Some(path), None) = (&self.path, &self.warning) {
            self.warning = Some(format!(
                "the run file {} ends here, {error}; the run goes on, and its report has everything",
                path.display()
            ));
        }
    }

    /// Why the file of this name ends early, once.
    pub fn warning(&mut self) -> Option<String> {
        let warning = self.warning.take();
        if warning.is_some() {
            self.path = None;
        }
        warning
    }

    /// What was written up to here, to be read again.
    pub fn source(&self) -> Source {
        Source::of(self.parts.clone())
    }

    /// Puts what was written on the disk.
    pub fn sync(&mut self) {
        if let (Some(_), Some(Piece::File { file, .. })) = (&self.path, self.parts.first())
            && let Err(error) = file.sync_data()
        {
            self.warn(&error);
        }
    }
}

/// Where the last whole line ends.
fn last_line_end(file: &File) -> io::Result<u64> {
    let mut end = file.metadata()?.len();
    let mut block = vec![0; 1 << 16];
    while end > 0 {
        let from = end.saturating_sub(block.len() as u64);
        let part = &mut block[..(end - from) as usize];
        file.read_exact_at(part, from)?;
        if let Some(at) = part.iter().rposition(|byte| *byte == b'\n') {
            return Ok(from + at as u64 + 1);
        }
        end = from;
    }
    Ok(0)
}
