//! What a directory on a real filesystem holds, as the trace that makes it.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs::{self, File, Metadata};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, FileTypeExt, MetadataExt};
use std::path::Path;

use plugpull_crashsim::fs::{Ino, Inode, NewNode, ROOT};
use plugpull_crashsim::trace;
use rustix::fs::{SeekFrom, lgetxattr, llistxattr, seek};

use crate::trees::Made;

/// The most bytes of a trace.
const LONGEST: usize = 1 << 30;
/// The most that is read at once.
const PIECE: u64 = 1 << 20;
/// The longest list of extended attributes, and the longest value (xattr(7)).
const XATTR_MAX: usize = 64 << 10;

/// Reads all of it.
pub(crate) fn read(top: &Path) -> io::Result<Vec<u8>> {
    let mut reading = DirectoryReading {
        made: Made::default(),
        known: HashMap::new(),
        next: ROOT + 1,
    };
    reading.directory(top, ROOT)?;
    let root = top.symlink_metadata()?;
    reading.attributes(top, ROOT, &root)?;
    let bytes = trace::to_bytes(&reading.made.records, LONGEST)?;
    bytes.ok_or_else(|| io::Error::other("the data directory holds more than 1 GiB"))
}

struct DirectoryReading {
    made: Made,
    /// Files that have more than one name, by their number there.
    known: HashMap<u64, Ino>,
    next: Ino,
}

impl DirectoryReading {
    fn directory(&mut self, at: &Path, ino: Ino) -> io::Result<()> {
        let mut entries: Vec<_> = fs::read_dir(at)?.collect::<io::Result<_>>()?;
        entries.sort_by_key(fs::DirEntry::file_name);
        for entry in entries {
            let (path, name) = (entry.path(), entry.file_name());
            let meta = path.symlink_metadata()?;
            if let Some(known) = self.known.get(&meta.ino()) {
                self.made.link(*known, (ino, name));
                continue;
            }
            let new = self.next;
            self.next += 1;
            if meta.nlink() > 1 && !meta.is_dir() {
                self.known.insert(meta.ino(), new);
            }
            self.inode(&path, (ino, &name), new, &meta)?;
        }
        Ok(())
    }

    fn inode(
        &mut self,
        path: &Path,
        place: (Ino, &OsStr),
        ino: Ino,
        meta: &Metadata,
    ) -> io::Result<()> {
        let kind = meta.file_type();
        let node = match kind {
            kind if kind.is_file() => NewNode::File,
            kind if kind.is_dir() => NewNode::Dir,
            kind if kind.is_symlink() => NewNode::Symlink(fs::read_link(path)?.into_os_string()),
            kind if kind.is_fifo() || kind.is_socket() => NewNode::Special { rdev: 0 },
            _ => NewNode::Special {
                rdev: u32::try_from(meta.rdev()).unwrap_or_default(),
            },
        };
        self.made.create(place, ino, node, &like(meta));
        if kind.is_file() {
            self.content(path, ino, meta.size())?;
        }
        if kind.is_dir() {
            self.directory(path, ino)?;
        }
        self.attributes(path, ino, meta)
    }

    fn content(&mut self, path: &Path, ino: Ino, size: u64) -> io::Result<()> {
        let file = File::open(path)?;
        let (mut at, mut written) = (0, 0);
        while at < size {
            // The whole of it is data where the filesystem knows no holes.
            let Ok(start) = seek(&file, SeekFrom::Data(at)) else {
                break;
            };
            let end = seek(&file, SeekFrom::Hole(start)).unwrap_or(size).min(size);
            at = start;
            while at < end {
                let mut bytes = vec![0; usize::try_from((end - at).min(PIECE)).unwrap_or_default()];
                file.read_exact_at(&mut bytes, at)?;
                self.made.write(ino, at, &bytes, written);
                at += bytes.len() as u64;
                written = at;
            }
        }
        self.made.resize(ino, written, size);
        Ok(())
    }

    fn attributes(&mut self, path: &Path, ino: Ino, meta: &Metadata) -> io::Result<()> {
        let mut inode = like(meta);
        let mut list = vec![0; XATTR_MAX];
        // A filesystem without extended attributes has none.
        let length = llistxattr(path, list.as_mut_slice()).unwrap_or(0);
        for name in list[..length].split(|byte| *byte == 0) {
            if name.is_empty() {
                continue;
            }
            let mut value = vec![0; XATTR_MAX];
            let name = OsStr::from_bytes(name);
            let length = lgetxattr(path, name, value.as_mut_slice())?;
            inode.xattrs.insert(name.to_owned(), value[..length].into());
        }
        self.made.attributes(ino, &inode);
        Ok(())
    }
}

/// An inode with this mode, owner and times. The times are those that the clock gave.
fn like(meta: &Metadata) -> Inode {
    let nanos = |seconds: i64, nanos: i64| seconds.saturating_mul(1_000_000_000) + nanos;
    let mut inode = Inode::default();
    inode.mode = meta.mode();
    (inode.uid, inode.gid) = (meta.uid(), meta.gid());
    inode.atime = nanos(meta.atime(), meta.atime_nsec());
    inode.mtime = nanos(meta.mtime(), meta.mtime_nsec());
    inode.ctime = nanos(meta.ctime(), meta.ctime_nsec());
    inode.crtime = inode.ctime;
    inode
}
