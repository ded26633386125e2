//! The little that a store needs of a filesystem, as two traits; and a simulated disk that is one.
//!
//! A store that has a storage trait of its own implements it over [`SimDisk`], or takes these. No
//! kernel is asked: what a store does is recorded in the process that does it.

use std::ffi::OsStr;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use nix::errno::Errno;

use crate::fs::{Caller, Disk, Ino, Log, NewNode, ROOT, RenameMode, Tree};

/// An open file. Offsets and lengths are in bytes.
///
/// Every method fails as the call of the same name does on a real filesystem.
pub trait File {
    /// Reads from `offset` on and returns how many bytes: fewer at the end of the file.
    fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<usize>;
    /// Writes all of `data` at `offset`.
    fn write_at(&self, offset: u64, data: &[u8]) -> io::Result<()>;
    /// Its length.
    fn len(&self) -> io::Result<u64>;
    /// True when it holds no byte.
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }
    /// Cuts it off or makes it longer, by zeros.
    fn set_len(&self, len: u64) -> io::Result<()>;
    /// fdatasync(2).
    fn sync_data(&self) -> io::Result<()>;
    /// fsync(2).
    fn sync_all(&self) -> io::Result<()>;
}

/// A directory tree. Paths are relative to its root, with `/` between names; "" is the root.
pub trait Storage {
    /// Its files.
    type File: File;
    /// Opens a file that is there.
    fn open(&self, path: &str) -> io::Result<Self::File>;
    /// Makes a file that must not be there, and opens it.
    fn create(&self, path: &str) -> io::Result<Self::File>;
    /// Makes a directory.
    fn create_dir(&self, path: &str) -> io::Result<()>;
    /// Gives a file or directory another name, over whatever file has it.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;
    /// Removes a file.
    fn remove_file(&self, path: &str) -> io::Result<()>;
    /// The names in a directory, sorted.
    fn list(&self, path: &str) -> io::Result<Vec<String>>;
    /// fsync(2) of a directory.
    fn sync_dir(&self, path: &str) -> io::Result<()>;
}

/// A simulated disk as [`Storage`]. A clone is the same disk.
#[derive(Clone)]
pub struct SimDisk(Arc<Mutex<Disk>>);

/// An open file of a [`SimDisk`], whatever name it has. With its last name the file goes too: what
/// is done to it after that fails with `ESTALE`.
#[derive(Clone)]
pub struct SimFile {
    disk: SimDisk,
    ino: Ino,
}

/// The process that a record names: there is but one.
const PID: u32 = 1;

impl Default for SimDisk {
    fn default() -> Self {
        Self::new()
    }
}

impl SimDisk {
    /// An empty disk.
    pub fn new() -> Self {
        Self(Arc::new(Mutex::new(Disk::empty((0, 0)))))
    }

    /// A disk that holds this: a crash state, to start a store on.
    pub fn of(tree: Tree) -> Self {
        Self(Arc::new(Mutex::new(Disk::new(
            tree,
            std::time::Instant::now(),
            0,
        ))))
    }

    /// Notes in the log that the store acknowledged `id` now.
    pub fn ack(&self, id: u64) {
        self.disk().log.mark(id);
    }

    /// Takes the log of all that happened; a new one begins on what the disk holds, all of which
    /// counts as durable.
    pub fn take_log(&self) -> Log {
        self.disk().take_log()
    }

    /// All bytes of a file.
    ///
    /// # Errors
    /// [`io::ErrorKind::NotFound`], or whatever else opening it meets.
    pub fn read(&self, path: &str) -> io::Result<Vec<u8>> {
        let file = self.open(path)?;
        let mut bytes = vec![0; usize::try_from(file.len()?).map_err(io::Error::other)?];
        let read = file.read_at(0, &mut bytes)?;
        bytes.truncate(read);
        Ok(bytes)
    }

    fn disk(&self) -> MutexGuard<'_, Disk> {
        // A store that panics in the middle of a call leaves the disk as the call left it.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ino(&self, path: &str) -> Result<Ino, Errno> {
        self.disk().resolve(path)
    }

    fn place<'p>(&self, path: &'p str) -> Result<(Ino, &'p OsStr), Errno> {
        let (parent, name) = path.rsplit_once('/').unwrap_or(("", path));
        Ok((self.ino(parent)?, OsStr::new(name)))
    }

    fn make(&self, path: &str, node: NewNode, mode: u32) -> Result<Ino, Errno> {
        let place = self.place(path)?;
        let mut disk = self.disk();
        let root = disk.tree.get(ROOT)?;
        let owner = Caller {
            uid: root.uid,
            gid: root.gid,
            now: disk.now(),
        };
        disk.make(PID, owner, place, node, mode)
    }
}

impl Storage for SimDisk {
    type File = SimFile;

    fn open(&self, path: &str) -> io::Result<SimFile> {
        let ino = self.ino(path)?;
        let mut disk = self.disk();
        disk.inode(ino)?;
        disk.tree.content(ino)?;
        Ok(SimFile {
            disk: self.clone(),
            ino,
        })
    }

    fn create(&self, path: &str) -> io::Result<SimFile> {
        let ino = self.make(path, NewNode::File, 0o644)?;
        Ok(SimFile {
            disk: self.clone(),
            ino,
        })
    }

    fn create_dir(&self, path: &str) -> io::Result<()> {
        self.make(path, NewNode::Dir, 0o755)?;
        Ok(())
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let (from, to) = (self.place(from)?, self.place(to)?);
        self.disk().rename(PID, from, to, RenameMode::Replace)?;
        Ok(())
    }

    fn remove_file(&self, path: &str) -> io::Result<()> {
        let place = self.place(path)?;
        self.disk().remove(PID, place, false)?;
        Ok(())
    }

    fn list(&self, path: &str) -> io::Result<Vec<String>> {
        let ino = self.ino(path)?;
        let mut disk = self.disk();
        let names = disk.list(ino)?.iter();
        Ok(names
            .map(|(name, _)| name.to_string_lossy().into_owned())
            .collect())
    }

    fn sync_dir(&self, path: &str) -> io::Result<()> {
        let ino = self.ino(path)?;
        let mut disk = self.disk();
        disk.tree.dir(ino)?;
        disk.sync(PID, ino, false, true)?;
        Ok(())
    }
}

impl File for SimFile {
    fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<usize> {
        let mut bytes = Vec::with_capacity(into.len());
        self.disk
            .disk()
            .read_bytes(self.ino, offset, into.len(), &mut bytes)?;
        into[..bytes.len()].copy_from_slice(&bytes);
        Ok(bytes.len())
    }

    fn write_at(&self, mut offset: u64, mut data: &[u8]) -> io::Result<()> {
        while !data.is_empty() {
            let mut disk = self.disk.disk();
            let written = disk.write_bytes(PID, self.ino, offset, data)? as usize;
            (offset, data) = (offset + written as u64, &data[written..]);
        }
        Ok(())
    }

    fn len(&self) -> io::Result<u64> {
        let mut disk = self.disk.disk();
        disk.inode(self.ino)?;
        Ok(disk.tree.content(self.ino)?.size())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        Ok(self.disk.disk().set_size(PID, self.ino, len)?)
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(self.disk.disk().sync(PID, self.ino, true, false)?)
    }

    fn sync_all(&self) -> io::Result<()> {
        Ok(self.disk.disk().sync(PID, self.ino, false, false)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_simulated_disk_is_a_directory_tree() -> io::Result<()> {
        let disk = SimDisk::new();
        disk.create_dir("d")?;
        let file = disk.create("d/a")?;
        file.write_at(3, b"abc")?;
        assert_eq!((file.len()?, disk.read("d/a")?), (6, b"\0\0\0abc".to_vec()));
        file.set_len(4)?;
        let mut two = [0; 9];
        assert_eq!((file.read_at(3, &mut two)?, two[0]), (1, b'a'));
        disk.rename("d/a", "b")?;
        assert_eq!(disk.list("")?, ["b", "d"]);
        let missing = disk.open("d/a").map(drop).map_err(|error| error.kind());
        assert_eq!(missing, Err(io::ErrorKind::NotFound));
        file.sync_all()?;
        disk.sync_dir("")?;
        disk.ack(7);
        disk.remove_file("b")?;
        let log = disk.take_log();
        let names: Vec<_> = log
            .records()
            .iter()
            .map(|record| record.op.name())
            .collect();
        assert_eq!(
            names,
            [
                "mkdir",
                "create",
                "write",
                "truncate",
                "rename",
                "fsync",
                "fsync(dir)",
                "unlink"
            ]
        );
        assert_eq!(log.acks_before(7), 1);
        assert_eq!(log.acks_before(6), 0);
        Ok(())
    }
}
