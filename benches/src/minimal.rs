//! The least that a FUSE filesystem in memory can do for this benchmark's work: one directory, files
//! as vectors of bytes, no times, no owners, no space, no log.
//!
//! It pulls the same levers as the crash filesystem, so that the difference of the two is the
//! price of recording: names and attributes (also of names that are not there) are valid for a
//! day, writes come in pieces of up to 1 MiB, and OPEN, OPENDIR, CREATE, FLUSH and the xattr calls
//! are refused with ENOSYS, after which the kernel does without (fuser's default answer, but for
//! the first two).

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::OwnedFd;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use fuser::{
    BsdFileFlags, Config, Errno, FileAttr, FileHandle, FileType, Filesystem, Generation, INodeNo,
    InitFlags, KernelConfig, LockOwner, OpenFlags, ReplyAttr, ReplyData, ReplyEmpty, ReplyEntry,
    ReplyOpen, ReplyWrite, Request, Session, SessionACL, TimeOrNow, WriteFlags,
};
use parking_lot::Mutex;

const DAY: Duration = Duration::from_secs(24 * 3600);
const MAX_WRITE: u32 = 1 << 20;

/// Serves an empty filesystem on an open `/dev/fuse` that is mounted already, until it is
/// unmounted.
pub(crate) fn serve(device: OwnedFd) -> io::Result<()> {
    let mut config = Config::default();
    config.acl = SessionACL::All;
    Session::from_fd(Minimal::default(), device, SessionACL::All, config)?.run()
}

#[derive(Default)]
struct Minimal {
    files: Mutex<Files>,
}

#[derive(Default)]
struct Files {
    names: HashMap<OsString, u64>,
    bytes: HashMap<u64, Vec<u8>>,
    /// Inode numbers given away, not counting the root's.
    given: u64,
}

fn attr(ino: u64, size: u64, kind: FileType) -> FileAttr {
    FileAttr {
        ino: INodeNo(ino),
        size,
        blocks: size.div_ceil(512),
        atime: UNIX_EPOCH,
        mtime: UNIX_EPOCH,
        ctime: UNIX_EPOCH,
        crtime: UNIX_EPOCH,
        kind,
        perm: 0o777,
        nlink: 1,
        uid: 0,
        gid: 0,
        rdev: 0,
        blksize: 4096,
        flags: 0,
    }
}

impl Files {
    fn attr(&self, ino: INodeNo) -> Option<FileAttr> {
        if ino == INodeNo::ROOT {
            return Some(attr(ino.0, 0, FileType::Directory));
        }
        self.bytes
            .get(&ino.0)
            .map(|bytes| attr(ino.0, bytes.len() as u64, FileType::RegularFile))
    }
}

fn write(file: &mut Vec<u8>, offset: usize, data: &[u8]) {
    if offset > file.len() {
        file.resize(offset, 0);
    }
    let (over, behind) = data.split_at(data.len().min(file.len() - offset));
    file[offset..offset + over.len()].copy_from_slice(over);
    file.extend_from_slice(behind);
}

impl Filesystem for Minimal {
    fn init(&mut self, _: &Request, config: &mut KernelConfig) -> io::Result<()> {
        // What an older kernel does not know it does without.
        let _without = config.set_max_write(MAX_WRITE);
        for wish in [
            InitFlags::FUSE_MAX_PAGES,
            InitFlags::FUSE_PARALLEL_DIROPS,
            InitFlags::FUSE_NO_OPEN_SUPPORT,
            InitFlags::FUSE_NO_OPENDIR_SUPPORT,
        ] {
            let _without = config.add_capabilities(wish);
        }
        Ok(())
    }

    fn lookup(&self, _: &Request, _: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let files = self.files.lock();
        // Inode number 0 is a name that is not there, for the kernel to remember.
        let found = files
            .names
            .get(name)
            .and_then(|ino| files.attr(INodeNo(*ino)));
        let attr = found.unwrap_or_else(|| attr(0, 0, FileType::RegularFile));
        reply.entry(&DAY, &attr, Generation(0));
    }

    fn getattr(&self, _: &Request, ino: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        match self.files.lock().attr(ino) {
            Some(attr) => reply.attr(&DAY, &attr),
            None => reply.error(Errno::ESTALE),
        }
    }

    fn setattr(
        &self,
        req: &Request,
        ino: INodeNo,
        _mode: Option<u32>,
        _uid: Option<u32>,
        _gid: Option<u32>,
        size: Option<u64>,
        _atime: Option<TimeOrNow>,
        _mtime: Option<TimeOrNow>,
        _ctime: Option<SystemTime>,
        fh: Option<FileHandle>,
        _crtime: Option<SystemTime>,
        _chgtime: Option<SystemTime>,
        _bkuptime: Option<SystemTime>,
        _flags: Option<BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        if let Some(size) = size
            && let Some(file) = self.files.lock().bytes.get_mut(&ino.0)
        {
            file.resize(size as usize, 0);
        }
        self.getattr(req, ino, fh, reply);
    }

    fn mknod(
        &self,
        _: &Request,
        _: INodeNo,
        name: &OsStr,
        _mode: u32,
        _umask: u32,
        _rdev: u32,
        reply: ReplyEntry,
    ) {
        let mut files = self.files.lock();
        files.given += 1;
        let ino = INodeNo::ROOT.0 + files.given;
        files.names.insert(name.to_owned(), ino);
        files.bytes.insert(ino, Vec::new());
        reply.entry(&DAY, &attr(ino, 0, FileType::RegularFile), Generation(0));
    }

    fn unlink(&self, _: &Request, _: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        let mut files = self.files.lock();
        match files.names.remove(name) {
            Some(ino) => {
                // None of this benchmark's work goes on with a file that it removed.
                files.bytes.remove(&ino);
                reply.ok();
            }
            None => reply.error(Errno::ENOENT),
        }
    }

    fn open(&self, _: &Request, _: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        reply.error(Errno::ENOSYS);
    }

    fn opendir(&self, _: &Request, _: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        reply.error(Errno::ENOSYS);
    }

    fn read(
        &self,
        _: &Request,
        ino: INodeNo,
        _: FileHandle,
        offset: u64,
        size: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        let files = self.files.lock();
        let Some(file) = files.bytes.get(&ino.0) else {
            return reply.error(Errno::ESTALE);
        };
        let from = file.len().min(offset as usize);
        let to = file.len().min(from + size as usize);
        reply.data(&file[from..to]);
    }

    fn write(
        &self,
        _: &Request,
        ino: INodeNo,
        _: FileHandle,
        offset: u64,
        data: &[u8],
        _: WriteFlags,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        match self.files.lock().bytes.get_mut(&ino.0) {
            Some(file) => {
                write(file, offset as usize, data);
                reply.written(data.len() as u32);
            }
            None => reply.error(Errno::ESTALE),
        }
    }

    fn fsync(&self, _: &Request, _: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        reply.ok();
    }

    fn fsyncdir(&self, _: &Request, _: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        reply.ok();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_overwrite_append_and_leave_zeros() {
        let mut file = Vec::new();
        write(&mut file, 0, b"abc");
        write(&mut file, 2, b"xyz");
        assert_eq!(file, b"abxyz");
        write(&mut file, 1, b"_");
        write(&mut file, 7, b"end");
        assert_eq!(file, b"a_xyz\0\0end");
    }
}
