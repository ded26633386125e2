//! Does recorded operations again, as calls on a real directory.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt, PermissionsExt, lchown, symlink};
use std::path::{Path, PathBuf};

use nix::fcntl::{AT_FDCWD, FallocateFlags, RenameFlags, fallocate, renameat2};
use nix::sys::stat::{Mode, SFlag, UtimensatFlags, mknod, utimensat};
use nix::sys::time::{TimeSpec, TimeValLike};
use nix::unistd::syncfs;
use plugpull_crashsim::fs::{Attrs, Ino, NewNode, Op, Record, Times};
use rustix::fs::{XattrFlags, lremovexattr, lsetxattr};

use crate::names::Names;

/// A directory on which recorded operations are done.
#[derive(Default)]
pub(crate) struct Player {
    data: PathBuf,
    pub(crate) names: Names,
    /// Files that are open since they were first written: closing one may write it back, and a trace does
    /// not say when that was.
    open: HashMap<Ino, File>,
}

impl Player {
    /// Nothing was done yet in this directory, which is there.
    pub(crate) fn new(data: PathBuf) -> Self {
        Self {
            data,
            ..Self::default()
        }
    }

    /// Closes every file.
    pub(crate) fn close_all(&mut self) {
        self.open.clear();
    }

    pub(crate) fn path(&self, ino: Ino) -> Option<PathBuf> {
        self.names.path(ino).map(|path| self.data.join(path))
    }

    fn place(&self, (parent, name): (Ino, &OsStr)) -> io::Result<PathBuf> {
        let parent = self.path(parent);
        let parent = parent.ok_or_else(|| io::Error::other("its directory has no name"))?;
        Ok(parent.join(name))
    }

    /// The file, open for writing.
    fn file(&mut self, ino: Ino) -> io::Result<Option<&mut File>> {
        let Some(path) = self.path(ino) else {
            return Ok(None);
        };
        match self.open.entry(ino) {
            Entry::Occupied(open) => Ok(Some(open.into_mut())),
            Entry::Vacant(free) => {
                let file = OpenOptions::new()
                    .read(true)
                    .write(true)
                    .custom_flags(libc::O_NOFOLLOW)
                    .open(path)?;
                Ok(Some(free.insert(file)))
            }
        }
    }

    /// Does what was recorded, as a call. False where it is left out: what is no call, and what is about a
    /// file without a name.
    pub(crate) fn record(&mut self, record: &Record) -> io::Result<bool> {
        let done = match &record.op {
            Op::Create { .. } | Op::Link { .. } | Op::Unlink { .. } | Op::Rename { .. } => {
                self.rename_or_make(&record.op)?;
                self.names.change(&record.op);
                true
            }
            Op::Write { ino, data, .. } => {
                let bytes = data.to_vec();
                self.on_file(*ino, |file| file.write_all_at(&bytes, data.offset()))?
            }
            Op::Truncate { ino, size, .. } => self.on_file(*ino, |file| file.set_len(*size))?,
            Op::Allocate {
                ino,
                offset,
                len,
                old_size,
                size,
            } => {
                let keep = (old_size == size).then_some(FallocateFlags::FALLOC_FL_KEEP_SIZE);
                self.allocate(
                    *ino,
                    keep.unwrap_or(FallocateFlags::empty()),
                    (*offset, *len),
                )?
            }
            Op::Zero {
                ino,
                offset,
                len,
                punch,
                old_size,
                size,
            } => {
                let mut flags = match punch {
                    true => FallocateFlags::FALLOC_FL_PUNCH_HOLE,
                    false => FallocateFlags::FALLOC_FL_ZERO_RANGE,
                };
                if old_size == size {
                    flags |= FallocateFlags::FALLOC_FL_KEEP_SIZE;
                }
                self.allocate(*ino, flags, (*offset, *len))?
            }
            Op::SetAttrs { ino, attrs } => self.on_path(*ino, |path| set_attrs(path, attrs))?,
            Op::Touch { ino, times } => self.on_path(*ino, |path| touch(path, times))?,
            Op::SetXattr { ino, name, value } => self.on_path(*ino, |path| match value {
                Some(value) => Ok(lsetxattr(path, name, value, XattrFlags::empty())?),
                None => Ok(lremovexattr(path, name)?),
            })?,
            Op::Sync { ino, dir: true, .. } => {
                self.on_path(*ino, |path| File::open(path)?.sync_all())?
            }
            Op::Sync { ino, data_only, .. } => self.on_file(*ino, |file| match data_only {
                true => file.sync_data(),
                false => file.sync_all(),
            })?,
            Op::SyncAll { .. } => {
                syncfs(File::open(&self.data)?)?;
                true
            }
            Op::SyncFailed { .. }
            | Op::SyncAllFailed
            | Op::CallGoesOn { .. }
            | Op::CacheSettled
            | Op::CacheUnsettled => false,
        };
        Ok(done)
    }

    fn on_file(&mut self, ino: Ino, act: impl FnOnce(&File) -> io::Result<()>) -> io::Result<bool> {
        let Some(file) = self.file(ino)? else {
            return Ok(false);
        };
        act(&*file).map(|()| true)
    }

    fn on_path(&mut self, ino: Ino, act: impl FnOnce(&Path) -> io::Result<()>) -> io::Result<bool> {
        let Some(path) = self.path(ino) else {
            return Ok(false);
        };
        act(&path).map(|()| true)
    }

    fn allocate(
        &mut self,
        ino: Ino,
        flags: FallocateFlags,
        (offset, len): (u64, u64),
    ) -> io::Result<bool> {
        let range = (i64::try_from(offset), i64::try_from(len));
        let (Ok(offset), Ok(len)) = range else {
            return Err(io::ErrorKind::InvalidInput.into());
        };
        self.on_file(ino, |file| Ok(fallocate(file, flags, offset, len)?))
    }

    /// Changes names as the operation did.
    fn rename_or_make(&mut self, op: &Op) -> io::Result<()> {
        match op {
            Op::Create {
                parent,
                name,
                node,
                mode,
                owner,
                ..
            } => {
                let path = self.place((*parent, name))?;
                create(&path, node, *mode)?;
                let made = path.symlink_metadata()?;
                if (made.uid(), made.gid()) != (owner.uid, owner.gid) {
                    lchown(&path, Some(owner.uid), Some(owner.gid))?;
                    if !matches!(node, NewNode::Symlink(_)) {
                        set_mode(&path, *mode)?;
                    }
                }
                Ok(())
            }
            Op::Link { ino, parent, name } => {
                let from = self.path(*ino);
                let from = from.ok_or_else(|| io::Error::other("it has no name any more"))?;
                fs::hard_link(from, self.place((*parent, name))?)
            }
            Op::Unlink {
                parent,
                name,
                ino,
                dir,
            } => {
                let path = self.place((*parent, name))?;
                match dir {
                    true => fs::remove_dir(path),
                    false => {
                        // Else its blocks stay in use until the end.
                        if self.names.is_last(*ino) {
                            self.open.remove(ino);
                        }
                        fs::remove_file(path)
                    }
                }
            }
            Op::Rename {
                from, to, exchange, ..
            } => {
                let (from, to) = (self.place((from.0, &from.1))?, self.place((to.0, &to.1))?);
                let flags = match exchange {
                    true => RenameFlags::RENAME_EXCHANGE,
                    false => RenameFlags::empty(),
                };
                Ok(renameat2(AT_FDCWD, &from, AT_FDCWD, &to, flags)?)
            }
            _ => Ok(()),
        }
    }
}

pub(crate) fn set_mode(path: &Path, mode: u32) -> io::Result<()> {
    fs::set_permissions(path, fs::Permissions::from_mode(mode & 0o7777))
}

fn create(path: &Path, node: &NewNode, mode: u32) -> io::Result<()> {
    match node {
        NewNode::File => {
            let mut file = OpenOptions::new();
            let file = file.write(true).create_new(true).mode(mode & 0o7777);
            file.open(path).map(drop)
        }
        NewNode::Dir => {
            let mut directory = fs::DirBuilder::new();
            std::os::unix::fs::DirBuilderExt::mode(&mut directory, mode & 0o7777);
            directory.create(path)
        }
        NewNode::Symlink(to) => symlink(to, path),
        NewNode::Special { rdev } => {
            let kind = SFlag::from_bits_truncate(mode & libc::S_IFMT);
            let mode = Mode::from_bits_truncate(mode & 0o7777);
            Ok(mknod(path, kind, mode, u64::from(*rdev))?)
        }
    }
}

fn set_attrs(path: &Path, attrs: &Attrs) -> io::Result<()> {
    if attrs.uid.is_some() || attrs.gid.is_some() {
        lchown(path, attrs.uid, attrs.gid)?;
    }
    if let Some(mode) = attrs.mode {
        set_mode(path, mode)?;
    }
    let time = |nanos: Option<i64>| nanos.map_or(TimeSpec::UTIME_OMIT, TimeSpec::nanoseconds);
    set_times(path, time(attrs.atime), time(attrs.mtime))
}

fn touch(path: &Path, times: &Times) -> io::Result<()> {
    let time = |set: bool| match set {
        true => TimeSpec::UTIME_NOW,
        false => TimeSpec::UTIME_OMIT,
    };
    let (atime, mtime) = (times.atime.is_some(), times.mtime.is_some());
    set_times(path, time(atime), time(mtime))
}

/// Where both are left out the kernel changes nothing.
fn set_times(path: &Path, atime: TimeSpec, mtime: TimeSpec) -> io::Result<()> {
    let link = UtimensatFlags::NoFollowSymlink;
    Ok(utimensat(AT_FDCWD, path, &atime, &mtime, link)?)
}
