//! Answers the kernel's FUSE requests from a [`CrashFs`].
//!
//! What the kernel need not ask is not asked, because a round trip costs more than the work:
//! names and attributes are valid for a day (nobody else changes them), OPEN, OPENDIR, CREATE,
//! FLUSH are refused once with ENOSYS, after which the kernel does without (fs/fuse/file.c and
//! dir.c: `no_open`, `no_create`, `no_flush`). Before a write the kernel asks for the attribute
//! `security.capability`; that it asks once a file, and not every time, is what
//! `FUSE_HANDLE_KILLPRIV_V2` is for: with it the server takes set-id bits away (fs/fuse/inode.c,
//! `SB_NOSEC`).
//! Locks are left to the kernel, which is right as long as one machine mounts it.

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use fuser::{
    BsdFileFlags, CopyFileRangeFlags, FileAttr, FileHandle, FileType, Filesystem, Generation,
    INodeNo, InitFlags, KernelConfig, LockOwner, OpenFlags, RenameFlags, ReplyAttr, ReplyData,
    ReplyDirectory, ReplyEmpty, ReplyEntry, ReplyLseek, ReplyStatfs, ReplyWrite, ReplyXattr,
    Request, TimeOrNow, WriteFlags,
};
use nix::errno::Errno;
use parking_lot::Mutex;
use plugpull_crashsim::fs::{
    Attrs, Caller, Disk, Ino, Inode, NAME_MAX, NewNode, Node, PAGE, RenameMode, from_system_time,
    to_system_time,
};

use super::admission::OpKind;
use super::caller::{Calls, may_go_on};
use super::fs::{CACHE_TTL, CrashFs, Mounted, wall_clock};

/// The largest write that the kernel sends at once.
const MAX_WRITE: u32 = 1 << 20;

/// The kernel's requests to one filesystem. A panic while one is answered is kept as the server's
/// failure, and the request is answered with EIO.
pub(super) struct Requests {
    fs: Arc<CrashFs>,
    /// Long writes, of which some came and some will.
    calls: Mutex<Calls>,
}

fn fail(errno: Errno) -> fuser::Errno {
    fuser::Errno::from_i32(errno as i32)
}

fn caller(req: &Request) -> Caller {
    Caller {
        uid: req.uid(),
        gid: req.gid(),
        now: wall_clock(),
    }
}

fn file_type(mode: u32) -> FileType {
    match mode & libc::S_IFMT {
        libc::S_IFDIR => FileType::Directory,
        libc::S_IFLNK => FileType::Symlink,
        libc::S_IFIFO => FileType::NamedPipe,
        libc::S_IFSOCK => FileType::Socket,
        libc::S_IFCHR => FileType::CharDevice,
        libc::S_IFBLK => FileType::BlockDevice,
        _ => FileType::RegularFile,
    }
}

/// What stat(2) says. Where reads are noted the space follows from the length (`by_length`): what of a
/// file has blocks is read by nobody who asks for no more than this.
fn file_attr(ino: Ino, inode: &Inode, by_length: bool) -> FileAttr {
    let pages = match by_length {
        true => inode.size().div_ceil(PAGE as u64),
        false => inode.pages(),
    };
    FileAttr {
        ino: INodeNo(ino),
        size: inode.size(),
        blocks: pages * (PAGE as u64 / 512),
        atime: to_system_time(inode.atime),
        mtime: to_system_time(inode.mtime),
        ctime: to_system_time(inode.ctime),
        crtime: to_system_time(inode.crtime),
        kind: file_type(inode.mode),
        perm: (inode.mode & 0o7777) as u16,
        nlink: inode.nlink,
        uid: inode.uid,
        gid: inode.gid,
        rdev: inode.rdev,
        blksize: PAGE as u32,
        flags: 0,
    }
}

/// The answer that there is no such name, for the kernel to remember: inode number 0.
fn no_entry(reply: ReplyEntry) {
    reply.entry(
        &CACHE_TTL,
        &file_attr(0, &Inode::default(), true),
        Generation(0),
    );
}

fn attributes(disk: &mut Disk, ino: Ino) -> Result<FileAttr, Errno> {
    let by_length = disk.notes_reads();
    Ok(file_attr(ino, disk.inode(ino)?, by_length))
}

fn answer_entry(state: &mut Mounted, found: Result<Ino, Errno>, reply: ReplyEntry) {
    match found.and_then(|ino| attributes(&mut state.disk, ino)) {
        Ok(attr) => {
            state.disk.tree.count_lookups(attr.ino.0, 1);
            reply.entry(&CACHE_TTL, &attr, Generation(0));
        }
        Err(errno) => reply.error(fail(errno)),
    }
}

fn answer_empty(result: Result<(), Errno>, reply: ReplyEmpty) {
    match result {
        Ok(()) => reply.ok(),
        Err(errno) => reply.error(fail(errno)),
    }
}

impl Requests {
    pub(super) fn new(fs: Arc<CrashFs>) -> Self {
        Self {
            fs,
            calls: Mutex::default(),
        }
    }

    /// Answers one request.
    fn answer(&self, work: impl FnOnce()) {
        // A panic drops the reply, which answers with EIO.
        self.fs.guard(work);
    }

    fn make(
        &self,
        req: &Request,
        place: (INodeNo, &OsStr),
        node: NewNode,
        mode: u32,
        reply: ReplyEntry,
    ) {
        let (parent, name) = (place.0.0, place.1);
        let made = self.fs.serve(OpKind::Create, parent, Some(name), |disk| {
            disk.make(req.pid(), caller(req), (parent, name), node, mode)
        });
        answer_entry(&mut self.fs.lock(), made, reply);
    }

    fn remove(&self, req: &Request, place: (INodeNo, &OsStr), dir: bool, reply: ReplyEmpty) {
        let (parent, name) = (place.0.0, place.1);
        let removed = self.fs.serve(OpKind::Unlink, parent, Some(name), |disk| {
            disk.remove(req.pid(), (parent, name), dir)
        });
        answer_empty(removed, reply);
    }

    fn sync(&self, req: &Request, ino: INodeNo, data_only: bool, dir: bool, reply: ReplyEmpty) {
        let kind = if dir { OpKind::SyncDir } else { OpKind::Sync };
        let synced = self.fs.serve(kind, ino.0, None, |disk| {
            disk.sync(req.pid(), ino.0, data_only, dir)
        });
        answer_empty(synced, reply);
    }

    fn read_bytes(
        &self,
        ino: Ino,
        offset: u64,
        len: usize,
        into: &mut Vec<u8>,
    ) -> Result<(), Errno> {
        self.fs.serve(OpKind::Read, ino, None, |disk| {
            disk.read_bytes(ino, offset, len, into)
        })
    }

    fn write_bytes(&self, pid: u32, ino: Ino, offset: u64, data: &[u8]) -> Result<u32, Errno> {
        self.fs.serve(OpKind::Write, ino, None, |disk| {
            disk.write_bytes(pid, ino, offset, data)
        })
    }

    /// setattr without a size.
    fn set_attrs(&self, req: &Request, ino: Ino, change: &AttrChange) -> Result<(), Errno> {
        let by_clock = |time: Option<TimeOrNow>| matches!(time, Some(TimeOrNow::Now));
        let (atime, mtime) = (by_clock(change.atime), by_clock(change.mtime));
        let chosen = |time: Option<TimeOrNow>| match time {
            Some(TimeOrNow::SpecificTime(time)) => Some(from_system_time(time)),
            _ => None,
        };
        let attrs = Attrs {
            mode: change.mode,
            uid: change.uid,
            gid: change.gid,
            atime: chosen(change.atime),
            mtime: chosen(change.mtime),
            ctime: change.ctime.map(from_system_time),
        };
        let set = attrs != Attrs::default();
        if !set && !atime && !mtime {
            return Ok(());
        }
        let given = attrs.uid.is_some() || attrs.gid.is_some();
        self.fs.serve(OpKind::SetAttr, ino, None, |disk| {
            if atime || mtime {
                disk.touch(req.pid(), ino, atime, mtime)?;
            }
            if !set {
                return Ok(());
            }
            // Whoever gets the file does not get the rights of its owner before.
            let mode = match attrs.mode {
                None if given => disk.inode(ino)?.without_set_ids(),
                mode => mode,
            };
            disk.set_attrs(req.pid(), ino, Attrs { mode, ..attrs })
        })
    }
}

/// What setattr changes beside the size.
struct AttrChange {
    mode: Option<u32>,
    uid: Option<u32>,
    gid: Option<u32>,
    atime: Option<TimeOrNow>,
    mtime: Option<TimeOrNow>,
    ctime: Option<SystemTime>,
}

/// Answers with an extended attribute's bytes, or how many there are where `room` is 0.
fn answer_xattr(found: Result<&[u8], Errno>, room: u32, reply: ReplyXattr) {
    match found {
        Ok(bytes) if room == 0 => reply.size(bytes.len() as u32),
        Ok(bytes) if bytes.len() > room as usize => reply.error(fail(Errno::ERANGE)),
        Ok(bytes) => reply.data(bytes),
        Err(errno) => reply.error(fail(errno)),
    }
}

impl Filesystem for Requests {
    fn init(&mut self, _req: &Request, config: &mut KernelConfig) -> io::Result<()> {
        // Older kernels take less; the nearest value that they take comes back.
        if let Err(nearest) = config.set_max_write(MAX_WRITE) {
            let refused = |_| io::Error::other("the kernel takes no size of writes");
            config.set_max_write(nearest).map_err(refused)?;
        }
        if self.fs.lock().disk.notes_reads() {
            // What is read ahead counts as read. The kernel takes no less than a page.
            let refused = |_| io::Error::other("the kernel takes no size of reading ahead");
            config.set_max_readahead(1).map_err(refused)?;
        }
        for capability in [
            InitFlags::FUSE_MAX_PAGES,
            InitFlags::FUSE_CACHE_SYMLINKS,
            InitFlags::FUSE_PARALLEL_DIROPS,
            InitFlags::FUSE_NO_OPEN_SUPPORT,
            InitFlags::FUSE_NO_OPENDIR_SUPPORT,
            InitFlags::FUSE_HANDLE_KILLPRIV_V2,
        ] {
            #[expect(
                clippy::let_underscore_must_use,
                reason = "an older kernel lacks some of them; then it asks more often"
            )]
            let _ = config.add_capabilities(capability);
        }
        Ok(())
    }

    fn lookup(&self, _req: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        self.answer(|| {
            let mut state = self.fs.lock();
            match state.disk.look_up(parent.0, name) {
                Err(Errno::ENOENT) => no_entry(reply),
                found => answer_entry(&mut state, found, reply),
            }
        });
    }

    fn forget(&self, _req: &Request, ino: INodeNo, nlookup: u64) {
        self.answer(|| {
            let count = i64::try_from(nlookup).unwrap_or(i64::MAX);
            self.fs.lock().disk.tree.count_lookups(ino.0, -count);
        });
    }

    fn getattr(&self, _req: &Request, ino: INodeNo, _fh: Option<FileHandle>, reply: ReplyAttr) {
        self.answer(|| match attributes(&mut self.fs.lock().disk, ino.0) {
            Ok(attr) => reply.attr(&CACHE_TTL, &attr),
            Err(errno) => reply.error(fail(errno)),
        });
    }

    fn setattr(
        &self,
        req: &Request,
        ino: INodeNo,
        mode: Option<u32>,
        uid: Option<u32>,
        gid: Option<u32>,
        size: Option<u64>,
        atime: Option<TimeOrNow>,
        mtime: Option<TimeOrNow>,
        ctime: Option<SystemTime>,
        _fh: Option<FileHandle>,
        _crtime: Option<SystemTime>,
        _chgtime: Option<SystemTime>,
        _bkuptime: Option<SystemTime>,
        _flags: Option<BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        self.answer(|| {
            let change = AttrChange {
                mode,
                uid,
                gid,
                atime,
                mtime,
                ctime,
            };
            let sized = size.map_or(Ok(()), |size| {
                self.fs.serve(OpKind::Truncate, ino.0, None, |disk| {
                    disk.set_size(req.pid(), ino.0, size)?;
                    // That the caller may keep the bits (CAP_FSETID) is not passed on.
                    match req.uid() {
                        0 => Ok(()),
                        _ => disk.drop_set_ids(req.pid(), ino.0),
                    }
                })
            });
            let changed = sized.and_then(|()| {
                // A truncation carries its own times; recording them again would say nothing.
                let only_size = size.is_some() && mode.is_none() && uid.is_none() && gid.is_none();
                if only_size {
                    return Ok(());
                }
                self.set_attrs(req, ino.0, &change)
            });
            match changed {
                Ok(()) => self.getattr(req, ino, None, reply),
                Err(errno) => reply.error(fail(errno)),
            }
        });
    }

    fn readlink(&self, _req: &Request, ino: INodeNo, reply: ReplyData) {
        self.answer(
            || match self.fs.lock().disk.inode(ino.0).map(|inode| &inode.node) {
                Ok(Node::Symlink(to)) => reply.data(to.as_bytes()),
                Ok(_) => reply.error(fail(Errno::EINVAL)),
                Err(errno) => reply.error(fail(errno)),
            },
        );
    }

    fn mknod(
        &self,
        req: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        _umask: u32,
        rdev: u32,
        reply: ReplyEntry,
    ) {
        self.answer(|| {
            let node = match mode & libc::S_IFMT {
                libc::S_IFREG | 0 => NewNode::File,
                _ => NewNode::Special { rdev },
            };
            self.make(req, (parent, name), node, mode, reply);
        });
    }

    fn mkdir(
        &self,
        req: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        _umask: u32,
        reply: ReplyEntry,
    ) {
        self.answer(|| {
            self.make(req, (parent, name), NewNode::Dir, mode, reply);
        });
    }

    fn symlink(
        &self,
        req: &Request,
        parent: INodeNo,
        link_name: &OsStr,
        target: &Path,
        reply: ReplyEntry,
    ) {
        self.answer(|| {
            let node = NewNode::Symlink(target.as_os_str().to_owned());
            self.make(req, (parent, link_name), node, 0o777, reply);
        });
    }

    fn unlink(&self, req: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        self.answer(|| {
            self.remove(req, (parent, name), false, reply);
        });
    }

    fn rmdir(&self, req: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        self.answer(|| {
            self.remove(req, (parent, name), true, reply);
        });
    }

    fn rename(
        &self,
        req: &Request,
        parent: INodeNo,
        name: &OsStr,
        newparent: INodeNo,
        newname: &OsStr,
        flags: RenameFlags,
        reply: ReplyEmpty,
    ) {
        self.answer(|| {
            let mode = if flags.is_empty() {
                RenameMode::Replace
            } else if flags == RenameFlags::RENAME_NOREPLACE {
                RenameMode::NoReplace
            } else if flags == RenameFlags::RENAME_EXCHANGE {
                RenameMode::Exchange
            } else {
                return reply.error(fail(Errno::EINVAL));
            };
            let (from, to) = ((parent.0, name), (newparent.0, newname));
            let renamed = self.fs.serve(OpKind::Rename, to.0, Some(to.1), |disk| {
                disk.rename(req.pid(), from, to, mode)
            });
            answer_empty(renamed, reply);
        });
    }

    fn link(
        &self,
        req: &Request,
        ino: INodeNo,
        newparent: INodeNo,
        newname: &OsStr,
        reply: ReplyEntry,
    ) {
        self.answer(|| {
            let place = (newparent.0, newname);
            let linked = self.fs.serve(OpKind::Link, place.0, Some(place.1), |disk| {
                disk.link(req.pid(), ino.0, place)
            });
            answer_entry(&mut self.fs.lock(), linked.map(|()| ino.0), reply);
        });
    }

    fn open(&self, _req: &Request, _ino: INodeNo, _flags: OpenFlags, reply: fuser::ReplyOpen) {
        reply.error(fail(Errno::ENOSYS));
    }

    fn opendir(&self, _req: &Request, _ino: INodeNo, _flags: OpenFlags, reply: fuser::ReplyOpen) {
        reply.error(fail(Errno::ENOSYS));
    }

    fn create(
        &self,
        _req: &Request,
        _parent: INodeNo,
        _name: &OsStr,
        _mode: u32,
        _umask: u32,
        _flags: i32,
        reply: fuser::ReplyCreate,
    ) {
        reply.error(fail(Errno::ENOSYS));
    }

    fn flush(
        &self,
        _req: &Request,
        _ino: INodeNo,
        _fh: FileHandle,
        _lock_owner: LockOwner,
        reply: ReplyEmpty,
    ) {
        reply.error(fail(Errno::ENOSYS));
    }

    fn read(
        &self,
        _req: &Request,
        ino: INodeNo,
        _fh: FileHandle,
        offset: u64,
        size: u32,
        _flags: OpenFlags,
        _lock_owner: Option<LockOwner>,
        reply: ReplyData,
    ) {
        self.answer(|| {
            let mut bytes = Vec::with_capacity(size as usize);
            match self.read_bytes(ino.0, offset, size as usize, &mut bytes) {
                Ok(()) => reply.data(&bytes),
                Err(errno) => reply.error(fail(errno)),
            }
        });
    }

    fn write(
        &self,
        req: &Request,
        ino: INodeNo,
        _fh: FileHandle,
        offset: u64,
        data: &[u8],
        write_flags: WriteFlags,
        _flags: OpenFlags,
        _lock_owner: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        self.answer(|| {
            // Write-back of a shared mapping names no process.
            let cached = write_flags.contains(WriteFlags::FUSE_WRITE_CACHE);
            let pid = if cached { 0 } else { req.pid() };
            let may_go_on = pid != 0 && may_go_on(offset, data.len());
            let of = may_go_on.then(|| self.fs.call_length(pid)).flatten();
            let written = self.fs.serve(OpKind::Write, ino.0, None, |disk| {
                let written = disk.write_bytes(pid, ino.0, offset, data)?;
                let piece = (ino.0, offset, u64::from(written));
                let goes_on = self.calls.lock().piece(pid, piece, of);
                if let Some(progress) = goes_on.filter(|_| written as usize == data.len()) {
                    disk.call_goes_on(pid, ino.0, progress.done, progress.of);
                }
                if write_flags.contains(WriteFlags::FUSE_WRITE_KILL_SUIDGID) {
                    disk.drop_set_ids(pid, ino.0)?;
                }
                Ok(written)
            });
            match written {
                Ok(written) => reply.written(written),
                Err(errno) => reply.error(fail(errno)),
            }
        });
    }

    fn setxattr(
        &self,
        req: &Request,
        ino: INodeNo,
        name: &OsStr,
        value: &[u8],
        flags: i32,
        _position: u32,
        reply: ReplyEmpty,
    ) {
        self.answer(|| {
            let set = self.fs.serve(OpKind::SetAttr, ino.0, None, |disk| {
                disk.set_xattr(req.pid(), ino.0, name, value, flags)
            });
            answer_empty(set, reply);
        });
    }

    fn getxattr(&self, _req: &Request, ino: INodeNo, name: &OsStr, size: u32, reply: ReplyXattr) {
        self.answer(|| {
            // The first is asked for before a write; no file has the others.
            let none = [
                "security.capability",
                "system.posix_acl_access",
                "system.posix_acl_default",
            ];
            let found = match none.iter().any(|other| name == *other) {
                true => Err(Errno::ENODATA),
                false => self.fs.lock().disk.xattr(ino.0, name),
            };
            answer_xattr(found.as_deref().map_err(|errno| *errno), size, reply);
        });
    }

    fn listxattr(&self, _req: &Request, ino: INodeNo, size: u32, reply: ReplyXattr) {
        self.answer(|| {
            let mut state = self.fs.lock();
            let names = state.disk.inode(ino.0).map(|inode| {
                let names = inode.xattrs.keys().map(|name| name.as_encoded_bytes());
                names.flat_map(|name| [name, b"\0"].concat()).collect()
            });
            let names: Result<Vec<u8>, Errno> = names;
            drop(state);
            answer_xattr(names.as_deref().map_err(|errno| *errno), size, reply);
        });
    }

    fn removexattr(&self, req: &Request, ino: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        self.answer(|| {
            let removed = self.fs.serve(OpKind::SetAttr, ino.0, None, |disk| {
                disk.remove_xattr(req.pid(), ino.0, name)
            });
            answer_empty(removed, reply);
        });
    }

    fn fsync(
        &self,
        req: &Request,
        ino: INodeNo,
        _fh: FileHandle,
        datasync: bool,
        reply: ReplyEmpty,
    ) {
        self.answer(|| {
            // No process of the sandbox: plugpull's own, which only wants the bytes.
            if req.pid() == 0 && self.fs.mappings().takes_own_sync() {
                return reply.ok();
            }
            self.sync(req, ino, datasync, false, reply);
        });
    }

    fn fsyncdir(
        &self,
        req: &Request,
        ino: INodeNo,
        _fh: FileHandle,
        datasync: bool,
        reply: ReplyEmpty,
    ) {
        self.answer(|| {
            self.sync(req, ino, datasync, true, reply);
        });
    }

    fn readdir(
        &self,
        _req: &Request,
        ino: INodeNo,
        _fh: FileHandle,
        offset: u64,
        mut reply: ReplyDirectory,
    ) {
        self.answer(|| {
            let mut state = self.fs.lock();
            if let Err(errno) = state.disk.list(ino.0) {
                return reply.error(fail(errno));
            }
            let Ok(dir) = state.disk.tree.dir(ino.0) else {
                return reply.error(fail(Errno::ENOTDIR));
            };
            for (cookie, name, to) in [(1, ".", ino.0), (2, "..", dir.parent)] {
                if offset < cookie && reply.add(INodeNo(to), cookie, FileType::Directory, name) {
                    return reply.ok();
                }
            }
            for (cookie, name, to) in dir.list_from(offset.max(2)) {
                let kind = state
                    .disk
                    .tree
                    .get(to)
                    .map_or(FileType::RegularFile, |i| file_type(i.mode));
                if reply.add(INodeNo(to), cookie, kind, name) {
                    break;
                }
            }
            reply.ok();
        });
    }

    fn statfs(&self, _req: &Request, _ino: INodeNo, reply: ReplyStatfs) {
        self.answer(|| {
            let mut state = self.fs.lock();
            let (space, free) = state.disk.free_space();
            let total = space.total;
            let inodes = state.disk.tree.inode_count();
            // One inode for each 16 KiB, mke2fs's usual ratio.
            let files = (total / 4).max(inodes);
            reply.statfs(
                total,
                free,
                free,
                files,
                files - inodes,
                PAGE as u32,
                NAME_MAX as u32,
                PAGE as u32,
            );
        });
    }

    fn fallocate(
        &self,
        req: &Request,
        ino: INodeNo,
        _fh: FileHandle,
        offset: u64,
        length: u64,
        mode: i32,
        reply: ReplyEmpty,
    ) {
        self.answer(|| {
            let allocated = Disk::can_allocate(offset, length, mode).and_then(|()| {
                self.fs.serve(OpKind::Allocate, ino.0, None, |disk| {
                    disk.allocate(req.pid(), ino.0, offset, length, mode)?;
                    match req.uid() {
                        0 => Ok(()),
                        _ => disk.drop_set_ids(req.pid(), ino.0),
                    }
                })
            });
            answer_empty(allocated, reply);
        });
    }

    fn lseek(
        &self,
        _req: &Request,
        ino: INodeNo,
        _fh: FileHandle,
        offset: i64,
        whence: i32,
        reply: ReplyLseek,
    ) {
        self.answer(|| {
            let data = whence == libc::SEEK_DATA;
            let found = match u64::try_from(offset) {
                Ok(offset) => self.fs.lock().disk.seek(ino.0, offset, data),
                Err(_) => Ok(None),
            };
            let found = match found {
                Ok(found) => found,
                Err(errno) => return reply.error(fail(errno)),
            };
            match found.and_then(|at| i64::try_from(at).ok()) {
                Some(at) => reply.offset(at),
                None => reply.error(fail(Errno::ENXIO)),
            }
        });
    }

    fn copy_file_range(
        &self,
        req: &Request,
        ino_in: INodeNo,
        _fh_in: FileHandle,
        offset_in: u64,
        ino_out: INodeNo,
        _fh_out: FileHandle,
        offset_out: u64,
        len: u64,
        _flags: CopyFileRangeFlags,
        reply: ReplyWrite,
    ) {
        self.answer(|| {
            // As much as one write carries: the caller asks again for the rest, as it must anyway.
            let mut bytes = Vec::new();
            let len = usize::try_from(len)
                .unwrap_or(usize::MAX)
                .min(MAX_WRITE as usize);
            let copied = self
                .read_bytes(ino_in.0, offset_in, len, &mut bytes)
                .and_then(|()| self.write_bytes(req.pid(), ino_out.0, offset_out, &bytes));
            match copied {
                Ok(written) => reply.written(written),
                Err(errno) => reply.error(fail(errno)),
            }
        });
    }
}
